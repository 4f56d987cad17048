//! What `fetch` did, as JSON and for people.

use std::io::{self, Write};
use std::path::Path;

use agent_control::wire::{Fault, RegenReport, Warning};
use agent_runtime::bootstrap::{Choice, Edit};
use jiff::Timestamp;
use serde::Serialize;
use trust_core::Certificate;
use trust_core::facts::Facts;
use trust_tls::connect::FetchedChain;
use trust_tls::{PresentedCertificate, Verdict};

use super::Present;
use crate::cli;
use crate::error::Error;
use crate::exit::Exit;
use crate::out::{BAD, DIM, GOOD, HANG, WARN, styled};
use crate::words::count;

/// What came of it.
#[derive(Debug, Serialize)]
pub(crate) struct FetchReport {
    /// Version of this document: 1.
    v: u32,
    /// HOST:PORT.
    server: String,
    /// The name that was asked for in place of the host's.
    server_name: Option<String>,
    /// The address that answered.
    address: String,
    tls_version: Option<String>,
    cipher_suite: Option<String>,
    /// The server has shown that it has the key of its certificate.
    proven: bool,
    /// The chain as presented, leaf first.
    chain: Vec<CertificateReport>,
    /// What the store said of the chain before anything was added.
    verified: VerifiedReport,
    /// The certificate that was taken.
    certificate: Option<TakenReport>,
    /// `added`, `present` or `replaced`.
    pub(crate) result: &'static str,
    /// The file.
    target: Option<TargetReport>,
    /// Fingerprints of the certificates that the file has no more.
    removed: Vec<String>,
    /// The store afterwards.
    store: StoreReport,
    pub(super) warnings: Vec<Warning>,
    #[serde(skip)]
    exit: Exit,
}

#[derive(Debug, Serialize)]
struct CertificateReport {
    sha256: String,
    spki_sha256: Option<String>,
    subject: String,
    issuer: String,
    not_before: Option<String>,
    not_after: Option<String>,
    key: String,
    is_ca: bool,
    self_signed: bool,
}

#[derive(Debug, Serialize)]
struct VerifiedReport {
    /// An anchor of the store verifies the chain, and the name is right.
    accepted: bool,
    /// `ok`, or the code of why not.
    code: String,
    detail: String,
    /// Fingerprint of the anchor.
    anchor: Option<String>,
}

#[derive(Debug, Serialize)]
struct TakenReport {
    sha256: String,
    subject: String,
    /// Its place in the chain, from 0.
    place: usize,
    /// `leaf`, `issuer` or `root` where that was asked for.
    pick: Option<&'static str>,
    /// `certificate`, `spki`, `sha1`: what was compared; `typed` where somebody was asked.
    matched_by: &'static str,
    /// The fingerprint that was compared.
    fingerprint: String,
    /// Alone it verifies what the server presents, and the name is right.
    works: bool,
    /// Why not, or how.
    works_detail: String,
}

#[derive(Debug, Serialize)]
struct TargetReport {
    /// `bootstrap`, `site` or `file`.
    kind: &'static str,
    path: String,
    /// The line of the certificate's block.
    line: u32,
}

#[derive(Debug, Default, Serialize)]
struct StoreReport {
    /// It has the certificate; null where that is not known.
    has_it: Option<bool>,
    /// Its generation; null where it is not known.
    generation: Option<u64>,
    anchors: Option<u64>,
    /// The file is a source of the store; null where that is not known.
    is_source: Option<bool>,
    /// Why it was not regenerated.
    error: Option<Fault>,
}

