//! Files: the store as it was published, the ways to what is read, and what lies about.

use std::path::{Path, PathBuf};

use agent_control::wire::Severity;
use agent_runtime::escape::{escaped, quoted};

use super::access::{Acl, User, may};
use super::{Facts, Finding, Repair};

/// Something on disk, links followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub path: PathBuf,
    pub uid: u32,
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    /// An access list that says more than the mode.
    pub acl: Option<Acl>,
    /// For what it is there, where it is a directory of ours.
    pub kind: Kind,
}

/// What a directory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// State: for the service alone.
    Private,
    /// The store and the policies: written by the service, read by all.
    Public,
    /// Anything else.
    Other,
}

/// The way to a file, from the top, the file itself last.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub path: PathBuf,
    pub entries: Vec<Entry>,
    /// Who has to come through; `None` for everybody.
    pub who: Option<User>,
}

/// The store's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bundle {
    /// As it was published; or nothing was published and nothing is there.
    AsPublished,
    /// There is none, and one was published.
    Gone,
    /// Not the one that was published.
    Edited {
        /// Certificates in it that the published one had not, and the other way round.
        more: usize,
        less: usize,
    },
    /// Its content is right; its mode is not, or it is a link.
    OddFile(String),
    /// Something that is not ours is in its place, and nothing was published yet.
    InTheWay(String),
    /// Not known.
    Unknown,
}

/// A file that a publication of ours did not come to put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leftover {
    pub path: PathBuf,
    /// Seconds since it was written.
    pub age: i64,
}

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(bundle(facts));
    found.extend(facts.directories.iter().flat_map(|entry| directory(entry, facts.service.as_ref())));
    found.extend(facts.ways.iter().filter_map(way));
    found.extend(facts.leftovers.iter().filter(|leftover| leftover.age >= SETTLED).map(leftover));
    found.extend(facts.strangers.iter().map(|path| stranger(path)));
    found.extend(facts.audit.as_deref().map(audit_broken));
    found.extend(facts.put_aside.as_deref().map(put_aside));
    found.extend(facts.smp_agent.as_deref().map(|programs| smp_agent(facts, programs)));
    found
}

fn bundle(facts: &Facts) -> Option<Finding> {
    let path = &facts.places.merged;
    let shown = escaped(path);
    let running = facts.status.as_ref().is_some_and(|status| status.daemon.is_some());
    let why = if running {
        "the daemon has not put it right: programs read what is there."
    } else {
        "no daemon puts it right: programs read what is there."
    };
    let edited = |title: String| Finding::new("store-edited", Severity::Error, title, why, Vec::new());
    let finding = match &facts.bundle {
        Bundle::AsPublished | Bundle::Unknown => return None,
        Bundle::Gone => edited(format!("{shown} is gone")),
        Bundle::OddFile(what) => edited(format!("{shown} {what}")),
        Bundle::Edited { more: 0, less: 0 } => {
            edited(format!("{shown} was changed by hand (the same certificates, other text or order)"))
        }
        Bundle::Edited { more, less } => {
            edited(format!("{shown} was changed by hand ({more} more and {less} less than were published)"))
        }
        Bundle::InTheWay(what) => {
            return Some(Finding::new(
                "file-in-the-way",
                Severity::Warning,
                format!("{shown} {what}"),
                "the first regeneration replaces it; a directory it cannot replace.",
                vec![format!("agentctl lint {}", quoted(path)), "agentctl regen --dry-run".to_owned()],
            ));
        }
    };
    // Where the sources have changed as well, a regeneration would change what is trusted: that is the operator's.
    Some(if facts.sources_agree {
        finding.with(Repair::Regenerate)
    } else {
        let mut finding = finding;
        finding.problem.fix = vec!["agentctl regen --dry-run".to_owned(), "agentctl regen".to_owned()];
        finding
    })
}

fn directory(entry: &Entry, service: Option<&User>) -> Vec<Finding> {
    let mut found = Vec::new();
    let path = escaped(&entry.path);
    let (allowed, words) = match entry.kind {
        Kind::Private => (0o700, "what others could read or change in it is nobody else's"),
        Kind::Public => (0o755, "others could put a store or a policy of their own there"),
        Kind::Other => return found,
    };
    if entry.mode & 0o7777 & !allowed & 0o777 != 0 {
        let mode = entry.mode & allowed;
        found.push(
            Finding::new(
                "directory-open",
                Severity::Error,
                format!("{path} is open to others (mode {:04o})", entry.mode),
                format!("{words}."),
                Vec::new(),
            )
            .with(Repair::Close { directory: entry.path.clone(), mode }),
        );
    }
    if let Some(service) = service
        && !may(entry, service, 0o3)
    {
        found.push(Finding::new(
            "directory-unwritable",
            Severity::Error,
            format!(
                "user {} cannot write to {path} (owner {}, mode {:04o})",
                service.uid, entry.uid, entry.mode
            ),
            "the service runs as the owner of the state directory and publishes there.",
            vec![
                format!("chown {}:{} {}", service.uid, service.gid, quoted(&entry.path)),
                format!("chmod u+rwx {}", quoted(&entry.path)),
            ],
        ));
    }
    found
}

