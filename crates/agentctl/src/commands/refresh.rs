//! `agentctl refresh`: ask the management servers for their policies now, and regenerate in the same pass.

use std::io::{self, Write};
use std::sync::Arc;

use agent_control::wire::{AttemptReport, RefreshReport};
use agent_runtime::lock::Lock;
use agent_runtime::management::errands::Errands;
use agent_runtime::management::{InProcess, report};
use agent_runtime::turns::Turns;
use trust_tls::Code;

use super::fetch::words_of;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::names::{Before, Names};
use crate::out::{BAD, GOOD, HANG, Page, WARN, styled};
use crate::words::count;

/// Refreshes through the daemon or in process.
pub(crate) fn run(context: &Context, allow_downgrade: bool) -> Result<Exit, Error> {
    let before = Before::now(context);
    let report = refresh(context, allow_downgrade)?;
    context.out.data(&report, |report, page| {
        render(report, &Names::default().and_of_changes(context, &before, &[]), page)
    })?;
    Ok(exit_of(&report))
}

/// The refresh as a value, for commands that have it among their steps.
///
/// # Errors
/// Where nothing is configured to refresh from, or the daemon or the lock is in the way. A server that fails is in the
/// report.
pub(crate) fn refresh(context: &Context, allow_downgrade: bool) -> Result<RefreshReport, Error> {
    if context.settings.refresh.index.is_none() || !has_management(context) {
        return Err(not_configured(&report::no_index()));
    }
    context.either_while(
        &asking(context, "for policies"),
        async |client| client.refresh(allow_downgrade).await,
        |context| {
            let endpoint = context.endpoint();
            let mut errands = in_process(context, Context::lock(&endpoint)?);
            let refreshed = errands.refresh(allow_downgrade, true, context.clock.now());
            Context::runtime()?
                .block_on(refreshed)
                .ok_or_else(|| Error::new(Exit::Failed, "nothing was done"))
        },
    )
}

/// Which management servers are asked, for whoever waits.
pub(super) fn asking(context: &Context, what: &str) -> String {
    let management =
        context.settings.servers.iter().filter(|server| server.role == agent_config::Role::Management);
    match management.collect::<Vec<_>>().as_slice() {
        [server] => format!("asking {} {what}", words_of(&agent_runtime::servers::target(server))),
        servers => format!("asking {} management servers {what}", servers.len()),
    }
}

/// How a refresh ends.
pub(crate) fn exit_of(report: &RefreshReport) -> Exit {
    if report.result == "failed" { exit_of_attempts(&report.attempts) } else { Exit::Done }
}

/// What is done with the servers in this process, which holds the lock.
pub(crate) fn in_process(
    context: &Context,
    lock: Lock,
) -> Errands<InProcess<impl Fn() -> Option<super::inventory::Reports>>> {
    let store = InProcess {
        lock,
        endpoint: context.endpoint(),
        settings: context.settings.clone(),
        clock: Arc::clone(&context.clock),
        reports: || super::inventory::reports(context),
    };
    Errands::new(&context.settings, store, Turns::default())
}

/// Whether there is a server to ask.
pub(crate) fn has_management(context: &Context) -> bool {
    context.settings.servers.iter().any(|server| server.role == agent_config::Role::Management)
}

pub(crate) fn not_configured(refusal: &agent_control::Refusal) -> Error {
    Error::new(Exit::Usage, refusal).hint(refusal.remedy())
}

/// Of several servers the failure that tells most: one that was reached and whose answer is wrong before one that was not
/// trusted before one that was not reached.
pub(crate) fn exit_of_attempts(attempts: &[AttemptReport]) -> Exit {
    let exit = |attempt: &AttemptReport| match attempt.code.as_str() {
        "proxy-breaks-tls" | "captive-portal" => Exit::Refused,
        code if Code::ALL.iter().any(|known| known.code() == code) => Exit::Refused,
        code if UNREACHED.contains(&code) => Exit::Unreachable,
        "denied" => Exit::Permission,
        _ => Exit::Failed,
    };
    let exits: Vec<Exit> = attempts.iter().map(exit).collect();
    [Exit::Permission, Exit::Failed, Exit::Refused]
        .into_iter()
        .find(|exit| exits.contains(exit))
        .unwrap_or(Exit::Unreachable)
}

const UNREACHED: [&str; 13] = [
    "resolve-failed",
    "connect-failed",
    "timeout",
    "not-tls",
    "tls-incompatible",
    "tls-too-old",
    "tls-alert",
    "handshake-failed",
    "proxy-refused",
    "proxy-credentials",
    "http-broken",
    "server-busy",
    "server-error",
];

fn render(report: &RefreshReport, names: &Names, out: &mut Page) -> io::Result<()> {
    write_attempts(&report.attempts, out)?;
    let server = report.server.as_deref().unwrap_or_default();
    match report.result.as_str() {
        "taken" => writeln!(
            out,
            "{} {HANG}{server}: {} written, {} removed",
            styled(GOOD, "✓"),
            count(report.written.len() as u64, "file"),
            report.removed_files.len()
        )?,
        "unchanged" => {
            writeln!(out, "= {server}: nothing new ({})", report.how.as_deref().unwrap_or("same files"))?;
        }
        _ => return writeln!(out, "{} {HANG}no policies; those that are there stay", styled(BAD, "✗")),
    }
    for file in &report.written {
        writeln!(out, "  {file}")?;
    }
    for file in &report.removed_files {
        writeln!(out, "  {file}: removed")?;
    }
    names.write_changes(&report.added, &report.removed, out)?;
    let changed = if report.changed { "published" } else { "unchanged" };
    writeln!(out, "store: generation {}, {changed}", report.generation)
}

/// Each server that failed, why, and what to do.
pub(crate) fn write_attempts(attempts: &[AttemptReport], out: &mut dyn Write) -> io::Result<()> {
    for attempt in attempts {
        writeln!(
            out,
            "{} {HANG}{} [{}]: {}",
            styled(WARN, "!"),
            attempt.server,
            attempt.code,
            attempt.message
        )?;
        writeln!(out, "    fix  {HANG}{}", attempt.remedy)?;
    }
    Ok(())
}
