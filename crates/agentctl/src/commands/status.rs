//! `agentctl status`: one screen, verdict first, each problem with its fix.

use std::io::{self, Write};
use std::path::Path;

use agent_control::wire::{Health, ManagementReport, ServerReport, Severity, StatusReport};
use agent_runtime::management::{self, disk::Disk};
use agent_runtime::report::{self, Findings, Live};
use agent_runtime::servers::{self, ServerStatus};
use jiff::Timestamp;
use trust_core::engine::Trigger;

use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::out::{BAD, BOLD, DIM, GOOD, HANG, Page, WARN, shorten, styled};
use crate::words::{count, local_of, relative_of, remedy, short};

/// Shows how things are; with `check` the exit code says it too.
pub(crate) fn run(context: &Context, check: bool) -> Result<Exit, Error> {
    let report = get(context)?;
    let now = context.clock.now();
    context.out.data(&report, |report, out| render(report, now, context.root.as_deref(), out))?;
    Ok(if check && report.health != Health::Ok { Exit::Degraded } else { Exit::Done })
}

/// How things are, from the daemon or from the files.
///
/// # Errors
/// Where the daemon does not answer, or the state may not be read.
pub(crate) fn get(context: &Context) -> Result<StatusReport, Error> {
    context.either(async |client| client.status().await, in_process)
}

/// The store as it is, the sources as a look finds them now.
pub(crate) fn in_process(context: &Context) -> Result<StatusReport, Error> {
    let once = context.dry_run(false, Trigger::Watch)?;
    let endpoint = context.endpoint();
    let stored = endpoint.load().state;
    let merged = &endpoint.paths().merged;
    let settings = agent_runtime::endpoint::Endpoint::trust_settings(&context.settings);
    let policy = trust_core::policy::combine(&once.state.policies);
    let servers = servers::remembered(&context.settings, &policy, context.clock.now());
    let mut warnings: Vec<_> = once.warning.iter().chain(&once.outcome.plan.warnings).cloned().collect();
    warnings.extend(endpoint.audit_warning());
    let mut status = StatusReport::new(report::store(&stored, &settings, merged));
    status.sources = report::sources(&once.state, &[], Live::default()).sources;
    status.servers = servers.iter().map(ServerStatus::report).collect();
    status.last_regeneration = report::last_regeneration(&stored, None);
    status.problems = report::problems(&Findings {
        state: &once.state,
        settings: &settings,
        merged,
        warnings: &warnings,
        failure: None,
        watch: None,
        servers: &servers,
        behind: once.outcome.would_write(),
        now: context.clock.now(),
    });
    let disk = Disk::new(&context.settings);
    let record = disk.load();
    status.management = Some(management::report::management(&record, disk.waiting().len(), None, None));
    status.problems.extend(management::report::problems(&record));
    status.problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
    status.health = report::health(&stored, &status.problems);
    Ok(status)
}

fn render(report: &StatusReport, now: Timestamp, root: Option<&Path>, out: &mut Page) -> io::Result<()> {
    head(report, now, out)?;
    let store = &report.store;
    writeln!(
        out,
        "  {:<9} {HANG}{}, {}{}",
        "store",
        match store.generation {
            0 => "not published yet".to_owned(),
            number => format!("generation {number}"),
        },
        count(store.anchors, "anchor"),
        store.published_at.as_ref().map_or_else(String::new, |at| format!(
            ", published {} ({})",
            local_of(at),
            relative_of(at, now)
        ))
    )?;
    writeln!(out, "  {:<9} {HANG}{}", "", store.path)?;
    if let Some(sha256) = &store.sha256 {
        let sha256 = shorten(sha256, out.left_behind(19));
        writeln!(out, "  {:<9} {HANG}{}", "", styled(DIM, format!("sha256 {sha256}")))?;
    }
    for source in &report.sources {
        let words = match source.state.as_str() {
            "ok" => count(source.anchors, "anchor"),
            state => format!("{state}, {}", count(source.anchors, "anchor")),
        };
        let rejected = match source.rejected.len() as u64 {
            0 => String::new(),
            rejected => format!(", {rejected} not taken"),
        };
        writeln!(out, "  {:<9} {HANG}{}  {words}{rejected}", source.kind, source.path)?;
        if let Some(why) = &source.unwatched {
            let how = if source.watched == Some(true) { "watched in part" } else { "not watched" };
            writeln!(out, "  {:<9} {HANG}{}", "", styled(DIM, format!("{how}: {why}")))?;
        }
    }
    write_looks(report, now, out)?;
    for server in &report.servers {
        write_server(server, now, out)?;
    }
    if let Some(management) = &report.management {
        write_management(management, now, out)?;
    }
    if let Some(last) = &report.last_regeneration {
        let why = if last.why.is_empty() { String::new() } else { format!(": {}", last.why.join("; ")) };
        writeln!(
            out,
            "  {:<9} {HANG}{} {} by {}{why}",
            "last",
            last.result,
            relative_of(&last.at, now),
            last.by
        )?;
    }
    for problem in &report.problems {
        let (style, mark) = match problem.severity {
            Severity::Error => (BAD, "✗"),
            Severity::Warning => (WARN, "!"),
            Severity::Info => (DIM, "i"),
        };
        writeln!(
            out,
            "  {} {HANG}{} {}",
            styled(style, mark),
            problem.title,
            styled(DIM, format!("[{}]", problem.code))
        )?;
        if !problem.why.is_empty() {
            writeln!(out, "      why  {HANG}{}", problem.why)?;
        }
        for fix in &problem.fix {
            writeln!(out, "      fix  {HANG}{}", remedy(fix, root))?;
        }
    }
    Ok(())
}

