//! `agentctl connect`: connect as the daemon does, and say what came of it, anchor by anchor.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use agent_config::Server;
use agent_control::wire::Warning;
use agent_runtime::management;
use agent_runtime::servers::{self, lock_of, read_anchors};
use agent_runtime::standing::chains::Chains;
use agent_runtime::standing::foresight::{Break, Cause, Forecast, foresee};
use agent_runtime::standing::lock::Lock;
use jiff::Timestamp;
use serde::Serialize;
use trust_core::guard::Retained;
use trust_tls::connect::{Outcome, Target};
use trust_tls::{AnchorSet, Pin, Presented, PresentedCertificate, Request};

use super::fetch::words_of;
use super::verify::{VerdictReport, name_rule};
use crate::cli;
use crate::context::{Context, of_io};
use crate::error::Error;
use crate::exit::Exit;
use crate::out::{BAD, BOLD, DIM, GOOD, HANG, WARN, styled};
use crate::suggest;
use crate::words::{count, day, relative};

/// One connection as JSON: the verdict and what is around it.
#[derive(Debug, Serialize)]
struct ConnectReport {
    server: String,
    address: String,
    tls_version: Option<String>,
    cipher_suite: Option<String>,
    handshakes: u32,
    elapsed_us: u64,
    lock: &'static str,
    /// Why it is not `secure`.
    lock_reason: Option<String>,
    /// Every reason, the worst first.
    lock_reasons: Vec<Warning>,
    /// When the connection will be refused if nothing changes.
    breaks_at: Option<String>,
    #[serde(skip)]
    breaks: Option<Break>,
    /// The server's certificate has another issuer than the one that is remembered of it.
    new_issuer: Option<NewIssuerReport>,
    /// The chain as presented, leaf first.
    chain: Vec<CertificateReport>,
    #[serde(flatten)]
    verdict: VerdictReport,
}

/// Another issuer.
#[derive(Debug, Serialize)]
struct NewIssuerReport {
    issuer: String,
    before: String,
    since: String,
}

/// A certificate that the server presented.
#[derive(Debug, Serialize)]
struct CertificateReport {
    sha256: String,
    subject: String,
    issuer: String,
    not_after: Option<String>,
    key: String,
}

/// Connects to one server, or to each that is configured.
pub(crate) fn run(context: &Context, options: &cli::Connect) -> Result<Exit, Error> {
    let wanted = targets(context, options)?;
    let bundle = options.bundle.as_ref().unwrap_or(&context.settings.store.merged);
    let set = read_anchors(bundle).map_err(|error| unread(&error, bundle, options.bundle.is_some()))?;
    let set = Arc::new(set);
    let policy = context.endpoint().policy();
    let now = context.clock.now();
    let retained = retained(context);
    // What the daemon remembers of the servers, or nothing: what this user may not read is as if it were not there.
    let mut chains = Chains::load(&context.settings.store.state).unwrap_or_default();
    let mut seen = Vec::new();
    let mut reports = Vec::new();
    let mut exit = Exit::Done;
    let runtime = Context::runtime()?;
    let progress = context.out.progress("");
    let number = wanted.len();
    for (index, (name, target, server)) in wanted.into_iter().enumerate() {
        let place = if number == 1 { String::new() } else { format!(" ({} of {number})", index + 1) };
        progress.now(format!("asking server {}{place}", words_of(&target)));
        let mut request =
            servers::request(&context.settings, &policy, server, &target.host, options.at.unwrap_or(now));
        adjust(&mut request, options)?;
        let dialled = servers::dial(&context.settings, Arc::clone(&set), &target, request.clone());
        match runtime.block_on(dialled) {
            Ok(outcome) => {
                let kept: &[Retained] = if options.bundle.is_some() { &[] } else { &retained };
                let lock = lock_of(&outcome, &set, &request, kept);
                let key = server.map_or_else(|| name.clone(), servers::server_key);
                let forecast = forecast(&mut chains, &key, &outcome, &set, &request);
                let report = report(&name, &outcome, &set, &lock, forecast);
                if !outcome.captured.verdict.accepted {
                    exit = Exit::Refused;
                } else if server.is_some() && options.bundle.is_none() && options.at.is_none() {
                    seen.push((key, outcome.captured.presented));
                }
                reports.push(report);
            }
            Err(error) => {
                unreachable(&error, &name, &meant(context, &name));
                exit = if exit == Exit::Done { Exit::Unreachable } else { exit };
            }
        }
    }
    drop(progress);
    remember(context, &seen, now);
    let bundle = bundle.display().to_string();
    let at = options.at.unwrap_or(now);
    if options.server.is_some() {
        // Asked about one server: one object.
        for report in &reports {
            context.out.data(report, |report, out| render(report, &set, &bundle, at, out))?;
        }
    } else {
        context.out.data(&reports, |_, out| {
            reports.iter().try_for_each(|report| render(report, &set, &bundle, at, out))
        })?;
    }
    Ok(exit)
}

