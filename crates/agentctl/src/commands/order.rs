//! `agentctl rollback`, `distrust` and `trust`: what an operator orders besides a regeneration.

use std::io::{self, Write};
use std::time::Duration;

use agent_control::wire::BanReport;
use agent_control::{Order, What};
use agent_runtime::endpoint::Endpoint;
use agent_runtime::orders::{self, Wanted};
use trust_core::engine::{Ask, Trigger};
use trust_core::fingerprint::hex_digits;

use super::regen::Regenerated;
use super::{anchors, regen, status};
use crate::context::{Context, of_code};
use crate::error::Error;
use crate::exit::Exit;
use crate::names::Before;
use crate::suggest;
use crate::words::{count, local_of, short};

/// Goes back to an earlier generation.
pub(crate) fn rollback(
    context: &Context,
    generation: Option<&str>,
    pin: Option<Duration>,
    dry_run: bool,
) -> Result<Exit, Error> {
    let generation = generation.map(super::diff::generation_number).transpose()?;
    carry_out(context, What::Rollback { generation, pin }, dry_run)
}

/// Bans a certificate.
pub(crate) fn distrust(context: &Context, anchor: &str, reason: &str, dry_run: bool) -> Result<Exit, Error> {
    let fingerprint = whole(anchor, || {
        let report = anchors::get(context)?;
        anchors::find(&report, anchor).map(|anchor| anchor.fingerprint.clone())
    })?;
    carry_out(context, What::Distrust { fingerprint, reason: reason.to_owned() }, dry_run)
}

/// Takes that back.
pub(crate) fn trust(context: &Context, anchor: &str, dry_run: bool) -> Result<Exit, Error> {
    let fingerprint = whole(anchor, || {
        let digits = digits(anchor)?;
        let banned = banned(context)?;
        let mut matching = banned.iter().filter(|ban| ban.fingerprint.starts_with(&digits));
        match (matching.next(), matching.next()) {
            (Some(ban), None) => Ok(ban.fingerprint.clone()),
            (Some(_), Some(_)) => Err(Error::new(
                Exit::Usage,
                format_args!("more than one distrusted certificate begins with {digits}"),
            )
            .hint("give more digits; `agentctl distrust` lists them")),
            (None, _) => Err(Error::new(Exit::NotFound, format_args!("{anchor} is not distrusted"))
                .hint(meant(&digits, &banned))
                .hint("`agentctl distrust` without a fingerprint lists what is")),
        }
    })?;
    carry_out(context, What::Trust { fingerprint }, dry_run)
}

/// Lists what is distrusted.
pub(crate) fn list_distrusted(context: &Context) -> Result<Exit, Error> {
    let banned = banned(context)?;
    context.out.data(&banned, |banned, out| render_banned(banned, out))?;
    Ok(Exit::Done)
}

/// A duration on the command line: a whole number and a unit.
///
/// # Errors
/// What it should look like.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let form = || "a duration is a whole number and a unit: s, m, h or d, as in 24h".to_owned();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(form)?;
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(form()),
    };
    let number: u64 = number.parse().map_err(|_| form())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "that is too long".to_owned())
}

/// Which of them may have been meant; empty where none was.
fn meant(digits: &str, banned: &[BanReport]) -> String {
    let near = suggest::nearest_fingerprint(digits, banned.iter().map(|ban| ban.fingerprint.as_str()));
    near.map_or_else(String::new, |near| format!("did you mean {}?", short(near)))
}

fn banned(context: &Context) -> Result<Vec<BanReport>, Error> {
    Ok(status::get(context)?.store.distrusted)
}

/// A whole fingerprint as it is; of anything shorter what `look_up` makes of it.
fn whole(text: &str, look_up: impl FnOnce() -> Result<String, Error>) -> Result<String, Error> {
    const SHA256_DIGITS: usize = 64;
    match hex_digits(text) {
        Ok(digits) if digits.len() == SHA256_DIGITS => Ok(text.to_owned()),
        _ => look_up(),
    }
}

fn digits(text: &str) -> Result<String, Error> {
    let digits =
        hex_digits(text).map_err(|error| Error::new(Exit::Usage, format_args!("{text:?}: {error}")))?;
    Ok(digits.iter().filter_map(|digit| char::from_digit(u32::from(*digit), 16)).collect())
}

fn carry_out(context: &Context, what: What, dry_run: bool) -> Result<Exit, Error> {
    let order = Order { what, dry_run };
    let before = Before::now(context);
    let regenerated = context.either_while(
        regen::REGENERATING,
        async |client| client.order(&order).await.map(Regenerated::from),
        |context| in_process(context, &order),
    )?;
    regen::show(context, &before, &regenerated)?;
    Ok(Exit::Done)
}

fn in_process(context: &Context, order: &Order) -> Result<Regenerated, Error> {
    let endpoint = context.readable()?;
    let wanted = match order.what.clone() {
        What::Distrust { fingerprint, reason } => Wanted::Distrust { fingerprint, reason },
        What::Trust { fingerprint } => Wanted::Trust { fingerprint },
        What::Rollback { generation, pin } => Wanted::Rollback { generation, pin },
    };
    let state = endpoint.load().state;
    let settings = Endpoint::trust_settings(&context.settings);
    let ask = Context::ask(false, order.dry_run);
    let by: Trigger = ask.by;
    let resolved =
        orders::resolve(&wanted, endpoint.history(), &state, &settings, &by.code(), context.clock.now())
            .map_err(|error| Error::new(of_code(error.code()), &error).hint(error.remedy()))?;
    regen::carry_out(context, Ask { order: Some(resolved), ..ask })
}

fn render_banned(banned: &[BanReport], out: &mut dyn Write) -> io::Result<()> {
    for ban in banned {
        let when = ban.at.as_ref().map_or_else(String::new, |at| format!(" since {}", local_of(at)));
        let why = if ban.reason.is_empty() { String::new() } else { format!(": {}", ban.reason) };
        writeln!(out, "{}  by the {}{when}{why}", ban.fingerprint, ban.origin)?;
    }
    match banned.len() as u64 {
        0 => writeln!(out, "nothing is distrusted"),
        number => writeln!(out, "{} distrusted", count(number, "certificate")),
    }
}