impl FetchReport {
    pub(super) fn new(server: &str, name: Option<&str>, chain: &FetchedChain, present: &Present) -> Self {
        Self {
            v: 1,
            server: server.to_owned(),
            server_name: name.map(str::to_owned),
            address: chain.address.to_string(),
            tls_version: chain.tls_version.clone(),
            cipher_suite: chain.cipher_suite.clone(),
            proven: chain.unproven.is_none(),
            chain: chain.presented.all().map(certificate).collect(),
            verified: VerifiedReport {
                accepted: present.verdict.accepted,
                code: present.verdict.code.code().to_owned(),
                detail: present.verdict.detail.clone(),
                anchor: present.anchor.as_ref().map(|anchor| anchor.fingerprint().to_string()),
            },
            certificate: None,
            result: "added",
            target: None,
            removed: Vec::new(),
            store: StoreReport::default(),
            warnings: Vec::new(),
            exit: Exit::Done,
        }
    }

    /// Which certificate was taken, and by what right.
    pub(super) fn taken(
        &mut self,
        chain: &FetchedChain,
        place: usize,
        choice: Option<&Choice>,
        pick: Option<cli::Pick>,
        outlook: Option<&Verdict>,
    ) {
        let Some(taken) = chain.presented.all().nth(place) else { return };
        let sha256 = taken.sha256.to_string();
        self.certificate = Some(TakenReport {
            subject: taken.subject().to_owned(),
            place,
            pick: pick.map(|pick| super::pick(pick).code()),
            matched_by: choice.map_or("typed", |choice| choice.how.code()),
            fingerprint: choice.map_or_else(|| sha256.clone(), |choice| choice.wanted.to_string()),
            works: outlook.is_some_and(|verdict| verdict.accepted),
            works_detail: outlook.map(|verdict| verdict.detail.clone()).unwrap_or_default(),
            sha256,
        });
        if let Some(verdict) = outlook.filter(|verdict| !verdict.accepted) {
            self.warn(
                "does-not-work",
                format!("it is saved, and alone it does not verify this server: {}", verdict.detail),
            );
        }
    }

    /// What became of the file.
    pub(super) fn saved(&mut self, path: &Path, kind: &'static str, edit: &Edit) {
        let (result, line) = match edit {
            Edit::Present { line } => ("present", *line),
            Edit::Change(change) if change.removed.is_empty() => ("added", change.line),
            Edit::Change(change) => ("replaced", change.line),
        };
        if let Edit::Change(change) = edit {
            self.removed = change.removed.iter().map(|(sha256, _)| sha256.to_string()).collect();
            if matches!(change.encoding.code(), "der" | "pkcs7") {
                self.warn(
                    "mixed-encoding",
                    format!(
                        "{} held DER or PKCS#7 and has PEM behind it now: agentd reads both, other programs may not",
                        path.display()
                    ),
                );
            }
        }
        self.result = result;
        self.target = Some(TargetReport { kind, path: path.display().to_string(), line });
    }

    /// The store was looked at again.
    pub(super) fn regenerated(&mut self, report: &RegenReport, path: &Path, has_it: Option<bool>) {
        let path = path.display().to_string();
        let is_source = report.sources.iter().any(|source| source.path == path);
        self.store = StoreReport {
            has_it,
            generation: Some(report.generation),
            anchors: Some(report.bundle.anchors),
            is_source: Some(is_source),
            error: None,
        };
        if report.held.is_some() {
            self.exit = Exit::Refused;
        }
    }

    /// It could not be.
    pub(super) fn not_regenerated(&mut self, error: &Error) {
        self.store.error = Some(super::fault(error));
        // A file of one's own needs no store; a source without it is half of the work.
        let own = self.target.as_ref().is_some_and(|target| target.kind == "file");
        if !own || error.exit != Exit::Permission {
            self.exit = error.exit;
        }
    }

    pub(super) fn warn(&mut self, code: &str, message: String) {
        self.warnings.push(Warning { code: code.to_owned(), message });
    }

