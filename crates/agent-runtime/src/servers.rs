//! The management servers: when each is tried with the store, and how it was last reached.

use std::path::PathBuf;
use std::sync::Arc;

use agent_config::{Names, Server, Settings};
use agent_control::wire::ServerReport;
use agent_management::Failure;
use agent_management::session::refused;
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use trust_core::Certificate;
use trust_core::engine::Reached;
use trust_core::guard::{Archived, Retained};
use trust_core::policy::Effective;
use trust_core::source::Content;
use trust_formats::certificates::Limits;
use trust_tls::connect::{Outcome, Target};
use trust_tls::{AnchorSet, Captured, NameRule, Pin, Presented, Request, TlsVersion};

use crate::standing::chains::Chains;
use crate::standing::foresight::{Forecast, foresee};
use crate::standing::lock::{Lock, Origin, Reason, Seen, lock, origin};
use crate::turns::Turns;

/// How a server was last reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Its URL.
    pub url: String,
    /// How good the connection was; `None` before the first that came to a verdict.
    pub lock: Option<LockState>,
    /// When it was last verified.
    pub last_ok: Option<Timestamp>,
    /// Fingerprint of the anchor that verified it then.
    pub anchor: Option<String>,
    /// What the last attempt failed of.
    pub error: Option<String>,
    /// The code of that, or of why it is not `secure`.
    pub reason: Option<String>,
    /// Every reason why it is not `secure`, the worst first.
    pub reasons: Vec<Reason>,
    /// What is to be expected of it, by the chain that it presented last.
    pub forecast: Forecast,
}

/// How good a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    /// Verified, and nothing is about to break.
    Secure,
    /// Verified, but something will break or was not looked at.
    Attention,
    /// Not verified.
    Insecure,
}

impl LockState {
    /// The stable word for JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Secure => "secure",
            Self::Attention => "attention",
            Self::Insecure => "insecure",
        }
    }
}

impl ServerStatus {
    /// A server that was not tried yet.
    #[must_use]
    pub fn unknown(server: &Server) -> Self {
        Self {
            name: server.name.clone(),
            url: server.url.to_string(),
            lock: None,
            last_ok: None,
            anchor: None,
            error: None,
            reason: None,
            reasons: Vec::new(),
            forecast: Forecast::default(),
        }
    }

    /// For the status.
    #[must_use]
    pub fn report(&self) -> ServerReport {
        ServerReport {
            name: self.name.clone(),
            url: self.url.clone(),
            lock: self.lock.map(|lock| lock.code().to_owned()),
            last_ok: self.last_ok.map(|at| at.to_string()),
            anchor: self.anchor.clone(),
            error: self.error.clone(),
            reason: self.reason.clone(),
            reasons: self.reasons.iter().map(|reason| reason.warning()).collect(),
            breaks_at: self.forecast.breaks.as_ref().map(|end| end.at.to_string()),
        }
    }

    fn take_in(&mut self, attempt: Result<&Attempt, &Failure>, now: Timestamp) {
        match attempt {
            Ok(attempt) => {
                self.lock = Some(attempt.lock.state);
                self.reason = attempt.lock.reasons.first().map(|reason| reason.code().to_owned());
                self.reasons.clone_from(&attempt.lock.reasons);
                self.error.clone_from(&attempt.error);
                if let (Some(anchor), None) = (&attempt.anchor, &self.error) {
                    self.last_ok = Some(now);
                    self.anchor = Some(anchor.fingerprint().to_string());
                }
            }
            Err(error) => {
                // Nothing was learnt about trust: the lock stays what it was.
                self.reason = Some(error.code().to_owned());
                self.error = Some(format!("{error}; {}", error.remedy()));
            }
        }
    }
}

/// What one connection told.
struct Attempt {
    lock: Lock,
    error: Option<String>,
    anchor: Option<Arc<Certificate>>,
    /// No anchor of the store verifies it, and this one of the archive does.
    archived: Option<Arc<Certificate>>,
    presented: Presented,
}

/// What came of a server in one round.
struct Tried {
    attempt: Result<Attempt, Failure>,
    forecast: Forecast,
}

