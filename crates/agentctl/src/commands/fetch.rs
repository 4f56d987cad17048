//! `agentctl fetch`: a server's certificate into a source of the store, by its fingerprint.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent_control::wire::Fault;
use agent_management::Failure;
use agent_management::dial::{Dialer, Timeouts};
use agent_runtime::audit::Entry;
use agent_runtime::bootstrap::{
    Addition, Change, Choice, ChooseError, Edit, EditError, Pick, Snapshot, Sources, SourcesError, Wanted,
    append, choose, outlook, replace,
};
use agent_runtime::management::desk::dialer;
use agent_runtime::servers::read_anchors;
use jiff::Timestamp;
use trust_core::Fingerprint;
use trust_tls::connect::{FetchedChain, Target};
use trust_tls::{AnchorSet, NameRule, Request, Verdict, verify};

use super::connect::parse_target;
use crate::cli;
use crate::context::{Context, of_io};
use crate::error::Error;
use crate::exit::Exit;
use crate::out::{HANG, WARN, styled};
use crate::suggest;

mod question;
mod report;

pub(super) use question::read_answer;
pub(super) use report::{FetchReport, render};

/// For `--help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agentctl fetch mgmt.example                                # shows the chain and asks
  agentctl fetch mgmt.example:4726 --fingerprint a91b77e0…   # in a script
  agentctl fetch mgmt.example --fingerprint a91b77e0… --pick issuer
  agentctl fetch ss3.branch.example --to site --fingerprint 'A9:1B:77:E0:…'
  agentctl fetch '[2001:db8::7]:443' --server-name mgmt.example --fingerprint a91b77e0…

The fingerprint must come to you by another way than this connection: from the server's console, or from its owner.
Where the certificate is there already nothing is changed, and that is a success.";

/// Fetches, saves and regenerates.
pub(crate) fn run(context: &Context, options: &cli::Fetch) -> Result<Exit, Error> {
    let target = parse_target(&options.server).ok_or_else(|| {
        Error::new(
            Exit::Usage,
            format_args!("{:?} is neither HOST[:PORT], [IPV6]:PORT nor a https URL", options.server),
        )
        .hint(suggest::address(&options.server))
    })?;
    let wish = Wish {
        to: &options.to,
        replace: options.replace,
        server_name: options.server_name.as_deref(),
        how: &options.how,
    };
    let report = fetch(context, &target, &wish)?;
    context.out.data(&report, |report, out| render(report, context.clock.now(), out))?;
    Ok(report.exit())
}

/// A length of time as `10s` or `1m`.
pub(crate) fn timeout(text: &str) -> Result<Duration, String> {
    let wrong = || "it is a number and a unit, as in 10s, from 100ms to 5m".to_owned();
    let length: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    let length = Duration::try_from(length).map_err(|_| wrong())?;
    if TIMEOUTS.contains(&length) { Ok(length) } else { Err(wrong()) }
}

/// What is to be fetched, and where it goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    /// As `--to`.
    pub(super) to: &'a str,
    /// As `--replace`.
    pub(super) replace: bool,
    /// As `--server-name`.
    pub(super) server_name: Option<&'a str>,
    /// How the certificate is chosen.
    pub(super) how: &'a cli::FetchHow,
}

/// What a certificate is taken from and put into.
struct Job<'a> {
    context: &'a Context,
    target: &'a Target,
    /// As the operator would write it again.
    server: String,
    /// The name that the certificate must be for.
    host: String,
    path: PathBuf,
    wish: &'a Wish<'a>,
    sources: Sources,
}