    /// In a line, for a report of several steps.
    pub(crate) fn line(&self) -> String {
        let (Some(taken), Some(target)) = (&self.certificate, &self.target) else { return String::new() };
        let what = if self.result == "present" { "is there already" } else { "is saved" };
        let generation =
            self.store.generation.map_or_else(String::new, |number| format!(", generation {number}"));
        format!("{} {what}: {} line {}{generation}", taken.subject, target.path, target.line)
    }

    /// Why the store does not have it, though it is saved.
    pub(crate) fn store_error(&self) -> Error {
        match &self.store.error {
            Some(error) => Error::new(
                self.exit,
                format_args!(
                    "the certificate is saved, but the store was not regenerated: {}",
                    error.message
                ),
            )
            .hint(&error.remedy),
            None => Error::new(self.exit, "the certificate is saved, but the store is held as it was")
                .hint("agentctl status says why"),
        }
    }

    /// How the command ends.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }
}

fn certificate(presented: &PresentedCertificate) -> CertificateReport {
    let facts = presented.facts.as_ref();
    let read = presented.certificate.as_ref();
    CertificateReport {
        sha256: presented.sha256.to_string(),
        spki_sha256: facts.map(|facts| facts.spki_sha256.to_string()),
        subject: presented.subject().to_owned(),
        issuer: facts.map(|facts| facts.issuer.to_string()).unwrap_or_default(),
        not_before: read.map(Certificate::not_before).map(|at| at.to_string()),
        not_after: read.map(Certificate::not_after).map(|at| at.to_string()),
        key: facts.map(Facts::key_description).unwrap_or_default(),
        is_ca: facts.is_some_and(Facts::is_ca),
        self_signed: facts.is_some_and(Facts::names_itself),
    }
}

/// The report for people.
pub(crate) fn render(report: &FetchReport, _now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    let (Some(taken), Some(target)) = (&report.certificate, &report.target) else { return Ok(()) };
    let (mark, what) = match report.result {
        "present" => (styled(GOOD, "="), "is there already, and nothing was changed"),
        "replaced" => (styled(GOOD, "✓"), "is saved, in place of what was there"),
        _ => (styled(GOOD, "✓"), "is saved"),
    };
    let subject = if taken.subject.is_empty() { "(no subject)" } else { &taken.subject };
    writeln!(out, "{mark} {HANG}{subject} {what}: {} line {}", target.path, target.line)?;
    writeln!(out, "  {}", styled(DIM, format!("sha256 {}", taken.sha256)))?;
    if report.verified.accepted {
        let anchor = report.verified.anchor.as_deref().unwrap_or_default();
        writeln!(
            out,
            "  {} had verified as it was, by anchor {}",
            report.server,
            anchor.get(..16).unwrap_or(anchor)
        )?;
    }
    if taken.works {
        writeln!(out, "  {} verifies with it", report.server)?;
    }
    render_store(report, target, out)
}

fn render_store(report: &FetchReport, target: &TargetReport, out: &mut dyn Write) -> io::Result<()> {
    let store = &report.store;
    if let Some(error) = &store.error {
        let mark = if report.exit == Exit::Done { styled(WARN, "!") } else { styled(BAD, "✗") };
        let fix = if error.remedy.is_empty() { "agentctl regen" } else { &error.remedy };
        return writeln!(
            out,
            "{mark} {HANG}the store was not regenerated: {}\n  fix  {HANG}{fix}",
            error.message
        );
    }
    let generation = store.generation.unwrap_or_default();
    let anchors = count(store.anchors.unwrap_or_default(), "anchor");
    if store.is_source == Some(false) {
        writeln!(
            out,
            "{} {HANG}{} is no source of this store: name it as CAInfo in a policy",
            styled(WARN, "!"),
            target.path
        )?;
    }
    if store.has_it == Some(true) {
        writeln!(out, "{} {HANG}the store has it: generation {generation}, {anchors}", styled(GOOD, "✓"))
    } else {
        writeln!(out, "{} {HANG}the store has it not: generation {generation}, {anchors}", styled(WARN, "!"))
    }
}
