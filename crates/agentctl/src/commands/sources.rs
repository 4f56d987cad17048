//! `agentctl sources`: each source, what is in it, and what was not taken.

use std::io::{self, Write};

use agent_control::wire::{SourceReport, SourcesReport};
use agent_runtime::report::{self, Live};
use jiff::Timestamp;

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::out::{BAD, BOLD, DIM, GOOD, HANG, Page, WARN, shorten, styled};
use crate::words::{count, relative_of};

/// Shows the sources as the daemon last saw them, or as they are now.
pub(crate) fn run(context: &Context) -> Result<Exit, Error> {
    let report = context.either(
        async |client| client.sources().await,
        |context| {
            let once = context.dry_run(false, trust_core::engine::Trigger::Watch)?;
            Ok(report::sources(&once.state, &once.outcome.plan.warnings, Live::default()))
        },
    )?;
    context.out.data(&report, |report, out| render(report, Timestamp::now(), out))?;
    Ok(Exit::Done)
}

fn render(report: &SourcesReport, now: Timestamp, out: &mut Page) -> io::Result<()> {
    for source in &report.sources {
        let mark = match source.state.as_str() {
            "ok" => styled(GOOD, "●"),
            "missing" => styled(DIM, "○"),
            _ => styled(WARN, "▲"),
        };
        writeln!(out, "{mark} {HANG}{} {}", styled(BOLD, &source.kind), source.path)?;
        match (&source.sha256, &source.error) {
            (_, Some(error)) => {
                writeln!(out, "    {}: {HANG}{}", styled(BAD, "cannot be read"), error.message)?;
                writeln!(out, "    fix: {HANG}{}", error.remedy)?;
            }
            (None, None) => writeln!(out, "    {}", source.state)?,
            (Some(sha256), None) => {
                let converted = if source.notes.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", source.notes.join(", "))
                };
                writeln!(
                    out,
                    "    {}, {} bytes of {}{converted}",
                    count(source.anchors, "anchor"),
                    source.size,
                    source.encoding.to_uppercase()
                )?;
                writeln!(out, "    sha256 {}", shorten(sha256, out.left_behind(11)))?;
            }
        }
        if let (Some(watched), Some(looked)) = (source.watched, &source.last_looked) {
            let how = if watched { "watched" } else { "not watched" };
            let why = source.unwatched.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            let looked = relative_of(looked, now);
            writeln!(out, "    {}", styled(DIM, format!("looked at {looked}, {how}{why}")))?;
        }
        write_rejects(out, source)?;
    }
    for warning in &report.warnings {
        writeln!(out, "{} {HANG}{}", styled(WARN, "!"), warning.message)?;
    }
    Ok(())
}

/// The blocks that are no anchors, a line each.
pub(crate) fn write_rejects(out: &mut dyn Write, source: &SourceReport) -> io::Result<()> {
    for reject in &source.rejected {
        let style = if reject.reason == "private-key" { BAD } else { WARN };
        writeln!(
            out,
            "    {} {HANG}line {}: {}: {}",
            styled(style, "!"),
            reject.line,
            reject.reason,
            reject.detail
        )?;
    }
    Ok(())
}