/// All configured servers.
pub struct Servers {
    settings: Settings,
    bundle: PathBuf,
    policy: Effective,
    /// Anchors that left the store.
    archive: Vec<Archived>,
    /// Anchors that are in the store though no source has them.
    retained: Vec<Retained>,
    /// What the servers presented, now and before this run.
    chains: Chains,
    /// What is to be written down of that.
    unsaved: bool,
    statuses: Vec<ServerStatus>,
    due: Option<Instant>,
    job: Option<JoinHandle<(Vec<Tried>, Chains, bool)>>,
    turns: Turns,
}

impl Servers {
    /// The servers of the configuration, none of them tried yet: they are once the store stands.
    #[must_use]
    pub fn new(settings: &Settings, bundle: PathBuf, turns: Turns) -> Self {
        Self {
            statuses: settings.servers.iter().map(ServerStatus::unknown).collect(),
            settings: settings.clone(),
            bundle,
            policy: Effective::default(),
            archive: Vec::new(),
            retained: Vec::new(),
            // What cannot be read is learnt again at the first connection.
            chains: Chains::load(&settings.store.state).unwrap_or_default(),
            unsaved: false,
            due: None,
            job: None,
            turns,
        }
    }

    /// Other settings: servers that are still there keep what is known of them.
    pub fn reload(&mut self, settings: &Settings, bundle: PathBuf) {
        let known = std::mem::take(&mut self.statuses);
        self.statuses = settings
            .servers
            .iter()
            .map(|server| {
                let unknown = ServerStatus::unknown(server);
                known
                    .iter()
                    .find(|old| old.name == unknown.name && old.url == unknown.url)
                    .cloned()
                    .unwrap_or(unknown)
            })
            .collect();
        self.settings = settings.clone();
        self.bundle = bundle;
        // Its answers are for the old list.
        self.job = None;
        self.store_looked_at();
        self.due = self.due.map(|_| Instant::now());
    }

    /// What the policies say of verification.
    pub fn set_policy(&mut self, policy: &Effective) {
        if self.policy != *policy {
            self.policy = policy.clone();
            self.due = self.due.map(|_| Instant::now());
        }
    }

    /// The anchors that left the store.
    pub fn set_archive(&mut self, archive: &[Archived]) {
        if self.archive != archive {
            self.archive = archive.to_vec();
        }
    }

    /// The anchors that stay though no source has them.
    pub fn set_retained(&mut self, retained: &[Retained]) {
        if self.retained != retained {
            self.retained = retained.to_vec();
        }
    }

    /// What the servers presented, where it is to be written down; once for each change.
    #[must_use]
    pub fn take_unsaved(&mut self) -> Option<Chains> {
        std::mem::take(&mut self.unsaved).then(|| self.chains.clone())
    }

    /// The store stands: from now on the servers are tried.
    pub fn store_looked_at(&mut self) {
        if self.due.is_none() && !self.statuses.is_empty() {
            self.due = Some(Instant::now());
        }
    }

    /// The store is another one: is it still good?
    pub fn store_changed(&mut self) {
        if !self.statuses.is_empty() {
            self.due = Some(Instant::now());
        }
    }

    /// How each was last reached.
    #[must_use]
    pub fn statuses(&self) -> Vec<ServerStatus> {
        self.statuses.clone()
    }

    /// Waits for the next thing to do and does it; returns the servers that were verified since the last time. May be
    /// dropped at any time.
    pub async fn advance(&mut self) -> Vec<Reached> {
        if let Some(job) = &mut self.job {
            let round = job.await;
            self.job = None;
            let Ok((tried, chains, changed)) = round else { return Vec::new() };
            self.chains = chains;
            self.unsaved |= changed;
            return self.take_in(tried);
        }
        match self.due {
            None => std::future::pending().await,
            Some(due) => tokio::time::sleep_until(due).await,
        }
        self.due = Some(Instant::now() + self.settings.connect.check_interval);
        self.job = Some(self.start());
        Vec::new()
    }

    fn take_in(&mut self, tried: Vec<Tried>) -> Vec<Reached> {
        let now = Timestamp::now();
        let mut reached = Vec::new();
        let tried = self.statuses.iter_mut().zip(&self.settings.servers).zip(tried);
        for ((status, server), Tried { attempt, forecast }) in tried {
            status.take_in(attempt.as_ref(), now);
            status.forecast = forecast;
            crate::journal::server(status);
            let Ok(attempt) = attempt else { continue };
            let archived = attempt.archived.is_some();
            if let Some(anchor) = attempt.anchor.or(attempt.archived) {
                reached.push(Reached { server: server_key(server), anchor, archived });
            }
        }
        reached
    }

