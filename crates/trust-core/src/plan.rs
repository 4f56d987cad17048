//! From what a look found to what is to be done: one pure function.

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use trust_formats::certificates::Limits;

use crate::bundle::{self, Bundle, Merged};
use crate::certificate::Certificate;
use crate::fingerprint::{Fingerprint, FingerprintMap, FingerprintSet};
use crate::guard::{self, Guard, Leaving, Proofs, Retained, Ruling};
use crate::policy::{Effective, PolicyState, Warning};
use crate::source::{Condition, Reading, SourceId, SourceState};
use crate::state::{Against, fingerprints, sources_identity};

pub use crate::state::{Held, Published, StoreState};

mod causes;
mod sources;

/// Settings that decide what is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Fingerprints of certificates that may never be in the store.
    pub distrusted: BTreeSet<Fingerprint>,
    /// What one source may hold.
    pub limits: Limits,
    /// How long a source must have been quiet before anchors that it no longer holds leave the store. A file that is
    /// copied in pieces is never taken for a file with less in it.
    pub quiet: Duration,
    /// Time between two looks while watching works.
    pub poll: Duration,
    /// Time between two looks while it does not.
    pub degraded_poll: Duration,
    /// What keeps anchors that servers need.
    pub guard: Guard,
}

impl Settings {
    /// Identifies what shapes the bundle besides the sources: where it changes, unchanged sources make another bundle.
    /// The version and the limits are in it because they decide what is found in a source.
    #[must_use]
    pub fn identity(&self, state: &StoreState) -> Fingerprint {
        let limits = &self.limits;
        let mut bytes = bundle::FORMAT.to_be_bytes().to_vec();
        bytes.extend(env!("CARGO_PKG_VERSION").bytes());
        for limit in [limits.max_bytes, limits.max_certificates, limits.max_certificate_bytes] {
            bytes.extend((limit as u64).to_be_bytes());
        }
        bytes.extend(state.banned(&self.distrusted).iter().flat_map(Fingerprint::as_bytes));
        Fingerprint::of(&bytes)
    }
}

/// What a look at everything found.
#[derive(Debug)]
pub struct Observation {
    /// The policies in force.
    pub policies: Vec<PolicyState>,
    /// What they ask for together.
    pub effective: Effective,
    /// Each source that is configured or named by a policy, in merge order.
    pub sources: Vec<(SourceId, Reading)>,
    /// SHA-256 of the bundle on disk; `None` where there is none that can be read.
    pub bundle: Option<Fingerprint>,
    /// What is odd about policies and directories.
    pub warnings: Vec<Warning>,
    /// Some path is not watched: look more often.
    pub watch_degraded: bool,
}

/// What is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing at all.
    Nothing,
    /// The state alone: the bundle on disk is right.
    Save,
    /// The generation and the state: the bundle on disk is right, and it is on no record.
    Record(Bundle),
    /// The bundle, its generation where it is a new one, then the state.
    Publish(Bundle),
}

/// What the servers are to be asked before anchors leave the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Names it; [`Proofs::question`] answers it.
    pub id: Fingerprint,
    /// The store as it would be, in its order.
    pub candidate: Vec<Arc<Certificate>>,
    /// What would leave it.
    pub leaving: Vec<Arc<Certificate>>,
}

/// What a regeneration does, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Plan {
    /// What is to be written.
    pub step: Step,
    /// The state once that is done.
    pub next: Arc<StoreState>,
    /// Anchors that the store gains, in its order.
    pub added: Vec<Fingerprint>,
    /// Anchors that it loses, in the order of the old store.
    pub removed: Vec<Fingerprint>,
    /// What had changed.
    pub causes: Vec<String>,
    /// What its owner should know.
    pub warnings: Vec<Warning>,
    /// Look again after [`Settings::quiet`]: anchors leave the store then if their sources stay as they are, or a file
    /// was written a moment ago.
    pub settling: bool,
    /// Ask the servers this, then plan again.
    pub question: Option<Question>,
}

/// Who wants it and how much.
pub struct Request<'a> {
    /// Whose wish it is, for the record.
    pub by: &'a str,
    /// Write even where nothing changed, drop what the guard would keep, and empty the store where the sources are.
    pub force: bool,
    /// Whether a source has been quiet for long enough to believe that its anchors are gone.
    pub quiet: &'a dyn Fn(&SourceId, &Reading) -> bool,
    /// What the servers answered.
    pub proofs: Option<&'a Proofs>,
    /// Causes that the look does not show: what an operator ordered.
    pub orders: &'a [String],
}

