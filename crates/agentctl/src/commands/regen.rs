//! `agentctl regen`: look at the sources now, and say what changed, by anchor.

use std::io::{self, Write};
use std::sync::Arc;

use agent_control::Ask;
use agent_control::wire::{RegenReport, RetainedReport};
use agent_runtime::report::{self, Live};
use trust_core::plan::StoreState;

use super::sources::write_rejects;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::names::{Before, Names};
use crate::out::{BAD, DIM, GOOD, HANG, Page, WARN, styled};
use crate::words::count;

/// Regenerates through the daemon or in process.
pub(crate) fn run(context: &Context, force: bool, dry_run: bool) -> Result<Exit, Error> {
    let before = Before::now(context);
    let regenerated = regenerate(context, force, dry_run)?;
    show(context, &before, &regenerated)?;
    let exit = if regenerated.report.held.is_some() { Exit::Refused } else { Exit::Done };
    // The process ends, and gives everything back at once sooner than ten thousand certificates one by one.
    std::mem::forget(regenerated);
    Ok(exit)
}

/// What came of a regeneration.
pub(super) struct Regenerated {
    pub(super) report: RegenReport,
    /// The state afterwards, where it was done in this process: it knows the names of the anchors.
    state: Option<Arc<StoreState>>,
}

/// Of the daemon.
impl From<RegenReport> for Regenerated {
    fn from(report: RegenReport) -> Self {
        Self { report, state: None }
    }
}

/// The same for another command, which says itself what came of it.
///
/// # Errors
/// Those of the daemon, or of doing it in process.
pub(super) fn regenerate(context: &Context, force: bool, dry_run: bool) -> Result<Regenerated, Error> {
    context.either_while(
        REGENERATING,
        async |client| client.regenerate(Ask { force, dry_run }).await.map(Regenerated::from),
        |context| carry_out(context, Context::ask(force, dry_run)),
    )
}

/// What a regeneration may wait for.
pub(super) const REGENERATING: &str = "regenerating; servers are asked where an anchor would go";

/// Carries out a wish in this process, under the lock unless it is a dry run.
///
/// # Errors
/// Where it fails; the old store stands then.
pub(super) fn carry_out(context: &Context, ask: trust_core::engine::Ask) -> Result<Regenerated, Error> {
    let endpoint = if ask.dry_run { context.readable()? } else { context.endpoint() };
    let lock = if ask.dry_run { None } else { Some(Context::lock(&endpoint)?) };
    let once =
        agent_runtime::once::regenerate(&endpoint, lock.as_ref(), &context.settings, &*context.clock, ask);
    if let Some(warning) = &once.warning {
        context.out.note(&format!("{} {HANG}{}", styled(WARN, "warning:"), warning.message));
    }
    if let Some(warning) = endpoint.audit_warning().filter(|_| lock.is_some()) {
        context.out.note(&format!("{} {HANG}{}", styled(WARN, "warning:"), warning.message));
    }
    if let Some(failure) = &once.outcome.failure {
        let exit = crate::context::of_code(&failure.code);
        return Err(Error::new(exit, &failure.message).hint(&failure.remedy));
    }
    let report = report::regen(&once.outcome, &once.state, &endpoint.paths().merged, Live::default());
    Ok(Regenerated { report, state: Some(once.state) })
}

/// Shows what a regeneration did, with the names of what it moved.
///
/// # Errors
/// Where it cannot be written.
pub(super) fn show(context: &Context, before: &Before, regenerated: &Regenerated) -> Result<(), Error> {
    context.out.data(&regenerated.report, |report, page| {
        let known = regenerated.state.as_deref().map(Names::of_state).unwrap_or_default();
        render(report, &known.and_of_changes(context, before, &report.sources), page)
    })
}

fn render(report: &RegenReport, names: &Names<'_>, out: &mut Page) -> io::Result<()> {
    for source in &report.sources {
        let mark = match source.state.as_str() {
            "ok" => styled(GOOD, "✓"),
            "missing" => styled(DIM, "-"),
            _ => styled(WARN, "!"),
        };
        writeln!(
            out,
            "{mark} {:<9} {HANG}{}  {}",
            source.kind,
            source.path,
            state_words(&source.state, source.anchors)
        )?;
        if let Some(error) = &source.error {
            writeln!(out, "    {HANG}{}: {}", error.message, error.remedy)?;
        }
        write_rejects(out, source)?;
    }
    for warning in &report.warnings {
        writeln!(out, "{} {HANG}{}", styled(WARN, "!"), warning.message)?;
    }
    names.write_changes(&report.added, &report.removed, out)?;
    for retained in &report.retained {
        writeln!(
            out,
            "{} {HANG}{} {} stays: {}",
            styled(WARN, "!"),
            retained.fingerprint,
            names.get(&retained.fingerprint),
            stays_words(retained)
        )?;
    }
    let store = format!("generation {}, {}", report.generation, count(report.bundle.anchors, "anchor"));
    match (&report.held, report.changed, report.dry_run) {
        (Some(held), ..) => writeln!(out, "{} {HANG}held: {}", styled(BAD, "✗"), held.detail),
        (None, true, true) => writeln!(out, "would write {store}; nothing was changed"),
        (None, true, false) => writeln!(out, "{} {HANG}{store}: {}", styled(GOOD, "✓"), report.bundle.path),
        (None, false, _) if report.bundle.sha256.is_none() => {
            writeln!(out, "{} {HANG}no source holds an anchor: there is no store yet", styled(WARN, "!"))
        }
        (None, false, _) => writeln!(out, "= {store}: nothing changed, nothing written"),
    }
}

/// Why an anchor stays that no source holds.
fn stays_words(retained: &RetainedReport) -> String {
    let servers = retained.servers.join(", ");
    match retained.why.as_str() {
        "needed" => format!("no source holds it, and {servers} is verified by no other"),
        "unreachable" => format!("no source holds it; {servers} was verified by it last and cannot be asked"),
        "archived" => format!("it came back for {servers}, which is verified by no other"),
        _ => "no source holds it; the servers have not answered yet whether they need it".to_owned(),
    }
}

fn state_words(state: &str, anchors: u64) -> String {
    match state {
        "missing" => "missing".to_owned(),
        "stale" => "cannot be read; what it held before stays in use".to_owned(),
        "settling" => format!("{}; those it lost stay until it has been quiet", count(anchors, "anchor")),
        _ => count(anchors, "anchor"),
    }
}
