//! Reports drawn from the state: the same code for a daemon's answer and for an `agentctl` without one.

use std::path::Path;
use std::sync::Arc;

use agent_control::wire::{
    AnchorReport, AnchorsReport, BanReport, BundleReport, Event, Fault, GenerationReport, GenerationSource,
    Held, HistoryReport, LastRegeneration, Place, RegenReport, Rejected, RetainedReport, RollbackReport,
    SourceReport, SourcesReport, StoreReport, Warning,
};
use jiff::Timestamp;
use trust_core::bundle::{self, Anchor};
use trust_core::engine::Outcome;
use trust_core::facts::Facts;
use trust_core::guard::{Retained, Why};
use trust_core::history::{Generation, SourceMark};
use trust_core::plan::{Settings, StoreState};
use trust_core::policy;
use trust_core::source::{Condition, Failure, SourceState};
use trust_core::{Certificate, Fingerprint};

use crate::history::Kept;
use crate::watch::WatchReport;

mod foresight;
mod metrics;
mod problems;

pub use foresight::problems as foreseen;
pub use metrics::metrics;
pub use problems::{EXPIRY_NOTICE, Findings, health, problem, problems};

/// What a running daemon knows besides the state.
#[derive(Debug, Clone, Copy, Default)]
pub struct Live<'a> {
    /// How sources are watched; `None` where no daemon runs.
    pub watch: Option<&'a WatchReport>,
    /// When they were last looked at.
    pub last_look: Option<Timestamp>,
}

/// What a regeneration did, or would do. `state` is the state afterwards.
#[must_use]
pub fn regen(outcome: &Outcome, state: &StoreState, merged: &Path, live: Live<'_>) -> RegenReport {
    RegenReport {
        changed: if outcome.dry_run { outcome.would_write() } else { outcome.changed },
        generation: state.generation,
        bundle: bundle_report(state, merged),
        sources: sources_of(state, live),
        added: hex(&outcome.plan.added),
        removed: hex(&outcome.plan.removed),
        warnings: warnings(&outcome.plan.warnings),
        dry_run: outcome.dry_run,
        forced: outcome.forced,
        held: held(state),
        retained: state.retained.iter().map(retained_report).collect(),
        rollback: rollback(state),
    }
}

/// The generations of the store.
#[must_use]
pub fn history(state: &StoreState, generations: &[Generation]) -> HistoryReport {
    HistoryReport {
        current: state.generation,
        rollback: rollback(state),
        generations: generations.iter().map(generation_report).collect(),
    }
}

/// The anchors of a generation, as they stand today.
#[must_use]
pub fn generation(kept: &Kept, now: Timestamp) -> AnchorsReport {
    let anchor = |(index, certificate): (usize, &Arc<Certificate>)| {
        let anchor = Anchor {
            certificate: Arc::clone(certificate),
            places: Vec::new(),
            standing: bundle::Standing::Source,
        };
        anchor_report(index + 1, &anchor, now)
    };
    AnchorsReport {
        generation: kept.generation.number,
        anchors: kept.anchors.iter().enumerate().map(anchor).collect(),
    }
}

/// Each source and what is odd about them.
#[must_use]
pub fn sources(state: &StoreState, said: &[policy::Warning], live: Live<'_>) -> SourcesReport {
    SourcesReport { sources: sources_of(state, live), warnings: warnings(said) }
}

/// The anchors of the store in the order of trial.
#[must_use]
pub fn anchors(state: &StoreState, settings: &Settings, now: Timestamp) -> AnchorsReport {
    let merged = state.merged(&settings.distrusted);
    let anchors =
        merged.anchors.iter().enumerate().map(|(index, anchor)| anchor_report(index + 1, anchor, now));
    AnchorsReport { generation: state.generation, anchors: anchors.collect() }
}

/// The store.
#[must_use]
pub fn store(state: &StoreState, settings: &Settings, merged: &Path) -> StoreReport {
    let bundle = bundle_report(state, merged);
    StoreReport {
        path: bundle.path,
        generation: state.generation,
        sha256: bundle.sha256,
        anchors: bundle.anchors,
        retained: retained(state),
        held: held(state),
        published_at: state.bundle.as_ref().map(|bundle| bundle.at.to_string()),
        rollback: rollback(state),
        distrusted: distrusted(state, settings),
    }
}

