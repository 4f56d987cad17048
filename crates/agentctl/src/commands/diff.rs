//! `agentctl diff`: what differs between two lists of anchors, be they generations, files, the store, what its sources
//! say, or what a server presents.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::sync::Arc;

use agent_control::wire::AnchorReport;
use agent_runtime::endpoint::Endpoint;
use agent_runtime::report;
use jiff::Timestamp;
use serde::Serialize;
use trust_core::Certificate;
use trust_core::engine::Trigger;
use trust_tls::connect::connect;
use trust_tls::{AnchorSet, Request};

use super::{anchors, connect as connecting, fetch, lint};
use crate::context::{Context, of_code, of_io};
use crate::error::Error;
use crate::exit::Exit;
use crate::out::{BAD, BOLD, DIM, GOOD, HANG, Page, shorten_subject, styled};
use crate::suggest;
use crate::words::{count, day, short};

/// For `--help`.
pub(crate) const HELP: &str = "A and B are each one of:
  store        the store in force
  sources      what the sources say now
  41, gen:41   a generation (`agentctl history`)
  FILE         a file of certificates: PEM, DER or PKCS#7
  https://HOST[:PORT]  the chain that a server presents

Examples:
  agentctl diff                     # what the next regeneration would change
  agentctl diff 41                  # what changed since generation 41
  agentctl diff 41 42
  agentctl diff store new-ca.pem --exit-code";

/// What differs.
#[derive(Debug, Serialize)]
struct DiffReport {
    from: String,
    to: String,
    /// True where both have the same anchors in the same order.
    same: bool,
    added: Vec<Entry>,
    removed: Vec<Entry>,
    /// Anchors that both have, in another order.
    moved: Vec<Moved>,
}

/// A certificate of one of the lists.
#[derive(Debug, Clone, Serialize)]
struct Entry {
    fingerprint: String,
    subject: String,
    not_after: String,
}

/// A certificate that both lists have in different places, each counted from 1.
#[derive(Debug, Serialize)]
struct Moved {
    fingerprint: String,
    subject: String,
    from: u64,
    to: u64,
}

/// Where a list of anchors comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Operand {
    Store,
    Sources,
    Generation(u64),
    Server(String),
    File(String),
}

/// Compares; with `exit_code` the exit code says whether they differ.
pub(crate) fn run(
    context: &Context,
    from: Option<&str>,
    to: Option<&str>,
    exit_code: bool,
) -> Result<Exit, Error> {
    let (from, to) = match (from, to) {
        (None, _) => (Operand::Store, Operand::Sources),
        (Some(from), None) => (operand(from)?, Operand::Store),
        (Some(from), Some(to)) => (operand(from)?, operand(to)?),
    };
    let report = compare(&from, &entries(context, &from)?, &to, &entries(context, &to)?);
    context.out.data(&report, render)?;
    Ok(if exit_code && !report.same { Exit::Differences } else { Exit::Done })
}

/// A generation as it is named on the command line: its number, or `gen:` and its number.
///
/// # Errors
/// Exit code 2 for anything else.
pub(super) fn generation_number(text: &str) -> Result<u64, Error> {
    text.strip_prefix("gen:").unwrap_or(text).parse().ok().filter(|number| *number > 0).ok_or_else(|| {
        Error::new(Exit::Usage, format_args!("{text:?} is no generation"))
            .hint("give its number; `agentctl history` lists them")
    })
}

fn operand(text: &str) -> Result<Operand, Error> {
    match text {
        "store" => Ok(Operand::Store),
        "sources" => Ok(Operand::Sources),
        _ if text.starts_with("https://") => Ok(Operand::Server(text.to_owned())),
        _ if text.starts_with("gen:") || text.bytes().all(|byte| byte.is_ascii_digit()) => {
            generation_number(text).map(Operand::Generation)
        }
        _ => Ok(Operand::File(text.to_owned())),
    }
}

impl Operand {
    fn words(&self) -> String {
        match self {
            Self::Store => "the store".to_owned(),
            Self::Sources => "the sources as they are now".to_owned(),
            Self::Generation(number) => format!("generation {number}"),
            Self::Server(url) => format!("what {url} presents"),
            Self::File(path) => path.clone(),
        }
    }
}

