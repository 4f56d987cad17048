//! Whether the record is whole: each line follows the one before, and nothing that happened is missing.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::entry::Entry;
use super::{Audit, AuditError, End, NOTHING, hash};

/// What the record says, and whether it can be believed.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Its lines, the oldest first, up to the first that is broken.
    pub entries: Vec<Entry>,
    /// Where it ends.
    pub end: End,
    /// The first line that is broken.
    pub broken: Option<Broken>,
    /// It begins with the first line that there was; else older ones were dropped for their age.
    pub complete: bool,
}

/// A line that does not follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// The file.
    pub path: PathBuf,
    /// The line in it, from 1.
    pub line: u64,
    /// How.
    pub why: String,
}

/// Reads the record. `known` are publications that must be in it: number and SHA-256 of their bundle; `remembered` a
/// line that the state remembers: number and hash.
///
/// # Errors
/// Where a file cannot be read.
pub fn verify(
    audit: &Audit,
    known: &[(u64, String)],
    remembered: Option<(u64, &str)>,
) -> Result<Report, AuditError> {
    let mut report = Report { complete: true, ..Report::default() };
    report.end.head = NOTHING.to_owned();
    let [older, newer] = audit.files();
    let mut hashes = Vec::new();
    for path in [older, newer] {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(AuditError { path, step: "read", source }),
        };
        let mut rest = bytes.as_slice();
        let mut number = 0;
        // A half line at the end is a crash's, or is being written: the next line takes it away.
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(at);
            rest = after.get(1..).unwrap_or_default();
            number += 1;
            if let Err(why) = follow(&mut report, line) {
                report.broken = Some(Broken { path, line: number, why });
                return Ok(report);
            }
            hashes.push((report.end.seq, report.end.head.clone()));
        }
    }
    report.broken = missing(&report, &hashes, known, remembered).map(|why| Broken {
        path: audit.files()[1].clone(),
        line: 0,
        why,
    });
    Ok(report)
}

fn follow(report: &mut Report, line: &[u8]) -> Result<(), String> {
    let entry: Entry = serde_json::from_slice(line).map_err(|_| "it is no line of the record".to_owned())?;
    let first = report.entries.is_empty();
    if first && entry.seq > 1 {
        report.complete = false;
    } else {
        if entry.seq != report.end.seq + 1 {
            return Err(format!("it is number {} and follows number {}", entry.seq, report.end.seq));
        }
        if entry.previous != report.end.head {
            return Err("the line before it is not the one that it was written after".to_owned());
        }
    }
    report.end =
        End { seq: entry.seq, head: hash(line), generation: entry.generation, sha256: entry.sha256.clone() };
    report.entries.push(entry);
    Ok(())
}

/// What the record ought to have and has not: its end was cut off.
fn missing(
    report: &Report,
    hashes: &[(u64, String)],
    known: &[(u64, String)],
    remembered: Option<(u64, &str)>,
) -> Option<String> {
    if let Some((seq, head)) = remembered {
        let dropped = hashes.first().is_some_and(|(first, _)| seq < *first);
        if !dropped && !hashes.iter().any(|(found, hash)| *found == seq && hash == head) {
            return Some(format!("line number {seq}, which the state remembers, is not in it"));
        }
    }
    let oldest = report.entries.first().map_or(0, |entry| entry.generation);
    let lost = known.iter().find(|(number, sha256)| {
        (report.complete || *number > oldest)
            && !report.entries.iter().any(|entry| {
                entry.event == "published"
                    && entry.generation == *number
                    && entry.sha256.as_ref() == Some(sha256)
            })
    });
    lost.map(|(number, _)| format!("generation {number} is not in it"))
}
