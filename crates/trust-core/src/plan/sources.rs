//! What is in use of each source after a look.

use std::collections::HashSet;
use std::sync::Arc;

use crate::fingerprint::{Fingerprint, FingerprintSet};
use crate::pool::Pool;
use crate::source::{Condition, Content, Found, Reading, Snapshot, SourceId, SourceState};
use crate::state::StoreState;

/// Each source as it is after this look, in merge order; those that no policy names any more come last until their
/// anchors may go. With `reuse`, a file that is the same holds what it held; else it is parsed again.
pub(super) fn next_sources(
    last: &StoreState,
    seen: &[(SourceId, Reading)],
    reuse: bool,
    quiet: &dyn Fn(&SourceId, &Reading) -> bool,
) -> Vec<SourceState> {
    let pool = Pool::of(last);
    let known = |id: &SourceId| last.sources.iter().find(|state| state.id == *id);
    let next = |(id, reading): &(SourceId, Reading)| {
        let content = |snapshot: &Snapshot| content(known(id).filter(|_| reuse), snapshot, &pool);
        next_source(known(id), id, reading, content, quiet(id, reading))
    };
    let mut sources: Vec<SourceState> = seen.iter().map(next).collect();
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

/// What a file holds that was read; no certificate is parsed twice.
fn content(last: Option<&SourceState>, snapshot: &Snapshot, pool: &Pool<'_>) -> Arc<Content> {
    let same = last.filter(|state| {
        state.sha256 == Some(snapshot.sha256()) && state.condition == Condition::Ok && state.kept.is_empty()
    });
    Arc::clone(same.map_or_else(|| snapshot.content(pool), |state| &state.content))
}

fn next_source(
    last: Option<&SourceState>,
    id: &SourceId,
    reading: &Reading,
    content: impl Fn(&Snapshot) -> Arc<Content>,
    quiet: bool,
) -> SourceState {
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
            (Some(snapshot.sha256()), snapshot.size(), content(snapshot), Condition::Ok)
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
    let own: FingerprintSet = fingerprints(&state.content.found).collect();
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
    let used: FingerprintSet = fingerprints(&in_use.found).collect();
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