/// Plans a regeneration.
pub fn plan(
    last: &Arc<StoreState>,
    seen: Observation,
    settings: &Settings,
    request: &Request<'_>,
    now: Timestamp,
) -> Plan {
    let mut warnings = seen.effective.warnings.clone();
    warnings.extend(seen.warnings.iter().cloned());
    if !request.force && is_unchanged(last, &seen, settings, now) {
        return nothing(last, warnings);
    }
    let mut causes = request.orders.to_vec();
    causes.extend(causes::causes(last, &seen, settings));
    let on_disk = seen.bundle;
    let (mut next, candidate) = next_state(last, seen, settings, request, now, &mut causes);
    let settling =
        next.held.is_none() && next.sources.iter().any(|source| !source.kept.is_empty() || !source.named);
    let question = guard_the_leaving(last, &mut next, &candidate, settings, request, now);

    let merged = next.with_retained(candidate, &settings.distrusted);
    let anchors: Vec<Fingerprint> = fingerprints(&merged.anchors).collect();
    let (added, removed) = diff(last.bundle.as_ref().map_or(&[], |bundle| &bundle.anchors), &anchors);
    warnings.extend(needed_and_banned(last, &next, &removed, &settings.distrusted));
    if question.is_some() && added.is_empty() && removed.is_empty() {
        // Only anchors that would leave: the store stays as it is until the servers have answered. How the sources are can
        // be told now.
        let next = Arc::new(next);
        return Plan { next, causes, question, settling, ..nothing(last, warnings) };
    }
    let plan = |step, next, added, removed, causes| Plan {
        step,
        next: Arc::new(next),
        added,
        removed,
        causes,
        warnings,
        settling,
        question,
    };
    if anchors.is_empty() && last.bundle.is_none() && !request.force {
        // Nothing to publish and nothing to lose: a bundle that some earlier life left on disk stays as it is.
        let step = if next == **last { Step::Nothing } else { Step::Save };
        return plan(step, next, added, removed, causes);
    }
    let bundle = bundle::render(&merged.anchors);
    let new = last.bundle.as_ref().is_none_or(|old| old.sha256 != bundle.sha256);
    if new && causes.is_empty() && !removed.is_empty() {
        // It was waited for, and nothing has changed since.
        causes.push("what left is held by no source any more".to_owned());
    }
    if new {
        next.generation += 1;
        next.bundle = Some(Published {
            sha256: bundle.sha256,
            anchors,
            at: now,
            by: request.by.to_owned(),
            causes: causes.clone(),
        });
    }
    let step = match (on_disk == Some(bundle.sha256) && !request.force, next == **last) {
        (true, true) => Step::Nothing,
        (true, false) if new => Step::Record(bundle),
        (true, false) => Step::Save,
        (false, _) => Step::Publish(bundle),
    };
    plan(step, next, added, removed, causes)
}

/// A plan to leave all as it is.
pub(crate) fn nothing(last: &Arc<StoreState>, warnings: Vec<Warning>) -> Plan {
    Plan {
        step: Step::Nothing,
        next: Arc::clone(last),
        added: Vec::new(),
        removed: Vec::new(),
        causes: Vec::new(),
        warnings,
        settling: false,
        question: None,
    }
}

/// True where a look found exactly what the last one left: nothing is parsed, merged or written then.
#[must_use]
pub fn is_unchanged(last: &StoreState, seen: &Observation, settings: &Settings, now: Timestamp) -> bool {
    let same_source = |(state, (id, reading)): (&SourceState, &(SourceId, Reading))| {
        let same_reading = match (reading, &state.condition) {
            (Reading::Missing, Condition::Missing) => true,
            (Reading::Read { snapshot, .. }, Condition::Ok) => state.sha256 == Some(snapshot.sha256()),
            (Reading::Failed(failure), Condition::Stale(known)) => failure == known,
            _ => false,
        };
        same_reading && state.id == *id && state.named && state.kept.is_empty()
    };
    last.held.is_none()
        && last.bundle.as_ref().map(|bundle| bundle.sha256) == seen.bundle
        && last.policies == seen.policies
        && last.sources.len() == seen.sources.len()
        && last.sources.iter().zip(&seen.sources).all(same_source)
        && last.settings == Some(settings.identity(last))
        && is_at_rest(last, settings, now)
}