/// Why there are no anchors to connect with: the usual reason is that nobody has fetched one yet.
fn unread(error: &io::Error, bundle: &Path, named: bool) -> Error {
    if named || error.kind() != io::ErrorKind::NotFound {
        return of_io(error, &format!("cannot read the anchors in {}: {error}", bundle.display()));
    }
    Error::new(Exit::NotFound, format_args!("there is no store yet: {} does not exist", bundle.display()))
        .hint("`agentctl enroll https://SERVER` fetches the first anchor, `agentctl regen` makes the store of what is there")
}

/// How a server stands, for another command.
pub(super) struct Standing {
    /// `secure`, `attention` or `insecure`.
    pub(super) lock: &'static str,
    /// The code of why it is not secure.
    pub(super) reason: Option<String>,
    /// The verdict in words.
    pub(super) detail: String,
    /// It may be used.
    pub(super) accepted: bool,
}

/// Connects to a server with the store as it is.
///
/// # Errors
/// Where it did not come to a verdict.
pub(super) fn standing(context: &Context, server: &Server) -> Result<Standing, Error> {
    let bundle = &context.settings.store.merged;
    let set = read_anchors(bundle).map_err(|error| {
        of_io(&error, &format!("cannot read the anchors in {}: {error}", bundle.display()))
    })?;
    let set = Arc::new(set);
    let policy = context.endpoint().policy();
    let target = servers::target(server);
    let request =
        servers::request(&context.settings, &policy, Some(server), &target.host, context.clock.now());
    let _progress = context.out.progress(format!("asking server {}", words_of(&target)));
    let outcome = Context::runtime()?
        .block_on(servers::dial(&context.settings, Arc::clone(&set), &target, request.clone()))
        .map_err(|error| Error::new(Exit::Unreachable, &error).hint(error.remedy()))?;
    let lock = lock_of(&outcome, &set, &request, &retained(context));
    let verdict = &outcome.captured.verdict;
    Ok(Standing {
        lock: lock.state.code(),
        reason: lock.reasons.first().map(|reason| reason.code().to_owned()),
        detail: verdict.detail.clone(),
        accepted: verdict.accepted,
    })
}

/// What the guard keeps in the store; nothing where the state may not be read.
fn retained(context: &Context) -> Vec<Retained> {
    let state = context.endpoint().state().load().ok().flatten();
    state.map(|state| state.retained).unwrap_or_default()
}

fn unreachable(error: &agent_management::Failure, name: &str, meant: &str) {
    crate::out::stderr_line(&format!(
        "{} {HANG}{name}: {error}\nhint: {HANG}{}{meant}",
        styled(BAD, "error:"),
        error.remedy()
    ));
}

/// The configured server that a name is nearly that of, as a hint of its own; empty where there is none.
fn meant(context: &Context, name: &str) -> String {
    let names = context.settings.servers.iter().map(|server| server.name.as_str());
    let near = suggest::nearest(name, names).filter(|near| *near != name);
    near.map_or_else(String::new, |near| {
        format!("\nhint: {HANG}did you mean the configured server \"{near}\"?")
    })
}

fn adjust(request: &mut Request, options: &cli::Connect) -> Result<(), Error> {
    if let Some(names) = options.names {
        request.names = name_rule(names);
    }
    if let Some(pin) = &options.pin {
        let pin = Pin::parse(pin).map_err(|error| Error::new(Exit::Usage, format_args!("--pin: {error}")))?;
        request.pins = pin.into_iter().collect();
    }
    Ok(())
}

/// The words for it, host and port, and the configured server where it is one.
type Wanted<'a> = (String, Target, Option<&'a Server>);

