//! The edge of `doctor`: looks at everything and concludes nothing. It changes nothing either.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agent_config::Layout;
use agent_control::wire::StatusReport;
use agent_control::{Client, ClientError};
use agent_runtime::look::published_digest;
use agent_runtime::publish::is_temporary;
use jiff::Timestamp;
use trust_core::Fingerprint;
use trust_core::engine::Trigger;
use trust_core::facts::Facts as CertificateFacts;

use super::{Acl, Bundle, Daemon, Entry, Facts, Kind, Leftover, Named, Places, Socket, UnitFile, User, Way};
use crate::commands::{anchors, audit, lint, status};
use crate::context::Context;
use crate::error::Error;

mod servers;
mod system;

/// Looks at everything.
///
/// # Errors
/// Where the system gives no descriptors or threads.
pub(crate) fn facts(context: &Context) -> Result<Facts, Error> {
    let store = &context.settings.store;
    let places = Places {
        merged: store.merged.clone(),
        state: store.state.clone(),
        socket: context.settings.control.socket.clone(),
        smp_layout: store.layout == Layout::Smp,
    };
    let waiting = context.out.progress("asking the daemon how it is");
    let socket = socket(&places.socket)?;
    drop(waiting);
    let status = status(context, &socket);
    let unit = system::unit(context.root.as_deref());
    let service = service(context.root.as_deref(), &places.state, status.as_ref(), &unit);
    let (leftovers, strangers) = files(context);
    let put_aside = Some(places.state.join("state.json.unusable")).filter(|path| path.exists());
    let daemon_pid = status.as_ref().and_then(|status| status.daemon.as_ref()).map(|daemon| daemon.pid);
    Ok(Facts {
        sources_agree: sources_agree(context, status.as_ref()),
        bundle: settled_bundle(context, status.as_ref()),
        authorities: authorities(&places.merged),
        directories: directories(context),
        ways: ways(context, status.as_ref(), service.as_ref()),
        servers: servers::probe(context)?,
        variables: system::variables(context.root.as_deref(), daemon_pid, &unit),
        watches: service.as_ref().and_then(|service| system::watches(service.uid)),
        disks: system::disks(&places),
        smp_agent: smp_agent(context.root.as_deref()),
        daemon: Daemon {
            socket,
            lock_holder: system::lock_holder(&places.state.join("lock")),
            installed: system::is_installed(context.root.as_deref()),
        },
        unit: unit.into_iter().map(|(file, _)| file).collect(),
        audit: audit::broken(context).ok().flatten(),
        leftovers,
        strangers,
        put_aside,
        service,
        status,
        places,
    })
}

/// Whether the daemon answers: a program that takes seconds to say how it is does not.
fn socket(path: &Path) -> Result<Socket, Error> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let answer = Context::runtime()?.block_on(async {
        let mut client = Client::connect_within(path, PATIENCE).await?;
        client.status().await
    });
    Ok(match answer {
        Ok(_) => Socket::Answers,
        Err(ClientError::NotRunning { .. }) if path.symlink_metadata().is_ok() => Socket::Dead,
        Err(ClientError::NotRunning { .. }) => Socket::Missing,
        Err(ClientError::Denied { .. }) => Socket::Denied,
        Err(error) => Socket::Silent(error.to_string()),
    })
}

fn status(context: &Context, socket: &Socket) -> Option<StatusReport> {
    match socket {
        Socket::Answers => status::get(context).ok(),
        _ => status::in_process(context).ok(),
    }
}

/// Who the service runs as: who it runs as now, or whose the state directory is.
fn service(
    root: Option<&Path>,
    state: &Path,
    status: Option<&StatusReport>,
    unit: &[(UnitFile, Vec<String>)],
) -> Option<User> {
    let owner = fs::metadata(state).ok().map(|found| (found.uid(), found.gid()));
    let daemon = status.and_then(|status| status.daemon.as_ref()).map(|daemon| daemon.uid);
    let (uid, gid) = match (daemon, owner) {
        (Some(uid), owner) => (uid, owner.map_or(uid, |(_, gid)| gid)),
        (None, owner) => owner?,
    };
    Some(User { uid, gid, groups: system::groups(root, uid, unit) })
}