/// Fetches, saves and regenerates; says what it did.
///
/// # Errors
/// Where nothing was saved. A store that could not be regenerated afterwards is told in the report.
pub(super) fn fetch(context: &Context, target: &Target, wish: &Wish<'_>) -> Result<FetchReport, Error> {
    let wanted = wanted(&wish.how.fingerprint)?;
    if wanted.is_empty() && !question::can_ask() {
        return Err(Error::new(
            Exit::Usage,
            "--fingerprint is missing: without a terminal nobody can be asked whether the certificate is the right one",
        )
        .hint("ask the server's owner for the SHA-256 of its certificate, and give it with --fingerprint"));
    }
    let sources = Sources::of(&context.endpoint());
    let job = Job {
        context,
        target,
        server: words_of(target),
        host: wish.server_name.unwrap_or(&target.host).to_owned(),
        path: place(context, &sources, wish.to)?,
        wish,
        sources,
    };
    job.run(&wanted)
}

impl Job<'_> {
    fn run(&self, wanted: &[Wanted]) -> Result<FetchReport, Error> {
        let name = self.wish.server_name;
        let dialer = self.dialer().map_err(|error| unreachable(&self.server, &error))?;
        let progress =
            self.context.out.progress(format!("asking server {} for its certificate", self.server));
        let chain = Context::runtime()?
            .block_on(dialer.fetch_chain(self.target, name))
            .map_err(|error| unreachable(&self.server, &error))?;
        drop(progress);
        let now = self.context.clock.now();
        let present = self.judge_by_store(&chain, now);
        let mut report = FetchReport::new(&self.server, name, &chain, &present);
        let choice = if wanted.is_empty() {
            None
        } else {
            Some(
                choose(&chain.presented, wanted, self.wish.how.pick.map(pick), now)
                    .map_err(|error| refusal(&error))?,
            )
        };
        let snapshot = self.sources.snapshot(&self.path).map_err(|error| file_error(&error))?;
        let place = match &choice {
            Some(choice) => choice.place,
            None => question::ask(self, &chain, &present.verdict, &snapshot, now)?,
        };
        self.refuse_distrusted(&chain, place)?;
        let edit = self.save(&chain, place, snapshot, choice.is_none(), now)?;
        let outlook = outlook(&chain.presented, place, &self.host, NameRule::Compat, now);
        report.taken(&chain, place, choice.as_ref(), self.wish.how.pick, outlook.as_ref());
        report.saved(&self.path, self.kind(), &edit);
        self.warn(&mut report, &chain, choice.as_ref());
        let taken = chain.presented.all().nth(place).map(|certificate| certificate.sha256);
        self.regenerate(&mut report, taken);
        Ok(report)
    }

    /// The way that all connections to servers take.
    fn dialer(&self) -> Result<Dialer, Failure> {
        let mut dialer = dialer(&self.context.settings)?;
        if let Some(limit) = self.wish.how.timeout {
            let timeouts = dialer.timeouts;
            dialer.timeouts = Timeouts { dns: limit, connect: limit, proxy: limit, tls: limit, ..timeouts };
        }
        Ok(dialer)
    }

    /// The chain before the store as it is.
    fn judge_by_store(&self, chain: &FetchedChain, now: Timestamp) -> Present {
        let set = read_anchors(&self.context.settings.store.merged).unwrap_or_else(|_| AnchorSet::new([]));
        let verdict = verify(&set, &chain.presented, &Request::new(&self.host, now));
        let anchor = verdict.anchor.and_then(|index| set.get(index)).map(Arc::clone);
        Present { verdict, anchor }
    }

    /// What can never be in the store is not saved: by the configuration's word, or an operator's.
    fn refuse_distrusted(&self, chain: &FetchedChain, place: usize) -> Result<(), Error> {
        let Some(taken) = chain.presented.all().nth(place) else { return Ok(()) };
        let state = self.context.endpoint().state().load().ok().flatten().unwrap_or_default();
        let distrusted = &self.context.settings.distrust.fingerprints;
        let (who, hint) = if distrusted.contains(&taken.sha256) {
            ("the configuration", "if that is out of date, take it out of [distrust]".to_owned())
        } else if state.banned(distrusted).contains(&taken.sha256) {
            ("an operator", format!("if that is out of date: agentctl trust {}", taken.sha256))
        } else {
            return Ok(());
        };
        let what = format!("{} is distrusted by {who}, so it could not be in the store", taken.sha256);
        Err(Error::new(Exit::Refused, format_args!("{what}; nothing was saved")).hint(hint))
    }

    /// Changes the file, or leaves it where it holds the certificate. Another writer in between makes one more attempt,
    /// unless somebody was shown a difference that holds no more.
    fn save(
        &self,
        chain: &FetchedChain,
        place: usize,
        mut snapshot: Snapshot,
        asked: bool,
        now: Timestamp,
    ) -> Result<Edit, Error> {
        for _ in 0..ATTEMPTS {
            let edit = self.edit(chain, place, &snapshot, now)?;
            let Edit::Change(change) = &edit else { return Ok(edit) };
            if self.wish.replace && !asked {
                question::show_difference(self.context.out, &self.path, change);
            }
            match self.sources.put(&snapshot, &change.bytes) {
                Ok(()) => {
                    self.record(chain, place, change, now);
                    return Ok(edit);
                }
                Err(SourcesError::Changed { .. }) if !self.wish.replace => {
                    snapshot = self.sources.snapshot(&self.path).map_err(|error| file_error(&error))?;
                }
                Err(error) => return Err(file_error(&error)),
            }
        }
        Err(file_error(&SourcesError::Changed { path: self.path.clone() }))
    }

    /// A source decides what is trusted, so that it was added to goes into the record of changes.
    fn record(&self, chain: &FetchedChain, place: usize, change: &Change, now: Timestamp) {
        let endpoint = self.context.endpoint();
        let is_source = self.kind() != "file"
            || endpoint.load().state.sources.iter().any(|source| source.id.path == self.path);
        let Some(certificate) = chain.presented.all().nth(place).filter(|_| is_source) else { return };
        let replaced: Vec<String> = change.removed.iter().map(|(anchor, _)| anchor.to_string()).collect();
        let (path, sha256) = (self.path.display().to_string(), certificate.sha256.to_string());
        let entry = Entry::source_added(now, Context::operator(), &path, sha256, &self.server, &replaced);
        if let Err(error) = endpoint.audit().append(|_| vec![entry]) {
            self.context.out.note(&format!("{} {HANG}{error}", styled(WARN, "warning:")));
        }
    }

    /// What would become of the file.
    fn edit(
        &self,
        chain: &FetchedChain,
        place: usize,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Edit, Error> {
        let certificate = chain.presented.all().nth(place).and_then(|taken| taken.certificate.as_ref());
        let Some(certificate) = certificate else {
            return Err(refusal(&ChooseError::Unreadable { place }));
        };
        let addition = Addition { certificate, from: &self.server, at: now };
        let edit = if self.wish.replace { replace } else { append };
        edit(snapshot.bytes.as_deref(), &addition, self.sources.limits())
            .map_err(|error| edit_error(&self.path, &error))
    }

    fn kind(&self) -> &'static str {
        let store = &self.context.settings.store;
        if self.path == store.bootstrap {
            "bootstrap"
        } else if self.path == store.site {
            "site"
        } else {
            "file"
        }
    }

    fn warn(&self, report: &mut FetchReport, chain: &FetchedChain, choice: Option<&Choice>) {
        if let Some(choice) = choice.filter(|choice| choice.wanted.is_weak()) {
            let sha256 = chain.presented.all().nth(choice.matched).map(|matched| matched.sha256.to_string());
            report.warn(
                "sha1-fingerprint",
                format!(
                    "a SHA-1 was compared, which can be forged with effort; the next time give the SHA-256: {}",
                    sha256.unwrap_or_default()
                ),
            );
        }
        if let Some(error) = &chain.unproven {
            report.warn(
                "handshake-incomplete",
                format!(
                    "the server sent its chain and did not finish the handshake: {error}; {}",
                    error.remedy()
                ),
            );
        }
        for warning in &report.warnings {
            self.context.out.note(&format!("{} {HANG}{}", styled(WARN, "warning:"), warning.message));
        }
    }

    /// The store, from its sources as they are now. The certificate is saved, whatever comes of this.
    fn regenerate(&self, report: &mut FetchReport, taken: Option<Fingerprint>) {
        match super::regen::regenerate(self.context, false, false) {
            Ok(regenerated) => {
                let set = read_anchors(&self.context.settings.store.merged).ok();
                let has = |set: AnchorSet| {
                    let mut anchors = (0..set.len()).filter_map(|index| set.get(index));
                    anchors.any(|anchor| Some(anchor.fingerprint()) == taken)
                };
                report.regenerated(&regenerated.report, &self.path, set.map(has));
            }
            Err(error) => report.not_regenerated(&error),
        }
    }
}

