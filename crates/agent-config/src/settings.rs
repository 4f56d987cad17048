//! What counts: every default applied, every rule between values kept.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use trust_core::Fingerprint;
use url::Url;

use crate::error::{Error, Placed};
use crate::fragment::{Fragment, ServerInput};
use crate::layout::{self, Layout, Platform};

/// All that can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `[store]`: where the sources, the store and the state lie.
    pub store: Store,
    /// `[control]`: how `agentctl` reaches the daemon.
    pub control: Control,
    /// `[sources]`: which files may be sources.
    pub sources: Sources,
    /// `[watch]`: how changes are noticed.
    pub watch: Watch,
    /// `[security]`: how far a policy may go.
    pub security: Security,
    /// `[distrust]`: anchors that may never be in the store.
    pub distrust: Distrust,
    /// `[guard]`: what keeps anchors that servers need.
    pub guard: Guard,
    /// `[history]`: how many generations of the store are kept.
    pub history: History,
    /// `[log]`: what is logged, and how.
    pub log: Log,
    /// `[metrics]`: what others watch this service by.
    pub metrics: Metrics,
    /// `[connect]`: connections to servers.
    pub connect: Connect,
    /// `[proxy]`: the way to them.
    pub proxy: Proxy,
    /// `[refresh]`: policies from them.
    pub refresh: Refresh,
    /// `[inventory]`: what they are told.
    pub inventory: Inventory,
    /// `[[server]]`, in the order of the file. Names are unique.
    pub servers: Vec<Server>,
}

/// Where the sources, the store and the state lie. All paths are different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Where the paths come from that are not set singly.
    pub layout: Layout,
    /// File of the bootstrap anchors.
    pub bootstrap: PathBuf,
    /// File of the site servers' anchors.
    pub site: PathBuf,
    /// The store that consumers read.
    pub merged: PathBuf,
    /// Directory of the policies.
    pub policies: PathBuf,
    /// Directory of state, generations and lock.
    pub state: PathBuf,
}

/// How `agentctl` reaches the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// The control socket.
    pub socket: PathBuf,
}

/// Which files may be sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// User ids that may own a source and the directories above it, beside root and the daemon's own.
    pub allow_owner: Vec<u32>,
    /// Files and directories under which owner and mode are not judged.
    pub trusted_paths: Vec<PathBuf>,
    /// Largest source, in bytes.
    pub max_bytes: usize,
    /// Most certificates in one source.
    pub max_certificates: usize,
}

/// How changes are noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Time between two looks at all sources, whatever the watching says.
    pub poll_interval: Duration,
    /// The same while watching does not work. Never longer than `poll_interval`.
    pub degraded_poll_interval: Duration,
    /// Quiet time after a change that may go on before the sources are looked at.
    pub settle: Duration,
}

/// How far a policy may go, and the floor of all connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// Whether a policy's `SSLVerifyHost="no"` is obeyed.
    pub allow_policy_to_skip_host: bool,
    /// Whether a policy's `SSLVerifyPeer="no"` is obeyed.
    pub allow_policy_to_skip_peer: bool,
    /// Oldest version of TLS that is spoken.
    pub minimum_tls: TlsVersion,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// Anchors that may never be in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distrust {
    /// Their SHA-256 fingerprints.
    pub fingerprints: BTreeSet<Fingerprint>,
}

/// What keeps anchors that servers need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Whether it does.
    pub enabled: bool,
    /// For how long an anchor is retained that no source holds any more; `None` for ever.
    pub retain_for: Option<Duration>,
    /// Whether an anchor that left the store comes back where it is the only one that verifies a server.
    pub archive: bool,
}

/// How many generations of the store are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Their number, the present one included.
    pub generations: u64,
    /// Their age; the present one and the one before it are always kept.
    pub max_age: Duration,
}

/// What others watch this service by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// The file for node_exporter's textfile collector; `None` for none.
    pub textfile: Option<PathBuf>,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The least important that is logged.
    pub level: Level,
    /// The form.
    pub format: LogFormat,
}

