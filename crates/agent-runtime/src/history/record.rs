//! A generation's JSON: its own types, so that the core's can change without the file's.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trust_core::guard::Why;
use trust_core::history::{Asked, Generation, SourceMark};

use crate::state::hex::Hex;
use crate::state::record::{BanRecord, hex, unhex};

/// The first line of a generation's file.
#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    v: u32,
    number: u64,
    at: Timestamp,
    by: String,
    causes: Vec<String>,
    sha256: String,
    anchors: usize,
    sources: Vec<SourceRecord>,
    added: Vec<Hex>,
    removed: Vec<Hex>,
    retained: Vec<(String, String)>,
    rollback_to: Option<u64>,
    bans: Vec<BanRecord>,
}

#[derive(Serialize, Deserialize)]
struct SourceRecord {
    kind: String,
    path: PathBuf,
    sha256: Option<String>,
    /// Line, position, fingerprint.
    anchors: Vec<(u32, u32, Hex)>,
    rejects: usize,
}

/// The version this program writes and reads.
const VERSION: u32 = 1;

impl Record {
    pub(super) fn of(generation: &Generation) -> Self {
        Self {
            v: VERSION,
            number: generation.number,
            at: generation.at,
            by: generation.by.clone(),
            causes: generation.causes.clone(),
            sha256: generation.sha256.to_string(),
            anchors: generation.anchors,
            sources: generation.sources.iter().map(SourceRecord::of).collect(),
            added: hex(&generation.added),
            removed: hex(&generation.removed),
            retained: generation
                .retained
                .iter()
                .map(|(anchor, why)| (anchor.to_string(), why.code().to_owned()))
                .collect(),
            rollback_to: generation.rollback_to,
            bans: generation.bans.iter().map(BanRecord::of).collect(),
        }
    }

    /// `None` where a later program wrote it, or something of it is not understood.
    pub(super) fn restore(self) -> Option<Generation> {
        let retained = |(anchor, why): &(String, String)| Some((anchor.parse().ok()?, Why::from_code(why)?));
        Some(Generation {
            number: Some(self.number).filter(|_| self.v == VERSION)?,
            at: self.at,
            by: self.by,
            causes: self.causes,
            sha256: self.sha256.parse().ok()?,
            anchors: self.anchors,
            sources: self.sources.iter().map(SourceRecord::restore).collect::<Option<_>>()?,
            added: unhex(&self.added)?,
            removed: unhex(&self.removed)?,
            retained: self.retained.iter().map(retained).collect::<Option<_>>()?,
            rollback_to: self.rollback_to,
            bans: self.bans.iter().map(BanRecord::restore).collect::<Option<_>>()?,
            asked: Asked::default(),
        })
    }
}

impl SourceRecord {
    fn of(mark: &SourceMark) -> Self {
        Self {
            kind: mark.kind.clone(),
            path: mark.path.clone(),
            sha256: mark.sha256.map(|sha256| sha256.to_string()),
            anchors: mark
                .found
                .iter()
                .map(|(line, position, anchor)| (*line, *position, Hex::Of(*anchor)))
                .collect(),
            rejects: mark.rejects,
        }
    }

    fn restore(&self) -> Option<SourceMark> {
        let found = |(line, position, anchor): &(u32, u32, Hex)| Some((*line, *position, anchor.value()?));
        Some(SourceMark {
            kind: self.kind.clone(),
            path: self.path.clone(),
            sha256: self.sha256.as_deref().and_then(|text| text.parse().ok()),
            found: self.anchors.iter().map(found).collect::<Option<_>>()?,
            rejects: self.rejects,
        })
    }
}
