//! `agentctl inventory`: tell the management servers how this endpoint is, or show what they would be told.

use std::io::{self, Write};

use agent_control::wire::{AnchorsReport, InventoryReport, StatusReport};
use agent_management::inventory::Form;
use agent_runtime::management::report;

use super::refresh::{asking, exit_of_attempts, has_management, in_process, not_configured, write_attempts};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::out::{GOOD, HANG, Page, WARN, styled};
use crate::words::count;

/// What the inventory is drawn from.
pub(crate) type Reports = (StatusReport, AnchorsReport);

/// Sends it through the daemon or in process; with `print` only shows it.
pub(crate) fn run(context: &Context, print: bool) -> Result<Exit, Error> {
    if print {
        let document = made(context)?;
        // The document is JSON already: with --json and without.
        let value: serde_json::Value = serde_json::from_str(&document).unwrap_or_default();
        context.out.data(&value, |_, page| page.verbatim(&document))?;
        return Ok(Exit::Done);
    }
    let report = inventory(context)?;
    context.out.data(&report, render)?;
    Ok(if report.result == "sent" { Exit::Done } else { exit_of_attempts(&report.attempts) })
}

/// The sending as a value, for commands that have it among their steps.
///
/// # Errors
/// Where nobody is configured to be told, or the daemon or the lock is in the way. A server that fails is in the report.
pub(crate) fn inventory(context: &Context) -> Result<InventoryReport, Error> {
    if context.settings.inventory.path.is_none() || !has_management(context) {
        return Err(not_configured(&report::no_inventory()));
    }
    context.either_while(
        &asking(context, "to take inventory"),
        async |client| client.inventory(false).await,
        |context| {
            let endpoint = context.endpoint();
            let mut errands = in_process(context, Context::lock(&endpoint)?);
            let first = errands.record().inventory_at.is_none();
            let reason = if first { "enrolment" } else { "operator" };
            let sent = errands.inventory(reason, true, context.clock.now());
            Context::runtime()?.block_on(sent).ok_or_else(|| Error::new(Exit::Failed, "nothing was done"))
        },
    )
}

fn made(context: &Context) -> Result<String, Error> {
    let nothing = || Error::new(Exit::Failed, "nothing was made");
    context.either(
        async |client| Ok(client.inventory(true).await?.document.unwrap_or_default()),
        |context| {
            let endpoint = context.endpoint();
            let mut errands = in_process(context, Context::lock(&endpoint)?);
            let made = errands.make_inventory("operator", context.clock.now());
            let inventory = Context::runtime()?.block_on(made).ok_or_else(nothing)?;
            Ok(String::from_utf8_lossy(&inventory.render(Form::Json)).into_owned())
        },
    )
}

/// How things are, without a daemon.
pub(crate) fn reports(context: &Context) -> Option<Reports> {
    let status = super::status::in_process(context).ok()?;
    let anchors = super::anchors::in_process(context).ok()?;
    Some((status, anchors))
}

fn render(report: &InventoryReport, out: &mut Page) -> io::Result<()> {
    write_attempts(&report.attempts, out)?;
    let dropped = match report.dropped {
        0 => String::new(),
        dropped => format!(", {dropped} of the oldest dropped unsent"),
    };
    match (report.result.as_str(), &report.server) {
        ("sent", Some(server)) => {
            writeln!(
                out,
                "{} {HANG}{server}: {} sent{dropped}",
                styled(GOOD, "✓"),
                count(report.sent, "document")
            )
        }
        _ => writeln!(
            out,
            "{} {HANG}no server took it: {} for one{dropped}",
            styled(WARN, "!"),
            match report.waiting {
                1 => "1 document waits".to_owned(),
                waiting => format!("{waiting} documents wait"),
            }
        ),
    }
}
