//! The question: what is to be compared by a person is shown, and typed in part, so that nobody agrees unread.

use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::path::Path;

use agent_runtime::bootstrap::{Change, Edit, Pick, Snapshot, pick, typed};
use jiff::Timestamp;
use trust_core::Fingerprint;
use trust_tls::connect::FetchedChain;
use trust_tls::{Presented, PresentedCertificate, Verdict};

use super::Job;
use crate::error::Error;
use crate::exit::Exit;
use crate::out::{BAD, BOLD, DIM, GOOD, HANG, Output, WARN, ask as ask_on_stderr, stderr_line, styled};
use crate::words::{count, day, relative};

/// Whether there is somebody to ask.
pub(super) fn can_ask() -> bool {
    super::is_terminal()
}

/// Shows the chain and asks which certificate is to be trusted.
///
/// # Errors
/// Where nobody agrees, or the certificate that was asked for was not sent.
pub(super) fn ask(
    job: &Job<'_>,
    chain: &FetchedChain,
    verdict: &Verdict,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<usize, Error> {
    let presented = &chain.presented;
    let only = job.wish.how.pick.map(super::pick).map(|wanted| pick(presented, wanted, now)).transpose();
    stderr_line(&picture(&job.server, chain, now));
    let only = only.map_err(|error| super::refusal(&error))?;
    stderr_line(&standing(verdict));
    for _ in 0..TRIES {
        let which = if presented.others.is_empty() || only.is_some() { "its" } else { "the right one's" };
        let question = format!(
            "To trust it, type the first 8 digits of {which} fingerprint ({}); Enter stops: ",
            if job.wish.replace {
                format!("it replaces what is in {}", job.path.display())
            } else {
                format!("it is added to {}", job.path.display())
            }
        );
        let Some(answer) = read_answer(&question).filter(|answer| !answer.trim().is_empty()) else {
            return Err(Error::new(Exit::Refused, "nothing was saved: nobody trusted the certificate"));
        };
        match typed(presented, &answer, only) {
            Some(place) => {
                confirm_difference(job, chain, place, snapshot, now)?;
                return Ok(place);
            }
            None => stderr_line("These are not the first 8 digits of a fingerprint above."),
        }
    }
    Err(Error::new(Exit::Refused, "nothing was saved: the digits were those of no certificate shown")
        .hint("compare the fingerprint with what the server's owner says; never with this screen alone"))
}

/// What a replacement takes away and brings.
pub(super) fn show_difference(out: Output, path: &Path, change: &Change) {
    out.note(&difference(path, change));
}

fn confirm_difference(
    job: &Job<'_>,
    chain: &FetchedChain,
    place: usize,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Result<(), Error> {
    if !job.wish.replace {
        return Ok(());
    }
    let Edit::Change(change) = job.edit(chain, place, snapshot, now)? else { return Ok(()) };
    stderr_line(&difference(&job.path, &change));
    match read_answer("Replace? [y/N] ") {
        Some(answer) if matches!(answer.trim(), "y" | "Y" | "yes" | "Yes") => Ok(()),
        _ => Err(Error::new(Exit::Refused, "nothing was saved: the replacement was not agreed to")),
    }
}

fn difference(path: &Path, change: &Change) -> String {
    let mut text = format!("{}:", path.display());
    for (sha256, subject) in &change.removed {
        let _ = write!(text, "\n{} {HANG}{sha256}  {subject}", styled(BAD, "-"));
    }
    if change.removed.is_empty() {
        text.push_str(" loses no certificate");
    }
    text
}

/// The whole chain.
fn picture(server: &str, chain: &FetchedChain, now: Timestamp) -> String {
    let presented = &chain.presented;
    let tls = chain.tls_version.as_ref().map_or_else(String::new, |version| format!(", {version}"));
    let number = count(1 + presented.others.len() as u64, "certificate");
    let mut text = format!("{} ({}{tls}) presents {number}:", styled(BOLD, server), chain.address);
    for (place, certificate) in presented.all().enumerate() {
        let _ = write!(text, "\n{}", paragraph(place, role(presented, place, now), certificate, now));
    }
    if presented.ignored > 0 {
        let _ = write!(text, "\n  and {} more, which are not looked at", presented.ignored);
    }
    if let Some(error) = &chain.unproven {
        let _ = write!(text, "\n{} {HANG}the handshake did not come to its end: {error}", styled(WARN, "!"));
    }
    text
}

fn role(presented: &Presented, place: usize, now: Timestamp) -> &'static str {
    let is = |wanted| pick(presented, wanted, now) == Ok(place);
    if place == 0 {
        "leaf"
    } else if is(Pick::Root) {
        "root"
    } else if is(Pick::Issuer) {
        "issuer"
    } else {
        "also"
    }
}

fn paragraph(place: usize, role: &str, certificate: &PresentedCertificate, now: Timestamp) -> String {
    let mut text = format!("  {} {role:<7}", place + 1);
    let (Some(facts), Some(read)) = (&certificate.facts, &certificate.certificate) else {
        let _ = write!(text, "{}", styled(BAD, "cannot be read"));
        return text;
    };
    let subject = if read.subject().is_empty() { "(no subject)" } else { read.subject() };
    let issuer =
        if facts.names_itself() { "self-signed".to_owned() } else { format!("issued by {}", facts.issuer) };
    let _ = write!(text, "{}\n           {issuer}", styled(BOLD, subject));
    let names = facts.alternative_names();
    if !names.is_empty() && place == 0 {
        let shown = names.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ");
        let more = names.len().saturating_sub(NAMES);
        let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = write!(text, "\n           for {shown}{rest}");
    }
    let validity = read.validity_at(now);
    let words = match validity.code() {
        "valid" => styled(GOOD, format!("ends {}", relative(read.not_after(), now))),
        "expired" => styled(BAD, format!("expired {}", relative(read.not_after(), now))),
        _ => styled(BAD, format!("not yet valid, begins {}", relative(read.not_before(), now))),
    };
    let _ = write!(
        text,
        "\n           {}, valid {} to {}, {words}",
        facts.key_description(),
        day(read.not_before()),
        day(read.not_after())
    );
    let [first, second] = grouped(certificate.sha256);
    let _ = write!(text, "\n           {} {first}\n                   {second}", styled(DIM, "SHA-256"));
    text
}

/// Two lines of eight groups of four: short enough to be read out and not to lose one's place.
fn grouped(sha256: Fingerprint) -> [String; 2] {
    let digits: Vec<char> = sha256.to_string().to_uppercase().chars().collect();
    let line = |half: &[char]| {
        let groups: Vec<String> = half.chunks(4).map(|group| group.iter().collect()).collect();
        let (left, right) = groups.split_at(groups.len() / 2);
        format!("{}  {}", left.join(" "), right.join(" "))
    };
    let (first, second) = digits.split_at(digits.len() / 2);
    [line(first), line(second)]
}

fn standing(verdict: &Verdict) -> String {
    if verdict.accepted {
        format!("{} {HANG}the store as it is verifies this chain: {}", styled(GOOD, "✓"), verdict.detail)
    } else {
        format!(
            "{} {HANG}NOT verified: {}.\n  Compare the fingerprint with the server's owner by another way.",
            styled(WARN, "!"),
            verdict.detail.trim_end_matches('.')
        )
    }
}

/// One line from the terminal; `None` at its end.
/// Asks on stderr and reads a line from stdin.
pub(in crate::commands) fn read_answer(question: &str) -> Option<String> {
    ask_on_stderr(question);
    let mut line = Vec::new();
    let mut byte = [0];
    // Octet by octet: what comes after the line is not ours.
    while line.len() < MAX_ANSWER {
        match io::stdin().lock().read(&mut byte) {
            Ok(0) if line.is_empty() => return None,
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
    Some(String::from_utf8_lossy(&line).into_owned())
}

/// A slip of the finger, and a second one.
const TRIES: usize = 3;
/// Names of a certificate that are shown.
const NAMES: usize = 6;
/// More than a whole fingerprint in any spelling.
const MAX_ANSWER: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_grouped_to_be_read_out() {
        let [first, second] = grouped(Fingerprint::from([0xab; 32]));
        assert_eq!(first, "ABAB ABAB ABAB ABAB  ABAB ABAB ABAB ABAB");
        assert_eq!(second, first);
    }
}
