//! When each source became what it is: tells whether it has been quiet.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fingerprint::Fingerprint;
use crate::plan::Observation;
use crate::source::{Reading, SourceId, SourceState};

/// Every source as it was last seen.
#[derive(Debug, Default)]
pub(super) struct Sightings(BTreeMap<SourceId, Sighting>);

/// A source as it was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sighting {
    what: Seen,
    /// When it became so, by the steady clock; `None` for before this life.
    since: Option<Duration>,
}

/// What of a source tells that it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Missing,
    Read(Fingerprint),
    Failed,
}

impl Sightings {
    /// Notes when each source became what it is now. At the first look after a start a file's modification time tells
    /// whether it has been quiet.
    pub(super) fn take_in(&mut self, steady: Duration, seen: &Observation, known: &[SourceState]) {
        let mut sightings = BTreeMap::new();
        for (id, reading) in &seen.sources {
            let (what, settled) = match reading {
                Reading::Missing => (Seen::Missing, false),
                Reading::Read { snapshot, fresh } => (Seen::Read(snapshot.sha256()), !fresh),
                Reading::Failed(_) => (Seen::Failed, false),
            };
            let first = !self.0.contains_key(id);
            let since = if first && settled { None } else { Some(steady) };
            sightings.insert(id.clone(), self.since_when(id, Sighting { what, since }));
        }
        for state in known {
            let gone = Sighting { what: Seen::Missing, since: Some(steady) };
            if !sightings.contains_key(&state.id) {
                sightings.insert(state.id.clone(), self.since_when(&state.id, gone));
            }
        }
        self.0 = sightings;
    }

    /// Whether a source has been what it is for so long.
    pub(super) fn has_been_quiet(&self, id: &SourceId, steady: Duration, quiet: Duration) -> bool {
        let since = self.0.get(id).and_then(|sighting| sighting.since);
        since.is_none_or(|since| steady.saturating_sub(since) >= quiet)
    }

    /// The earlier sighting where it was of the same, else this one.
    fn since_when(&self, id: &SourceId, now: Sighting) -> Sighting {
        self.0.get(id).copied().filter(|known| known.what == now.what).unwrap_or(now)
    }
}
