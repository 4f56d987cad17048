//! What had changed, in words.

use super::{Observation, Settings};
use crate::source::{Condition, Reading};
use crate::state::StoreState;

/// What differs from the last regeneration, a sentence each, for the record.
pub(super) fn causes(last: &StoreState, seen: &Observation, settings: &Settings) -> Vec<String> {
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
    if last.settings.is_some_and(|identity| identity != settings.identity(last)) {
        causes.push("settings changed".to_owned());
    }
    if last.bundle.as_ref().is_some_and(|bundle| seen.bundle != Some(bundle.sha256)) {
        causes.push("the bundle on disk was not as it was published".to_owned());
    }
    causes
}