/// How changes come to light, and when that was last made sure of.
fn write_looks(report: &StatusReport, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    let Some(daemon) = &report.daemon else { return Ok(()) };
    let watching = &daemon.watching;
    let how = format!(
        "{} watched, all looked at every {}",
        match watching.directories {
            1 => "1 directory".to_owned(),
            number => format!("{number} directories"),
        },
        count(watching.poll_seconds, "second")
    );
    let last = report.sources.iter().find_map(|source| source.last_looked.as_ref());
    let last = last.map_or_else(String::new, |at| format!(", last {}", relative_of(at, now)));
    writeln!(out, "  {:<9} {HANG}{how}{last}", "watching")
}

fn write_management(management: &ManagementReport, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    let next = |at: &Option<String>| {
        at.as_ref().map_or_else(String::new, |at| format!("; next {}", relative_of(at, now)))
    };
    if management.refreshed_at.is_some() || management.next_refresh.is_some() {
        let last = match (&management.refreshed_at, &management.refreshed_from) {
            (Some(at), Some(from)) => {
                format!("{} from {from}, refreshed {}", management.policies, relative_of(at, now))
            }
            _ => "never refreshed".to_owned(),
        };
        writeln!(out, "  {:<9} {HANG}{last}{}", "policies", next(&management.next_refresh))?;
    }
    if management.inventory_at.is_some() || management.next_inventory.is_some() || management.waiting > 0 {
        let last = management
            .inventory_at
            .as_ref()
            .map_or_else(|| "never sent".to_owned(), |at| format!("sent {}", relative_of(at, now)));
        let waiting =
            if management.waiting == 0 { String::new() } else { format!(", {} waiting", management.waiting) };
        writeln!(out, "  {:<9} {HANG}{last}{waiting}{}", "inventory", next(&management.next_inventory))?;
    }
    Ok(())
}

fn head(report: &StatusReport, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    let (style, mark, word) = match report.health {
        Health::Ok => (GOOD, "●", "ok"),
        Health::Degraded => (WARN, "▲", "degraded"),
        Health::Failed => (BAD, "✗", "failed"),
    };
    let daemon = match &report.daemon {
        Some(daemon) => {
            let watching = if daemon.watching.degraded { ", watching degraded" } else { "" };
            format!("running, started {}, pid {}{watching}", relative_of(&daemon.started, now), daemon.pid)
        }
        None => "not running".to_owned(),
    };
    let name = match &report.daemon {
        Some(daemon) => format!("agentd {}", daemon.version),
        None => "agentd".to_owned(),
    };
    let worst = report.problems.iter().filter(|problem| problem.severity >= Severity::Warning).count() as u64;
    let problems = if worst == 0 { String::new() } else { format!(": {}", count(worst, "problem")) };
    writeln!(
        out,
        "{} {HANG}{}  {daemon}  {}",
        styled(style, mark),
        styled(BOLD, name),
        styled(style, word.to_owned() + &problems)
    )
}

fn write_server(server: &ServerReport, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    let lock = match server.lock.as_deref() {
        Some("secure") => styled(GOOD, "secure"),
        Some("attention") => styled(WARN, "attention"),
        Some(_) => styled(BAD, "insecure"),
        None => styled(DIM, "not tried yet"),
    };
    let last = server
        .last_ok
        .as_ref()
        .map_or_else(String::new, |at| format!(", last good {}", relative_of(at, now)));
    let anchor = server.anchor.as_deref().map(short);
    let by = anchor.map_or_else(String::new, |id| format!(" by anchor {id}"));
    writeln!(out, "  {:<9} {HANG}{}  {lock}{last}{by}", "server", server.url)?;
    if let Some(error) = &server.error {
        writeln!(out, "  {:<9} {HANG}{error}", "")?;
    } else {
        for reason in &server.reasons {
            writeln!(out, "  {:<9} {HANG}{}", "", reason.message)?;
        }
    }
    if let Some(at) = &server.breaks_at {
        let words = format!("as things are it holds until {} ({})", local_of(at), relative_of(at, now));
        writeln!(out, "  {:<9} {HANG}{}", "", styled(DIM, words))?;
    }
    Ok(())
}