/// The first place on the way where somebody does not come through.
fn way(way: &Way) -> Option<Finding> {
    let last = way.entries.len().checked_sub(1)?;
    let closed = way.entries.iter().enumerate().find(|(index, entry)| {
        let wanted = if *index == last { 0o4 } else { 0o1 };
        match &way.who {
            Some(user) => !may(entry, user, wanted),
            None => entry.mode & wanted == 0,
        }
    });
    let (index, entry) = closed?;
    let bit = if index == last { 'r' } else { 'x' };
    let at = escaped(&entry.path);
    let (code, title, why) = match &way.who {
        None => (
            "store-closed",
            format!("not everybody can read {}: {at} has mode {:04o}", escaped(&way.path), entry.mode),
            "programs that run as other users do not see the store.".to_owned(),
        ),
        Some(user) => (
            "path-closed",
            format!(
                "user {} cannot read {}: {at} belongs to {}:{} and has mode {:04o}{}",
                user.uid,
                escaped(&way.path),
                entry.uid,
                entry.gid,
                entry.mode,
                if entry.acl.is_some() { " and an access list" } else { "" }
            ),
            format!("the service reads sources as that user, who is in {}.", groups(user)),
        ),
    };
    let fix =
        vec![format!("chmod o+{bit} {}", quoted(&entry.path)), format!("namei -l {}", quoted(&way.path))];
    Some(Finding::new(code, Severity::Error, title, why, fix))
}

fn groups(user: &User) -> String {
    let others = user.groups.iter().filter(|gid| **gid != user.gid);
    let numbers: Vec<String> = std::iter::once(&user.gid).chain(others).map(u32::to_string).collect();
    match numbers.as_slice() {
        [one] => format!("group {one} alone"),
        many => format!("the groups {}", many.join(", ")),
    }
}

fn leftover(leftover: &Leftover) -> Finding {
    Finding::new(
        "leftover-file",
        Severity::Info,
        format!("{} was left by a publication that did not end", escaped(&leftover.path)),
        "it does no harm; the next publication of that file takes it away.",
        Vec::new(),
    )
    .with(Repair::Remove { file: leftover.path.clone() })
}

fn stranger(path: &Path) -> Finding {
    Finding::new(
        "foreign-file",
        Severity::Info,
        format!("{} is not a file of agentd's", escaped(path)),
        "the state directory is for agentd alone; a file that somebody keeps there may be in its way one day.",
        vec![format!("mv {} ELSEWHERE", quoted(path))],
    )
}

fn audit_broken(words: &str) -> Finding {
    Finding::new(
        "audit-broken",
        Severity::Error,
        "the record of changes is not whole".to_owned(),
        format!("{words}. Somebody changed or removed a part of it, or the disk lost one."),
        vec!["agentctl audit --verify".to_owned(), "agentctl history".to_owned()],
    )
}

fn put_aside(path: &Path) -> Finding {
    Finding::new(
        "state-put-aside",
        Severity::Warning,
        format!("a state that could not be used was put aside as {}", escaped(path)),
        "the store went on from the state or the generation before it; a disk that loses data does that again.",
        vec!["dmesg --level=err".to_owned(), format!("rm {}, when it was looked at", quoted(path))],
    )
}

fn smp_agent(facts: &Facts, programs: &Path) -> Finding {
    let (title, why, fix) = if facts.places.smp_layout {
        (
            format!("the SMP Agent in {} makes the same store", escaped(programs)),
            "each of its refreshes writes the merged file anew; agentd puts it right again within a moment.",
            "have its policy leave CurlSSL to agentd, or give agentd its own layout: layout = \"default\" under [store]",
        )
    } else {
        (
            format!("the SMP Agent in {} has anchors and policies of its own", escaped(programs)),
            "agentd does not use them in this layout.",
            "to use them where they are: layout = \"smp\" under [store] in agentd.toml",
        )
    };
    Finding::new("other-agent", Severity::Info, title, why, vec![fix.to_owned()])
}

/// A publication takes less, in seconds; what is older was left behind.
const SETTLED: i64 = 60;