/// How important a log event must be, from the most important on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What failed.
    Error,
    /// What will, or might.
    Warn,
    /// What happened.
    Info,
    /// Why.
    Debug,
    /// Every step.
    Trace,
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// The journal under systemd, text otherwise.
    Auto,
    /// Lines for people, on standard error.
    Text,
    /// One JSON object a line, on standard error.
    Json,
}

/// Connections to servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// Longest time for each step of a connection: its name, TCP, a proxy, the handshake.
    pub timeout: Duration,
    /// Longest time from a request to the head of its answer.
    pub first_byte_timeout: Duration,
    /// Longest time for the rest of an answer.
    pub body_timeout: Duration,
    /// Time between two checks of each server.
    pub check_interval: Duration,
}

/// The way to the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// The HTTP proxy; `None` for none.
    pub url: Option<Url>,
    /// A file with `user:password`.
    pub credentials_file: Option<PathBuf>,
    /// Hosts that are reached without it.
    pub no_proxy: Vec<String>,
}

/// Policies from the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refresh {
    /// Path of the index on the server; `None` where policies come in another way.
    pub index: Option<String>,
    /// Time between two refreshes.
    pub interval: Duration,
    /// The longest pause between two attempts at a server that does not answer.
    pub longest_pause: Duration,
    /// Directory of the anchors that policies bring with them.
    pub anchors: PathBuf,
}

/// What the servers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// Path on the server that takes it; `None` where none does.
    pub path: Option<String>,
    /// Time between two.
    pub interval: Duration,
    /// The form that is sent.
    pub form: InventoryForm,
}

/// A form of the inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InventoryForm {
    /// JSON.
    Json,
    /// XML.
    Xml,
}

/// A server that the agent connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its name in tables, logs and commands; the host where none is set.
    pub name: String,
    /// `https`, host and port; the path is `/`.
    pub url: Url,
    /// How its certificate must name it.
    pub names: Names,
    /// The one certificate that it may present.
    pub pin: Option<Pin>,
    /// What it is to the agent.
    pub role: Role,
    /// It is tried before all others.
    pub favourite: bool,
    /// The addresses of the endpoints that it is meant for, as they are written; none for all.
    pub ranges: Vec<String>,
    /// The lower, the earlier it is tried.
    pub priority: u32,
}

/// How a server's certificate must name the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// By a subject alternative name, or by the common name where the certificate has no alternative name.
    Compat,
    /// By a subject alternative name.
    Strict,
}

/// The fingerprint of the one certificate that a server may present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// SHA-256 of its DER.
    Sha256(Fingerprint),
    /// SHA-1 of its DER: weak, for what older tools show.
    Sha1([u8; 20]),
}

/// What a server is to the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It sends policies and receives inventory.
    Management,
    /// It holds packages.
    Site,
}

impl Settings {
    /// Applies the defaults to what a file says. `root`, which must be absolute, goes before every default path; paths
    /// that the file sets are taken as written.
    ///
    /// # Errors
    /// Values that are good alone and not together: one path for two things, one name for two servers, a degraded poll
    /// that is slower than the usual one.
    pub fn resolve(fragment: &Fragment, root: Option<&Path>) -> Result<Self, Error> {
        Self::resolve_on(Platform::CURRENT, fragment, root)
    }

