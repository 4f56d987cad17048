//! `agentctl anchors list` and `show`.

use std::fmt::Display;
use std::io::{self, Write};

use agent_control::wire::{AnchorReport, AnchorsReport};
use agent_runtime::report;
use jiff::Timestamp;
use serde::Serialize;
use trust_core::fingerprint::hex_digits;

use crate::cli::Anchors;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::out::{BAD, BOLD, DIM, HANG, Page, WARN, columns, shorten_path, shorten_subject, styled};
use crate::suggest;
use crate::words::{count, day, local_of, relative, short};

/// Lists the anchors, or shows one.
pub(crate) fn run(context: &Context, command: &Anchors) -> Result<Exit, Error> {
    let report = get(context)?;
    let now = context.clock.now();
    match command {
        Anchors::List => context.out.data(&report, |report, out| render_list(report, now, out))?,
        Anchors::Show { anchor } => {
            let anchor = find(&report, anchor)?;
            let detailed = detail(context, anchor)?;
            context.out.data(&detailed, |detailed, out| render_one(detailed, now, out))?;
        }
    }
    Ok(Exit::Done)
}

/// The anchors of the store, from the daemon or from the state.
///
/// # Errors
/// Where the daemon does not answer, or the state may not be read.
pub(crate) fn get(context: &Context) -> Result<AnchorsReport, Error> {
    context.either(async |client| client.anchors().await, in_process)
}

pub(crate) fn in_process(context: &Context) -> Result<AnchorsReport, Error> {
    let endpoint = context.readable()?;
    let state = endpoint.load().state;
    let settings = agent_runtime::endpoint::Endpoint::trust_settings(&context.settings);
    Ok(report::anchors(&state, &settings, context.clock.now()))
}

/// One anchor with all that its certificate says.
#[derive(Debug, Serialize)]
struct Detailed {
    #[serde(flatten)]
    anchor: AnchorReport,
    #[serde(flatten)]
    facts: super::lint::CertificateFacts,
}

/// The anchor by its number, or by the beginning of its fingerprint.
///
/// # Errors
/// Exit code 5 where there is none, 2 where there are several.
pub(super) fn find<'a>(report: &'a AnchorsReport, wanted: &str) -> Result<&'a AnchorReport, Error> {
    let by_number =
        wanted.parse::<u64>().ok().and_then(|n| report.anchors.iter().find(|anchor| anchor.number == n));
    if let Some(anchor) = by_number {
        return Ok(anchor);
    }
    let digits = hex_digits(wanted)
        .map_err(|error| not_digits(wanted, &error, suggest::anchor(wanted, &report.anchors)))?;
    let prefix: String = digits.iter().filter_map(|digit| char::from_digit(u32::from(*digit), 16)).collect();
    let mut matching = report.anchors.iter().filter(|anchor| anchor.fingerprint.starts_with(&prefix));
    match (matching.next(), matching.next()) {
        (Some(anchor), None) if !prefix.is_empty() => Ok(anchor),
        (Some(_), Some(_)) => {
            Err(Error::new(Exit::Usage, format_args!("more than one anchor begins with {prefix}"))
                .hint("give more digits; `agentctl anchors list --json` has them all"))
        }
        _ => Err(Error::new(
            Exit::NotFound,
            format_args!(
                "no anchor {wanted} in the store, which has {}",
                count(report.anchors.len() as u64, "anchor")
            ),
        )
        .hint(suggest::anchor(wanted, &report.anchors))
        .hint("`agentctl anchors list` shows them")),
    }
}

/// What is neither a number nor a fingerprint, and what may have been meant.
fn not_digits(wanted: &str, error: &impl Display, meant: String) -> Error {
    let error = Error::new(Exit::Usage, format_args!("{wanted:?} is no anchor: {error}"));
    error.hint(meant).hint("`agentctl anchors list` shows their numbers and IDs")
}

/// Reads the certificate itself out of the bundle, which everybody may read.
fn detail(context: &Context, anchor: &AnchorReport) -> Result<Detailed, Error> {
    let path = &context.settings.store.merged;
    let bytes = std::fs::read(path).map_err(|error| {
        crate::context::of_io(&error, &format!("cannot read {}: {error}", path.display()))
    })?;
    let facts = super::lint::read_all(&bytes)
        .into_iter()
        .find(|certificate| certificate.fingerprint().to_string() == anchor.fingerprint)
        .and_then(|certificate| super::lint::CertificateFacts::of(&certificate))
        .ok_or_else(|| {
            Error::new(Exit::Conflict, format_args!("{} does not hold the anchor any more", path.display()))
                .hint("the store has just changed: ask again")
        })?;
    Ok(Detailed { anchor: anchor.clone(), facts })
}

