//! The lockout guard: no anchor leaves the store while a management server needs it.
//!
//! Before anchors are dropped, each server is tried with the store as it would be. What comes of that, a [`Proof`] per
//! server, and what is remembered of earlier connections decide here which of the anchors stay. Nothing here delays an
//! anchor that is *added*, and a distrusted one is never kept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::certificate::Certificate;
use crate::fingerprint::Fingerprint;

/// Anchors that left the store and are still remembered: the oldest go first. Years of changes of a real site, and
/// some megabytes at the most.
pub const ARCHIVE_LIMIT: usize = 1000;

/// How the guard is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Off: anchors leave as soon as their sources lose them.
    pub enabled: bool,
    /// The servers that may not be lost, as [`ServerMemory::server`] names them.
    pub servers: Vec<String>,
    /// A retained anchor leaves after this time whatever happens; `None`: never.
    pub retain_for: Option<Duration>,
    /// An anchor that left the store comes back where it is the only one that verifies a server.
    pub archive: bool,
}

/// How a server was last verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerMemory {
    /// Host and port, as in `ns1.corp.example:443`.
    pub server: String,
    /// The anchor that verified it: the first in the order of the store.
    pub anchor: Fingerprint,
    /// Since when it is this one.
    pub since: Timestamp,
}

/// What trying a server with the store as it would be has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// It verifies, by this anchor.
    Verified(Fingerprint),
    /// It does not; with the present store it does, by this anchor.
    Needs(Fingerprint),
    /// It could not be reached, or is verified by neither store.
    Open {
        /// Why, as a clause.
        why: String,
    },
}

/// What trying all servers has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proofs {
    /// [`question`] that this answers.
    pub question: Fingerprint,
    /// A proof for each server of [`Guard::servers`].
    pub servers: Vec<(String, Proof)>,
}

/// Why an anchor stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The servers have not been asked yet.
    Pending,
    /// A server is verified by it and by no other.
    Needed,
    /// A server that it verified last cannot be asked.
    Unreachable,
    /// It had left the store, and a server turned out to be verified by it and by no other.
    Archived,
}

impl Why {
    /// The stable word for JSON, logs and the record.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Needed => "needed",
            Self::Unreachable => "unreachable",
            Self::Archived => "archived",
        }
    }

    /// The reason that [`Self::code`] names.
    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Pending, Self::Needed, Self::Unreachable, Self::Archived]
            .into_iter()
            .find(|why| why.code() == code)
    }
}

/// An anchor that no source holds and that stays in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    /// The anchor.
    pub certificate: Arc<Certificate>,
    /// Why it stays.
    pub why: Why,
    /// For which servers; empty while [`Why::Pending`].
    pub servers: Vec<String>,
    /// Since when no source holds it.
    pub since: Timestamp,
}

/// An anchor that left the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// The anchor.
    pub certificate: Arc<Certificate>,
    /// When it left.
    pub at: Timestamp,
}

/// An anchor that is to leave the store.
#[derive(Debug, Clone)]
pub struct Leaving {
    /// The anchor.
    pub certificate: Arc<Certificate>,
    /// What is on record where it is retained already.
    pub retained: Option<Retained>,
}

/// What becomes of the anchors that are to leave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruling {
    /// They stay.
    pub retained: Vec<Retained>,
    /// They leave.
    pub released: Vec<Arc<Certificate>>,
    /// The servers must be asked first: all that are not known to be free are retained until then.
    pub ask: bool,
}