/// What to connect to: the words for it, host and port, and the configured server where it is one.
fn targets<'a>(context: &'a Context, options: &cli::Connect) -> Result<Vec<Wanted<'a>>, Error> {
    let configured = &context.settings.servers;
    let Some(wanted) = &options.server else {
        if configured.is_empty() {
            return Err(Error::new(Exit::Usage, "no server is named and none is configured")
                .hint("agentctl connect https://HOST:PORT, or a [[server]] in the configuration"));
        }
        return Ok(configured
            .iter()
            .map(|server| (server.url.to_string(), servers::target(server), Some(server)))
            .collect());
    };
    if let Some(server) = configured.iter().find(|server| server.name == *wanted) {
        return Ok(vec![(server.url.to_string(), servers::target(server), Some(server))]);
    }
    let target = parse_target(wanted).ok_or_else(|| {
        Error::new(
            Exit::Usage,
            format_args!("{wanted:?} is neither a configured server, a https URL nor HOST[:PORT]"),
        )
        .hint(suggest::address(wanted))
    })?;
    let server = configured.iter().find(|server| servers::target(server) == target);
    Ok(vec![(wanted.clone(), target, server)])
}

/// `https://host[:port]/…`, `host[:port]`, `[v6]:port` or a bare IPv6 address.
pub(super) fn parse_target(text: &str) -> Option<Target> {
    const HTTPS: u16 = 443;
    let rest = match text.split_once("://") {
        Some(("https", rest)) => rest,
        Some(_) => return None,
        None => text,
    };
    let authority = rest.split(['/', '?', '#']).next()?;
    let target = |host: &str, port: Option<u16>| {
        (!host.is_empty()).then(|| Target { host: host.to_owned(), port: port.unwrap_or(HTTPS) })
    };
    if authority.parse::<std::net::Ipv6Addr>().is_ok() {
        return target(authority, None);
    }
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, port) = bracketed.split_once(']')?;
        return match port.strip_prefix(':') {
            Some(port) => target(host, Some(port.parse().ok()?)),
            None if port.is_empty() => target(host, None),
            None => None,
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => target(host, Some(port.parse().ok()?)),
        None => target(authority, None),
    }
}

fn report(name: &str, outcome: &Outcome, set: &AnchorSet, lock: &Lock, forecast: Forecast) -> ConnectReport {
    let Forecast { breaks, new_issuer, .. } = forecast;
    ConnectReport {
        server: name.to_owned(),
        address: outcome.address.to_string(),
        tls_version: outcome.tls_version.clone(),
        cipher_suite: outcome.cipher_suite.clone(),
        handshakes: outcome.handshakes,
        elapsed_us: u64::try_from(outcome.elapsed.as_micros()).unwrap_or(u64::MAX),
        lock: lock.state.code(),
        lock_reason: lock.reasons.first().map(|reason| reason.code().to_owned()),
        lock_reasons: lock.reasons.iter().map(|reason| reason.warning()).collect(),
        breaks_at: breaks.as_ref().map(|end| end.at.to_string()),
        breaks,
        new_issuer: new_issuer.map(|new| NewIssuerReport {
            issuer: new.issuer,
            before: new.before,
            since: new.since.to_string(),
        }),
        chain: outcome.captured.presented.all().map(certificate).collect(),
        verdict: VerdictReport::of(&outcome.captured.verdict, set),
    }
}

fn certificate(presented: &PresentedCertificate) -> CertificateReport {
    let read = trust_core::Certificate::parse(&presented.der).ok();
    let facts = presented.facts.as_ref();
    CertificateReport {
        sha256: presented.sha256.to_string(),
        subject: read.as_ref().map(|read| read.subject().to_owned()).unwrap_or_default(),
        issuer: facts.map(|facts| facts.issuer.to_string()).unwrap_or_default(),
        not_after: read.map(|read| read.not_after().to_string()),
        key: facts.map(trust_core::facts::Facts::key_description).unwrap_or_default(),
    }
}

