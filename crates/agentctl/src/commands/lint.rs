//! `agentctl lint`: what the merge would make of any file.

use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use agent_control::wire::Rejected;
use jiff::Timestamp;
use serde::Serialize;
use trust_core::Certificate;
use trust_core::facts::Facts;
use trust_core::source::Content;
use trust_formats::certificates::{Limits, Note};

use crate::cli::Global;
use crate::error::Error;
use crate::exit::Exit;
use crate::out::{BAD, BOLD, DIM, GOOD, HANG, Output, WARN, styled};
use crate::words::{count, local_of, relative_of};

/// What is in one file.
#[derive(Debug, Serialize)]
struct FileReport {
    path: String,
    encoding: String,
    anchors: Vec<AnchorReport>,
    rejected: Vec<Rejected>,
    /// What was converted, as codes.
    notes: Vec<String>,
    /// The same in words, with what to do.
    hints: Vec<String>,
}

/// One certificate of a file.
#[derive(Debug, Serialize)]
struct AnchorReport {
    line: u32,
    sha256: String,
    subject: String,
    issuer: String,
    not_before: String,
    not_after: String,
    is_ca: bool,
    /// `valid`, `expired`, `not-yet-valid` or `duplicate`.
    status: String,
    #[serde(flatten)]
    facts: CertificateFacts,
}

/// What a certificate says of itself beyond names and validity.
#[derive(Debug, Serialize)]
pub(crate) struct CertificateFacts {
    /// Algorithm and size of the key.
    pub key: String,
    /// Algorithm of the signature on it.
    pub signature: String,
    /// Its subject is its issuer.
    pub self_signed: bool,
    /// Serial number, hex.
    pub serial: String,
    /// Version, 1 or 3.
    pub version: u32,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki_sha256: String,
    /// Subject key identifier, hex.
    pub subject_key_id: Option<String>,
    /// Alternative names.
    pub names: Vec<String>,
}

impl CertificateFacts {
    /// Reads them; `None` for what x509-parser takes and we do not.
    pub(crate) fn of(certificate: &Certificate) -> Option<Self> {
        let facts = Facts::parse(certificate.der()).ok()?;
        Some(Self {
            key: facts.key_description(),
            signature: facts.signature_algorithm().to_owned(),
            self_signed: facts.names_itself(),
            serial: facts.serial_hex(),
            version: facts.version,
            spki_sha256: facts.spki_sha256.to_string(),
            subject_key_id: facts
                .subject_key_id
                .as_ref()
                .map(|id| id.iter().map(|b| format!("{b:02x}")).collect()),
            names: facts.alternative_names(),
        })
    }
}

/// All certificates of our own bundle.
pub(crate) fn read_all(bytes: &[u8]) -> Vec<std::sync::Arc<Certificate>> {
    let limits = Limits { max_bytes: usize::MAX, max_certificates: usize::MAX, ..Limits::default() };
    Content::parse(bytes, &limits).found.into_iter().map(|found| found.certificate).collect()
}

/// Reads each file; one that cannot be read is named and the rest goes on.
pub(crate) fn run(global: &Global, files: &[PathBuf]) -> Result<Exit, Error> {
    let out = Output { json: global.json, quiet: global.quiet, verbose: global.verbose };
    let now = Timestamp::now();
    let mut reports = Vec::new();
    let mut exit = Exit::Done;
    for path in files {
        match read(path) {
            Ok(bytes) => reports.push(report(path, &bytes, now)),
            Err(error) => {
                crate::out::stderr_line(&format!(
                    "{} {HANG}cannot read {}: {error}",
                    styled(BAD, "error:"),
                    path.display()
                ));
                exit = Exit::Usage;
            }
        }
    }
    out.data(&reports, |reports, out| reports.iter().try_for_each(|report| render(report, now, out)))?;
    Ok(exit)
}