fn render_list(report: &AnchorsReport, now: Timestamp, page: &mut Page) -> io::Result<()> {
    if report.anchors.is_empty() {
        return writeln!(page, "the store has no anchors; `agentctl status` says why");
    }
    let narrow = page.width().is_some_and(|width| width < TABLE);
    if !narrow {
        let head = format!("{:>4}  {:<8}  {:<5}  {:<27}  SUBJECT", "#", "ID", "KIND", "EXPIRES");
        writeln!(page, "{}", styled(BOLD, head))?;
    }
    for anchor in &report.anchors {
        let id = short(&anchor.fingerprint);
        let (number, kind) = (anchor.number, &anchor.kind);
        if narrow {
            let left = page.left_behind(8 + kind.len());
            writeln!(page, "{number:>3}  {id:<8}  {HANG}{}", expiry(anchor, now))?;
            writeln!(page, "      {kind}  {}", shorten_subject(&anchor.subject, left))?;
        } else {
            let row = format!("{number:>4}  {id:<8}  {kind:<5}  {}", expiry(anchor, now));
            let left = page.left_behind(columns(&row) + 2);
            writeln!(page, "{row}  {}", shorten_subject(&anchor.subject, left))?;
        }
        if anchor.sources.is_empty() {
            writeln!(page, "      {HANG}{}", styled(WARN, standing_words(&anchor.standing)))?;
        }
        for place in &anchor.sources {
            let line = format!("line {}", place.line);
            let left = page.left_behind(6 + place.kind.len() + 2 + line.len());
            let path = shorten_path(&place.path, left);
            writeln!(page, "      {}", styled(DIM, format!("{} {path} {line}", place.kind)))?;
        }
    }
    writeln!(page, "{}, in the order of trial", count(report.anchors.len() as u64, "anchor"))
}

/// As long before the end as a server's lock shows it.
const SOON: i64 = 30 * 24 * 60 * 60;

/// The columns of the table, and enough of a subject to know it by.
const TABLE: usize = 72;

/// Why an anchor is in the store that no source holds.
fn standing_words(standing: &str) -> &'static str {
    match standing {
        "restored" => "no source holds it: restored by a rollback",
        _ => "no source holds it: retained for a server",
    }
}

fn expiry(anchor: &AnchorReport, now: Timestamp) -> String {
    let Ok(end) = anchor.not_after.parse::<Timestamp>() else { return anchor.not_after.clone() };
    let soon = end.as_second() - now.as_second() < SOON;
    let mark = if soon || anchor.status != "valid" { " !" } else { "" };
    let text = format!("{:<27}", format!("{} ({}){mark}", day(end), relative(end, now)));
    match anchor.status.as_str() {
        "expired" => styled(BAD, text),
        "not-yet-valid" => styled(WARN, text),
        _ if soon => styled(WARN, text),
        _ => text,
    }
}

fn render_one(detailed: &Detailed, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    let Detailed { anchor, facts } = detailed;
    let verdict = match anchor.status.as_str() {
        "valid" => "ok".to_owned(),
        status => styled(BAD, status),
    };
    let rest = anchor.not_after.parse().map_or_else(|_| String::new(), |end| relative(end, now));
    writeln!(out, "{}", styled(BOLD, format!("anchor {}: {}", anchor.number, anchor.subject)))?;
    writeln!(out, "  fingerprint  {HANG}{}", anchor.fingerprint)?;
    writeln!(out, "  subject      {HANG}{}", anchor.subject)?;
    writeln!(
        out,
        "  issuer       {HANG}{}{}",
        anchor.issuer,
        if facts.self_signed { " (itself)" } else { "" }
    )?;
    writeln!(out, "  valid from   {HANG}{}", local_of(&anchor.not_before))?;
    let ends = if anchor.status == "expired" { "ended" } else { "ends" };
    writeln!(out, "  valid until  {HANG}{}  {verdict}, {ends} {rest}", local_of(&anchor.not_after))?;
    writeln!(out, "  serial       {HANG}{}", facts.serial)?;
    writeln!(out, "  key          {HANG}{}", facts.key)?;
    writeln!(out, "  SPKI sha256  {HANG}{}", facts.spki_sha256)?;
    writeln!(out, "  signature    {HANG}{}", facts.signature)?;
    writeln!(
        out,
        "  can verify   {HANG}{}",
        if anchor.kind == "ca" { "what it issued, and itself" } else { "itself alone" }
    )?;
    writeln!(out, "  key id       {HANG}{}", facts.subject_key_id.as_deref().unwrap_or("none"))?;
    if !facts.names.is_empty() {
        writeln!(out, "  names        {HANG}{}", facts.names.join(", "))?;
    }
    for place in &anchor.sources {
        writeln!(out, "  comes from   {HANG}{} {} line {}", place.kind, place.path, place.line)?;
    }
    if anchor.sources.is_empty() {
        writeln!(out, "  comes from   {HANG}{}", styled(WARN, standing_words(&anchor.standing)))?;
    }
    Ok(())
}
