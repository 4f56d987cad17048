//! The real daemon, as a child process on the scratch endpoint.

use std::fs::File;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use agent_control::wire::{RegenReport, StatusReport};
use agent_control::{Ask, Client};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::scratch::Scratch;
use super::unmet::Unmet;

/// A running daemon. Dropped without [`Daemon::stop`] it is killed.
pub(super) struct Daemon {
    child: Child,
}

impl Daemon {
    /// This very program, on the scratch endpoint, its log in a file there.
    pub(super) fn start(scratch: &Scratch) -> io::Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .arg("--root")
            .arg(scratch.root())
            .args(["--log-format", "text"])
            // Of whoever started the playground: meant for another daemon.
            .env_remove("AGENTD_CONFIG")
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(scratch.log())?)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { child })
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Ends it by TERM, and waits for that.
    pub(super) async fn stop(mut self) -> Result<(), Unmet> {
        // It is our child until it was waited for, so the number is no one else's.
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // One that just ended by itself is waited for all the same.
            let _gone = kill_process(pid, Signal::TERM);
        }
        let expected = "the daemon ends by SIGTERM, with exit code 0";
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(Unmet::new(expected, status)),
            Ok(Err(error)) => Err(Unmet::new(expected, error)),
            Err(_) => Err(Unmet::new(expected, format_args!("it still runs after {} s", PATIENCE.as_secs()))),
        }
    }
}

/// What the daemon says of itself and of the store, over its control socket.
pub(super) async fn status(scratch: &Scratch) -> Result<StatusReport, Unmet> {
    let ask = async { Client::connect(&scratch.settings().control.socket).await?.status().await };
    ask.await.map_err(|error| Unmet::new("the daemon's status", error))
}

/// What `agentctl regen` does: the servers are asked which anchors they need.
pub(super) async fn regenerate(scratch: &Scratch) -> Result<RegenReport, Unmet> {
    let ask =
        async { Client::connect(&scratch.settings().control.socket).await?.regenerate(Ask::default()).await };
    ask.await.map_err(|error| Unmet::new("a regeneration", error))
}

const PATIENCE: Duration = Duration::from_secs(5);