/// The store's view of a chain.
pub(super) struct Present {
    verdict: Verdict,
    anchor: Option<Arc<trust_core::Certificate>>,
}

fn wanted(fingerprints: &[String]) -> Result<Vec<Wanted>, Error> {
    fingerprints
        .iter()
        .map(|text| {
            Wanted::parse(text)
                .map_err(|error| Error::new(Exit::Usage, format_args!("--fingerprint: {error}")))
        })
        .collect()
}

/// The file that `--to` means.
fn place(context: &Context, sources: &Sources, to: &str) -> Result<PathBuf, Error> {
    let store = &context.settings.store;
    let ours = |path: &Path| {
        sources.make_directory_of(path).map_err(|error| file_error(&error))?;
        Ok(path.to_owned())
    };
    match to {
        "bootstrap" => return ours(&store.bootstrap),
        "site" => return ours(&store.site),
        "" => return Err(Error::new(Exit::Usage, "--to is empty: it is bootstrap, site or a file")),
        _ => {}
    }
    // A slip would make a file where nobody looks.
    suggest::instead_of_a_file(to, &["bootstrap", "site"])?;
    let path = std::path::absolute(to).map_err(|error| of_io(&error, &format!("--to {to}: {error}")))?;
    if path == store.merged {
        return Err(Error::new(
            Exit::Usage,
            format_args!("{} is the store itself, which is made of its sources", path.display()),
        )
        .hint("--to bootstrap, --to site, or a file that a policy names"));
    }
    Ok(path)
}