/// Decides over each anchor that is to leave.
#[must_use]
pub fn judge(
    leaving: Vec<Leaving>,
    guard: &Guard,
    proofs: Option<&Proofs>,
    memory: &[ServerMemory],
    now: Timestamp,
) -> Ruling {
    let mut ruling = Ruling::default();
    for Leaving { certificate, retained } in leaving {
        let overdue = retained.as_ref().is_some_and(|retained| is_overdue(retained, guard, now));
        if !guard.enabled || guard.servers.is_empty() || overdue {
            ruling.released.push(certificate);
            continue;
        }
        let since = retained.as_ref().map_or(now, |retained| retained.since);
        let Some(proofs) = proofs else {
            ruling.ask = true;
            ruling.retained.push(retained.unwrap_or(Retained {
                certificate,
                why: Why::Pending,
                servers: Vec::new(),
                since,
            }));
            continue;
        };
        match needed_by(certificate.fingerprint(), proofs, memory) {
            Some((why, servers)) => {
                // Once from the archive, always from the archive: that is how it came back.
                let archived = retained.is_some_and(|retained| retained.why == Why::Archived);
                let why = if archived { Why::Archived } else { why };
                ruling.retained.push(Retained { certificate, why, servers, since });
            }
            None => ruling.released.push(certificate),
        }
    }
    ruling
}

/// Names what the servers are asked: the store as it would be, and what would leave it.
#[must_use]
pub fn question(
    candidate: impl Iterator<Item = Fingerprint>,
    leaving: impl Iterator<Item = Fingerprint>,
) -> Fingerprint {
    let mut bytes: Vec<u8> = candidate.flat_map(|fingerprint| *fingerprint.as_bytes()).collect();
    bytes.push(0);
    bytes.extend(leaving.flat_map(|fingerprint| *fingerprint.as_bytes()));
    Fingerprint::of(&bytes)
}

/// The archive once these anchors have left the store, with those in it that are present.
#[must_use]
pub fn archive(
    last: &[Archived],
    released: &[Arc<Certificate>],
    is_present: impl Fn(&Fingerprint) -> bool,
    banned: &BTreeSet<Fingerprint>,
    now: Timestamp,
) -> Vec<Archived> {
    let left: BTreeSet<Fingerprint> = released.iter().map(|certificate| certificate.fingerprint()).collect();
    let stays = |archived: &&Archived| {
        let fingerprint = archived.certificate.fingerprint();
        !left.contains(&fingerprint) && !is_present(&fingerprint) && !banned.contains(&fingerprint)
    };
    let mut archive: Vec<Archived> = last.iter().filter(stays).cloned().collect();
    archive.extend(
        released.iter().map(|certificate| Archived { certificate: Arc::clone(certificate), at: now }),
    );
    let surplus = archive.len().saturating_sub(ARCHIVE_LIMIT);
    archive.drain(..surplus);
    archive
}

/// Whether a retained anchor has been retained for as long as the settings allow.
#[must_use]
pub fn is_overdue(retained: &Retained, guard: &Guard, now: Timestamp) -> bool {
    let for_so_long = now.duration_since(retained.since);
    // A clock that went back makes nothing overdue.
    guard.retain_for.is_some_and(|limit| !for_so_long.is_negative() && for_so_long.unsigned_abs() >= limit)
}

/// Whether what is known of the servers still says that this anchor is needed.
#[must_use]
pub fn is_needed(retained: &Retained, memory: &[ServerMemory]) -> bool {
    let anchor = retained.certificate.fingerprint();
    let needs =
        |server: &String| memory.iter().any(|memory| memory.server == *server && memory.anchor == anchor);
    retained.why != Why::Pending && retained.servers.iter().any(needs)
}

fn needed_by(anchor: Fingerprint, proofs: &Proofs, memory: &[ServerMemory]) -> Option<(Why, Vec<String>)> {
    let mut servers = Vec::new();
    let mut why = Why::Unreachable;
    for (server, proof) in &proofs.servers {
        let last = || memory.iter().any(|memory| memory.server == *server && memory.anchor == anchor);
        match proof {
            Proof::Needs(needed) if *needed == anchor => {
                why = Why::Needed;
                servers.push(server.clone());
            }
            Proof::Open { .. } if last() => servers.push(server.clone()),
            Proof::Verified(_) | Proof::Needs(_) | Proof::Open { .. } => {}
        }
    }
    (!servers.is_empty()).then_some((why, servers))
}