/// True where neither the guard nor a rollback has anything to do.
fn is_at_rest(last: &StoreState, settings: &Settings, now: Timestamp) -> bool {
    let guard = &settings.guard;
    let published = |retained: &Retained| {
        let anchor = retained.certificate.fingerprint();
        last.bundle.as_ref().is_some_and(|bundle| bundle.anchors.contains(&anchor))
    };
    let stays = |retained: &Retained| {
        published(retained)
            && guard.enabled
            && guard::is_needed(retained, &last.servers)
            && !guard::is_overdue(retained, guard, now)
    };
    last.retained.iter().all(stays)
        && last.servers.iter().all(|memory| guard.servers.contains(&memory.server))
        && last
            .rollback
            .as_ref()
            .is_none_or(|rollback| rollback.against.is_some() && rollback.holds(&last.sources, now))
        && (guard.archive || last.archive.is_empty())
}

/// What is gained and what is lost between two lists of anchors, each in the order of its list.
#[must_use]
pub fn diff(old: &[Fingerprint], new: &[Fingerprint]) -> (Vec<Fingerprint>, Vec<Fingerprint>) {
    let missing_in = |list: &[Fingerprint], other: &[Fingerprint]| {
        if list.is_empty() || other.is_empty() {
            return list.to_vec();
        }
        let other: FingerprintSet = other.iter().copied().collect();
        list.iter().copied().filter(|fingerprint| !other.contains(fingerprint)).collect()
    };
    (missing_in(new, old), missing_in(old, new))
}

/// The state after this look but for what the guard decides: sources, policies, a rollback's end.
fn next_state(
    last: &StoreState,
    seen: Observation,
    settings: &Settings,
    request: &Request<'_>,
    now: Timestamp,
    causes: &mut Vec<String>,
) -> (StoreState, Merged) {
    // Who forces it has everything parsed again; so has a change of what decides how.
    let reuse = !request.force && last.settings == Some(settings.identity(last));
    let mut next = StoreState {
        generation: last.generation,
        bundle: last.bundle.clone(),
        sources: sources::next_sources(last, &seen.sources, reuse, request.quiet),
        policies: seen.policies,
        settings: None,
        held: None,
        bans: last.bans.clone(),
        servers: last.servers.clone(),
        retained: last.retained.clone(),
        archive: if settings.guard.archive { last.archive.clone() } else { Vec::new() },
        rollback: last.rollback.clone().filter(|_| !request.force),
    };
    next.settings = Some(settings.identity(&next));
    next.servers.retain(|memory| settings.guard.servers.contains(&memory.server));
    settle_rollback(&mut next, settings, now, causes);
    let had_anchors = last.bundle.as_ref().is_some_and(|bundle| !bundle.anchors.is_empty());
    let candidate = next.candidate(&settings.distrusted);
    if had_anchors && !request.force && candidate.anchors.is_empty() {
        let kept = StoreState {
            sources: sources::next_sources(last, &seen.sources, reuse, &|_, _| false),
            held: Some(nothing_left()),
            ..next.clone()
        };
        // Where even that is empty, every anchor is distrusted, and distrust is never held back.
        let kept_candidate = kept.candidate(&settings.distrusted);
        if !kept_candidate.anchors.is_empty() {
            return (kept, kept_candidate);
        }
    }
    (next, candidate)
}

/// Notes what a new rollback is against; ends one whose time has come.
fn settle_rollback(next: &mut StoreState, settings: &Settings, now: Timestamp, causes: &mut Vec<String>) {
    let Some(rollback) = &next.rollback else { return };
    if !rollback.holds(&next.sources, now) {
        causes.push(format!("the rollback to generation {} ended", rollback.generation));
        next.rollback = None;
        return;
    }
    if rollback.against.is_none() {
        let earlier: BTreeSet<Fingerprint> =
            rollback.anchors.iter().map(|certificate| certificate.fingerprint()).collect();
        let current = bundle::merge(&next.sources, &next.banned(&settings.distrusted));
        let left_out = fingerprints(&current.anchors).filter(|anchor| !earlier.contains(anchor)).collect();
        let against = Against { sources: sources_identity(&next.sources), left_out };
        if let Some(rollback) = &mut next.rollback {
            rollback.against = Some(against);
        }
    }
}

