//! What usually goes wrong, as findings: a function of facts that the edge gathered (`gather`).

use std::path::PathBuf;

use agent_control::wire::{Problem, Severity, StatusReport};
use agent_runtime::escape::quoted;
use agent_runtime::report::problem;
use serde::Serialize;

mod access;
mod anchors;
mod daemon;
mod files;
pub(crate) mod gather;
mod surroundings;
#[cfg(test)]
mod tests;

pub(crate) use access::{Acl, User};
pub(crate) use anchors::Named;
pub(crate) use daemon::{Daemon, Socket};
pub(crate) use files::{Bundle, Entry, Kind, Leftover, Way};
pub(crate) use surroundings::{Disk, PlaceKind, Server, UnitFile, UnitKind, Variable, Watches};

/// All that the findings follow from. What could not be seen is `None` or empty: nothing is concluded from it.
#[derive(Debug)]
pub(crate) struct Facts {
    pub places: Places,
    /// What `agentctl status` says; `None` where this user may not know.
    pub status: Option<StatusReport>,
    /// What the sources say is what was published.
    pub sources_agree: bool,
    pub daemon: Daemon,
    /// Whose the state directory is: the service's user.
    pub service: Option<User>,
    /// The directories of ours.
    pub directories: Vec<Entry>,
    /// The way to the store, and to each source that nobody has tried as the service's user.
    pub ways: Vec<Way>,
    pub bundle: Bundle,
    pub leftovers: Vec<Leftover>,
    /// Files in the state directory that are not ours.
    pub strangers: Vec<PathBuf>,
    /// What is broken in the record of changes.
    pub audit: Option<String>,
    /// `state.json.unusable` is there.
    pub put_aside: Option<PathBuf>,
    /// The anchors of the store that may issue.
    pub authorities: Vec<Named>,
    pub servers: Vec<Server>,
    pub variables: Vec<Variable>,
    pub watches: Option<Watches>,
    pub disks: Vec<Disk>,
    pub unit: Vec<UnitFile>,
    /// The programs of the SMP Agent, where they are installed.
    pub smp_agent: Option<PathBuf>,
}

/// Where things are.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub merged: PathBuf,
    pub state: PathBuf,
    pub socket: PathBuf,
    pub smp_layout: bool,
}

/// Something that needs a hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    #[serde(flatten)]
    pub problem: Problem,
    /// `--fix` mends it.
    pub fixable: bool,
    #[serde(skip)]
    pub repair: Option<Repair>,
}

/// A repair that is safe: nothing of it touches what is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Repair {
    /// Closes a directory of ours to others.
    Close { directory: PathBuf, mode: u32 },
    /// Removes what a crash of ours left behind.
    Remove { file: PathBuf },
    /// Makes the store again from what it was made of.
    Regenerate,
}

impl Repair {
    /// The command that does the same.
    pub(crate) fn command(&self) -> String {
        match self {
            Self::Close { directory, mode } => format!("chmod {mode:04o} {}", quoted(directory)),
            Self::Remove { file } => format!("rm {}", quoted(file)),
            Self::Regenerate => "agentctl regen".to_owned(),
        }
    }
}

impl Finding {
    fn new(code: &str, severity: Severity, title: String, why: impl Into<String>, fix: Vec<String>) -> Self {
        let problem = problem(code, severity, title, why.into(), fix);
        Self { problem, fixable: false, repair: None }
    }

    /// With its repair, whose command comes first.
    fn with(mut self, repair: Repair) -> Self {
        self.problem.fix.insert(0, repair.command());
        self.fixable = true;
        self.repair = Some(repair);
        self
    }
}

/// All findings, the worst first.
pub(crate) fn findings(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    found.extend(daemon::findings(facts));
    found.extend(files::findings(facts));
    found.extend(surroundings::findings(facts));
    found.extend(anchors::findings(&facts.authorities));
    found.extend(of_status(facts, &found));
    found.sort_by_key(|finding| std::cmp::Reverse(finding.problem.severity));
    found
}

/// The problems of the status that were not found here already, and that what was tried just now does not gainsay.
fn of_status(facts: &Facts, found: &[Finding]) -> Vec<Finding> {
    let known = |problem: &Problem| {
        found
            .iter()
            .any(|finding| finding.problem.code == problem.code && finding.problem.title == problem.title)
    };
    let outdated = |problem: &Problem| {
        let of_a_connection = ["server-unreachable", "server-not-verified"].contains(&problem.code.as_str());
        of_a_connection
            && facts.servers.iter().any(|server| problem.title.starts_with(&format!("{} ", server.url)))
    };
    // A regeneration would write the file and change nothing: that the file was edited says all.
    let edited = facts.sources_agree && found.iter().any(|finding| finding.problem.code == "store-edited");
    let problems = facts.status.iter().flat_map(|status| &status.problems);
    problems
        .filter(|problem| !(known(problem) || outdated(problem) || edited && problem.code == "store-behind"))
        .map(|problem| Finding { problem: problem.clone(), fixable: false, repair: None })
        .collect()
}