    fn start(&self) -> JoinHandle<(Vec<Tried>, Chains, bool)> {
        let now = Timestamp::now();
        let settings = self.settings.clone();
        let bundle = self.bundle.clone();
        let archive: Vec<Arc<Certificate>> =
            self.archive.iter().map(|archived| Arc::clone(&archived.certificate)).collect();
        let retained = self.retained.clone();
        let mut chains = self.chains.clone();
        let turns = self.turns.clone();
        let wanted: Vec<(String, Target, Request)> = self
            .settings
            .servers
            .iter()
            .map(|server| {
                let target = target(server);
                let request = request(&self.settings, &self.policy, Some(server), &target.host, now);
                (server_key(server), target, request)
            })
            .collect();
        tokio::spawn(async move {
            let set = tokio::task::spawn_blocking(move || read_anchors(&bundle)).await;
            // The set is made anew for each round and dropped after it: an idle daemon keeps no index.
            let set = Arc::new(set.ok().and_then(Result::ok).unwrap_or_else(|| AnchorSet::new([])));
            let known: Vec<String> = wanted.iter().map(|(key, ..)| key.clone()).collect();
            let mut changed = chains.keep(&known);
            let mut tried = Vec::new();
            for (key, target, request) in wanted {
                let turn = turns.take(&key).await;
                let outcome = dial(&settings, Arc::clone(&set), &target, request.clone()).await;
                let attempt = outcome.map(|outcome| {
                    let attempt = attempt(&outcome, &set, &request, &retained, &archive);
                    in_words_of_the_way(attempt, &outcome, &settings, &target, &request)
                });
                drop(turn);
                // What is no answer of the server's is nothing to remember: somebody in between has a chain as well.
                if let Some(reached) = attempt.as_ref().ok().filter(|attempt| attempt.anchor.is_some()) {
                    changed |= chains.take_in(&key, &reached.presented, now);
                }
                let remembered = chains.get(&key);
                let forecast = remembered.map(|remembered| foresee(remembered, &set, &request));
                tried.push(Tried { attempt, forecast: forecast.unwrap_or_default() });
            }
            (tried, chains, changed)
        })
    }
}

fn attempt(
    outcome: &Outcome,
    set: &AnchorSet,
    request: &Request,
    retained: &[Retained],
    archive: &[Arc<Certificate>],
) -> Attempt {
    let Captured { verdict, presented } = &outcome.captured;
    Attempt {
        lock: lock_of(outcome, set, request, retained),
        error: (!verdict.accepted).then(|| verdict.detail.clone()),
        anchor: verdict.anchor.filter(|_| verdict.accepted).and_then(|index| set.get(index)).cloned(),
        archived: if verdict.accepted { None } else { from_archive(archive, presented, request) },
        presented: presented.clone(),
    }
}

/// How good a connection is, and every reason why it is not better.
#[must_use]
pub fn lock_of(outcome: &Outcome, set: &AnchorSet, request: &Request, retained: &[Retained]) -> Lock {
    let Captured { verdict, presented } = &outcome.captured;
    let anchor = verdict.anchor.and_then(|index| set.get(index));
    let by = |anchor: &Arc<Certificate>| origin(retained, anchor.fingerprint());
    lock(&Seen {
        verdict,
        presented,
        anchor: anchor.map(Arc::as_ref),
        origin: anchor.map_or(Origin::Source, by),
        verify_peer: request.verify_peer,
        verify_host: request.verify_host,
        pinned: !request.pins.is_empty(),
        now: request.at,
    })
}

/// The configured servers without a connection: what is to be expected of each, by the chain that is remembered of it.
#[must_use]
pub fn remembered(settings: &Settings, policy: &Effective, now: Timestamp) -> Vec<ServerStatus> {
    let chains = Chains::load(&settings.store.state).unwrap_or_default();
    let known = settings.servers.iter().any(|server| chains.get(&server_key(server)).is_some());
    let set = known.then(|| read_anchors(&settings.store.merged).ok()).flatten();
    let status = |server: &Server| {
        let mut status = ServerStatus::unknown(server);
        if let (Some(set), Some(remembered)) = (&set, chains.get(&server_key(server))) {
            let request = request(settings, policy, Some(server), &target(server).host, now);
            status.forecast = foresee(remembered, set, &request);
        }
        status
    };
    settings.servers.iter().map(status).collect()
}