/// The last regeneration: the last of this life where there is one, else the last publication.
#[must_use]
pub fn last_regeneration(state: &StoreState, outcome: Option<&Outcome>) -> Option<LastRegeneration> {
    if let Some(outcome) = outcome {
        return Some(LastRegeneration {
            at: outcome.at.to_string(),
            by: outcome.by.code(),
            why: outcome.plan.causes.clone(),
            changed: outcome.changed,
            result: result_code(outcome).to_owned(),
        });
    }
    state.bundle.as_ref().map(|bundle| LastRegeneration {
        at: bundle.at.to_string(),
        by: bundle.by.clone(),
        why: bundle.causes.clone(),
        changed: true,
        result: "published".to_owned(),
    })
}

/// What came of a regeneration, as a code.
#[must_use]
pub fn result_code(outcome: &Outcome) -> &'static str {
    if outcome.failure.is_some() && !outcome.changed {
        "failed"
    } else if outcome.plan.next.held.is_some() {
        "held"
    } else if outcome.changed {
        "published"
    } else {
        "unchanged"
    }
}

/// The event of a regeneration that did something or failed to.
#[must_use]
pub fn event(outcome: &Outcome) -> Event {
    let event = match result_code(outcome) {
        "published" => "store.published",
        "failed" => "store.failed",
        "held" => "store.held",
        _ => "source.changed",
    };
    let causes = outcome.plan.causes.join("; ");
    Event {
        ts: outcome.at.to_string(),
        event: event.to_owned(),
        source: None,
        generation: Some(outcome.plan.next.generation),
        added: hex(&outcome.plan.added),
        removed: hex(&outcome.plan.removed),
        message: Some(outcome.failure.as_ref().map_or(causes, |failure| failure.message.clone())),
    }
}

