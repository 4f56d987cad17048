//! An endpoint whose daemon runs as a user without any right, as the unit has it, and not as root.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use test_support::endpoint::{Endpoint, program};
use test_support::poll;
use test_support::process::{Owned, command};
use test_support::tools;

/// Belongs to nobody on any system.
pub(super) const USER: u32 = 54_321;

/// The endpoint and its daemon.
pub(super) struct Guest {
    // Ended before the files go.
    daemon: Option<Owned>,
    pub(super) endpoint: Endpoint,
}

impl Guest {
    /// `None` where this test may not become another user.
    pub(super) fn new() -> Option<Self> {
        if !tools::require(&["setpriv"]) {
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            let _left_out = tools::left_out("no right to become another user");
            return None;
        }
        let endpoint = Endpoint::new();
        // Where the programs were built only their builder may look.
        for name in ["agentd", "agentctl"] {
            let copy = endpoint.beside(name);
            fs::copy(program(name), &copy).expect("room for a copy");
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).expect("a file of ours");
        }
        Some(Self { daemon: None, endpoint })
    }

    /// A program as that user.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = as_user(USER, &self.endpoint.beside(name));
        command.arg("--root").arg(self.endpoint.root());
        command
    }

    /// Gives the user the places of the service, and no others; starts its daemon and waits until it answers.
    pub(super) fn start(&mut self) {
        for directory in ["var/lib/agentd", "run"] {
            fs::create_dir_all(self.endpoint.path(directory)).expect("a directory of ours");
            give(&self.endpoint.path(directory), USER);
        }
        let command = &mut self.command("agentd");
        self.start_with(command);
    }

    pub(super) fn start_with(&mut self, command: &mut Command) {
        let daemon = Owned::start(command, &self.endpoint.beside("agentd.log"));
        let id = u64::from(daemon.id());
        self.daemon = Some(daemon);
        poll::until("the daemon answers", || {
            assert!(self.is_running(), "the daemon ended\n{}", self.endpoint.log());
            let status = self.endpoint.agentctl(&["status", "--json"]);
            (status.code() == 0 && status.json()["daemon"]["pid"] == id).then_some(())
        });
        assert_eq!(self.endpoint.json(&["status"])["daemon"]["uid"], USER);
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.daemon.as_mut().is_some_and(Owned::is_running)
    }

    pub(super) fn stop(&mut self) {
        let mut daemon = self.daemon.take().expect("a started daemon");
        daemon.signal(rustix::process::Signal::TERM);
        assert!(daemon.wait().success());
    }

    pub(super) fn daemon(&mut self) -> &mut Owned {
        self.daemon.as_mut().expect("a started daemon")
    }
}

/// A program as another user, who has no group and no right of ours.
pub(super) fn as_user(uid: u32, program: &Path) -> Command {
    let mut command = command(tools::path("setpriv"));
    let (user, group) = (format!("--reuid={uid}"), format!("--regid={uid}"));
    command.args([&user, &group]).args(["--clear-groups", "--inh-caps=-all", "--"]).arg(program);
    command.current_dir("/");
    command
}

fn give(directory: &Path, uid: u32) {
    chown(directory, Some(uid), Some(uid)).expect("root may give away");
    for entry in fs::read_dir(directory).expect("a directory of ours") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            give(&path, uid);
        } else {
            chown(&path, Some(uid), Some(uid)).expect("root may give away");
        }
    }
}

/// Every file below a directory, with its content; what is no regular file is left out.
pub(super) fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => files(&path),
                Ok(kind) if kind.is_file() => {
                    fs::read(&path).map(|bytes| (path, bytes)).into_iter().collect()
                }
                _ => Vec::new(),
            }
        })
        .collect()
}

/// The source of this path in a report.
#[track_caller]
pub(super) fn source<'a>(report: &'a Value, path: &Path) -> &'a Value {
    let sources = report["sources"].as_array().unwrap_or_else(|| panic!("sources: {report}"));
    let found = sources.iter().find(|source| source["path"] == path.display().to_string());
    found.unwrap_or_else(|| panic!("no source {}: {report}", path.display()))
}

/// The codes of the problems in a status whose words hold this.
pub(super) fn codes(status: &Value, words: &str) -> Vec<String> {
    let problems = status["problems"].as_array().map(Vec::as_slice).unwrap_or_default();
    let about = problems.iter().filter(|problem| problem.to_string().contains(words));
    about.filter_map(|problem| problem["code"].as_str().map(str::to_owned)).collect()
}
