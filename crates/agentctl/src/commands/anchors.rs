//! `agentctl anchors list` and `show`.

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
use crate::out::{BAD, BOLD, DIM, WARN, styled};
use crate::words::{count, day, relative};

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
    let digits =
        hex_digits(wanted).map_err(|error| Error::new(Exit::Usage, format_args!("{wanted:?}: {error}")))?;
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
        .hint("`agentctl anchors list` shows them")),
    }
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

fn render_list(report: &AnchorsReport, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
    if report.anchors.is_empty() {
        return writeln!(out, "the store has no anchors; `agentctl status` says why");
    }
    writeln!(
        out,
        "{}",
        styled(
            BOLD,
            format!("{:>4}  {:<8}  {:<5}  {:<10} {:<14}  SUBJECT", "#", "ID", "KIND", "EXPIRES", "")
        )
    )?;
    for anchor in &report.anchors {
        writeln!(
            out,
            "{:>4}  {:<8}  {:<5}  {}  {}",
            anchor.number,
            &anchor.fingerprint[..anchor.fingerprint.len().min(8)],
            anchor.kind,
            expiry(anchor, now),
            anchor.subject,
        )?;
        if anchor.sources.is_empty() {
            writeln!(out, "      {}", styled(WARN, standing_words(&anchor.standing)))?;
        }
        for place in &anchor.sources {
            writeln!(
                out,
                "      {}",
                styled(DIM, format!("{} {} line {}", place.kind, place.path, place.line))
            )?;
        }
    }
    writeln!(out, "{}, in the order of trial", count(report.anchors.len() as u64, "anchor"))
}

/// Why an anchor is in the store that no source holds.
fn standing_words(standing: &str) -> &'static str {
    match standing {
        "restored" => "no source holds it: restored by a rollback",
        _ => "no source holds it: retained for a server",
    }
}

fn expiry(anchor: &AnchorReport, now: Timestamp) -> String {
    let Ok(end) = anchor.not_after.parse::<Timestamp>() else { return anchor.not_after.clone() };
    let text = format!("{:<10} {:<14}", day(end), format!("({})", relative(end, now)));
    match anchor.status.as_str() {
        "expired" => styled(BAD, text),
        "not-yet-valid" => styled(WARN, text),
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
    writeln!(out, "  fingerprint  {}", anchor.fingerprint)?;
    writeln!(out, "  subject      {}", anchor.subject)?;
    writeln!(out, "  issuer       {}{}", anchor.issuer, if facts.self_signed { " (itself)" } else { "" })?;
    writeln!(out, "  valid        {} .. {}  {verdict}, ends {rest}", anchor.not_before, anchor.not_after)?;
    writeln!(out, "  serial       {}", facts.serial)?;
    writeln!(out, "  key          {}, SPKI sha256 {}", facts.key, facts.spki_sha256)?;
    writeln!(out, "  signature    {}", facts.signature)?;
    writeln!(
        out,
        "  can verify   {}",
        if anchor.kind == "ca" { "what it issued, and itself" } else { "itself alone" }
    )?;
    writeln!(out, "  key id       {}", facts.subject_key_id.as_deref().unwrap_or("none"))?;
    if !facts.names.is_empty() {
        writeln!(out, "  names        {}", facts.names.join(", "))?;
    }
    for place in &anchor.sources {
        writeln!(out, "  comes from   {} {} line {}", place.kind, place.path, place.line)?;
    }
    if anchor.sources.is_empty() {
        writeln!(out, "  comes from   {}", styled(WARN, standing_words(&anchor.standing)))?;
    }
    Ok(())
}
