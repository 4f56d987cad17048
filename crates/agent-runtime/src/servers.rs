//! The management servers: when each is tried with the store, and how it was last reached.

use std::path::PathBuf;
use std::sync::Arc;

use agent_config::{Names, Server, Settings};
use agent_control::wire::ServerReport;
use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use trust_core::Certificate;
use trust_core::engine::Reached;
use trust_core::guard::Archived;
use trust_core::policy::Effective;
use trust_core::source::Content;
use trust_formats::certificates::Limits;
use trust_tls::connect::{ConnectError, Outcome, Target, connect};
use trust_tls::{AnchorSet, NameRule, Pin, Presented, Request, TlsVersion};

use crate::report::EXPIRY_NOTICE;

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
        }
    }

    fn take_in(&mut self, attempt: Result<&Attempt, &ConnectError>, now: Timestamp) {
        match attempt {
            Ok(attempt) => {
                self.lock = Some(attempt.lock);
                self.reason.clone_from(&attempt.reason);
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
    lock: LockState,
    reason: Option<String>,
    error: Option<String>,
    anchor: Option<Arc<Certificate>>,
    /// No anchor of the store verifies it, and this one of the archive does.
    archived: Option<Arc<Certificate>>,
}

/// All configured servers.
pub struct Servers {
    settings: Settings,
    bundle: PathBuf,
    policy: Effective,
    /// Anchors that left the store.
    archive: Vec<Archived>,
    statuses: Vec<ServerStatus>,
    due: Option<Instant>,
    job: Option<JoinHandle<Vec<Result<Attempt, ConnectError>>>>,
}

impl Servers {
    /// The servers of the configuration, none of them tried yet: they are once the store stands.
    #[must_use]
    pub fn new(settings: &Settings, bundle: PathBuf) -> Self {
        Self {
            statuses: settings.servers.iter().map(ServerStatus::unknown).collect(),
            settings: settings.clone(),
            bundle,
            policy: Effective::default(),
            archive: Vec::new(),
            due: None,
            job: None,
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
            let attempts = job.await;
            self.job = None;
            return self.take_in(attempts.unwrap_or_default());
        }
        match self.due {
            None => std::future::pending().await,
            Some(due) => tokio::time::sleep_until(due).await,
        }
        self.due = Some(Instant::now() + self.settings.connect.check_interval);
        self.job = Some(self.start());
        Vec::new()
    }

    fn take_in(&mut self, attempts: Vec<Result<Attempt, ConnectError>>) -> Vec<Reached> {
        let now = Timestamp::now();
        let mut reached = Vec::new();
        let tried = self.statuses.iter_mut().zip(&self.settings.servers).zip(attempts);
        for ((status, server), attempt) in tried {
            status.take_in(attempt.as_ref(), now);
            crate::journal::server(status);
            let Ok(attempt) = attempt else { continue };
            let archived = attempt.archived.is_some();
            if let Some(anchor) = attempt.anchor.or(attempt.archived) {
                reached.push(Reached { server: server_key(server), anchor, archived });
            }
        }
        reached
    }

    fn start(&self) -> JoinHandle<Vec<Result<Attempt, ConnectError>>> {
        let now = Timestamp::now();
        let limit = self.settings.connect.timeout;
        let bundle = self.bundle.clone();
        let archive: Vec<Arc<Certificate>> =
            self.archive.iter().map(|archived| Arc::clone(&archived.certificate)).collect();
        let wanted: Vec<(Target, Request)> = self
            .settings
            .servers
            .iter()
            .map(|server| {
                let target = target(server);
                let request = request(&self.settings, &self.policy, Some(server), &target.host, now);
                (target, request)
            })
            .collect();
        tokio::spawn(async move {
            let set = tokio::task::spawn_blocking(move || read_anchors(&bundle)).await;
            // The set is made anew for each round and dropped after it: an idle daemon keeps no index.
            let set = Arc::new(set.ok().and_then(Result::ok).unwrap_or_else(|| AnchorSet::new([])));
            let mut attempts = Vec::new();
            for (target, request) in wanted {
                let verify_peer = request.verify_peer;
                let verify_host = request.verify_host;
                let outcome = connect(Arc::clone(&set), &target, request.clone(), limit).await;
                attempts.push(outcome.map(|outcome| {
                    let mut attempt = attempt(&outcome, &set, verify_peer && verify_host, now);
                    if !outcome.captured.verdict.accepted {
                        attempt.archived = from_archive(&archive, &outcome.captured.presented, &request);
                    }
                    attempt
                }));
            }
            attempts
        })
    }
}

fn attempt(outcome: &Outcome, set: &AnchorSet, all_verified: bool, now: Timestamp) -> Attempt {
    let verdict = &outcome.captured.verdict;
    let (lock, reason) = lock_state(outcome, set, all_verified, now);
    Attempt {
        lock,
        reason,
        error: (!verdict.accepted).then(|| verdict.detail.clone()),
        anchor: verdict.anchor.filter(|_| verdict.accepted).and_then(|index| set.get(index)).cloned(),
        archived: None,
    }
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

/// How good a connection is, and the code of why it is not better.
#[must_use]
pub fn lock_state(
    outcome: &Outcome,
    set: &AnchorSet,
    all_verified: bool,
    now: Timestamp,
) -> (LockState, Option<String>) {
    let verdict = &outcome.captured.verdict;
    if !verdict.accepted {
        return (LockState::Insecure, Some(verdict.code.code().to_owned()));
    }
    let Some(anchor) = verdict.anchor.and_then(|index| set.get(index)) else {
        return (LockState::Insecure, Some("peer-not-verified".to_owned()));
    };
    let soon = now.checked_add(EXPIRY_NOTICE).unwrap_or(Timestamp::MAX);
    let leaf_end = leaf_end(&outcome.captured.presented);
    if !all_verified {
        (LockState::Attention, Some("host-not-verified".to_owned()))
    } else if leaf_end.is_some_and(|end| end < soon) {
        (LockState::Attention, Some("server-certificate-expires".to_owned()))
    } else if anchor.not_after() < soon {
        (LockState::Attention, Some("anchor-expires".to_owned()))
    } else {
        (LockState::Secure, None)
    }
}

/// When the server's own certificate ends.
#[must_use]
pub fn leaf_end(presented: &Presented) -> Option<Timestamp> {
    Certificate::parse(&presented.leaf.der).ok().map(|leaf| leaf.not_after())
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
            agent_config::TlsVersion::V1_2 => TlsVersion::V1_2,
            agent_config::TlsVersion::V1_3 => TlsVersion::V1_3,
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
