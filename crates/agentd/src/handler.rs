//! What the control socket's callers get: everything is asked of the loop, nothing is kept here.

use std::path::PathBuf;
use std::sync::Arc;

use agent_control::wire::{
    AnchorsReport, DaemonReport, Event, HistoryReport, InventoryReport, Problem, RefreshReport, RegenReport,
    SourcesReport, StatusReport, WatchingReport,
};
use agent_control::{Ask, Handler, Order, Peer, Refusal, What};
use agent_runtime::clock::Clock;
use agent_runtime::orders::{self, OrderError, Wanted};
use agent_runtime::report::{self, Findings, Live};
use agent_runtime::run::{Command, View};
use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc, oneshot};
use trust_core::engine::Trigger;

use crate::confining::Confining;
use crate::manager::Standing;
use crate::managing::Managing;

/// Who we are, for the status.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) started: Timestamp,
    pub(crate) socket: PathBuf,
}

/// Answers from the loop's view.
#[derive(Clone)]
pub(crate) struct Answers {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) identity: Identity,
    pub(crate) managing: Managing,
    pub(crate) confining: Confining,
}

impl Answers {
    async fn view(&self) -> Result<View, Refusal> {
        view(&self.commands).await.ok_or_else(stopping)
    }

    /// Asks the loop how it stands, as often as it is called; `None` when the loop has gone.
    pub(crate) fn standing(&self) -> impl AsyncFn() -> Option<Standing> + use<> {
        let commands = self.commands.clone();
        let clock = Arc::clone(&self.clock);
        async move || {
            let view = view(&commands).await?;
            let bundle = view.state.bundle.as_ref();
            Some(Standing {
                generation: view.state.generation,
                anchors: bundle.map_or(0, |bundle| bundle.anchors.len()),
                problems: problems(&view, &*clock),
            })
        }
    }
}

async fn view(commands: &mpsc::Sender<Command>) -> Option<View> {
    let (reply, answer) = oneshot::channel();
    commands.send(Command::View(reply)).await.ok()?;
    answer.await.ok()
}

fn problems(view: &View, clock: &dyn Clock) -> Vec<Problem> {
    report::problems(&Findings {
        state: &view.state,
        settings: &view.settings,
        merged: &view.merged,
        warnings: &view.warnings,
        failure: view.failure.as_ref(),
        watch: Some(&view.watch),
        servers: &view.servers,
        behind: false,
        now: clock.now(),
    })
}

impl Handler for Answers {
    async fn status(&self) -> Result<StatusReport, Refusal> {
        let view = self.view().await?;
        let live = live(&view);
        let mut status = StatusReport::new(report::store(&view.state, &view.settings, &view.merged));
        status.sources = report::sources(&view.state, &view.warnings, live).sources;
        status.servers = view.servers.iter().map(agent_runtime::servers::ServerStatus::report).collect();
        status.daemon = Some(self.daemon(&view));
        status.last_regeneration = report::last_regeneration(&view.state, view.last_outcome.as_deref());
        status.management = Some(self.managing.report());
        status.problems = problems(&view, &*self.clock);
        status.problems.extend(self.managing.problems());
        status.problems.extend(self.confining.problem());
        status.problems.sort_by_key(|problem| std::cmp::Reverse(problem.severity));
        status.health = report::health(&view.state, &status.problems);
        Ok(status)
    }

    async fn sources(&self) -> Result<SourcesReport, Refusal> {
        let view = self.view().await?;
        Ok(report::sources(&view.state, &view.warnings, live(&view)))
    }

    async fn anchors(&self) -> Result<AnchorsReport, Refusal> {
        let view = self.view().await?;
        Ok(report::anchors(&view.state, &view.settings, self.clock.now()))
    }

    async fn metrics(&self) -> Result<String, Refusal> {
        let (status, anchors) = (self.status().await?, self.anchors().await?);
        Ok(report::metrics(&status, &anchors, self.clock.now()))
    }

