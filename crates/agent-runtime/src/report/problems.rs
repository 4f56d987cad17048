//! What needs a hand: each with a stable code, why it matters, and what mends it.

use std::path::Path;
use std::time::Duration;

use agent_control::wire::{Health, Problem, Severity};
use jiff::Timestamp;
use trust_core::certificate::Validity;
use trust_core::guard::{Retained, Why};
use trust_core::plan::{Settings, StoreState};
use trust_core::policy;
use trust_core::source::{Condition, Failure, SourceState};
use trust_core::state::Rollback;
use trust_formats::certificates::Reason;

use crate::servers::{LockState, ServerStatus};
use crate::watch::WatchReport;

/// Before its end, an anchor is a problem for so long: time to have a new certificate made, sent out and switched to.
pub const EXPIRY_NOTICE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Codes of a way that led to no verdict: nothing was learnt about trust.
const UNREACHABLE: [&str; 11] = [
    "resolve-failed",
    "connect-failed",
    "timeout",
    "not-tls",
    "tls-incompatible",
    "tls-too-old",
    "tls-alert",
    "handshake-failed",
    "proxy-refused",
    "proxy-credentials",
    "proxy-credentials-file",
];

/// What problems are drawn from.
pub struct Findings<'a> {
    /// The store.
    pub state: &'a StoreState,
    /// The settings in force.
    pub settings: &'a Settings,
    /// The bundle's path.
    pub merged: &'a Path,
    /// What the last look said.
    pub warnings: &'a [policy::Warning],
    /// Why the last publication failed.
    pub failure: Option<&'a Failure>,
    /// How sources are watched; `None` where no daemon runs.
    pub watch: Option<&'a WatchReport>,
    /// The servers as they were last reached.
    pub servers: &'a [ServerStatus],
    /// The store is not what the sources say, and nobody is about to change that.
    pub behind: bool,
    /// Now.
    pub now: Timestamp,
}

/// All that needs a hand, the worst first.
#[must_use]
pub fn problems(findings: &Findings<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(findings.failure.map(publication_failed));
    problems.extend(store_problem(findings));
    problems.extend(findings.state.sources.iter().flat_map(source_problems));
    problems.extend(findings.warnings.iter().map(warning));
    problems.extend(anchor_problems(findings));
    problems.extend(findings.state.retained.iter().map(retained));
    problems.extend(findings.state.rollback.as_ref().map(rolled_back));
    problems.extend(clock_problem(findings));
    problems.extend(findings.servers.iter().filter_map(server_problem));
    problems
        .extend(findings.servers.iter().flat_map(|server| super::foresight::problems(server, findings.now)));
    problems.extend(findings.watch.and_then(watch_problem));
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    problems
}

/// The verdict over all of it.
#[must_use]
pub fn health(state: &StoreState, problems: &[Problem]) -> Health {
    let has_anchors = state.bundle.as_ref().is_some_and(|bundle| !bundle.anchors.is_empty());
    if !has_anchors || problems.iter().any(|problem| problem.code == "publication-failed") {
        Health::Failed
    } else if problems.iter().any(|problem| problem.severity >= Severity::Warning) {
        Health::Degraded
    } else {
        Health::Ok
    }
}

/// A problem of its parts.
#[must_use]
pub fn problem(code: &str, severity: Severity, title: String, why: String, fix: Vec<String>) -> Problem {
    Problem { code: code.to_owned(), severity, title, why, fix }
}

fn publication_failed(failure: &Failure) -> Problem {
    problem(
        "publication-failed",
        Severity::Error,
        "the store could not be written".to_owned(),
        format!("{}. The store as it was before is still in place, and it is tried again.", failure.message),
        vec![failure.remedy.clone()],
    )
}