/// The anchor of the archive that verifies what the server presented: the one that left last.
fn from_archive(
    archive: &[Arc<Certificate>],
    presented: &Presented,
    request: &Request,
) -> Option<Arc<Certificate>> {
    let set = AnchorSet::new(archive.iter().rev().cloned());
    let verdict = trust_tls::verify(&set, presented, request);
    verdict.anchor.filter(|_| verdict.accepted).and_then(|index| set.get(index)).cloned()
}

/// A stranger's certificate that came through a proxy is the proxy's doing, most likely: then that is what is said.
fn in_words_of_the_way(
    mut attempt: Attempt,
    outcome: &Outcome,
    settings: &Settings,
    target: &Target,
    request: &Request,
) -> Attempt {
    let dialer = crate::management::desk::dialer(settings).ok();
    let proxied = dialer.filter(|dialer| attempt.error.is_some() && dialer.proxy_for(&target.host).is_some());
    if let Some(dialer) = proxied {
        let failure = refused(&outcome.captured, &dialer, target, request);
        attempt.error = Some(failure.to_string());
    }
    attempt
}

/// One connection with one handshake, by the way that the settings say: direct, or through the proxy.
///
/// # Errors
/// [`Failure`] where it did not come to a verdict.
pub async fn dial(
    settings: &Settings,
    set: Arc<AnchorSet>,
    target: &Target,
    request: Request,
) -> Result<Outcome, Failure> {
    crate::management::desk::dialer(settings)?.dial(set, target, request).await
}

/// Host and port of a configured server.
#[must_use]
pub fn target(server: &Server) -> Target {
    const HTTPS: u16 = 443;
    let host = server.url.host_str().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    Target { host: bare.to_owned(), port: server.url.port_or_known_default().unwrap_or(HTTPS) }
}

/// The name under which a server is remembered: two names of one address are one server.
#[must_use]
pub fn server_key(server: &Server) -> String {
    let Target { host, port } = target(server);
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// What is asked of a server's chain: what the policies say, as far as the local configuration lets them.
#[must_use]
pub fn request(
    settings: &Settings,
    policy: &Effective,
    server: Option<&Server>,
    host: &str,
    now: Timestamp,
) -> Request {
    let security = &settings.security;
    let mut pins: Vec<Pin> = policy.pins.iter().filter_map(|pin| Pin::parse(pin).ok().flatten()).collect();
    if let Some(pin) = server.and_then(|server| server.pin.as_ref()) {
        // The nearer one: the policies' pins are for whatever server, this one is for this.
        pins = vec![match pin {
            agent_config::Pin::Sha256(fingerprint) => Pin::Sha256(*fingerprint),
            agent_config::Pin::Sha1(digest) => Pin::Sha1(*digest),
        }];
    }
    Request {
        host: host.to_owned(),
        names: match server.map(|server| server.names) {
            Some(Names::Strict) => NameRule::Strict,
            Some(Names::Compat) | None => NameRule::Compat,
        },
        verify_peer: policy.verify_peer || !security.allow_policy_to_skip_peer,
        verify_host: policy.verify_host || !security.allow_policy_to_skip_host,
        pins,
        minimum_tls: match security.minimum_tls {
            agent_config::TlsVersion::V1_2 if !policy.tls_1_3 => TlsVersion::V1_2,
            agent_config::TlsVersion::V1_2 | agent_config::TlsVersion::V1_3 => TlsVersion::V1_3,
        },
        at: now,
    }
}

/// Reads the anchors of a bundle, or of any file of certificates, in order.
///
/// # Errors
/// Where the file cannot be read.
pub fn read_anchors(path: &std::path::Path) -> std::io::Result<AnchorSet> {
    let bytes = std::fs::read(path)?;
    let limits = Limits { max_bytes: usize::MAX, max_certificates: usize::MAX, ..Limits::default() };
    let content = Content::parse(&bytes, &limits);
    Ok(AnchorSet::new(content.found.into_iter().map(|found| found.certificate)))
}

#[cfg(test)]
mod tests;