/// One byte more than the merge takes: the scan then says that it is too large.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let limit = Limits::default().max_bytes as u64 + 1;
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    let file = std::fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn report(path: &Path, bytes: &[u8], now: Timestamp) -> FileReport {
    let content = Content::parse(bytes, &Limits::default());
    let mut seen = std::collections::HashSet::new();
    let anchor = |found: &trust_core::source::Found| {
        let certificate = &found.certificate;
        let first = seen.insert(certificate.fingerprint());
        let facts = Facts::parse(certificate.der()).ok()?;
        Some(AnchorReport {
            line: found.line,
            sha256: certificate.fingerprint().to_string(),
            subject: certificate.subject().to_owned(),
            issuer: facts.issuer.to_string(),
            not_before: certificate.not_before().to_string(),
            not_after: certificate.not_after().to_string(),
            is_ca: facts.is_ca(),
            status: if first { certificate.validity_at(now).code() } else { "duplicate" }.to_owned(),
            facts: CertificateFacts::of(certificate)?,
        })
    };
    FileReport {
        path: path.display().to_string(),
        encoding: content.encoding.code().to_owned(),
        anchors: content.found.iter().filter_map(anchor).collect(),
        rejected: content
            .rejects
            .iter()
            .map(|reject| Rejected {
                line: reject.line,
                reason: reject.reason.code().to_owned(),
                detail: reject.detail.clone(),
            })
            .collect(),
        notes: content.notes.iter().map(|note| note.code().to_owned()).collect(),
        hints: content.notes.iter().map(|note| hint(*note).to_owned()).collect(),
    }
}

/// What a conversion means to the file's owner: agentd reads it, other programs may not.
fn hint(note: Note) -> &'static str {
    match note {
        Note::Utf8Bom => "a byte order mark was skipped; some programs lose the first certificate over it",
        Note::Utf16 => "UTF-16 text was converted; few other programs read it: save it as UTF-8 or ASCII",
        Note::ForeignLineEnds => "CRLF or CR line ends were converted",
        Note::X509Label => "the old label X509 CERTIFICATE was read as CERTIFICATE",
        Note::TrustedLabel => {
            "TRUSTED CERTIFICATE is OpenSSL's own form; its purposes were respected and dropped"
        }
        Note::Pkcs7 => "PKCS#7 was unpacked",
        Note::Der => "DER was converted to PEM",
        Note::GluedBlocks => "two blocks were glued together on one line; most programs lose one of them",
        Note::NoFinalNewline => "the last line has no end; concatenated with another file it would break it",
        Note::ProseBetweenBlocks => "text between the blocks was passed over",
        Note::ControlBytes => "control bytes outside the blocks were passed over; some programs stop there",
    }
}

fn render(report: &FileReport, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{}: {}, {}{}",
        styled(BOLD, &report.path),
        report.encoding.to_uppercase(),
        count(report.anchors.len() as u64, "anchor"),
        if report.rejected.is_empty() {
            String::new()
        } else {
            format!(", {} not taken", report.rejected.len())
        }
    )?;
    for anchor in &report.anchors {
        let mark = match anchor.status.as_str() {
            "valid" => styled(GOOD, "✓"),
            _ => styled(WARN, "!"),
        };
        writeln!(out, "  {mark} line {:<5} {HANG}{}", anchor.line, anchor.subject)?;
        writeln!(
            out,
            "      {HANG}{}  {}{}, {}, ends {} ({})",
            styled(DIM, &anchor.sha256[..16]),
            if anchor.is_ca { "CA" } else { "no CA" },
            if anchor.facts.self_signed { ", self-signed" } else { "" },
            anchor.facts.key,
            local_of(&anchor.not_after),
            if anchor.status == "valid" {
                relative_of(&anchor.not_after, now)
            } else {
                anchor.status.clone()
            },
        )?;
    }
    for reject in &report.rejected {
        writeln!(
            out,
            "  {} line {:<5} {HANG}{}: {}",
            styled(BAD, "✗"),
            reject.line,
            reject.reason,
            reject.detail
        )?;
    }
    for hint in &report.hints {
        writeln!(out, "  {} {HANG}{hint}", styled(DIM, "note:"))?;
    }
    Ok(())
}