/// Puts what the guard decides into the state; returns what it has to ask first.
fn guard_the_leaving(
    last: &StoreState,
    next: &mut StoreState,
    candidate: &Merged,
    settings: &Settings,
    request: &Request<'_>,
    now: Timestamp,
) -> Option<Question> {
    let banned = next.banned(&settings.distrusted);
    let wanted = LazyCell::new(|| fingerprints(&candidate.anchors).collect::<FingerprintSet>());
    let leaving = leaving(last, |anchor| !wanted.contains(anchor) && !banned.contains(anchor));
    let leaving_list: Vec<Arc<Certificate>> =
        leaving.iter().map(|leaving| Arc::clone(&leaving.certificate)).collect();
    let id = LazyCell::new(|| {
        let leaving = leaving_list.iter().map(|certificate| certificate.fingerprint());
        guard::question(fingerprints(&candidate.anchors), leaving)
    });
    let proofs = request.proofs.filter(|proofs| proofs.question == *id);
    let ruling = if request.force {
        Ruling { released: leaving_list.clone(), ..Ruling::default() }
    } else {
        guard::judge(leaving, &settings.guard, proofs, &next.servers, now)
    };
    next.retained = ruling.retained;
    if settings.guard.archive {
        let is_present = |anchor: &Fingerprint| {
            let retained = |retained: &Retained| retained.certificate.fingerprint() == *anchor;
            wanted.contains(anchor) || next.retained.iter().any(retained)
        };
        next.archive = guard::archive(&next.archive, &ruling.released, is_present, &banned, now);
        if request.force {
            // Who forces it does not want it to come back by itself.
            let forced: FingerprintSet =
                ruling.released.iter().map(|certificate| certificate.fingerprint()).collect();
            next.archive.retain(|archived| !forced.contains(&archived.certificate.fingerprint()));
        }
    }
    let id = ruling.ask.then(|| *id);
    id.map(|id| Question {
        id,
        candidate: candidate.anchors.iter().map(|anchor| Arc::clone(&anchor.certificate)).collect(),
        leaving: leaving_list,
    })
}

/// The anchors of the last bundle that are gone from the next, and those that are retained, with their certificates.
fn leaving(last: &StoreState, gone: impl Fn(&Fingerprint) -> bool) -> Vec<Leaving> {
    let published = last.bundle.iter().flat_map(|bundle| &bundle.anchors).copied();
    let mut list: Vec<Fingerprint> = published.filter(|anchor| gone(anchor)).collect();
    for retained in &last.retained {
        // Just taken from the archive, it is in no bundle yet.
        let anchor = retained.certificate.fingerprint();
        if gone(&anchor) && !list.contains(&anchor) {
            list.push(anchor);
        }
    }
    if list.is_empty() {
        return Vec::new();
    }
    let certificates: FingerprintMap<&Arc<Certificate>> =
        last.certificates().map(|certificate| (certificate.fingerprint(), certificate)).collect();
    let retained = |anchor: &Fingerprint| {
        last.retained.iter().find(|retained| retained.certificate.fingerprint() == *anchor).cloned()
    };
    // One of a life whose state was lost is in no record: it cannot be kept.
    let known = list.iter().filter_map(|anchor| Some((anchor, *certificates.get(anchor)?)));
    known
        .map(|(anchor, certificate)| Leaving {
            certificate: Arc::clone(certificate),
            retained: retained(anchor),
        })
        .collect()
}

/// A distrust does not wait for servers; whoever gave it hears what it costs.
fn needed_and_banned(
    last: &StoreState,
    next: &StoreState,
    removed: &[Fingerprint],
    distrusted: &BTreeSet<Fingerprint>,
) -> Vec<Warning> {
    let banned = next.banned(distrusted);
    let gone = |anchor: &Fingerprint| removed.contains(anchor) && banned.contains(anchor);
    let lost = last.servers.iter().filter(|memory| gone(&memory.anchor));
    lost.map(|memory| Warning {
        code: "distrusted-anchor-needed",
        message: format!(
            "{} was verified by {}, which is distrusted now: if no other anchor of the store verifies it, it cannot be \
             reached until a source has one that does",
            memory.server, memory.anchor
        ),
    })
    .collect()
}

fn nothing_left() -> Held {
    Held {
        reason: "no-anchors".to_owned(),
        detail: "no source holds an anchor any more, so the store was kept as it was. Put a certificate back into a \
                 source, or empty the store on purpose with `agentctl regen --force`"
            .to_owned(),
    }
}
