//! From what a look found to what is to be done: one pure function.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use trust_formats::certificates::Limits;

use crate::bundle::{self, Bundle};
use crate::fingerprint::Fingerprint;
use crate::policy::{Effective, PolicyState, Warning};
use crate::source::{Condition, Content, Found, Reading, SourceId, SourceState};

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
}

impl Settings {
    /// Identifies the settings that shape the bundle: where they change, unchanged sources make another bundle.
    #[must_use]
    pub fn identity(&self) -> Fingerprint {
        let mut bytes = bundle::FORMAT.to_be_bytes().to_vec();
        bytes.extend(self.distrusted.iter().flat_map(Fingerprint::as_bytes));
        Fingerprint::of(&bytes)
    }
}

/// The bundle last published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// SHA-256 of the file.
    pub sha256: Fingerprint,
    /// Its anchors in order.
    pub anchors: Vec<Fingerprint>,
    /// When it was published.
    pub at: Timestamp,
    /// Whose wish it was, as `Trigger::code`.
    pub by: String,
    /// What had changed.
    pub causes: Vec<String>,
}

/// Why the store is not what the sources say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Stable code.
    pub reason: String,
    /// What would have happened, and what to do.
    pub detail: String,
}

/// All that is known of the store: what is written to disk and read at the next start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoreState {
    /// Number of the last publication, from 1; 0 before the first.
    pub generation: u64,
    /// The bundle of that publication.
    pub bundle: Option<Published>,
    /// The sources in merge order.
    pub sources: Vec<SourceState>,
    /// The policies in file-name order.
    pub policies: Vec<PolicyState>,
    /// [`Settings::identity`] at the last regeneration.
    pub settings: Option<Fingerprint>,
    /// Set while the store is kept as it was against the sources.
    pub held: Option<Held>,
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
    /// The bundle, then the state.
    Publish(Bundle),
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
}

/// Who wants it and how much.
pub struct Request<'a> {
    /// Whose wish it is, for the record.
    pub by: &'a str,
    /// Write even where nothing changed, and even a store without anchors.
    pub force: bool,
    /// Whether a source has been quiet for long enough to believe that its anchors are gone.
    pub quiet: &'a dyn Fn(&SourceId, &Reading) -> bool,
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
    if !request.force && is_unchanged(last, &seen, settings) {
        return Plan {
            step: Step::Nothing,
            next: Arc::clone(last),
            added: Vec::new(),
            removed: Vec::new(),
            causes: Vec::new(),
            warnings,
            settling: false,
        };
    }
    let causes = causes(last, &seen, settings);
    let mut sources = next_sources(last, &seen.sources, request.quiet);
    let mut merged = bundle::merge(&sources, &settings.distrusted);
    let mut held = None;
    let had_anchors = last.bundle.as_ref().is_some_and(|bundle| !bundle.anchors.is_empty());
    if merged.anchors.is_empty() && had_anchors && !request.force {
        let kept = next_sources(last, &seen.sources, &|_, _| false);
        let kept_merged = bundle::merge(&kept, &settings.distrusted);
        // Where even that is empty, every anchor is distrusted, and distrust is never held back.
        if !kept_merged.anchors.is_empty() {
            (sources, merged) = (kept, kept_merged);
            held = Some(nothing_left());
        }
    }
    let settling = held.is_none() && sources.iter().any(|source| !source.kept.is_empty() || !source.named);
    let anchors: Vec<Fingerprint> =
        merged.anchors.iter().map(|anchor| anchor.certificate.fingerprint()).collect();
    let (added, removed) = diff(last.bundle.as_ref().map_or(&[], |bundle| &bundle.anchors), &anchors);
    let mut next = StoreState {
        generation: last.generation,
        bundle: last.bundle.clone(),
        sources,
        policies: seen.policies,
        settings: Some(settings.identity()),
        held,
    };
    if anchors.is_empty() && last.bundle.is_none() && !request.force {
        // Nothing to publish and nothing to lose: a bundle that some earlier life left on disk stays as it is.
        let step = if next == **last { Step::Nothing } else { Step::Save };
        return Plan { step, next: Arc::new(next), added, removed, causes, warnings, settling };
    }
    let bundle = bundle::render(&merged.anchors);
    let on_disk = seen.bundle == Some(bundle.sha256);
    if last.bundle.as_ref().is_none_or(|old| old.sha256 != bundle.sha256) {
        next.generation += 1;
        next.bundle = Some(Published {
            sha256: bundle.sha256,
            anchors,
            at: now,
            by: request.by.to_owned(),
            causes: causes.clone(),
        });
    }
    let step = match (on_disk && !request.force, next == **last) {
        (true, true) => Step::Nothing,
        (true, false) => Step::Save,
        (false, _) => Step::Publish(bundle),
    };
    Plan { step, next: Arc::new(next), added, removed, causes, warnings, settling }
}

/// True where a look found exactly what the last one left: nothing is parsed, merged or written then.
#[must_use]
pub fn is_unchanged(last: &StoreState, seen: &Observation, settings: &Settings) -> bool {
    let same_source = |(state, (id, reading)): (&SourceState, &(SourceId, Reading))| {
        let same_reading = match (reading, &state.condition) {
            (Reading::Missing, Condition::Missing) => true,
            (Reading::Read { snapshot, .. }, Condition::Ok) => state.sha256 == Some(snapshot.sha256()),
            (Reading::Failed(failure), Condition::Stale(known)) => failure == known,
            _ => false,
        };
        same_reading && state.id == *id && state.named && state.kept.is_empty()
    };
    last.settings == Some(settings.identity())
        && last.held.is_none()
        && last.bundle.as_ref().map(|bundle| bundle.sha256) == seen.bundle
        && last.policies == seen.policies
        && last.sources.len() == seen.sources.len()
        && last.sources.iter().zip(&seen.sources).all(same_source)
}

