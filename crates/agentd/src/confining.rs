//! The daemon's own confinement: said at the start, checked while it runs.
//!
//! What the kernel granted it granted for directories, not for their names. Where another directory has such a name now,
//! or something is mounted over it, this process can never write there again; the next one can.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent_control::wire::{Problem, SandboxReport, Severity};
use agent_runtime::sandbox::{Confined, Sandbox};
use tokio::sync::{broadcast, watch};
use tracing::{error, info, warn};
use trust_core::engine::Outcome;

use crate::failure::Failure;

/// What is confined, and the directories that the configuration in force writes to.
#[derive(Debug, Clone)]
pub(crate) struct Confining {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) written: watch::Receiver<BTreeSet<PathBuf>>,
}

/// Says what came of it.
pub(crate) fn log(sandbox: &Sandbox) {
    let writes = list(&sandbox.granted());
    match sandbox.confined() {
        Confined::Fully => info!(%writes, "can write below its own directories and nowhere else"),
        Confined::Partly => {
            info!(%writes, "can write below its own directories, as far as this kernel holds it");
        }
        Confined::Not => {
            info!("no Landlock in this kernel: its user and the unit keep it from writing elsewhere");
        }
    }
}

impl Confining {
    /// Those that this process can never write to.
    fn lost(&self) -> Vec<PathBuf> {
        self.sandbox.out_of_reach(&self.written.borrow())
    }

    pub(crate) fn report(&self) -> SandboxReport {
        let confined = self.sandbox.confined();
        let granted = if confined == Confined::Not { Vec::new() } else { self.sandbox.granted() };
        SandboxReport {
            state: confined.code().to_owned(),
            writes: granted.iter().map(|path| path.display().to_string()).collect(),
        }
    }

    pub(crate) fn problem(&self) -> Option<Problem> {
        let lost = self.lost();
        (!lost.is_empty()).then(|| Problem {
            code: "restart-needed".to_owned(),
            severity: Severity::Error,
            title: format!("agentd has to be started again to write to {}", list(&lost)),
            why: "the directory is not the one that was there when it started, and it may write to no other."
                .to_owned(),
            fix: vec!["systemctl restart agentd".to_owned()],
        })
    }

    /// A failure where these directories are not those that this process may write to.
    pub(crate) fn admits(&self, written: &BTreeSet<PathBuf>) -> Result<(), Failure> {
        let lost = self.sandbox.out_of_reach(written);
        if lost.is_empty() {
            return Ok(());
        }
        Err(Failure::new(
            Failure::FAILED,
            format_args!(
                "the configuration moves what is written to {}, where this process may not write: restart agentd for it",
                list(&lost)
            ),
        ))
    }

    /// Ends where the process has to, so that the service manager starts it again: with the reason. Where there is no
    /// manager nobody would, so it goes on and says so.
    pub(crate) async fn hold(
        self,
        managed: bool,
        mut outcomes: broadcast::Receiver<Arc<Outcome>>,
        stopped: impl Future<Output = ()>,
    ) -> Option<Failure> {
        tokio::pin!(stopped);
        let mut said = false;
        loop {
            tokio::select! {
                () = &mut stopped => return None,
                Ok(_) = outcomes.recv() => {}
                () = tokio::time::sleep(PACE) => {}
            }
            let lost = self.lost();
            if lost.is_empty() {
                said = false;
                continue;
            }
            if managed {
                // A directory that is being replaced is away for a moment; a restart in that moment would be for nothing.
                tokio::time::sleep(PAUSE).await;
                if self.lost().is_empty() {
                    continue;
                }
                error!(directories = %list(&lost), "replaced, and out of reach for this process: it ends, to be started again");
                return Some(Failure::new(
                    Failure::FAILED,
                    format_args!("{} was replaced: ended to be started again", list(&lost)),
                ));
            }
            if !std::mem::replace(&mut said, true) {
                warn!(directories = %list(&lost), "replaced, and out of reach for this process: restart agentd");
            }
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// As the slow look.
const PACE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(1);
