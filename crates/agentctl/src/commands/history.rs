//! `agentctl history`: the generations of the store.

use std::io::{self, Write};

use agent_control::wire::{GenerationReport, HistoryReport};
use agent_runtime::report;
use jiff::Timestamp;

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::out::{BAD, BOLD, DIM, GOOD, WARN, styled};
use crate::words::{count, local_of, relative_of};

/// Lists the generations, the latest first.
pub(crate) fn run(context: &Context, limit: Option<usize>) -> Result<Exit, Error> {
    let mut report = get(context)?;
    report.generations.truncate(limit.unwrap_or(usize::MAX));
    let now = context.clock.now();
    context.out.data(&report, |report, out| render(report, now, out))?;
    Ok(Exit::Done)
}

/// The generations, from the daemon or from the files.
///
/// # Errors
/// Where the daemon does not answer, or the state may not be read.
pub(super) fn get(context: &Context) -> Result<HistoryReport, Error> {
    context.either(
        async |client| client.history().await,
        |context| {
            let endpoint = context.readable()?;
            let state = endpoint.load().state;
            Ok(report::history(&state, &endpoint.history().list()))
        },
    )
}

fn render(report: &HistoryReport, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    if report.generations.is_empty() {
        return writeln!(out, "the store was never published; `agentctl status` says why");
    }
    let head =
        format!("{:>5}   {:<26}  {:>7}  {:<9}  {:<14}  WHY", "GEN", "PUBLISHED", "ANCHORS", "CHANGE", "BY");
    writeln!(out, "{}", styled(BOLD, head))?;
    for generation in &report.generations {
        render_one(generation, generation.number == report.current, out)?;
    }
    if let Some(rollback) = &report.rollback {
        let end = rollback.until.as_ref().map_or_else(
            || "until a source changes".to_owned(),
            |until| format!("until {} ({})", local_of(until), relative_of(until, now)),
        );
        writeln!(out, "{} rolled back to generation {} {end}", styled(WARN, "!"), rollback.generation)?;
    }
    Ok(())
}

fn render_one(generation: &GenerationReport, current: bool, out: &mut dyn Write) -> io::Result<()> {
    let mark = if current { styled(GOOD, "●") } else { " ".to_owned() };
    let change = format!("+{} -{}", generation.added.len(), generation.removed.len());
    let why = generation.why.first().map_or("", String::as_str);
    writeln!(
        out,
        "{:>5} {mark} {:<26}  {:>7}  {change:<9}  {:<14}  {why}",
        generation.number,
        local_of(&generation.at),
        generation.anchors,
        generation.by,
    )?;
    for why in generation.why.iter().skip(1) {
        writeln!(out, "{:73}{}", "", styled(DIM, why))?;
    }
    if !generation.retained.is_empty() {
        let retained = count(generation.retained.len() as u64, "anchor");
        writeln!(out, "{:73}{}", "", styled(BAD, format!("{retained} retained for servers")))?;
    }
    Ok(())
}
