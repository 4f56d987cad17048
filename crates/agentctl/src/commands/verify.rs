//! `agentctl verify`: the connection's own judgement, offline, and its JSON.

use std::io::{self, BufRead as _, IsTerminal as _, Write};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trust_core::source::{Content, Found};
use trust_formats::certificates::Limits;
use trust_tls::{AnchorSet, NameRule, Pin, Presented, Request, Verdict, verify};

use crate::cli::{Global, Names, Verify};
use crate::error::Error;
use crate::exit::Exit;
use crate::out::{BAD, GOOD, Output, Page, styled};
use crate::words::count;

/// A verdict as JSON.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct VerdictReport {
    /// Version of this document: 1.
    pub v: u32,
    /// `accept`, `reject` or `error`.
    pub result: &'static str,
    /// `ok`, or the code of why not.
    pub code: String,
    /// The same in words.
    pub detail: String,
    /// The first anchor that verifies the chain.
    pub anchor: Option<AnchorReport>,
    /// `exact` or `issuer`.
    #[serde(rename = "match")]
    pub matched: Option<&'static str>,
    /// SHA-256 of each certificate from the leaf to the anchor.
    pub path: Vec<String>,
    /// How many anchors there are.
    pub anchors_total: usize,
    /// Those that can never verify anything, and blocks that are no anchors.
    pub anchors_unusable: Vec<UnusableReport>,
    /// How many anchors could come into question.
    pub candidates: usize,
    /// Those that were tried, in order.
    pub tried: Vec<TriedReport>,
}

/// An anchor of a verdict.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AnchorReport {
    /// Its place in the order of trial, from 0.
    pub index: usize,
    /// SHA-256 of its DER.
    pub sha256: String,
    /// Its subject.
    pub subject: String,
}

/// A block of the anchors that verifies nothing.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct UnusableReport {
    /// Which block of the file, from 0.
    pub block: usize,
    /// Why.
    pub reason: String,
}

/// An anchor that was tried.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct TriedReport {
    /// Its place in the order of trial, from 0.
    pub index: usize,
    /// `ok`, or the code of why not.
    pub code: &'static str,
}

impl VerdictReport {
    /// A verdict over a set.
    #[must_use]
    pub(crate) fn of(verdict: &Verdict, set: &AnchorSet) -> Self {
        let anchor = |index: usize| {
            let certificate = set.get(index)?;
            Some(AnchorReport {
                index,
                sha256: certificate.fingerprint().to_string(),
                subject: certificate.subject().to_owned(),
            })
        };
        let unusable = |unusable: &trust_tls::Unusable| UnusableReport {
            block: unusable.index,
            reason: unusable.reason.clone(),
        };
        Self {
            v: 1,
            result: if verdict.accepted { "accept" } else { "reject" },
            code: verdict.code.code().to_owned(),
            detail: verdict.detail.clone(),
            anchor: verdict.anchor.and_then(anchor),
            matched: verdict.matched.map(trust_tls::Match::code),
            path: verdict.path.iter().map(ToString::to_string).collect(),
            anchors_total: set.len(),
            anchors_unusable: set.unusable().iter().map(unusable).collect(),
            candidates: verdict.candidates,
            tried: verdict
                .tried
                .iter()
                .map(|tried| TriedReport { index: tried.index, code: tried.code.code() })
                .collect(),
        }
    }

    /// No verdict: the input cannot be read.
    #[must_use]
    pub(crate) fn error(code: &str, detail: String) -> Self {
        Self {
            v: 1,
            result: "error",
            code: code.to_owned(),
            detail,
            anchor: None,
            matched: None,
            path: Vec::new(),
            anchors_total: 0,
            anchors_unusable: Vec::new(),
            candidates: 0,
            tried: Vec::new(),
        }
    }
}

/// Judges one chain, or a batch of them.
pub(crate) fn run(global: &Global, options: &Verify) -> Result<Exit, Error> {
    let out = Output { json: global.json, quiet: global.quiet, verbose: global.verbose };
    if options.batch {
        return batch(out);
    }
    // clap has made sure that these are there without `--batch`.
    let missing = || Error::new(Exit::Usage, "--anchors, --chain, --host and --at are needed");
    let (Some(anchors), Some(chain), Some(host), Some(at)) =
        (&options.anchors, &options.chain, &options.host, options.at)
    else {
        return Err(missing());
    };
    let read = |path: &std::path::Path| {
        std::fs::read(path)
            .map_err(|error| Error::new(Exit::Usage, format_args!("cannot read {}: {error}", path.display())))
    };
    let pin = options
        .pin
        .as_deref()
        .map(Pin::parse)
        .transpose()
        .map_err(|error| Error::new(Exit::Usage, format_args!("--pin: {error}")))?;
    let request = Request {
        names: name_rule(options.names),
        verify_peer: !options.no_verify_peer,
        verify_host: !options.no_verify_host,
        pins: pin.flatten().into_iter().collect(),
        ..Request::new(host.as_str(), at)
    };
    let report = judge(&read(anchors)?, &read(chain)?, &request);
    out.data(&report, render)?;
    Ok(match report.result {
        "accept" => Exit::Done,
        "reject" => Exit::Refused,
        _ => Exit::Usage,
    })
}