/// Whether a regeneration would leave the anchors as they are.
fn sources_agree(context: &Context, status: Option<&StatusReport>) -> bool {
    match context.dry_run(false, Trigger::Watch) {
        Ok(once) => once.outcome.plan.added.is_empty() && once.outcome.plan.removed.is_empty(),
        // The daemon keeps them so.
        Err(_) => status.is_some_and(|status| status.daemon.is_some()),
    }
}

/// A daemon may be about to publish, or to put right what somebody did.
fn settled_bundle(context: &Context, status: Option<&StatusReport>) -> Bundle {
    const PAUSE: Duration = Duration::from_secs(2);
    let seen = bundle(context, status);
    let running = status.is_some_and(|status| status.daemon.is_some());
    if !running || matches!(seen, Bundle::AsPublished | Bundle::Unknown) {
        return seen;
    }
    std::thread::sleep(PAUSE);
    bundle(context, status::get(context).ok().as_ref())
}

fn bundle(context: &Context, status: Option<&StatusReport>) -> Bundle {
    let path = &context.settings.store.merged;
    let Some(status) = status else { return Bundle::Unknown };
    let metadata = fs::symlink_metadata(path);
    let Some(expected) = &status.store.sha256 else {
        return match metadata {
            Ok(metadata) if metadata.is_dir() => Bundle::InTheWay("is a directory".to_owned()),
            Ok(_) => Bundle::InTheWay("is there already, and agentd has not made it".to_owned()),
            Err(_) => Bundle::AsPublished,
        };
    };
    if published_digest(path).is_some_and(|found| found.to_string() == *expected) {
        return Bundle::AsPublished;
    }
    let metadata = match metadata {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Bundle::Gone,
        Err(_) => return Bundle::Unknown,
    };
    if metadata.is_symlink() {
        return Bundle::OddFile("is a link: the store is a regular file".to_owned());
    }
    if !metadata.is_file() {
        return Bundle::OddFile("is not a regular file".to_owned());
    }
    let Ok(bytes) = fs::read(path) else { return Bundle::Unknown };
    if Fingerprint::of(&bytes).to_string() == *expected {
        return Bundle::OddFile(format!(
            "has mode {:04o} instead of 0644",
            metadata.permissions().mode() & 0o7777
        ));
    }
    let found: Vec<String> =
        lint::read_all(&bytes).iter().map(|certificate| certificate.fingerprint().to_string()).collect();
    let published: Vec<String> = anchors::get(context)
        .map(|report| report.anchors.into_iter().map(|anchor| anchor.fingerprint).collect())
        .unwrap_or_default();
    let missing = |of: &[String], from: &[String]| of.iter().filter(|one| !from.contains(one)).count();
    Bundle::Edited { more: missing(&found, &published), less: missing(&published, &found) }
}

fn authorities(merged: &Path) -> Vec<Named> {
    let mut names = Vec::new();
    let certificates = fs::read(merged).map(|bytes| lint::read_all(&bytes)).unwrap_or_default();
    let named = |(index, certificate): (usize, &std::sync::Arc<trust_core::Certificate>)| {
        let facts = CertificateFacts::parse(certificate.der()).ok().filter(CertificateFacts::may_issue)?;
        let name = names.iter().position(|known| *known == facts.subject_name).unwrap_or_else(|| {
            names.push(facts.subject_name.clone());
            names.len() - 1
        });
        Some(Named {
            number: index + 1,
            subject: certificate.subject().to_owned(),
            name,
            key: facts.spki_sha256.to_string(),
            has_key_id: facts.subject_key_id.is_some(),
        })
    };
    certificates.iter().enumerate().filter_map(named).collect()
}

