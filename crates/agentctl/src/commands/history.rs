//! `agentctl history`: the generations of the store.

use std::io::{self, Write as _};

use agent_control::wire::{GenerationReport, HistoryReport};
use agent_runtime::report;
use jiff::Timestamp;

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::out::{BAD, BOLD, GOOD, HANG, Page, WARN, styled};
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

fn render(report: &HistoryReport, now: Timestamp, page: &mut Page) -> io::Result<()> {
    if report.generations.is_empty() {
        return writeln!(page, "the store was never published; `agentctl status` says why");
    }
    let narrow = page.width().is_some_and(|width| width < TABLE);
    if !narrow {
        let head = format!(
            "{:>5}   {:<26}  {:>7}  {:<9}  {:<14}  WHY",
            "GEN", "PUBLISHED", "ANCHORS", "CHANGE", "BY"
        );
        writeln!(page, "{}", styled(BOLD, head))?;
    }
    for generation in &report.generations {
        let mark = if generation.number == report.current { styled(GOOD, "●") } else { " ".to_owned() };
        let change = format!("+{} -{}", generation.added.len(), generation.removed.len());
        let number = generation.number;
        let (at, by) = (local_of(&generation.at), &generation.by);
        if narrow {
            let anchors = count(generation.anchors, "anchor");
            let apart = if page.width().is_some_and(|width| width < ROW) { "\n        " } else { "  " };
            writeln!(page, "{number:>5} {mark} {at}{apart}{HANG}{anchors}  {change}  by {by}")?;
            render_why(generation, 8, page)?;
        } else {
            write!(page, "{number:>5} {mark} {at:<26}  {:>7}  {change:<9}  {by:<14}  ", generation.anchors)?;
            render_why(generation, 0, page)?;
        }
    }
    if let Some(rollback) = &report.rollback {
        let end = rollback.until.as_ref().map_or_else(
            || "until a source changes".to_owned(),
            |until| format!("until {} ({})", local_of(until), relative_of(until, now)),
        );
        writeln!(
            page,
            "{} {HANG}rolled back to generation {} {end}",
            styled(WARN, "!"),
            rollback.generation
        )?;
    }
    Ok(())
}

/// The reasons, a line each: the first `indent` columns in, or where the cursor is if that is none.
fn render_why(generation: &GenerationReport, indent: usize, page: &mut Page) -> io::Result<()> {
    let mut lines: Vec<String> = generation.why.clone();
    if !generation.retained.is_empty() {
        let retained = count(generation.retained.len() as u64, "anchor");
        lines.push(styled(BAD, format!("{retained} retained for servers")));
    }
    let (first, others) =
        lines.split_first().map_or(("", [].as_slice()), |(first, others)| (first.as_str(), others));
    let further = if indent == 0 { BEFORE_WHY } else { indent };
    if !(first.is_empty() && indent > 0) {
        writeln!(page, "{:indent$}{HANG}{first}", "")?;
    }
    others.iter().try_for_each(|line| writeln!(page, "{:further$}{HANG}{line}", ""))
}

/// Columns of the table before the reason.
const BEFORE_WHY: usize = 74;
/// A generation in one line, without its reason.
const ROW: usize = 72;
/// What a reason is told in beside them.
const TABLE: usize = 110;