fn store_problem(findings: &Findings<'_>) -> Option<Problem> {
    let state = findings.state;
    let sources: Vec<String> =
        state.sources.iter().map(|source| source.id.path.display().to_string()).collect();
    if let Some(held) = &state.held {
        return Some(problem(
            "store-held",
            Severity::Error,
            "the store is held as it was: no source holds an anchor any more".to_owned(),
            held.detail.clone(),
            vec![format!("put a certificate into one of: {}", sources.join(", "))],
        ));
    }
    let is_empty = state.bundle.as_ref().is_some_and(|bundle| bundle.anchors.is_empty());
    let holds_any = state.sources.iter().any(|source| !source.content.found.is_empty());
    // A store that was emptied on purpose; one that is only behind its sources is told of as that.
    if is_empty && holds_any && state.merged(&findings.settings.distrusted).anchors.is_empty() {
        return Some(problem(
            "no-anchors",
            Severity::Error,
            "the store has no anchors, so no server can be verified".to_owned(),
            format!("every certificate of the sources is distrusted: {}", sources.join(", ")),
            vec![
                "agentctl distrust".to_owned(),
                format!(
                    "or put another certificate of the management server into {}",
                    sources.first().map_or("", String::as_str)
                ),
            ],
        ));
    }
    if state.bundle.is_none() || is_empty && !holds_any {
        return Some(problem(
            "no-anchors",
            Severity::Error,
            "there is no anchor, so no server can be verified".to_owned(),
            format!("none of the sources holds a certificate: {}", sources.join(", ")),
            vec![
                findings.servers.first().map_or_else(
                    || "agentctl enroll https://SERVER".to_owned(),
                    |server| format!("agentctl enroll {}", server.url),
                ),
                format!(
                    "or put the management server's certificate into {}",
                    sources.first().map_or("", String::as_str)
                ),
            ],
        ));
    }
    findings.behind.then(|| {
        problem(
            "store-behind",
            Severity::Warning,
            "the sources have changed and the store has not".to_owned(),
            format!("no daemon keeps {} up to date.", findings.merged.display()),
            vec!["agentctl regen".to_owned(), "start the agentd service".to_owned()],
        )
    })
}

fn source_problems(source: &SourceState) -> Vec<Problem> {
    let path = source.id.path.display();
    let mut problems = Vec::new();
    match &source.condition {
        Condition::Stale(failure) => problems.push(unreadable(source, failure)),
        Condition::Missing if source.id.kind == trust_core::source::SourceKind::Policy && source.named => {
            problems.push(problem(
                "source-missing",
                Severity::Warning,
                format!("{path} does not exist"),
                "a policy names it as a source of anchors; there are none until it is there.".to_owned(),
                vec![format!("put the certificates into {path}, or change the policy")],
            ));
        }
        Condition::Ok | Condition::Settling | Condition::Missing => {}
    }
    for reject in &source.content.rejects {
        let (code, severity) = match reject.reason {
            Reason::PrivateKey => ("private-key", Severity::Error),
            _ => ("source-reject", Severity::Warning),
        };
        problems.push(problem(
            code,
            severity,
            format!("{path}:{}: {}", reject.line, reject.reason.code()),
            reject.detail.clone(),
            vec![format!("agentctl lint {path}")],
        ));
    }
    problems
}

/// One that waits for others which do not answer is mended with them, so it is no error of its own.
fn unreadable(source: &SourceState, failure: &Failure) -> Problem {
    let (code, severity) = match failure.code.as_str() {
        "source-hung" => ("source-hung", Severity::Error),
        "source-postponed" => ("source-postponed", Severity::Warning),
        _ => ("source-unreadable", Severity::Error),
    };
    problem(
        code,
        severity,
        format!("{} cannot be read: {}", source.id, failure.message),
        match source.content.found.len() {
            0 => "it held nothing before.".to_owned(),
            1 => "what it held before (1 anchor) stays in use.".to_owned(),
            held => format!("what it held before ({held} anchors) stays in use."),
        },
        vec![failure.remedy.clone()],
    )
}

fn warning(warning: &policy::Warning) -> Problem {
    problem(warning.code, Severity::Warning, warning.message.clone(), String::new(), Vec::new())
}

fn anchor_problems(findings: &Findings<'_>) -> Vec<Problem> {
    let merged = findings.state.merged(&findings.settings.distrusted);
    let soon = findings.now.checked_add(EXPIRY_NOTICE).unwrap_or(Timestamp::MAX);
    let mut problems = Vec::new();
    let mut expired = Vec::new();
    for (index, anchor) in merged.anchors.iter().enumerate() {
        let certificate = &anchor.certificate;
        let end = certificate.not_after();
        match certificate.validity_at(findings.now) {
            Validity::Expired => expired.push(index + 1),
            Validity::Valid if end < soon => problems.push(problem(
                "anchor-expires",
                Severity::Warning,
                format!("anchor {} \"{}\" expires on {end}", index + 1, certificate.subject()),
                anchor.places.first().map_or_else(String::new, |place| {
                    format!("it comes from {} line {}.", place.source, place.line)
                }),
                vec![
                    "have the certificate that will replace it sent out now, before the server switches"
                        .to_owned(),
                ],
            )),
            // One that is not yet valid was sent out before its time on purpose; the list of anchors says so.
            Validity::Valid | Validity::NotYetValid => {}
        }
    }
    problems.extend(expired_anchors(&expired));
    problems
}