/// Fingerprints as hex.
#[must_use]
pub fn hex(list: &[Fingerprint]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// Warnings on the wire.
#[must_use]
pub fn warnings(said: &[policy::Warning]) -> Vec<Warning> {
    said.iter()
        .map(|warning| Warning { code: warning.code.to_owned(), message: warning.message.clone() })
        .collect()
}

/// A failure on the wire.
#[must_use]
pub fn fault(failure: &Failure) -> Fault {
    Fault { code: failure.code.clone(), message: failure.message.clone(), remedy: failure.remedy.clone() }
}

/// Anchors that are in the store though no source has them any more: those that wait for their source to be quiet, and
/// those that the guard keeps.
fn retained(state: &StoreState) -> Vec<String> {
    let kept = state.sources.iter().flat_map(|source| &source.kept).copied();
    let guarded = state.retained.iter().map(|retained| retained.certificate.fingerprint());
    hex(&kept.chain(guarded).collect::<Vec<_>>())
}

fn distrusted(state: &StoreState, settings: &Settings) -> Vec<BanReport> {
    let operator = state.bans.iter().map(|ban| BanReport {
        fingerprint: ban.fingerprint.to_string(),
        origin: "operator".to_owned(),
        reason: ban.reason.clone(),
        at: Some(ban.at.to_string()),
    });
    let policies = policy::distrusted(&state.policies).into_iter().map(|fingerprint| BanReport {
        fingerprint: fingerprint.to_string(),
        origin: "policy".to_owned(),
        reason: String::new(),
        at: None,
    });
    let configured = settings.distrusted.iter().map(|fingerprint| BanReport {
        fingerprint: fingerprint.to_string(),
        origin: "configuration".to_owned(),
        reason: String::new(),
        at: None,
    });
    operator.chain(policies).chain(configured).collect()
}

fn rollback(state: &StoreState) -> Option<RollbackReport> {
    let rollback = state.rollback.as_ref()?;
    Some(RollbackReport {
        generation: rollback.generation,
        until: rollback.until.map(|until| until.to_string()),
    })
}

fn retained_report(retained: &Retained) -> RetainedReport {
    RetainedReport {
        fingerprint: retained.certificate.fingerprint().to_string(),
        why: retained.why.code().to_owned(),
        servers: retained.servers.clone(),
    }
}

fn generation_report(generation: &Generation) -> GenerationReport {
    let source = |mark: &SourceMark| GenerationSource {
        kind: mark.kind.clone(),
        path: mark.path.display().to_string(),
        sha256: mark.sha256.map(|sha256| sha256.to_string()),
        anchors: mark.found.len() as u64,
        rejects: mark.rejects as u64,
    };
    let retained = |(anchor, why): &(Fingerprint, Why)| RetainedReport {
        fingerprint: anchor.to_string(),
        why: why.code().to_owned(),
        servers: Vec::new(),
    };
    GenerationReport {
        number: generation.number,
        at: generation.at.to_string(),
        by: generation.by.clone(),
        why: generation.causes.clone(),
        sha256: generation.sha256.to_string(),
        anchors: generation.anchors as u64,
        sources: generation.sources.iter().map(source).collect(),
        added: hex(&generation.added),
        removed: hex(&generation.removed),
        retained: generation.retained.iter().map(retained).collect(),
        rollback_to: generation.rollback_to,
    }
}

fn held(state: &StoreState) -> Option<Held> {
    let held = state.held.as_ref()?;
    Some(Held { reason: held.reason.clone(), detail: held.detail.clone() })
}

fn bundle_report(state: &StoreState, merged: &Path) -> BundleReport {
    let published = state.bundle.as_ref();
    BundleReport {
        path: merged.display().to_string(),
        sha256: published.map(|bundle| bundle.sha256.to_string()),
        anchors: published.map_or(0, |bundle| bundle.anchors.len() as u64),
    }
}

fn sources_of(state: &StoreState, live: Live<'_>) -> Vec<SourceReport> {
    state.sources.iter().map(|source| source_report(source, live)).collect()
}

fn source_report(source: &SourceState, live: Live<'_>) -> SourceReport {
    let content = &source.content;
    let rejected = content.rejects.iter().map(|reject| Rejected {
        line: reject.line,
        reason: reject.reason.code().to_owned(),
        detail: reject.detail.clone(),
    });
    SourceReport {
        kind: source.id.kind.code().to_owned(),
        path: source.id.path.display().to_string(),
        sha256: source.sha256.map(|sha256| sha256.to_string()),
        size: source.size,
        anchors: source.own().count() as u64,
        rejected: rejected.collect(),
        state: source.condition.code().to_owned(),
        error: match &source.condition {
            Condition::Stale(failure) => Some(fault(failure)),
            Condition::Ok | Condition::Settling | Condition::Missing => None,
        },
        encoding: content.encoding.code().to_owned(),
        notes: content.notes.iter().map(|note| note.code().to_owned()).collect(),
        watched: live.watch.map(|watch| watch.tells_of(&source.id.path)),
        unwatched: live.watch.and_then(|watch| watch.untold(&source.id.path)),
        last_looked: live.last_look.map(|at| at.to_string()),
    }
}

fn anchor_report(index: usize, anchor: &Anchor, now: Timestamp) -> AnchorReport {
    let certificate = &anchor.certificate;
    let facts = Facts::parse(certificate.der()).ok();
    let place = |place: &bundle::Place| Place {
        kind: place.source.kind.code().to_owned(),
        path: place.source.path.display().to_string(),
        line: place.line,
    };
    let may_issue = facts.as_ref().is_some_and(Facts::may_issue);
    AnchorReport {
        number: index as u64,
        fingerprint: certificate.fingerprint().to_string(),
        subject: certificate.subject().to_owned(),
        issuer: facts.map(|facts| facts.issuer.to_string()).unwrap_or_default(),
        not_before: certificate.not_before().to_string(),
        not_after: certificate.not_after().to_string(),
        status: certificate.validity_at(now).code().to_owned(),
        kind: if may_issue { "ca" } else { "exact" }.to_owned(),
        sources: anchor.places.iter().map(place).collect(),
        standing: anchor.standing.code().to_owned(),
    }
}