fn render(
    report: &ConnectReport,
    set: &AnchorSet,
    bundle: &str,
    at: Timestamp,
    out: &mut dyn Write,
) -> io::Result<()> {
    let tls = match (&report.tls_version, &report.cipher_suite) {
        (Some(version), Some(suite)) => format!(", {version} {suite}"),
        _ => String::new(),
    };
    writeln!(
        out,
        "{}  {}, {} handshake, {} ms{tls}",
        styled(BOLD, &report.server),
        report.address,
        report.handshakes,
        report.elapsed_us / 1000
    )?;
    writeln!(out, "the server sent {}:", count(report.chain.len() as u64, "certificate"))?;
    for certificate in &report.chain {
        let ends = certificate.not_after.as_deref().and_then(|end| end.parse::<Timestamp>().ok());
        let ends =
            ends.map_or_else(String::new, |end| format!(", ends {} ({})", day(end), relative(end, at)));
        writeln!(out, "  {HANG}{}  by {}{}", certificate.subject, certificate.issuer, styled(DIM, ends))?;
    }
    writeln!(
        out,
        "{} in {bundle}, {} for this chain:",
        count(set.len() as u64, "anchor"),
        count(report.verdict.candidates as u64, "candidate")
    )?;
    for tried in &report.verdict.tried {
        let subject = set.get(tried.index).map(|anchor| anchor.subject().to_owned()).unwrap_or_default();
        let (mark, words) = match tried.code {
            "ok" => (styled(GOOD, "✓"), format!("verifies ({})", report.verdict.matched.unwrap_or_default())),
            code => (styled(BAD, "✗"), code.to_owned()),
        };
        writeln!(out, "  {mark} {} {HANG}{subject}: {words}", tried.index + 1)?;
    }
    let others = set.len() - report.verdict.tried.len().min(set.len());
    if others > 0 {
        let why = if report.verdict.anchor.is_some() {
            "not tried: no issuer of this chain, or after the first that verifies"
        } else {
            "no issuer of this chain"
        };
        writeln!(
            out,
            "  {} {HANG}{others} {} {why}",
            styled(DIM, "–"),
            if others == 1 { "other:" } else { "others:" }
        )?;
    }
    let lock = match report.lock {
        "secure" => styled(GOOD, "secure"),
        "attention" => styled(WARN, "attention"),
        other => styled(BAD, other),
    };
    let why = report.lock_reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    writeln!(out, "{lock}{why}: {}", report.verdict.detail)?;
    if report.verdict.result == "accept" {
        for reason in &report.lock_reasons {
            writeln!(out, "  {} {HANG}{}", styled(WARN, "!"), reason.message)?;
        }
    }
    if let Some(new) = &report.new_issuer {
        writeln!(
            out,
            "  {} {HANG}issued by {}, and by {} before",
            styled(WARN, "!"),
            new.issuer,
            new.before
        )?;
    }
    match &report.breaks {
        Some(end) => writeln!(
            out,
            "as things are it holds until {} ({}): {}",
            day(end.at),
            relative(end.at, at),
            what_ends(end)
        ),
        None => Ok(()),
    }
}

/// What is to be expected, by the chain that was presented just now and by what is remembered of the one before.
fn forecast(
    chains: &mut Chains,
    key: &str,
    outcome: &Outcome,
    set: &AnchorSet,
    request: &Request,
) -> Forecast {
    let _worth_keeping = chains.take_in(key, &outcome.captured.presented, request.at);
    chains.get(key).map(|chain| foresee(chain, set, request)).unwrap_or_default()
}

/// Writes down what the servers presented, for what is foreseen later. Where the daemon has the store it sees them itself;
/// where this user may not write, nobody does.
fn remember(context: &Context, seen: &[(String, Presented)], now: Timestamp) {
    let endpoint = context.endpoint();
    if seen.is_empty() || !endpoint.paths().state.is_dir() {
        return;
    }
    let Ok(_lock) = Context::lock(&endpoint) else { return };
    management::remember(&endpoint, &context.settings, |chains| {
        let mut worth_keeping = false;
        for (key, chain) in seen {
            worth_keeping |= chains.take_in(key, chain, now);
        }
        worth_keeping
    });
}

fn what_ends(end: &Break) -> String {
    match &end.cause {
        Cause::Leaf { .. } => "the server's certificate ends".to_owned(),
        Cause::Anchor { subject, .. } => format!("the last anchor that verifies it ends, {subject}"),
        Cause::Intermediate { subject } => format!("an intermediate that it sends ends, {subject}"),
    }
}
