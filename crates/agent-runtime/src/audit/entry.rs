//! A line of the record.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trust_core::Fingerprint;
use trust_core::engine::{Order, Trigger};
use trust_core::history::Generation;

use super::{End, hash};

/// What changed in what is trusted, or in what decides it. Fields that say nothing are left out of the line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// Form of the line: 1.
    pub v: u32,
    /// Its number, from 1.
    pub seq: u64,
    /// When.
    pub at: String,
    /// What: `published`, `distrusted`, `trusted`, `rolled-back`, `policies-taken`, `source-added`.
    pub event: String,
    /// Whose wish: a trigger, or `operator uid N`.
    pub by: String,
    /// The process that asked, where an operator did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Why, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
    /// The generation in force afterwards.
    pub generation: u64,
    /// SHA-256 of its bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Anchors of the store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchors: Option<u64>,
    /// Anchors that the store gained.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Those that it lost.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// Those that stay though no source has them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retained: Vec<String>,
    /// More fingerprints than a line takes: so many are left out. The generation has them.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// It was forced.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub forced: bool,
    /// The certificate that a distrust, a trust or an addition is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The generation that was gone back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<u64>,
    /// Until when that is pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The source that was added to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The server that it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Files that were written, and those that were removed with a `-` before them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// It could not be written when it happened, and was made up for from what the generation says.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
    /// Before it a half line was taken away, which a crash had left.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repaired: bool,
    /// SHA-256 of the line before.
    pub previous: String,
}

impl Entry {
    fn new(event: &str, at: Timestamp, by: String, pid: Option<u32>) -> Self {
        Self { v: 1, event: event.to_owned(), at: at.to_string(), by, pid, ..Self::default() }
    }

    /// A publication.
    #[must_use]
    pub fn published(generation: &Generation) -> Self {
        let mut left_out = 0;
        let mut list = |all: &[Fingerprint]| -> Vec<String> {
            left_out += all.len().saturating_sub(LISTED) as u64;
            all.iter().take(LISTED).map(ToString::to_string).collect()
        };
        let retained: Vec<Fingerprint> = generation.retained.iter().map(|(anchor, _)| *anchor).collect();
        let (added, removed, retained) =
            (list(&generation.added), list(&generation.removed), list(&retained));
        Self {
            why: bounded(&generation.causes),
            generation: generation.number,
            sha256: Some(generation.sha256.to_string()),
            anchors: Some(generation.anchors as u64),
            added,
            removed,
            retained,
            left_out,
            forced: generation.asked.forced,
            rollback_to: generation.rollback_to,
            ..Self::new("published", generation.at, generation.by.clone(), generation.asked.pid)
        }
    }

    /// A publication that is known from its generation alone.
    #[must_use]
    pub fn recovered(generation: &Generation) -> Self {
        Self { recovered: true, ..Self::published(generation) }
    }

    /// What an operator ordered.
    #[must_use]
    pub fn ordered(by: Trigger, order: &Order, at: Timestamp) -> Self {
        let new = |event| Self::new(event, at, by.code(), by.pid());
        match order {
            Order::Distrust(ban) => Self {
                fingerprint: Some(ban.fingerprint.to_string()),
                why: bounded(std::slice::from_ref(&ban.reason)),
                ..new("distrusted")
            },
            Order::Trust(fingerprint) => {
                Self { fingerprint: Some(fingerprint.to_string()), ..new("trusted") }
            }
            Order::Rollback(rollback) => Self {
                rollback_to: Some(rollback.generation),
                until: rollback.until.map(|until| until.to_string()),
                ..new("rolled-back")
            },
        }
    }

    /// Policies and anchors that a server had.
    #[must_use]
    pub fn policies(at: Timestamp, server: Option<&str>, written: &[String], removed: &[String]) -> Self {
        let files = written.iter().cloned().chain(removed.iter().map(|name| format!("-{name}")));
        let files: Vec<String> = files.collect();
        Self {
            server: server.map(str::to_owned),
            left_out: files.len().saturating_sub(LISTED) as u64,
            files: bounded(&files),
            ..Self::new("policies-taken", at, "refresh".to_owned(), None)
        }
    }

    /// A certificate that an operator put into a source.
    #[must_use]
    pub fn source_added(
        at: Timestamp,
        by: Trigger,
        path: &str,
        fingerprint: String,
        server: &str,
        replaced: &[String],
    ) -> Self {
        Self {
            path: Some(path.to_owned()),
            fingerprint: Some(fingerprint),
            server: Some(server.to_owned()),
            removed: bounded(replaced),
            ..Self::new("source-added", at, by.code(), by.pid())
        }
    }

    /// The line, which becomes the end of the record.
    pub(super) fn line(mut self, end: &mut End, repaired: bool) -> String {
        self.seq = end.seq + 1;
        self.previous.clone_from(&end.head);
        self.repaired = repaired;
        if self.event == "published" {
            end.generation = self.generation;
            end.sha256.clone_from(&self.sha256);
        } else {
            self.generation = end.generation;
            self.sha256.clone_from(&end.sha256);
        }
        // A struct of texts and numbers: nothing of it cannot be written.
        let line = serde_json::to_string(&self).unwrap_or_default();
        end.seq = self.seq;
        end.head = hash(line.as_bytes());
        line
    }
}

/// Where the record ends with this line. One that cannot be understood is followed all the same.
pub(super) fn end_of(line: &[u8]) -> End {
    let entry: Entry = serde_json::from_slice(line).unwrap_or_default();
    // A line that says nothing is a line: the next must not be taken for the first.
    End { seq: entry.seq.max(1), head: hash(line), generation: entry.generation, sha256: entry.sha256 }
}

fn bounded(list: &[String]) -> Vec<String> {
    /// Of one text.
    const CHARS: usize = 256;
    let said = list.iter().filter(|text| !text.is_empty()).take(TEXTS);
    said.map(|text| text.chars().take(CHARS).collect()).collect()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Fingerprints of each list: a line stays below 64 KiB.
const LISTED: usize = 200;
const TEXTS: usize = 32;
