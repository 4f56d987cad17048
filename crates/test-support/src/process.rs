//! Programs run to their end, or ended by their id: in a clean environment, never longer than a deadline.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::poll;

/// A command without any variable of ours but the path: no CA variables, one language, one time zone.
#[must_use]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LANG", "C.UTF-8").env("TZ", "UTC").stdin(Stdio::null());
    for kept in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
}

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Run {
    /// The command, for messages.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub stderr: Vec<u8>,
}

impl Run {
    /// Its exit code; -1 where a signal ended it.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    /// Its standard output as text.
    #[must_use]
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Its standard error as text.
    #[must_use]
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Itself, having ended with this code.
    ///
    /// # Panics
    /// With all it said, where it ended otherwise.
    #[must_use]
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "{}\n{}{}", self.command, self.out(), self.err());
        self
    }

    /// The one JSON document on its standard output.
    ///
    /// # Panics
    /// Where there is anything else.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("{}: {error}\n{}{}", self.command, self.out(), self.err()))
    }
}

/// Runs a command to its end.
///
/// # Panics
/// Where it cannot be started, or takes longer than the deadline.
#[must_use]
#[track_caller]
pub fn run(command: &mut Command) -> Run {
    run_with_input(command, b"")
}

/// Runs a command to its end with this on its standard input.
///
/// # Panics
/// As [`run`].
#[must_use]
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Run {
    let temporary = || tempfile::tempfile().expect("a temporary file");
    let (mut stdin, mut stdout, mut stderr) = (temporary(), temporary(), temporary());
    stdin.write_all(input).and_then(|()| stdin.rewind()).expect("a temporary file can be written");
    command.stdin(stdin).stdout(share(&stdout)).stderr(share(&stderr));
    let name = format!("{command:?}");
    let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut child = Owned(child);
    let status = poll::until(&format!("{name} ends"), || child.0.try_wait().expect("a child of ours"));
    Run { command: name, status, stdout: contents(&mut stdout), stderr: contents(&mut stderr) }
}

/// A process of ours that ends when this is dropped.
#[derive(Debug)]
pub struct Owned(Child);

impl Owned {
    /// Starts a command whose output goes to `log`.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start(command: &mut Command, log: &Path) -> Self {
        let out =
            File::options().create(true).append(true).open(log).expect("a log file in a directory of ours");
        let name = format!("{command:?}");
        let child = command.stdout(share(&out)).stderr(out).spawn();
        Self(child.unwrap_or_else(|error| panic!("{name}: {error}")))
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// True until it has ended.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// Where it has ended.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(id, signal).expect("a child that was not waited for");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where it has not ended after the deadline.
    pub fn wait(&mut self) -> ExitStatus {
        poll::until("the process ends", || self.0.try_wait().expect("a child of ours"))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // By its own id; one that has ended already is no error.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

fn share(file: &File) -> File {
    file.try_clone().expect("a descriptor can be doubled")
}

fn contents(file: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("a temporary file can be read");
    bytes
}
