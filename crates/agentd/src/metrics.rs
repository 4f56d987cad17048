//! Writes the metrics where the configuration says, when something came of a regeneration and once a minute.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agent_control::Handler as _;
use agent_runtime::publish::{PublishError, RealFs, publish};
use tokio::sync::{broadcast, watch};
use tracing::{info, warn};
use trust_core::engine::Outcome;

use crate::handler::Answers;

/// As often as Prometheus usually looks.
const PACE: Duration = Duration::from_secs(60);

/// Keeps the file true while there is to be one. Sleeps for good while there is not.
pub(crate) async fn keep(
    answers: Answers,
    mut place: watch::Receiver<Option<PathBuf>>,
    mut outcomes: broadcast::Receiver<Arc<Outcome>>,
    stopped: impl Future<Output = ()>,
) {
    tokio::pin!(stopped);
    let mut failing = false;
    loop {
        let path = place.borrow_and_update().clone();
        if let Some(path) = &path {
            let written = write(&answers, path).await;
            match (&written, failing) {
                (Err(error), false) => warn!(%error, "the metrics cannot be written"),
                (Ok(()), true) => info!(path = %path.display(), "the metrics are written again"),
                _ => {}
            }
            failing = written.is_err();
        }
        tokio::select! {
            () = &mut stopped => return,
            Ok(()) = place.changed() => {}
            Ok(_) = outcomes.recv(), if path.is_some() => {}
            () = tokio::time::sleep(PACE), if path.is_some() => {}
        }
    }
}

async fn write(answers: &Answers, path: &Path) -> Result<(), String> {
    let text = answers.metrics().await.map_err(|refusal| refusal.to_string())?;
    let path = path.to_owned();
    // Off the loop's thread: it is synced to the disk.
    let publication =
        tokio::task::spawn_blocking(move || publish(&RealFs, &path, text.as_bytes(), MODE)).await;
    match publication {
        Ok(done) => done.map_err(|error: PublishError| error.to_string()),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The collector is another user.
const MODE: u32 = 0o644;
