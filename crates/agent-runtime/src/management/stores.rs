//! Who changes the store: the daemon's loop, or this process under the lock.

use std::sync::Arc;

use agent_config::Settings;
use agent_control::wire::{AnchorsReport, StatusReport};
use agent_management::refresh::Set;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use trust_core::engine::{Ask, Outcome, Trigger};
use trust_core::plan::StoreState;
use trust_tls::Presented;

use super::disk::{Disk, Record};
use super::errands::{Store, Took};
use crate::clock::Clock;
use crate::endpoint::Endpoint;
use crate::lock::Lock;
use crate::once;
use crate::publish::RealFs;
use crate::run::{Command, Take};
use crate::standing::chains::Chains;

/// The daemon's loop; `R` tells how things are.
pub struct Loop<R> {
    /// Its inbox.
    pub commands: mpsc::Sender<Command>,
    /// How things are, as the control socket tells it.
    pub reports: R,
}

impl<R: AsyncFn() -> Option<(StatusReport, AnchorsReport)>> Store for Loop<R> {
    async fn state(&self) -> Option<Arc<StoreState>> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::View(reply)).await.ok()?;
        answer.await.ok().map(|view| view.state)
    }

    async fn take(&self, set: Set, record: Record, by: Trigger) -> Option<Took> {
        let (placed, files) = oneshot::channel();
        let (reply, outcome) = oneshot::channel();
        let take = Take { set, record, by, placed, reply };
        self.commands.send(Command::Take(Box::new(take))).await.ok()?;
        Some(Took { files: files.await.ok()?, outcome: outcome.await.ok()? })
    }

    async fn regenerate(&self, by: Trigger) -> Option<Arc<Outcome>> {
        let (reply, answer) = oneshot::channel();
        let command =
            Command::Regenerate { force: false, dry_run: false, by, order: None, reply: Some(reply) };
        self.commands.send(command).await.ok()?;
        answer.await.ok()
    }

    fn presented(&self, _key: &str, _chain: &Presented, _now: Timestamp) {
        // The loop tries all servers by itself, and remembers what it finds there.
    }

    async fn reports(&self) -> Option<(StatusReport, AnchorsReport)> {
        (self.reports)().await
    }
}

/// This process, which holds the lock.
pub struct InProcess<R> {
    /// The lock.
    pub lock: Lock,
    /// The files.
    pub endpoint: Endpoint,
    /// The settings.
    pub settings: Settings,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// How things are.
    pub reports: R,
}

impl<R: Fn() -> Option<(StatusReport, AnchorsReport)>> Store for InProcess<R> {
    async fn state(&self) -> Option<Arc<StoreState>> {
        Some(Arc::new(self.endpoint.load().state))
    }

    async fn take(&self, set: Set, record: Record, by: Trigger) -> Option<Took> {
        let files = Disk::new(&self.settings).take(&RealFs, &set, &record);
        if files.is_ok() {
            self.endpoint.record_policies(&set, &record, self.clock.now());
        }
        Some(Took { files, outcome: self.regenerate(by).await? })
    }

    async fn regenerate(&self, by: Trigger) -> Option<Arc<Outcome>> {
        let ask = Ask { id: 0, force: false, dry_run: false, by, order: None };
        Some(once::regenerate(&self.endpoint, Some(&self.lock), &self.settings, &*self.clock, ask).outcome)
    }

    fn presented(&self, key: &str, chain: &Presented, now: Timestamp) {
        remember(&self.endpoint, &self.settings, |chains| chains.take_in(key, chain, now));
    }

    async fn reports(&self) -> Option<(StatusReport, AnchorsReport)> {
        (self.reports)()
    }
}

/// Writes down what servers presented, where `take_in` says that it is worth that. Who calls this holds the lock. Nothing
/// but what is foreseen depends on it, so it may fail.
pub fn remember(endpoint: &Endpoint, settings: &Settings, take_in: impl FnOnce(&mut Chains) -> bool) {
    let mut chains = Chains::load(&settings.store.state).unwrap_or_default();
    if take_in(&mut chains)
        && let Err(error) = chains.save(&*endpoint.files(), &settings.store.state)
    {
        tracing::debug!(%error, "what the servers presented was not written down");
    }
}