fn directories(context: &Context) -> Vec<Entry> {
    let store = &context.settings.store;
    let private = [store.state.clone(), store.state.join("snapshots"), store.state.join("generations")];
    // In the other layout the directories belong to another agent.
    let ours = store.layout == Layout::Default;
    let public = store.merged.parent().map(Path::to_owned).into_iter().chain([store.policies.clone()]);
    let kind = if ours { Kind::Public } else { Kind::Other };
    let all = private.into_iter().map(|path| (path, Kind::Private)).chain(public.map(|path| (path, kind)));
    all.filter_map(|(path, kind)| entry(&path, kind)).collect()
}

fn entry(path: &Path, kind: Kind) -> Option<Entry> {
    let metadata = fs::metadata(path).ok()?;
    Some(Entry {
        path: path.to_owned(),
        uid: metadata.uid(),
        gid: metadata.gid(),
        mode: metadata.mode() & 0o7777,
        acl: acl(path),
        kind,
    })
}

fn acl(path: &Path) -> Option<Acl> {
    // The largest value of an attribute on Linux.
    let mut value = vec![0; 1 << 16];
    let length = rustix::fs::getxattr(path, Acl::ATTRIBUTE, value.as_mut_slice()).ok()?;
    Acl::parse(value.get(..length)?)
}

fn ways(context: &Context, status: Option<&StatusReport>, service: Option<&User>) -> Vec<Way> {
    let root = context.root.as_deref();
    let merged = &context.settings.store.merged;
    let mut ways = Vec::new();
    if merged.is_file() {
        ways.push(way(merged, root, None));
    }
    let Some(status) = status else { return ways };
    // Where the service runs, or this is its user, somebody has tried.
    let tried = status.daemon.is_some()
        || service.is_none_or(|service| service.uid == rustix::process::geteuid().as_raw());
    if tried {
        return ways;
    }
    let there = status.sources.iter().map(|source| PathBuf::from(&source.path)).filter(|path| path.exists());
    ways.extend(there.map(|path| way(&path, root, service)));
    ways
}

fn way(path: &Path, root: Option<&Path>, who: Option<&User>) -> Way {
    let mut above: Vec<&Path> = path.ancestors().collect();
    if let Some(root) = root {
        above.retain(|place| !path.starts_with(root) || place.starts_with(root));
    }
    let entries = above.into_iter().rev().filter_map(|place| entry(place, Kind::Other)).collect();
    Way { path: path.to_owned(), entries, who: who.cloned() }
}

/// What publications left behind, and what is not ours in the state directory.
fn files(context: &Context) -> (Vec<Leftover>, Vec<PathBuf>) {
    let store = &context.settings.store;
    let now = Timestamp::now().as_second();
    let mut leftovers = Vec::new();
    let mut directories = vec![
        store.state.clone(),
        store.state.join("snapshots"),
        store.state.join("generations"),
        store.policies.clone(),
        context.settings.refresh.anchors.clone(),
    ];
    directories.extend(store.merged.parent().map(Path::to_owned));
    directories.sort();
    directories.dedup();
    for directory in &directories {
        for found in list(directory) {
            let written = fs::symlink_metadata(&found).ok().filter(fs::Metadata::is_file);
            if let Some(metadata) = written.filter(|_| found.file_name().is_some_and(is_temporary)) {
                leftovers.push(Leftover { path: found, age: now.saturating_sub(metadata.mtime()) });
            }
        }
    }
    let is_ours = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| is_temporary(name) || name.to_str().is_some_and(|name| OURS.contains(&name)))
    };
    let strangers = list(&store.state).into_iter().filter(|path| !is_ours(path)).collect();
    (leftovers, strangers)
}

fn list(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn smp_agent(root: Option<&Path>) -> Option<PathBuf> {
    let programs = system::under(root, "/opt/altiris/notification/nsagent/bin");
    programs.is_dir().then_some(programs)
}

/// What agentd and agentctl keep in the state directory.
const OURS: &[&str] = &[
    "audit.jsonl",
    "audit.jsonl.1",
    "chains.json",
    "generations",
    "inventory",
    "lock",
    "management-pending.json",
    "management.json",
    "snapshots",
    "sources.lock",
    "state.json",
    "state.json.previous",
    "state.json.unusable",
];
