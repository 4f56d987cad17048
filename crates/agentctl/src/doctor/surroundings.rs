//! What is around: servers and their clocks, variables, limits of the system, disks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use agent_control::wire::{Problem, Severity};
use agent_runtime::escape::{escaped, quoted};

use super::{Facts, Finding};

/// A server that was tried just now.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub url: String,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
    /// Seconds that its clock is ahead of ours, where it is verified and said so.
    pub ahead: Option<i64>,
}

/// A variable that makes programs read other anchors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub name: String,
    pub value: String,
    /// Where it is set, in words.
    pub place: String,
    pub place_kind: PlaceKind,
    /// It is of the service, which heeds none of them.
    pub of_service: bool,
}

/// Where a variable is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlaceKind {
    /// In the environment of this process.
    Shell,
    /// In a file of assignments.
    File,
    /// In the unit or in the environment of the service.
    Unit,
}

impl PlaceKind {
    /// The command that takes the variables away.
    fn unset(self, place: &str, names: &[&str]) -> Option<String> {
        match self {
            Self::Shell => Some(format!("unset {}", names.join(" "))),
            Self::File => {
                Some(format!("sed -i -E '/^ *({})=/d' {}", names.join("|"), quoted(Path::new(place))))
            }
            Self::Unit => Some("systemctl edit agentd".to_owned()),
        }
    }
}

/// The system's limits on watching, for the service's user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Watches {
    pub most: u64,
    pub used: u64,
    pub most_instances: u64,
    pub instances: u64,
}

/// The file system of a directory of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disk {
    pub directory: PathBuf,
    /// Octets that are free for us.
    pub free: u64,
    /// Files that can still be made; `None` where that has no limit.
    pub files: Option<u64>,
    pub read_only: bool,
    /// What one publication takes at most.
    pub needed: u64,
}

/// A file that changes the unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitFile {
    pub path: PathBuf,
    pub kind: UnitKind,
}

/// How a file changes the unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UnitKind {
    /// It is a link to nothing.
    Masked,
    /// It stands in the place of the packaged one.
    Replaced,
    /// It adds and changes these keys.
    DropIn(Vec<String>),
}

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    let of_servers = facts.servers.iter().flat_map(|server| &server.problems);
    found.extend(of_servers.map(|problem| Finding {
        problem: problem.clone(),
        fixable: false,
        repair: None,
    }));
    found.extend(facts.servers.iter().filter_map(clock));
    found.extend(overriding(&facts.variables, &facts.places.merged));
    found.extend(facts.watches.and_then(watches));
    found.extend(facts.disks.iter().filter_map(disk));
    found
}

fn clock(server: &Server) -> Option<Finding> {
    let ahead = server.ahead.filter(|ahead| ahead.abs() >= TOLERATED)?;
    let (word, seconds) = if ahead > 0 { ("behind", ahead) } else { ("ahead of", -ahead) };
    let severity = if seconds >= BAD { Severity::Error } else { Severity::Warning };
    Some(Finding::new(
        "clock-skew",
        severity,
        format!("this clock is {seconds} s {word} that of {}", server.url),
        "certificates are judged by this clock: too early they are not yet valid, too late they have expired. The server is \
         verified, so its clock is worth a look as well.",
        vec!["timedatectl set-ntp true".to_owned(), "timedatectl timesync-status".to_owned()],
    ))
}