fn entries(context: &Context, operand: &Operand) -> Result<Vec<Entry>, Error> {
    match operand {
        Operand::Store => Ok(anchors::get(context)?.anchors.iter().map(of_anchor).collect()),
        Operand::Sources => sources(context),
        Operand::Generation(number) => generation(context, *number),
        Operand::Server(url) => presented(context, url),
        Operand::File(path) => {
            suggest::instead_of_a_file(path, &["store", "sources"])?;
            let bytes = std::fs::read(path)
                .map_err(|error| of_io(&error, &format!("cannot read {path}: {error}")))?;
            Ok(lint::read_all(&bytes).iter().map(of_certificate).collect())
        }
    }
}

fn sources(context: &Context) -> Result<Vec<Entry>, Error> {
    let once = context.dry_run(false, Trigger::Watch)?;
    let settings = Endpoint::trust_settings(&context.settings);
    let candidate = once.state.candidate(&settings.distrusted);
    Ok(candidate.anchors.iter().map(|anchor| of_certificate(&anchor.certificate)).collect())
}

fn generation(context: &Context, number: u64) -> Result<Vec<Entry>, Error> {
    let report = context.either(
        async |client| client.generation(number).await,
        |context| {
            let endpoint = context.readable()?;
            let kept = endpoint.history().get(number).map_err(|error| {
                let error = agent_runtime::orders::OrderError::History(error);
                Error::new(of_code(error.code()), &error).hint(error.remedy())
            })?;
            Ok(report::generation(&kept, context.clock.now()))
        },
    )?;
    Ok(report.anchors.iter().map(of_anchor).collect())
}

fn presented(context: &Context, url: &str) -> Result<Vec<Entry>, Error> {
    let target = connecting::parse_target(url).ok_or_else(|| {
        Error::new(Exit::Usage, format_args!("{url:?} is no address")).hint("write https://HOST[:PORT]")
    })?;
    // Only what it presents is wanted, so nothing is verified and nothing is sent.
    let request = Request::new(target.host.clone(), context.clock.now());
    let limit = context.settings.connect.timeout;
    let _progress = context.out.progress(format!("asking server {}", fetch::words_of(&target)));
    let outcome = Context::runtime()?
        .block_on(connect(Arc::new(AnchorSet::new([])), &target, request, limit))
        .map_err(|error| Error::new(Exit::Unreachable, &error).hint(error.remedy()))?;
    let chain =
        outcome.captured.presented.all().filter_map(|presented| Certificate::parse(&presented.der).ok());
    Ok(chain.map(|certificate| of_certificate(&Arc::new(certificate))).collect())
}

fn of_anchor(anchor: &AnchorReport) -> Entry {
    Entry {
        fingerprint: anchor.fingerprint.clone(),
        subject: anchor.subject.clone(),
        not_after: anchor.not_after.clone(),
    }
}

fn of_certificate(certificate: &Arc<Certificate>) -> Entry {
    Entry {
        fingerprint: certificate.fingerprint().to_string(),
        subject: certificate.subject().to_owned(),
        not_after: certificate.not_after().to_string(),
    }
}

fn compare(from: &Operand, old: &[Entry], to: &Operand, new: &[Entry]) -> DiffReport {
    let old = unique(old);
    let new = unique(new);
    let places = |list: &[Entry]| -> HashMap<String, usize> {
        list.iter().enumerate().map(|(place, entry)| (entry.fingerprint.clone(), place)).collect()
    };
    let (old_places, new_places) = (places(&old), places(&new));
    let missing = |list: &[Entry], there: &HashMap<String, usize>| -> Vec<Entry> {
        list.iter().filter(|entry| !there.contains_key(&entry.fingerprint)).cloned().collect()
    };
    let added = missing(&new, &old_places);
    let removed = missing(&old, &new_places);
    // Moved is what stands in another place among those that both have.
    let common = |list: &[Entry], there: &HashMap<String, usize>| -> Vec<String> {
        list.iter().map(|entry| entry.fingerprint.clone()).filter(|one| there.contains_key(one)).collect()
    };
    let (old_order, new_order) = (common(&old, &new_places), common(&new, &old_places));
    let moved =
        old_order.iter().zip(&new_order).filter(|(before, after)| before != after).map(|(_, after)| Moved {
            fingerprint: after.clone(),
            subject: new[new_places[after]].subject.clone(),
            from: old_places[after] as u64 + 1,
            to: new_places[after] as u64 + 1,
        });
    let moved: Vec<Moved> = moved.collect();
    let same = added.is_empty() && removed.is_empty() && moved.is_empty();
    DiffReport { from: from.words(), to: to.words(), same, added, removed, moved }
}

