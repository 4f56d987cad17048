//! A generation of the store: who published it, when, why, and what it changed.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::fingerprint::Fingerprint;
use crate::guard::Why;
use crate::plan::Plan;
use crate::state::{Ban, StoreState};

/// What is kept of a publication besides the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its number, from 1.
    pub number: u64,
    /// When it was published.
    pub at: Timestamp,
    /// Whose wish it was, as `Trigger::code`.
    pub by: String,
    /// What had changed.
    pub causes: Vec<String>,
    /// SHA-256 of the bundle.
    pub sha256: Fingerprint,
    /// How many anchors it has.
    pub anchors: usize,
    /// The sources it was made of.
    pub sources: Vec<SourceMark>,
    /// Anchors that it has and the one before had not.
    pub added: Vec<Fingerprint>,
    /// Anchors that the one before had and it has not.
    pub removed: Vec<Fingerprint>,
    /// Anchors that no source held, and why they stayed.
    pub retained: Vec<(Fingerprint, Why)>,
    /// The generation that it went back to.
    pub rollback_to: Option<u64>,
    /// What an operator had banned by then.
    pub bans: Vec<Ban>,
    /// How it was asked for, for the record of changes; a generation's file does not tell.
    pub asked: Asked,
}

/// How a publication was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// The process that asked.
    pub pid: Option<u32>,
    /// It was forced.
    pub forced: bool,
}

/// A source at the time of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMark {
    /// Its kind, as `SourceKind::code`.
    pub kind: String,
    /// Its path.
    pub path: PathBuf,
    /// SHA-256 of the file; `None` where it was missing.
    pub sha256: Option<Fingerprint>,
    /// What was in use of it: line, position and anchor.
    pub found: Vec<(u32, u32, Fingerprint)>,
    /// Blocks in it that were no anchors.
    pub rejects: usize,
}

impl Generation {
    /// The generation that this plan makes; `None` where it makes none.
    #[must_use]
    pub fn of(plan: &Plan, last: &StoreState, asked: Asked) -> Option<Self> {
        let state = &plan.next;
        let bundle = state.bundle.as_ref().filter(|_| state.generation > last.generation)?;
        let place =
            |found: &crate::source::Found| (found.line, found.position, found.certificate.fingerprint());
        let mark = |source: &crate::source::SourceState| SourceMark {
            kind: source.id.kind.code().to_owned(),
            path: source.id.path.clone(),
            sha256: source.sha256,
            found: source.content.found.iter().map(place).collect(),
            rejects: source.content.rejects.len(),
        };
        Some(Self {
            number: state.generation,
            at: bundle.at,
            by: bundle.by.clone(),
            causes: bundle.causes.clone(),
            sha256: bundle.sha256,
            anchors: bundle.anchors.len(),
            sources: state.sources.iter().map(mark).collect(),
            added: plan.added.clone(),
            removed: plan.removed.clone(),
            retained: state
                .retained
                .iter()
                .map(|retained| (retained.certificate.fingerprint(), retained.why))
                .collect(),
            rollback_to: state.rollback.as_ref().map(|rollback| rollback.generation),
            bans: state.bans.clone(),
            asked,
        })
    }
}
