//! The management servers beside the loop: wishes go in, how it stands comes out.

use agent_config::Settings;
use agent_control::Refusal;
use agent_control::wire::{InventoryReport, ManagementReport, Problem, RefreshReport};
use agent_runtime::management::daemon::{Standing, Wish};
use agent_runtime::management::report;
use tokio::sync::{mpsc, oneshot};

/// The way to what is done with the servers.
#[derive(Debug, Clone)]
pub(crate) struct Managing {
    wishes: mpsc::Sender<Wish>,
    standing: Standing,
}

impl Managing {
    /// With the other ends of both.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Wish>, Standing) {
        // As many as can be connected to the control socket at once.
        let (wishes, inbox) = mpsc::channel(64);
        let standing = Standing::default();
        (Self { wishes, standing: standing.clone() }, inbox, standing)
    }

    pub(crate) async fn refresh(&self, allow_downgrade: bool) -> Result<RefreshReport, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(Wish::Refresh { allow_downgrade, reply }, answer).await
    }

    pub(crate) async fn inventory(&self, only_make: bool) -> Result<InventoryReport, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.ask(Wish::Inventory { only_make, reply }, answer).await
    }

    pub(crate) async fn reload(&self, settings: &Settings) {
        // It ends only with the daemon.
        let _gone = self.wishes.send(Wish::Reload(Box::new(settings.clone()))).await;
    }

    /// For the status.
    pub(crate) fn report(&self) -> ManagementReport {
        self.standing.report()
    }

    pub(crate) fn problems(&self) -> Vec<Problem> {
        report::problems(&self.standing.record())
    }

    async fn ask<T>(&self, wish: Wish, answer: oneshot::Receiver<Result<T, Refusal>>) -> Result<T, Refusal> {
        self.wishes.send(wish).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }
}

fn stopping() -> Refusal {
    Refusal::failed("stopping", "the daemon is stopping", "Ask again when it has started.")
}