/// Each certificate once, at its first place.
fn unique(list: &[Entry]) -> Vec<Entry> {
    let mut seen = std::collections::HashSet::new();
    list.iter().filter(|entry| seen.insert(&entry.fingerprint)).cloned().collect()
}

fn render(report: &DiffReport, out: &mut Page) -> io::Result<()> {
    writeln!(out, "{}", styled(BOLD, format!("{} → {}", report.from, report.to)))?;
    for entry in &report.removed {
        writeln!(out, "{} {HANG}{}", styled(BAD, "-"), words(entry, out))?;
    }
    for entry in &report.added {
        writeln!(out, "{} {HANG}{}", styled(GOOD, "+"), words(entry, out))?;
    }
    for moved in &report.moved {
        let id = short(&moved.fingerprint);
        let places = format!("from {} to {}", moved.from, moved.to);
        let subject = shorten_subject(&moved.subject, out.left_behind(14 + places.len()));
        writeln!(out, "~ {HANG}{id}  {subject}  {places}")?;
    }
    if report.same {
        return writeln!(out, "= the same anchors in the same order");
    }
    let (added, removed) = (report.added.len() as u64, report.removed.len() as u64);
    let text = format!(
        "{} more, {} less, {} moved",
        count(added, "anchor"),
        count(removed, "anchor"),
        report.moved.len()
    );
    writeln!(out, "{}", styled(DIM, text))
}

fn words(entry: &Entry, page: &Page) -> String {
    let id = short(&entry.fingerprint);
    let end = entry.not_after.parse::<Timestamp>().map_or_else(|_| entry.not_after.clone(), day);
    if page.width().is_some_and(|width| width < NARROW) {
        let subject = shorten_subject(&entry.subject, page.left_behind(2));
        return format!("{id}  until {end}\n  {subject}");
    }
    let subject = shorten_subject(&entry.subject, page.left_behind(20 + end.len()));
    format!("{id}  {subject}  until {end}")
}

/// Too little for a subject between fingerprint and end.
const NARROW: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &str) -> Vec<Entry> {
        let entry = |name: char| Entry {
            fingerprint: name.to_string().repeat(64),
            subject: name.to_string(),
            not_after: String::new(),
        };
        names.chars().map(entry).collect()
    }

    fn words_of(old: &str, new: &str) -> (String, String, Vec<(String, u64, u64)>) {
        let report = compare(&Operand::Store, &list(old), &Operand::Sources, &list(new));
        let names = |entries: &[Entry]| entries.iter().map(|entry| entry.subject.as_str()).collect();
        let moved = report.moved.iter().map(|moved| (moved.subject.clone(), moved.from, moved.to)).collect();
        assert_eq!(report.same, old == new);
        (names(&report.added), names(&report.removed), moved)
    }

    #[test]
    fn what_came_what_went_and_what_moved() {
        let none = Vec::new;
        assert_eq!(words_of("abc", "abc"), (String::new(), String::new(), none()));
        assert_eq!(words_of("abc", "axbc"), ("x".into(), String::new(), none()), "pushed back is not moved");
        assert_eq!(words_of("abc", "ac"), (String::new(), "b".into(), none()));
        let swapped = vec![("c".to_owned(), 3, 1), ("a".to_owned(), 1, 3)];
        assert_eq!(words_of("abc", "cba"), (String::new(), String::new(), swapped));
        assert_eq!(words_of("", "ab"), ("ab".into(), String::new(), none()));
    }

    #[test]
    fn operands_are_told_apart() {
        for (text, expected) in [
            ("store", Operand::Store),
            ("sources", Operand::Sources),
            ("41", Operand::Generation(41)),
            ("gen:7", Operand::Generation(7)),
            ("https://h:8443", Operand::Server("https://h:8443".into())),
            ("./41", Operand::File("./41".into())),
        ] {
            assert_eq!(operand(text).map_err(|error| error.to_string()), Ok(expected), "{text}");
        }
        assert!(operand("gen:x").is_err());
        assert!(operand("0").is_err());
    }
}