    pub(crate) fn resolve_on(
        platform: Platform,
        from: &Fragment,
        root: Option<&Path>,
    ) -> Result<Self, Error> {
        let socket = or(&from.socket, layout::socket(platform, root));
        Ok(Self {
            store: store(platform, from, root, &socket)?,
            control: Control { socket },
            sources: Sources {
                // The parser has kept both within their types.
                allow_owner: from
                    .allow_owner
                    .iter()
                    .flatten()
                    .filter_map(|&uid| u32::try_from(uid).ok())
                    .collect(),
                trusted_paths: from.trusted_paths.clone().unwrap_or_default(),
                max_bytes: size(&from.max_bytes, MAX_BYTES),
                max_certificates: size(&from.max_certificates, MAX_CERTIFICATES),
            },
            watch: watch(from)?,
            security: Security {
                allow_policy_to_skip_host: or(&from.allow_policy_to_skip_host, true),
                allow_policy_to_skip_peer: or(&from.allow_policy_to_skip_peer, false),
                minimum_tls: or(&from.minimum_tls, TlsVersion::V1_2),
            },
            distrust: Distrust { fingerprints: from.distrusted.iter().flatten().copied().collect() },
            guard: Guard {
                enabled: or(&from.guard, true),
                retain_for: or(&from.retain_for, None),
                archive: or(&from.archive, true),
            },
            history: History {
                generations: or(&from.generations, GENERATIONS),
                max_age: or(&from.max_age, MAX_AGE),
            },
            log: Log { level: or(&from.level, Level::Info), format: or(&from.format, LogFormat::Auto) },
            metrics: Metrics { textfile: or(&from.textfile, None) },
            connect: Connect {
                timeout: or(&from.timeout, TIMEOUT),
                first_byte_timeout: or(&from.first_byte_timeout, FIRST_BYTE_TIMEOUT),
                body_timeout: or(&from.body_timeout, BODY_TIMEOUT),
                check_interval: or(&from.check_interval, CHECK_INTERVAL),
            },
            proxy: proxy(from)?,
            refresh: Refresh {
                index: or(&from.index, None),
                interval: or(&from.refresh_interval, REFRESH_INTERVAL),
                longest_pause: or(&from.longest_pause, LONGEST_PAUSE),
                anchors: or(&from.anchors, layout::anchors(platform, root)),
            },
            inventory: Inventory {
                path: or(&from.inventory_path, None),
                interval: or(&from.inventory_interval, INVENTORY_INTERVAL),
                form: or(&from.inventory_form, InventoryForm::Json),
            },
            servers: servers(from)?,
        })
    }
}

fn store(platform: Platform, from: &Fragment, root: Option<&Path>, socket: &Path) -> Result<Store, Error> {
    let defaults = layout::store(or(&from.layout, Layout::Default), platform, root);
    let store = Store {
        layout: defaults.layout,
        bootstrap: or(&from.bootstrap, defaults.bootstrap),
        site: or(&from.site, defaults.site),
        merged: or(&from.merged, defaults.merged),
        policies: or(&from.policies, defaults.policies),
        state: or(&from.state, defaults.state),
    };
    let anchors = or(&from.anchors, layout::anchors(platform, root));
    let paths = [
        ("bootstrap", &from.bootstrap, store.bootstrap.as_path()),
        ("site", &from.site, &store.site),
        ("merged", &from.merged, &store.merged),
        ("policies", &from.policies, &store.policies),
        ("state", &from.state, &store.state),
        ("socket", &from.socket, socket),
        ("anchors", &from.anchors, &anchors),
    ];
    // A store that is its own source would grow for ever; the other pairs make no more sense.
    for (index, (second, second_input, path)) in paths.iter().enumerate() {
        for (first, first_input, _) in paths[..index].iter().filter(|(_, _, other)| other == path) {
            // The defaults differ, so one of the two is set.
            if let Some(set) = second_input.as_ref().or(first_input.as_ref()) {
                return Err(from
                    .source
                    .error(&set.at, format!("\"{first}\" and \"{second}\" are the same path")));
            }
        }
    }
    // What is written over and over may not be one of them, nor lie where others are read.
    if let Some(Placed { value: Some(textfile), at }) = &from.textfile
        && let Some((name, ..)) = paths.iter().find(|(name, _, path)| {
            textfile == path || (matches!(*name, "policies" | "state") && textfile.starts_with(path))
        })
    {
        return Err(from.source.error(at, format!("\"textfile\" and \"{name}\" are the same place")));
    }
    Ok(store)
}

fn watch(from: &Fragment) -> Result<Watch, Error> {
    let poll_interval = or(&from.poll_interval, POLL_INTERVAL);
    let degraded_poll_interval = or(&from.degraded_poll_interval, DEGRADED_POLL_INTERVAL.min(poll_interval));
    if let Some(set) = from.degraded_poll_interval.as_ref().filter(|_| degraded_poll_interval > poll_interval)
    {
        let message =
            "\"degraded-poll-interval\" must not be longer than \"poll-interval\": it stands in for watching";
        return Err(from.source.error(&set.at, message));
    }
    Ok(Watch { poll_interval, degraded_poll_interval, settle: or(&from.settle, SETTLE) })
}