/// How names are matched, for the library.
pub(crate) fn name_rule(names: Names) -> NameRule {
    match names {
        Names::Strict => NameRule::Strict,
        Names::Compat => NameRule::Compat,
    }
}

fn judge(anchors: &[u8], chain: &[u8], request: &Request) -> VerdictReport {
    let anchors = Content::parse(anchors, &Limits::default());
    if anchors.found.is_empty() {
        return VerdictReport::error("no-anchors", unreadable("anchors", &anchors));
    }
    let chain = Content::parse(chain, &Limits::default());
    let ders: Vec<&[u8]> = chain.found.iter().map(|found| found.certificate.der()).collect();
    let Some(presented) = Presented::new(&ders).filter(|_| leaf_is_first(&chain)) else {
        return VerdictReport::error("no-chain", unreadable("chain", &chain));
    };
    let set = AnchorSet::new(anchors.found.iter().map(|Found { certificate, .. }| Arc::clone(certificate)));
    let mut report = VerdictReport::of(&verify(&set, &presented, request), &set);
    let rejects = anchors.rejects.iter().map(|reject| UnusableReport {
        block: anchors.found.iter().filter(|found| found.line < reject.line).count(),
        reason: format!("line {}: {}", reject.line, reject.reason.code()),
    });
    report.anchors_unusable.extend(rejects);
    report
}

/// A leaf that cannot be read must not make the next certificate the leaf.
fn leaf_is_first(chain: &Content) -> bool {
    let first = chain.found.first().map(|found| found.line);
    !chain.rejects.iter().any(|reject| first.is_some_and(|line| reject.line < line))
}

fn unreadable(what: &str, content: &Content) -> String {
    content.rejects.first().map_or_else(
        || format!("the {what} hold no certificate"),
        |reject| format!("the {what} cannot be read: line {}: {}", reject.line, reject.detail),
    )
}

fn render(report: &VerdictReport, out: &mut Page) -> io::Result<()> {
    for tried in &report.tried {
        let mark = if tried.code == "ok" { styled(GOOD, "✓") } else { styled(BAD, "✗") };
        writeln!(out, "{mark} anchor {}: {}", tried.index + 1, tried.code)?;
    }
    let verdict = match report.result {
        "accept" => styled(GOOD, "accept"),
        other => styled(BAD, other),
    };
    writeln!(out, "{verdict} ({}): {}", report.code, report.detail)
}

/// A case of `--batch`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: serde_json::Value,
    anchors: Vec<String>,
    chain: Vec<String>,
    host: String,
    at: Timestamp,
    #[serde(default)]
    names: Option<String>,
}

/// A verdict of `--batch`.
#[derive(Debug, Serialize)]
struct CaseReport {
    id: serde_json::Value,
    #[serde(flatten)]
    verdict: VerdictReport,
}

/// A line, a verdict; a bad line is told and the rest goes on.
fn batch(out: Output) -> Result<Exit, Error> {
    // Where the verdicts come by, nobody needs to be told that they do.
    let told = Output { quiet: out.quiet || io::stdout().is_terminal(), ..out };
    let progress = told.progress("waiting for cases");
    let out = Output { json: true, ..out };
    let mut judged = 0_u64;
    for line in io::stdin().lock().split(b'\n') {
        let line =
            line.map_err(|error| Error::new(Exit::Usage, format_args!("cannot read stdin: {error}")))?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        if !out.line(&judge_line(&line), |_, _| Ok(()))? {
            break;
        }
        judged += 1;
        progress.at(format!("{} judged", count(judged, "case")));
    }
    Ok(Exit::Done)
}

fn judge_line(line: &[u8]) -> CaseReport {
    let case: Case = match serde_json::from_slice(line) {
        Ok(case) => case,
        Err(error) => {
            // Whatever else is wrong with it, its name helps to find it.
            let value: Option<serde_json::Value> = serde_json::from_slice(line).ok();
            let id = value.and_then(|value| value.get("id").cloned()).unwrap_or_default();
            return CaseReport { id, verdict: VerdictReport::error("bad-case", error.to_string()) };
        }
    };
    let names = match case.names.as_deref() {
        None | Some("compat") => NameRule::Compat,
        Some("strict") => NameRule::Strict,
        Some(_) => {
            let detail = "names is \"strict\" or \"compat\"".to_owned();
            return CaseReport { id: case.id, verdict: VerdictReport::error("bad-case", detail) };
        }
    };
    let request = Request { names, ..Request::new(case.host, case.at) };
    let verdict = judge(case.anchors.join("\n").as_bytes(), case.chain.join("\n").as_bytes(), &request);
    CaseReport { id: case.id, verdict }
}