/// What is gained and what is lost between two lists of anchors, each in the order of its list.
#[must_use]
pub fn diff(old: &[Fingerprint], new: &[Fingerprint]) -> (Vec<Fingerprint>, Vec<Fingerprint>) {
    let missing_in = |list: &[Fingerprint], other: &[Fingerprint]| {
        let other: HashSet<_> = other.iter().copied().collect();
        list.iter().copied().filter(|fingerprint| !other.contains(fingerprint)).collect()
    };
    (missing_in(new, old), missing_in(old, new))
}

fn nothing_left() -> Held {
    Held {
        reason: "no-anchors".to_owned(),
        detail: "no source holds an anchor any more, so the store was kept as it was. Put a certificate back into a \
                 source, or empty the store on purpose with `agentctl regen --force`"
            .to_owned(),
    }
}

/// Each source as it is after this look, in merge order; those that no policy names any more come last until their
/// anchors may go.
fn next_sources(
    last: &StoreState,
    seen: &[(SourceId, Reading)],
    quiet: &dyn Fn(&SourceId, &Reading) -> bool,
) -> Vec<SourceState> {
    let known = |id: &SourceId| last.sources.iter().find(|state| state.id == *id);
    let mut sources: Vec<SourceState> =
        seen.iter().map(|(id, reading)| next_source(known(id), id, reading, quiet(id, reading))).collect();
    let named: HashSet<&SourceId> = seen.iter().map(|(id, _)| id).collect();
    for state in &last.sources {
        let empty = state.content.found.is_empty();
        if !named.contains(&state.id) && !empty && !quiet(&state.id, &Reading::Missing) {
            sources.push(SourceState {
                condition: Condition::Missing,
                sha256: None,
                size: 0,
                kept: fingerprints(&state.content.found).collect(),
                named: false,
                ..state.clone()
            });
        }
    }
    sources
}

fn next_source(last: Option<&SourceState>, id: &SourceId, reading: &Reading, quiet: bool) -> SourceState {
    let empty = || Arc::new(Content::empty());
    let in_use = last.map_or_else(empty, |state| Arc::clone(&state.content));
    let (sha256, size, content, condition) = match reading {
        Reading::Failed(failure) => {
            return SourceState {
                id: id.clone(),
                sha256: last.and_then(|state| state.sha256),
                size: last.map_or(0, |state| state.size),
                condition: Condition::Stale(failure.clone()),
                kept: last.map_or_else(Vec::new, |state| state.kept.clone()),
                content: in_use,
                named: true,
            };
        }
        Reading::Missing => (None, 0, empty(), Condition::Missing),
        Reading::Read { snapshot, .. } => {
            (Some(snapshot.sha256()), snapshot.size(), Arc::clone(snapshot.content()), Condition::Ok)
        }
    };
    let mut state =
        SourceState { id: id.clone(), sha256, size, condition, content, kept: Vec::new(), named: true };
    if !quiet {
        keep_lost(&mut state, &in_use);
    }
    state
}

/// Keeps what the file no longer holds: as it was where the file gained nothing, so that nothing is published for it;
/// else behind what the file holds now.
fn keep_lost(state: &mut SourceState, in_use: &Content) {
    let own: HashSet<Fingerprint> = fingerprints(&state.content.found).collect();
    let lost: Vec<Found> = in_use
        .found
        .iter()
        .filter(|found| !own.contains(&found.certificate.fingerprint()))
        .cloned()
        .collect();
    if lost.is_empty() {
        return;
    }
    if state.condition == Condition::Ok {
        state.condition = Condition::Settling;
    }
    state.kept = fingerprints(&lost).collect();
    let used: HashSet<Fingerprint> = fingerprints(&in_use.found).collect();
    let content = Arc::make_mut(&mut state.content);
    if own.is_subset(&used) {
        content.found.clone_from(&in_use.found);
    } else {
        content.found.extend(lost);
    }
}

fn fingerprints(found: &[Found]) -> impl Iterator<Item = Fingerprint> {
    found.iter().map(|found| found.certificate.fingerprint())
}

/// What differs from the last regeneration, a sentence each, for the record.
fn causes(last: &StoreState, seen: &Observation, settings: &Settings) -> Vec<String> {
    let mut causes = Vec::new();
    for (id, reading) in &seen.sources {
        let known = last.sources.iter().find(|state| state.id == *id);
        let before = known.and_then(|state| state.sha256);
        let what = match reading {
            Reading::Missing if before.is_some() => "is gone",
            Reading::Read { .. } if before.is_none() => "appeared",
            Reading::Read { snapshot, .. } if before != Some(snapshot.sha256()) => "changed",
            Reading::Failed(_) if !known.is_some_and(|s| matches!(s.condition, Condition::Stale(_))) => {
                "cannot be read"
            }
            _ => continue,
        };
        causes.push(format!("{id} {what}"));
    }
    for state in last.sources.iter().filter(|state| state.named) {
        if !seen.sources.iter().any(|(id, _)| *id == state.id) {
            causes.push(format!("{} is no longer named by a policy", state.id));
        }
    }
    if last.settings.is_some_and(|identity| identity != settings.identity()) {
        causes.push("settings changed".to_owned());
    }
    if last.bundle.as_ref().is_some_and(|bundle| seen.bundle != Some(bundle.sha256)) {
        causes.push("the bundle on disk was not as it was published".to_owned());
    }
    causes
}