fn proxy(from: &Fragment) -> Result<Proxy, Error> {
    let url = or(&from.proxy, None);
    let credentials_file = or(&from.proxy_credentials, None);
    if let Some(set) = from.proxy_credentials.as_ref().filter(|set| set.value.is_some() && url.is_none()) {
        let message = "\"credentials-file\" without \"url\": credentials for which proxy?";
        return Err(from.source.error(&set.at, message));
    }
    Ok(Proxy { url, credentials_file, no_proxy: from.no_proxy.clone().unwrap_or_default() })
}

fn servers(from: &Fragment) -> Result<Vec<Server>, Error> {
    let mut servers: Vec<Server> = Vec::new();
    for input in &from.servers {
        let server = server(input);
        if servers.iter().any(|other| other.name == server.name) {
            let at = input.name.as_ref().map_or(&input.url.at, |name| &name.at);
            let message = format!("a second server named \"{}\"", server.name);
            let hint =
                input.name.is_none().then(|| "give each a \"name\": without one the host counts".to_owned());
            return Err(from.source.error(at, message).hint(hint));
        }
        servers.push(server);
    }
    Ok(servers)
}

fn server(input: &ServerInput) -> Server {
    let url = input.url.value.clone();
    let host = url.host_str().unwrap_or_default().to_owned();
    Server {
        name: or(&input.name, host),
        url,
        names: or(&input.names, Names::Compat),
        pin: input.pin.as_ref().map(|pin| pin.value),
        role: or(&input.role, Role::Management),
        favourite: or(&input.favourite, false),
        ranges: input.ranges.clone().unwrap_or_default(),
        // The parser has kept it within its type.
        priority: u32::try_from(or(&input.priority, PRIORITY)).unwrap_or(u32::MAX),
    }
}

fn or<T: Clone>(value: &Option<Placed<T>>, default: T) -> T {
    value.as_ref().map_or(default, |placed| placed.value.clone())
}

fn size(value: &Option<Placed<u64>>, default: usize) -> usize {
    value.as_ref().and_then(|placed| usize::try_from(placed.value).ok()).unwrap_or(default)
}

/// Room for 10,000 certificates of usual size in PEM; the largest public root store takes a fiftieth.
const MAX_BYTES: usize = 16 << 20;
/// Fifty times the largest public root store.
const MAX_CERTIFICATES: usize = 10_000;
/// The slow look that finds what watching missed.
const POLL_INTERVAL: Duration = Duration::from_secs(30);
/// The look that stands in for watching: soon enough for a person who waits for it.
const DEGRADED_POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Tools that write in pieces do so within a few milliseconds; a change shall arrive within 50 ms.
const SETTLE: Duration = Duration::from_millis(5);
/// Enough for a year of monthly changes with their steps, and some hundred kilobytes at the size of a site's store.
const GENERATIONS: u64 = 50;
/// Two years: what was in force at any audit's question.
const MAX_AGE: Duration = Duration::from_secs(730 * 86_400);
/// Enough for a handshake over a satellite line.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Often enough to see a server change its certificate before the next working day.
const CHECK_INTERVAL: Duration = Duration::from_secs(3_600);
/// A server under the load of a whole fleet takes its time, and then answers.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);
/// A megabyte over the slowest line that is still a line.
const BODY_TIMEOUT: Duration = Duration::from_secs(120);
/// As often as consoles of this kind do; a change of certificates is announced days ahead.
const REFRESH_INTERVAL: Duration = Duration::from_secs(4 * 3_600);
/// After a night's outage all are back within a quarter of an hour.
const LONGEST_PAUSE: Duration = Duration::from_secs(900);
/// What it says changes slowly.
const INVENTORY_INTERVAL: Duration = Duration::from_secs(86_400);
/// In the middle of what people write.
const PRIORITY: u64 = 100;