/// One finding for each place: who mends one mends all of them.
fn overriding(variables: &[Variable], store: &Path) -> Vec<Finding> {
    let heeded: Vec<&Variable> = variables
        .iter()
        .filter(|variable| !variable.value.is_empty() && Path::new(&variable.value) != store)
        .collect();
    let places: BTreeSet<(bool, &str)> =
        heeded.iter().map(|variable| (variable.of_service, variable.place.as_str())).collect();
    let finding = |(of_service, place): (bool, &str)| {
        let here: Vec<&&Variable> = heeded
            .iter()
            .filter(|variable| variable.place == place && variable.of_service == of_service)
            .collect();
        let said: Vec<String> = here
            .iter()
            .map(|variable| format!("{}={}", variable.name, escaped(Path::new(&variable.value))))
            .collect();
        let names: Vec<&str> = here.iter().map(|variable| variable.name.as_str()).collect();
        let (severity, why) = if of_service {
            (Severity::Info, "agentd heeds none of these; programs that it would start would.".to_owned())
        } else {
            (
                Severity::Warning,
                format!("programs that heed {} read that and not {}.", one_of(&names), escaped(store)),
            )
        };
        let mut fix: Vec<String> = here[0].place_kind.unset(place, &names).into_iter().collect();
        if !of_service {
            fix.push(format!("or let them name the store: {}", quoted(store)));
        }
        Finding::new("environment-overrides", severity, format!("{place} sets {}", said.join(", ")), why, fix)
    };
    places.into_iter().map(finding).collect()
}

fn one_of(names: &[&str]) -> &'static str {
    if names.len() == 1 { "it" } else { "one of them" }
}

fn watches(limits: Watches) -> Option<Finding> {
    let short = |used: u64, most: u64, spare: u64| used.saturating_add(spare) > most;
    let watches = short(limits.used, limits.most, SPARE_WATCHES);
    let instances = short(limits.instances, limits.most_instances, SPARE_INSTANCES);
    let (key, used, most) = match (watches, instances) {
        (false, false) => return None,
        (true, _) => ("max_user_watches", limits.used, limits.most),
        (false, true) => ("max_user_instances", limits.instances, limits.most_instances),
    };
    let more = most.saturating_mul(2).max(if watches { 8192 } else { 128 });
    Some(Finding::new(
        "watch-limit",
        Severity::Warning,
        format!("fs.inotify.{key} is {most}, and {used} are in use by the service's user"),
        "a directory that cannot be watched is looked at every few seconds instead of at once.",
        vec![
            format!("sysctl -w fs.inotify.{key}={more}"),
            format!("echo fs.inotify.{key}={more} > /etc/sysctl.d/60-agentd.conf"),
        ],
    ))
}

fn disk(disk: &Disk) -> Option<Finding> {
    let path = escaped(&disk.directory);
    let look = || vec![format!("findmnt -T {}", quoted(&disk.directory))];
    if disk.read_only {
        return Some(Finding::new(
            "disk-read-only",
            Severity::Error,
            format!("{path} is on a file system that is mounted read-only"),
            "nothing can be published there: the store stays as it is, whatever its sources say.",
            [look(), vec!["dmesg --level=err".to_owned()]].concat(),
        ));
    }
    let few_files = disk.files.is_some_and(|files| files < FILES);
    let full = disk.free < disk.needed || disk.files.is_some_and(|files| files < FILES_NEEDED);
    if disk.free >= disk.needed.max(SPACE) && !few_files {
        return None;
    }
    let what = if few_files && disk.free >= disk.needed.max(SPACE) {
        format!("room for {} more files", disk.files.unwrap_or_default())
    } else {
        format!("{} KiB free", disk.free / 1024)
    };
    Some(Finding::new(
        "disk-space",
        if full { Severity::Error } else { Severity::Warning },
        format!("{path} has {what}"),
        format!(
            "a publication writes new files before the old ones go, and takes up to {} KiB; without them the old store stays.",
            disk.needed / 1024
        ),
        vec![format!("df -h {0}; df -i {0}", quoted(&disk.directory))],
    ))
}

/// Seconds between two clocks that nobody needs to mend: an answer takes its time, and a date has whole seconds.
const TOLERATED: i64 = 30;
/// From here on a certificate that is made and used at once is refused.
const BAD: i64 = 300;
/// What a daemon with a few policies watches, and more.
const SPARE_WATCHES: u64 = 64;
const SPARE_INSTANCES: u64 = 2;
/// Below this a disk is as good as full.
const SPACE: u64 = 16 << 20;
const FILES: u64 = 256;
const FILES_NEEDED: u64 = 16;