    async fn regenerate(&self, ask: Ask, by: Peer) -> Result<RegenReport, Refusal> {
        self.carry_out(ask.force, ask.dry_run, by, None).await
    }

    async fn history(&self) -> Result<HistoryReport, Refusal> {
        let view = self.view().await?;
        let history = view.history.clone();
        let generations = beside(move || history.list()).await?;
        Ok(report::history(&view.state, &generations))
    }

    async fn generation(&self, number: u64) -> Result<AnchorsReport, Refusal> {
        let history = self.view().await?.history;
        let kept = beside(move || history.get(number)).await?;
        let kept = kept.map_err(|error| unordered(&OrderError::History(error)))?;
        Ok(report::generation(&kept, self.clock.now()))
    }

    async fn order(&self, order: Order, by: Peer) -> Result<RegenReport, Refusal> {
        let view = self.view().await?;
        let now = self.clock.now();
        let who = operator(by).code();
        let wanted = wanted(order.what);
        let resolved =
            beside(move || orders::resolve(&wanted, &view.history, &view.state, &view.settings, &who, now));
        let resolved = resolved.await?.map_err(|error| unordered(&error))?;
        self.carry_out(false, order.dry_run, by, Some(resolved)).await
    }

    async fn refresh(&self, allow_downgrade: bool) -> Result<RefreshReport, Refusal> {
        self.managing.refresh(allow_downgrade).await
    }

    async fn inventory(&self, only_make: bool) -> Result<InventoryReport, Refusal> {
        self.managing.inventory(only_make).await
    }

    fn watch(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

impl Answers {
    async fn carry_out(
        &self,
        force: bool,
        dry_run: bool,
        by: Peer,
        order: Option<trust_core::engine::Order>,
    ) -> Result<RegenReport, Refusal> {
        let (reply, answer) = oneshot::channel();
        let by = operator(by);
        let command = Command::Regenerate { force, dry_run, by, order, reply: Some(reply) };
        self.commands.send(command).await.map_err(|_| stopping())?;
        let outcome = answer.await.map_err(|_| stopping())?;
        if let Some(failure) = &outcome.failure
            && !outcome.changed
        {
            return Err(Refusal::failed(&failure.code, &failure.message, &failure.remedy));
        }
        let view = self.view().await?;
        Ok(report::regen(&outcome, &outcome.plan.next, &view.merged, live(&view)))
    }

    fn daemon(&self, view: &View) -> DaemonReport {
        DaemonReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: self.identity.started.to_string(),
            configured: Some(view.configured_at.to_string()),
            socket: self.identity.socket.display().to_string(),
            uid: rustix::process::geteuid().as_raw(),
            watching: WatchingReport {
                degraded: view.watch.is_degraded(),
                directories: view.watch.directories() as u64,
                poll_seconds: view.poll().as_secs(),
                unwatched: view.watch.reasons(),
            },
            sandbox: Some(self.confining.report()),
        }
    }
}

/// Runs what blocks on files beside the loop.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|_| stopping())
}

fn operator(by: Peer) -> Trigger {
    Trigger::Operator { uid: by.uid, pid: by.pid.and_then(|pid| u32::try_from(pid).ok()) }
}

fn wanted(what: What) -> Wanted {
    match what {
        What::Distrust { fingerprint, reason } => Wanted::Distrust { fingerprint, reason },
        What::Trust { fingerprint } => Wanted::Trust { fingerprint },
        What::Rollback { generation, pin } => Wanted::Rollback { generation, pin },
    }
}

fn unordered(error: &OrderError) -> Refusal {
    Refusal::failed(error.code(), error.to_string(), error.remedy())
}

fn live(view: &View) -> Live<'_> {
    Live { watch: Some(&view.watch), last_look: view.last_look }
}

fn stopping() -> Refusal {
    Refusal::failed("stopping", "the daemon is stopping", "Ask again when it has started.")
}