/// A server as it is written on the command line.
pub(crate) fn words_of(target: &Target) -> String {
    if target.host.contains(':') {
        format!("[{}]:{}", target.host, target.port)
    } else {
        format!("{}:{}", target.host, target.port)
    }
}

fn pick(pick: cli::Pick) -> Pick {
    match pick {
        cli::Pick::Leaf => Pick::Leaf,
        cli::Pick::Issuer => Pick::Issuer,
        cli::Pick::Root => Pick::Root,
    }
}

fn unreachable(server: &str, error: &Failure) -> Error {
    Error::new(Exit::Unreachable, format_args!("{server}: {error}; nothing was saved")).hint(error.remedy())
}

fn refusal(error: &ChooseError) -> Error {
    Error::new(Exit::Refused, format_args!("{error}; nothing was saved")).hint(error.remedy())
}

pub(super) fn file_error(error: &SourcesError) -> Error {
    let exit = match error.code() {
        "denied" => Exit::Permission,
        "directory-missing" | "missing" => Exit::NotFound,
        "changing" | "lock-held" => Exit::Conflict,
        _ if matches!(error, SourcesError::Publish(_) | SourcesError::Directory { .. }) => Exit::Failed,
        _ => Exit::Usage,
    };
    Error::new(exit, format_args!("{error}; nothing was saved")).hint(error.remedy())
}

fn edit_error(path: &Path, error: &EditError) -> Error {
    Error::new(Exit::Usage, format_args!("{} cannot be added to: {error}; nothing was saved", path.display()))
        .hint(error.remedy())
}

/// A failure of another command, for a report.
fn fault(error: &Error) -> Fault {
    Fault { code: error.exit.word().to_owned(), message: error.what.clone(), remedy: error.hints.join("; ") }
}

fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Others write a source once in a while, not all the time.
const ATTEMPTS: usize = 5;
/// As `[connect] timeout` takes it.
const TIMEOUTS: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);
