//! A scratch endpoint: the whole layout under a directory of its own, and the real programs on it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::pem;
use crate::poll;
use crate::process::{self, Owned, Run};

/// Names the directory of the programs under test; without it they are `target/release` beside the test itself.
pub const BIN_DIR: &str = "AGENTD_BIN_DIR";

/// One of the programs under test.
///
/// # Panics
/// Where it has not been built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let directory = std::env::var_os(BIN_DIR).map_or_else(release_directory, PathBuf::from);
    let path = directory.join(name);
    assert!(
        path.is_file(),
        "{} is not built: `cargo xtask test` builds it, or set {BIN_DIR}",
        path.display()
    );
    path
}

/// A policy's `CurlSSL` element, as far as the suites need it.
#[derive(Debug, Clone, Copy, Default)]
pub struct CurlSsl<'a> {
    /// `CAInfo`.
    pub ca_info: &'a str,
    /// `CAPath`.
    pub ca_path: &'a str,
}

/// An endpoint of its own. Dropping it ends its daemon and removes its files.
pub struct Endpoint {
    // Ended before its files go.
    daemon: Option<Owned>,
    scratch: TempDir,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::new()
    }
}

impl Endpoint {
    /// Makes one without any source.
    ///
    /// # Panics
    /// Where the temporary directory cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let scratch = tempfile::Builder::new().prefix("agentd-").tempdir().expect("a temporary directory");
        // As /var/lib is: others may look, and only the owner may change.
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).expect("a directory of ours");
        let endpoint = Self { daemon: None, scratch };
        for directory in ["etc/agentd", "var/lib/agentd/policies"] {
            fs::create_dir_all(endpoint.root().join(directory)).expect("a directory of ours");
        }
        endpoint
    }

    /// The directory that `--root` names.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.scratch.path().join("root")
    }

    /// A path under the root.
    #[must_use]
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    /// A place beside the root, for what is not the endpoint's.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// `cainfo.pem`.
    #[must_use]
    pub fn bootstrap(&self) -> PathBuf {
        self.path("var/lib/agentd/cainfo.pem")
    }

    /// `cainfo-ss.pem`.
    #[must_use]
    pub fn site(&self) -> PathBuf {
        self.path("var/lib/agentd/cainfo-ss.pem")
    }

    /// `cainfo-merged.pem`.
    #[must_use]
    pub fn merged(&self) -> PathBuf {
        self.path("var/lib/agentd/cainfo-merged.pem")
    }

    /// A file that a policy may name.
    #[must_use]
    pub fn ca_info(&self) -> PathBuf {
        self.path("opt/company/policy-ca.pem")
    }

    /// The control socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path("run/agentd/control.sock")
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path("etc/agentd/agentd.toml")
    }

    /// Writes a policy `<name>.xml` with one `CurlSSL` element, by rename as a policy arrives.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn write_policy(&self, name: &str, curl_ssl: CurlSsl<'_>) {
        let CurlSsl { ca_info, ca_path } = curl_ssl;
        let text = format!(
            r#"<?xml version="1.0" encoding="utf-8"?>
<Policy guid="{{{name}}}" version="1">
  <Settings>
    <CurlSSL SSLNSPublicHttpsCertFingerprint="" SSLVerifyPeer="yes" SSLVerifyHost="yes" CAInfo="{ca_info}" CAPath="{ca_path}"/>
  </Settings>
</Policy>
"#
        );
        replace(&self.path("var/lib/agentd/policies").join(format!("{name}.xml")), text);
    }

    /// Names [`Self::ca_info`] in a policy.
    pub fn name_ca_info(&self) {
        self.write_policy(POLICY, CurlSsl { ca_info: &self.ca_info().display().to_string(), ca_path: "" });
    }

    /// `agentctl` on this endpoint, for what the caller adds to it.
    #[must_use]
    pub fn agentctl_command(&self, arguments: &[&str]) -> Command {
        self.command("agentctl", arguments)
    }

    /// Runs `agentctl` with these arguments.
    #[must_use]
    #[track_caller]
    pub fn agentctl(&self, arguments: &[&str]) -> Run {
        process::run(&mut self.agentctl_command(arguments))
    }

    /// Runs `agentctl … --json`, which must end with 0, and gives its document.
    #[must_use]
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.agentctl(&[arguments, &["--json"]].concat()).expect_code(0).json()
    }

    /// Runs `agentd` with these arguments to its end.
    #[must_use]
    #[track_caller]
    pub fn agentd(&self, arguments: &[&str]) -> Run {
        process::run(&mut self.command("agentd", arguments))
    }

    /// Starts the daemon and waits until it answers.
    ///
    /// # Panics
    /// Where it ends instead, with its log.
    pub fn start_daemon(&mut self) {
        self.start_daemon_in(|agentd| agentd);
    }

    /// Starts the daemon in surroundings of its own and waits until it answers: what `wrap` makes of its command must
    /// become the daemon by `exec`, so that it keeps its process id.
    ///
    /// # Panics
    /// As [`Self::start_daemon`].
    pub fn start_daemon_in(&mut self, wrap: impl FnOnce(Command) -> Command) {
        self.launch_daemon(wrap);
        let id = u64::from(self.daemon_id());
        poll::until_ok("the daemon answers", || {
            assert!(self.is_running(), "the daemon ended\n{}", self.log());
            let status = self.agentctl(&["status", "--json"]);
            // By its own id: the socket of an earlier one proves nothing.
            if status.code() == 0 && status.json()["daemon"]["pid"] == id {
                Ok(())
            } else {
                Err(status.err())
            }
        });
    }

    /// Starts the daemon and does not wait for it.
    ///
    /// # Panics
    /// Where there is one, or it cannot be started.
    pub fn launch_daemon(&mut self, wrap: impl FnOnce(Command) -> Command) {
        assert!(self.daemon.is_none(), "the endpoint has a daemon");
        self.daemon = Some(Owned::start(&mut wrap(self.command("agentd", &[])), &self.log_path()));
    }

    /// The daemon's process id.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn daemon_id(&self) -> u32 {
        self.daemon.as_ref().expect("a started daemon").id()
    }

    /// Sends the daemon a signal.
    ///
    /// # Panics
    /// Where there is none.
    pub fn signal(&self, signal: Signal) {
        self.daemon.as_ref().expect("a started daemon").signal(signal);
    }

    /// True while the daemon runs.
    pub fn is_running(&mut self) -> bool {
        self.daemon.as_mut().is_some_and(Owned::is_running)
    }

    /// Asks the daemon to stop and waits until it has.
    ///
    /// # Panics
    /// Where there is none, or it does not end.
    pub fn stop_daemon(&mut self) -> ExitStatus {
        let mut daemon = self.daemon.take().expect("a started daemon");
        daemon.signal(Signal::TERM);
        daemon.wait()
    }

    /// Ends the daemon without a word, as a crash does.
    pub fn kill_daemon(&mut self) {
        self.daemon = None;
    }

    /// What the daemons of this endpoint have logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The fingerprints of the bundle on disk, in order, by the kit's own reading.
    ///
    /// # Errors
    /// Where there is none, or it is not in the strict form.
    pub fn published(&self) -> Result<Vec<String>, String> {
        let bytes = fs::read(self.merged()).map_err(|error| error.to_string())?;
        Ok(pem::strict_certificates(&bytes)?.iter().map(|der| pem::sha256_hex(der)).collect())
    }

    /// Waits until the bundle on disk holds exactly these fingerprints in this order.
    ///
    /// # Panics
    /// With what it holds instead, and the daemon's log.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, expected: &[String]) {
        poll::until_ok(&format!("{what}: the bundle has {expected:?}"), || {
            assert!(self.daemon.is_none() || self.is_running(), "the daemon ended\n{}", self.log());
            match self.published()? {
                found if found == expected => Ok(()),
                found => Err(format!("it has {found:?}\n{}", self.log())),
            }
        });
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = process::command(program(name));
        command.arg("--root").arg(self.root()).args(arguments).current_dir(self.scratch.path());
        command
    }

    fn log_path(&self) -> PathBuf {
        self.beside("agentd.log")
    }
}

/// The name of the policy that [`Endpoint::name_ca_info`] writes.
pub const POLICY: &str = "6f1f0a52-3d5b-4b1e-9d4c-2f7a3c1b8e90";

/// Writes a file in place, with its directories.
///
/// # Panics
/// Where it cannot be written.
pub fn write(path: &Path, content: impl AsRef<[u8]>) {
    let directory = path.parent().expect("a file in a directory");
    fs::create_dir_all(directory).and_then(|()| fs::write(path, content)).expect("a place of the test");
}

/// Writes a file beside and renames it over.
///
/// # Panics
/// Where it cannot be written.
pub fn replace(path: &Path, content: impl AsRef<[u8]>) {
    let beside = path.with_extension("new");
    write(&beside, content);
    fs::rename(&beside, path).expect("a place of the test");
}

/// The release directory of the target directory that this test lies in: `target/debug/deps/suite-…`.
fn release_directory() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let target =
        test.ancestors().find(|path| path.ends_with("deps")).and_then(|deps| deps.parent()?.parent());
    target.expect("a test lies in a target directory").join("release")
}
