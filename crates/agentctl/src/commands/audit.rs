//! `agentctl audit`: the record of every change of trust, and whether it is whole.

use std::io::{self, Write};

use agent_control::wire::SCHEMA;
use agent_runtime::audit::{self, Entry};
use agent_runtime::escape::escaped;
use serde::Serialize;

use crate::context::{Context, of_io};
use crate::error::Error;
use crate::exit::Exit;
use crate::names::Names;
use crate::out::{BAD, BOLD, DIM, GOOD, HANG, Page, styled};
use crate::words::{count, local_of};

/// For `--help`.
pub(crate) const EXAMPLES: &str = "Each line of state/audit.jsonl carries the SHA-256 of the line before it, and the state remembers the last: \
a line that\nwas changed, taken out or cut off is named, and the exit code is 1. Keep `head` elsewhere to prove the record to others.

Examples:
  agentctl audit --limit 20
  agentctl audit --verify
  agentctl audit --json | jq '.entries[] | select(.event == \"distrusted\")'";

/// The record as JSON.
#[derive(Debug, Serialize)]
struct AuditReport {
    v: u32,
    schema: &'static str,
    /// Nothing is changed and nothing is missing.
    whole: bool,
    /// It goes back to the first change.
    complete: bool,
    broken: Option<BrokenReport>,
    /// Number of the last line.
    seq: u64,
    /// SHA-256 of the last line.
    head: String,
    /// The latest last.
    entries: Vec<Entry>,
}

/// The first line that is broken.
#[derive(Debug, Serialize)]
struct BrokenReport {
    path: String,
    /// From 1; 0 where something is missing from the end.
    line: u64,
    why: String,
}

/// Shows the record; with `verify` only whether it is whole.
pub(crate) fn run(context: &Context, verify: bool, limit: Option<usize>) -> Result<Exit, Error> {
    let mut report = read(context)?;
    let whole = report.whole;
    if verify {
        report.entries.clear();
    }
    let surplus = report.entries.len().saturating_sub(limit.unwrap_or(usize::MAX));
    report.entries.drain(..surplus);
    context.out.data(&report, |report, page| {
        let names = if verify { Names::default() } else { Names::of_store(context) };
        render(report, &names, page)
    })?;
    Ok(if whole { Exit::Done } else { Exit::Failed })
}

/// What is broken in the record, in words.
///
/// # Errors
/// Where it cannot be read.
pub(crate) fn broken(context: &Context) -> Result<Option<String>, Error> {
    let report = read(context)?;
    Ok(report.broken.map(|broken| broken.words()))
}

fn read(context: &Context) -> Result<AuditReport, Error> {
    let endpoint = context.readable()?;
    let state = endpoint.load().state;
    let mark = endpoint.state().audit();
    let known: Vec<(u64, String)> = endpoint
        .history()
        .list()
        .into_iter()
        // Before a program that keeps a record has written there is none; what it could not write it says.
        .filter(|_| mark.as_ref().is_some_and(|mark| mark.behind.is_none()))
        .filter(|generation| generation.number <= state.generation)
        .map(|generation| (generation.number, generation.sha256.to_string()))
        .collect();
    let remembered = mark.as_ref().filter(|mark| mark.seq > 0).map(|mark| (mark.seq, mark.head.as_str()));
    let report =
        audit::verify(endpoint.audit(), &known, remembered).map_err(|error| of_io(&error.source, &error))?;
    let broken = report.broken.map(|broken| BrokenReport {
        path: escaped(&broken.path),
        line: broken.line,
        why: broken.why,
    });
    Ok(AuditReport {
        v: 1,
        schema: SCHEMA,
        whole: broken.is_none(),
        complete: report.complete,
        broken,
        seq: report.end.seq,
        head: report.end.head,
        entries: report.entries,
    })
}

impl BrokenReport {
    fn words(&self) -> String {
        match self.line {
            0 => format!("{}: {}", self.path, self.why),
            line => format!("{} line {line}: {}", self.path, self.why),
        }
    }
}

fn render(report: &AuditReport, names: &Names, out: &mut Page) -> io::Result<()> {
    for entry in &report.entries {
        let pid = entry.pid.map_or_else(String::new, |pid| format!(" pid {pid}"));
        let by = format!("by {}{pid}", entry.by);
        writeln!(
            out,
            "{:>5}  {HANG}{}  {}  {}",
            entry.seq,
            local_of(&entry.at),
            styled(BOLD, format!("{:<14}", entry.event)),
            styled(DIM, by)
        )?;
        for words in details(entry, names) {
            writeln!(out, "       {HANG}{words}")?;
        }
    }
    match &report.broken {
        Some(broken) => writeln!(out, "{} {HANG}{}", styled(BAD, "✗"), broken.words()),
        None if report.seq == 0 => writeln!(out, "nothing has changed yet: the record is empty"),
        None => {
            let since = if report.complete { "" } else { "; older ones were dropped" };
            writeln!(
                out,
                "{} {HANG}{}, each after the one before{since}",
                styled(GOOD, "✓"),
                count(report.seq, "line")
            )?;
            writeln!(out, "  {}", styled(DIM, format!("head {}", report.head)))
        }
    }
}

fn details(entry: &Entry, names: &Names) -> Vec<String> {
    let named = |sign: &str, anchor: &String, what: &str| {
        format!("{sign} {anchor}{what}  {}", names.get(anchor)).trim_end().to_owned()
    };
    let mut words = Vec::new();
    if entry.event == "published" {
        let marks = [(entry.forced, ", forced"), (entry.recovered, ", made up for later")];
        let marks: String = marks.iter().filter(|(set, _)| *set).map(|(_, words)| *words).collect();
        let anchors = count(entry.anchors.unwrap_or_default(), "anchor");
        words.push(format!("generation {}, {anchors}{marks}", entry.generation));
    }
    let about = [&entry.fingerprint, &entry.path, &entry.server];
    words.extend(about.into_iter().flatten().cloned());
    if entry.event != "published" {
        words.extend(entry.rollback_to.map(|generation| format!("to generation {generation}")));
        words.extend(entry.until.as_ref().map(|until| format!("until {}", local_of(until))));
    }
    words.extend(entry.why.iter().cloned());
    words.extend(entry.files.iter().cloned());
    words.extend(entry.added.iter().map(|anchor| named("+", anchor, "")));
    words.extend(entry.removed.iter().map(|anchor| named("-", anchor, "")));
    words.extend(entry.retained.iter().map(|anchor| named("!", anchor, " stays")));
    if entry.left_out > 0 {
        words.push(format!("and {} more", entry.left_out));
    }
    words
}