/// An anchor that the guard keeps. One that waits for the servers' answer is no problem yet.
fn retained(retained: &Retained) -> Problem {
    let certificate = &retained.certificate;
    let servers = retained.servers.join(", ");
    let (code, severity, title, why) = match retained.why {
        Why::Pending => (
            "anchor-retained",
            Severity::Info,
            "the servers are asked whether they need an anchor that no source holds any more".to_owned(),
            "it leaves the store when they have answered.".to_owned(),
        ),
        Why::Needed => (
            "anchor-retained",
            Severity::Warning,
            format!("anchor \"{}\" stays in the store: {servers} needs it", certificate.subject()),
            "no source holds it any more, and no other anchor verifies that server.".to_owned(),
        ),
        Why::Unreachable => (
            "anchor-retained",
            Severity::Warning,
            format!(
                "anchor \"{}\" stays in the store: {servers} was verified by it last",
                certificate.subject()
            ),
            "no source holds it any more, and the server could not be asked whether it still needs it."
                .to_owned(),
        ),
        Why::Archived => (
            "anchor-archived",
            Severity::Warning,
            format!(
                "anchor \"{}\" came back: {servers} is verified by it and by no other",
                certificate.subject()
            ),
            "it had left the store, and no source holds it.".to_owned(),
        ),
    };
    let fix = match retained.why {
        Why::Pending => Vec::new(),
        Why::Needed | Why::Unreachable | Why::Archived => vec![
            "put the anchor that the server needs into a source; this one then leaves by itself".to_owned(),
            format!("if it must go at once: agentctl distrust {}", certificate.fingerprint()),
        ],
    };
    problem(code, severity, title, why, fix)
}

/// The wall clock against the store's own past: a clock that is behind it is wrong now, or was wrong then.
fn clock_problem(findings: &Findings<'_>) -> Option<Problem> {
    /// Time zones are none of a clock's business, but people set them by hand.
    const TOLERANCE: Duration = Duration::from_secs(24 * 60 * 60);
    let published = findings.state.bundle.as_ref()?.at;
    let behind = findings.now.checked_add(TOLERANCE).ok().filter(|tolerant| *tolerant < published)?;
    let days = published.duration_since(behind).as_hours() / 24 + 1;
    Some(problem(
        "clock-implausible",
        Severity::Warning,
        format!("the clock is {days} days behind the store's last publication"),
        format!(
            "it says {}, and the store was published on {published}: certificates may be judged as not yet valid, and \
             servers refused for it.",
            findings.now
        ),
        vec!["set the clock, for example with timedatectl, and let NTP keep it".to_owned()],
    ))
}

fn rolled_back(rollback: &Rollback) -> Problem {
    let end = match rollback.until {
        Some(until) => format!("until {until}, whatever the sources say"),
        None => "until a source changes".to_owned(),
    };
    problem(
        "rollback-in-force",
        Severity::Info,
        format!("the store was rolled back to generation {}", rollback.generation),
        format!("it stays so {end}; anchors that come new are added."),
        vec!["to end it now: agentctl regen --force".to_owned()],
    )
}

/// One for all of them: an old anchor beside its successor harms nobody.
fn expired_anchors(numbers: &[usize]) -> Option<Problem> {
    /// More would only push what matters off the screen.
    const NAMED: usize = 8;
    let (first, more) = numbers.split_at(numbers.len().min(NAMED));
    let list = first.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let rest = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    (!numbers.is_empty()).then(|| {
        problem(
            "anchor-expired",
            Severity::Info,
            format!("{} of the anchors expired: {list}{rest}", numbers.len()),
            "they verify nothing any more; they do no harm, and may be taken out of their sources."
                .to_owned(),
            vec!["agentctl anchors list".to_owned()],
        )
    })
}

fn server_problem(server: &ServerStatus) -> Option<Problem> {
    let error = server.error.as_ref()?;
    let unreachable = server.reason.as_deref().is_some_and(|reason| UNREACHABLE.contains(&reason));
    let (code, title) = match server.lock {
        Some(LockState::Insecure) if !unreachable => {
            ("server-not-verified", format!("{} could not be verified", server.url))
        }
        _ => ("server-unreachable", format!("{} could not be reached", server.url)),
    };
    let fix = vec![format!("agentctl connect {}", server.name)];
    Some(problem(code, Severity::Warning, title, error.clone(), fix))
}

fn watch_problem(watch: &WatchReport) -> Option<Problem> {
    let reasons = watch.reasons();
    (!reasons.is_empty()).then(|| {
        problem(
            "watch-degraded",
            Severity::Warning,
            "some changes are noticed late".to_owned(),
            format!("{}. Sources are looked at every few seconds instead.", reasons.join("; ")),
            Vec::new(),
        )
    })
}
