//! All that is known of the store, and the anchors that follow from it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use crate::bundle::{self, Anchor, Merged, Standing};
use crate::certificate::Certificate;
use crate::fingerprint::{Fingerprint, FingerprintMap, FingerprintSet};
use crate::guard::{Archived, Retained, ServerMemory};
use crate::policy::{self, PolicyState};
use crate::source::SourceState;

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

/// A certificate that may never be in the store, by an operator's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// SHA-256 of the certificate.
    pub fingerprint: Fingerprint,
    /// Why, in the operator's words; may be empty.
    pub reason: String,
    /// Whose word it was.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// An earlier store that stands in for what the sources say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// The generation that was gone back to.
    pub generation: u64,
    /// Its anchors in order.
    pub anchors: Vec<Arc<Certificate>>,
    /// Until when a change of a source does not end it; `None`: the next change ends it.
    pub until: Option<Timestamp>,
    /// What the sources said when it came into force; `None` until the look that follows it.
    pub against: Option<Against>,
}

/// What a rollback was made against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Against {
    /// Identity of the sources at that time, see [`sources_identity`].
    pub sources: Fingerprint,
    /// Anchors that the sources had and the earlier store had not: these are what the rollback takes away. An anchor
    /// that comes to the sources later is none of them and is added.
    pub left_out: BTreeSet<Fingerprint>,
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
    /// `Settings::identity` at the last regeneration.
    pub settings: Option<Fingerprint>,
    /// Set while the store is kept as it was against the sources.
    pub held: Option<Held>,
    /// Certificates that an operator banned, in the order of their banning.
    pub bans: Vec<Ban>,
    /// How each management server was last verified.
    pub servers: Vec<ServerMemory>,
    /// Anchors that no source holds any more and that stay, at the end of the store.
    pub retained: Vec<Retained>,
    /// Anchors that left the store, the latest last: looked into when no anchor of the store verifies a server.
    pub archive: Vec<Archived>,
    /// An earlier store that stands in for the sources.
    pub rollback: Option<Rollback>,
}

impl StoreState {
    /// Every fingerprint that may not be in the store: those that the settings name, the policies', and the operator's.
    #[must_use]
    pub fn banned(&self, distrusted: &BTreeSet<Fingerprint>) -> BTreeSet<Fingerprint> {
        let mut banned = policy::distrusted(&self.policies);
        banned.extend(distrusted.iter().copied().chain(self.bans.iter().map(|ban| ban.fingerprint)));
        banned
    }

    /// The store that follows: what the sources (or the rollback) say, then what is retained.
    #[must_use]
    pub fn merged(&self, distrusted: &BTreeSet<Fingerprint>) -> Merged {
        self.with_retained(self.candidate(distrusted), distrusted)
    }

    /// What is retained put behind [`Self::candidate`].
    pub(crate) fn with_retained(&self, mut merged: Merged, distrusted: &BTreeSet<Fingerprint>) -> Merged {
        if self.retained.is_empty() {
            return merged;
        }
        let banned = self.banned(distrusted);
        let known: FingerprintSet = fingerprints(&merged.anchors).collect();
        let retained = self.retained.iter().filter(|retained| {
            let fingerprint = retained.certificate.fingerprint();
            !known.contains(&fingerprint) && !banned.contains(&fingerprint)
        });
        merged.anchors.extend(retained.map(|retained| Anchor {
            certificate: Arc::clone(&retained.certificate),
            places: Vec::new(),
            standing: Standing::Retained { servers: retained.servers.clone() },
        }));
        merged
    }

    /// The same without what is retained: the store as it should be.
    #[must_use]
    pub fn candidate(&self, distrusted: &BTreeSet<Fingerprint>) -> Merged {
        let banned = self.banned(distrusted);
        let merged = bundle::merge(&self.sources, &banned);
        match &self.rollback {
            Some(rollback) => rollback.stand_in(merged, &banned),
            None => merged,
        }
    }

    /// Every certificate that the state speaks of, some of them more than once: those of the sources first.
    pub fn certificates(&self) -> impl Iterator<Item = &Arc<Certificate>> {
        let sources = self.sources.iter().flat_map(|source| &source.content.found);
        let kept = self.retained.iter().map(|retained| &retained.certificate);
        let earlier = self.rollback.iter().flat_map(|rollback| &rollback.anchors);
        let left = self.archive.iter().map(|archived| &archived.certificate);
        sources.map(|found| &found.certificate).chain(kept).chain(earlier).chain(left)
    }
}

impl Rollback {
    /// The earlier anchors in their order, then those that came to the sources since.
    fn stand_in(&self, from_sources: Merged, banned: &BTreeSet<Fingerprint>) -> Merged {
        let Merged { anchors: current, distrusted } = from_sources;
        let mut new = Vec::new();
        let mut known = FingerprintMap::default();
        let earlier: FingerprintSet =
            self.anchors.iter().map(|certificate| certificate.fingerprint()).collect();
        for anchor in current {
            let fingerprint = anchor.certificate.fingerprint();
            if earlier.contains(&fingerprint) {
                known.insert(fingerprint, anchor);
            } else if self.against.as_ref().is_some_and(|against| !against.left_out.contains(&fingerprint)) {
                new.push(anchor);
            }
        }
        let restored = |certificate: &Arc<Certificate>| Anchor {
            certificate: Arc::clone(certificate),
            places: Vec::new(),
            standing: Standing::Restored { generation: self.generation },
        };
        let mut anchors: Vec<Anchor> = self
            .anchors
            .iter()
            .filter(|certificate| !banned.contains(&certificate.fingerprint()))
            .map(|certificate| {
                known.remove(&certificate.fingerprint()).unwrap_or_else(|| restored(certificate))
            })
            .collect();
        anchors.extend(new);
        Merged { anchors, distrusted }
    }

    /// Whether it still stands in, with the sources as they are and at this time.
    #[must_use]
    pub fn holds(&self, sources: &[SourceState], now: Timestamp) -> bool {
        match (self.until, &self.against) {
            (Some(until), _) => now < until,
            (None, Some(against)) => against.sources == sources_identity(sources),
            (None, None) => true,
        }
    }
}

/// What the sources say, as one hash: it changes when a source does, and not when one cannot be read.
#[must_use]
pub fn sources_identity(sources: &[SourceState]) -> Fingerprint {
    let mut text = Vec::new();
    for source in sources.iter().filter(|source| source.named) {
        text.extend(source.id.to_string().bytes());
        text.push(0);
        text.extend(source.sha256.iter().flat_map(Fingerprint::as_bytes));
    }
    Fingerprint::of(&text)
}

/// The fingerprints of a list of anchors, in its order.
pub fn fingerprints(anchors: &[Anchor]) -> impl Iterator<Item = Fingerprint> {
    anchors.iter().map(|anchor| anchor.certificate.fingerprint())
}
