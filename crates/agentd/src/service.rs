//! The service: `Service::build` reads, checks and binds; `Service::run` works until it is told to stop.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent_config::Settings;
use agent_control::wire::Event;
use agent_control::{Handler as _, Listener, Options};
use agent_runtime::clock::{Clock, SystemClock};
use agent_runtime::endpoint::{Endpoint, OpenError};
use agent_runtime::journal::id;
use agent_runtime::lock::{Lock, LockError, died_holding_on};
use agent_runtime::management;
use agent_runtime::management::daemon::{Management, Wish};
use agent_runtime::report;
use agent_runtime::run::{Command, Runner};
use agent_runtime::sandbox::{Sandbox, written};
use agent_runtime::watch::Watcher;
use sd_notify::NotifyState;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tracing::{error, info};
use trust_core::engine::{Outcome, Trigger};

use crate::confining::Confining;
use crate::failure::Failure;
use crate::handler::{Answers, Identity};
use crate::manager::{self, Standing};
use crate::managing::Managing;
use crate::metrics;
use crate::signals::{Request, Signals};

/// Where the configuration comes from, for the first time and at every reload.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) config: Option<PathBuf>,
    pub(crate) root: Option<PathBuf>,
}

impl Source {
    /// Reads and checks the configuration. The default file may be missing; one that was named may not.
    pub(crate) fn load(&self) -> Result<Settings, Failure> {
        agent_runtime::config::load(self.config.as_deref(), self.root.as_deref())
            .map_err(|error| Failure::new(Failure::USAGE, error))
    }
}

/// A service that is ready to run: it has the lock and the socket.
pub(crate) struct Service {
    source: Source,
    runner: Runner,
    listener: Listener,
    signals: Signals,
    answers: Answers,
    outcomes: broadcast::Receiver<Arc<Outcome>>,
    commands: mpsc::Sender<Command>,
    inbox: mpsc::Receiver<Command>,
    /// Where the metrics go.
    textfile: Option<PathBuf>,
    settings: Settings,
    wishes: mpsc::Receiver<Wish>,
    standing: management::daemon::Standing,
    /// Told where the configuration in force writes.
    written: watch::Sender<BTreeSet<PathBuf>>,
}

impl Service {
    /// Takes the lock, reads the last good state, registers signals and binds the control socket.
    pub(crate) fn build(source: Source, settings: &Settings, sandbox: Arc<Sandbox>) -> Result<Self, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let endpoint = Endpoint::new(settings, source.root.as_deref());
        let lock = lock(&endpoint)?;
        let signals = Signals::register().map_err(|error| {
            Failure::new(Failure::FAILED, format_args!("cannot register signals: {error}"))
        })?;
        // Room for everyone who can be connected at once.
        let (commands, inbox) = mpsc::channel(64);
        let (outcomes, reported) = broadcast::channel(64);
        let (events, _) = broadcast::channel(64);
        let root = source.root.clone();
        let runner =
            Runner::new(endpoint, lock, settings, root, Arc::clone(&clock), Watcher::new(), outcomes);
        let socket = settings.control.socket.clone();
        let listener = bind(&socket)?;
        let identity = Identity { started: clock.now(), socket };
        let (managing, wishes, standing) = Managing::new();
        let (tell_written, written) = watch::channel(written(settings));
        let confining = Confining { sandbox, written };
        let answers = Answers { commands: commands.clone(), events, clock, identity, managing, confining };
        Ok(Self {
            source,
            runner,
            listener,
            signals,
            answers,
            outcomes: reported,
            commands,
            inbox,
            settings: settings.clone(),
            wishes,
            standing,
            written: tell_written,
            textfile: settings.metrics.textfile.clone(),
        })
    }

    /// Runs until TERM or INT, or until it has to be started again. READY is sent when the first regeneration stands.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (stop, stopped) = watch::channel(false);
        let stopping = |mut stopped: watch::Receiver<bool>| async move {
            // An error means that the sender is gone, which is a stop as well.
            let _stop = stopped.wait_for(|stop| *stop).await;
        };
        let events = self.answers.events.clone();
        let options = Options::new(env!("CARGO_PKG_VERSION"));
        let (fault, faults) = watch::channel(None);
        let (textfile, place) = watch::channel(self.textfile);
        let measured = metrics::keep(
            self.answers.clone(),
            place,
            self.outcomes.resubscribe(),
            stopping(stopped.clone()),
        );
        let standing = self.answers.standing();
        let kept = keep(standing, self.outcomes.resubscribe(), faults, stopping(stopped.clone()));
        let managing = self.answers.managing.clone();
        let confining = self.answers.confining.clone();
        let held = confining.clone().hold(
            manager::listens(),
            self.outcomes.resubscribe(),
            stopping(stopped.clone()),
        );
        let stop_held = stop.clone();
        let held = async move {
            let failure = held.await;
            if failure.is_some() {
                let _gone = stop_held.send(true);
            }
            failure
        };
        let reports = {
            let answers = self.answers.clone();
            async move || Some((answers.status().await.ok()?, answers.anchors().await.ok()?))
        };
        let store = management::Loop { commands: self.commands.clone(), reports };
        let clock = Arc::clone(&self.answers.clock);
        let turns = self.runner.turns();
        let management = Management::new(&self.settings, store, clock, self.wishes, self.standing, turns);
        let told = Told { fault, textfile, written: self.written, confining };
        let steered = steer(self.signals, self.source, (self.commands, managing), told, stop);
        let ((), (), (), (), (), (), (), ended) = tokio::join!(
            management.run(stopping(stopped.clone())),
            self.runner.run(self.inbox, stopping(stopped.clone())),
            agent_control::serve(self.listener, self.answers, options, stopping(stopped.clone())),
            forward(self.outcomes, events, stopping(stopped.clone())),
            kept,
            measured,
            until_stopped(steered, stopping(stopped)),
            held,
        );
        info!("stopped");
        ended.map_or(Ok(()), Err)
    }
}

/// The store's lock. Where somebody else has it we do not start; where it cannot be had at all, on a read-only disk for
/// one, we start without, say so, and try again before each write: who cannot write can still watch, verify and report.
fn lock(endpoint: &Endpoint) -> Result<Option<Lock>, Failure> {
    match endpoint.open() {
        Ok(lock) => Ok(Some(lock)),
        Err(error @ OpenError::Lock(LockError::Held { .. })) => Err(error.into()),
        Err(error) => {
            error!(%error, "the store cannot be written: started all the same, and it is tried again");
            Ok(None)
        }
    }
}

/// Steers until it has said stop, or somebody else has.
async fn until_stopped(steered: impl Future<Output = ()>, stopped: impl Future<Output = ()>) {
    tokio::select! {
        () = steered => {}
        () = stopped => manager::tell(&[NotifyState::Stopping]),
    }
}

/// What is told to those who keep something true.
struct Told {
    /// Why the configuration was not read again.
    fault: watch::Sender<Option<String>>,
    /// Where the metrics go.
    textfile: watch::Sender<Option<PathBuf>>,
    /// Where is written.
    written: watch::Sender<BTreeSet<PathBuf>>,
    confining: Confining,
}

/// Starts the first regeneration, says READY, then turns signals into commands until one says stop.
async fn steer(
    mut signals: Signals,
    source: Source,
    (commands, managing): (mpsc::Sender<Command>, Managing),
    told: Told,
    stop: watch::Sender<bool>,
) {
    manager::tell(&[NotifyState::Status("looking at the sources")]);
    let mut waiting = Some(regenerate(&commands, Trigger::Start).await);
    loop {
        let request = tokio::select! {
            outcome = stands(&mut waiting) => {
                manager::tell(&[NotifyState::Ready]);
                // Wakes whoever keeps STATUS true.
                told.fault.send_replace(None);
                log_ready(&outcome);
                continue;
            }
            request = signals.next() => request,
        };
        match request {
            Request::Stop => break,
            Request::Regenerate => drop(regenerate(&commands, Trigger::Signal).await),
            Request::Reload => {
                manager::tell_reloading();
                match reload(&source, &commands, &managing, &told).await {
                    Ok(()) => {
                        waiting = Some(regenerate(&commands, Trigger::Reload).await);
                    }
                    Err(failure) => {
                        // Nothing has changed; only a start that still waits is not ready by this.
                        if waiting.is_none() {
                            manager::tell(&[NotifyState::Ready]);
                        }
                        told.fault.send_replace(Some(failure.to_string()));
                    }
                }
            }
        }
    }
    manager::tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    info!(message_id = id::STOPPING, "stopping");
    // All receivers may be gone already.
    let _gone = stop.send(true);
}

/// The outcome that is waited for; never, where none is.
async fn stands(waiting: &mut Option<oneshot::Receiver<Arc<Outcome>>>) -> Arc<Outcome> {
    if let Some(answer) = waiting {
        let outcome = answer.await;
        *waiting = None;
        if let Ok(outcome) = outcome {
            return outcome;
        }
    }
    std::future::pending().await
}

async fn regenerate(commands: &mpsc::Sender<Command>, by: Trigger) -> oneshot::Receiver<Arc<Outcome>> {
    let (reply, answer) = oneshot::channel();
    let command = Command::Regenerate { force: false, dry_run: false, by, order: None, reply: Some(reply) };
    // The loop ends only after us.
    let _gone = commands.send(command).await;
    answer
}

/// A configuration that is wrong, or needs a restart, changes nothing: the old one stays in force, and that is said.
async fn reload(
    source: &Source,
    commands: &mpsc::Sender<Command>,
    managing: &Managing,
    told: &Told,
) -> Result<(), Failure> {
    let settings = source.load().and_then(|settings| {
        told.confining.admits(&written(&settings))?;
        Ok(settings)
    });
    let settings = settings.inspect_err(|failure| {
        error!(message_id = id::CONFIGURATION_REFUSED, %failure, "the configuration was not read again: the one in force stays");
    })?;
    info!("configuration read again");
    told.textfile.send_replace(settings.metrics.textfile.clone());
    told.written.send_replace(written(&settings));
    managing.reload(&settings).await;
    let _gone = commands.send(Command::Reload(Box::new(settings))).await;
    Ok(())
}

/// Keeps the service manager's STATUS true and its watchdog fed, where there is one.
async fn keep(
    standing: impl AsyncFn() -> Option<Standing>,
    mut outcomes: broadcast::Receiver<Arc<Outcome>>,
    faults: watch::Receiver<Option<String>>,
    stopped: impl Future<Output = ()>,
) {
    if !manager::listens() {
        return;
    }
    let news = async || {
        // One that was missed is news as well; no more will come when the loop has gone.
        if let Err(broadcast::error::RecvError::Closed) = outcomes.recv().await {
            std::future::pending::<()>().await;
        }
    };
    manager::keep(manager::pace(), faults, news, standing, manager::tell, stopped).await;
}

/// Turns outcomes into the events that `agentctl watch` shows.
async fn forward(
    mut outcomes: broadcast::Receiver<Arc<Outcome>>,
    events: broadcast::Sender<Event>,
    stopped: impl Future<Output = ()>,
) {
    tokio::pin!(stopped);
    loop {
        let outcome = tokio::select! {
            outcome = outcomes.recv() => outcome,
            () = &mut stopped => return,
        };
        match outcome {
            // Nobody may be watching.
            Ok(outcome) => drop(events.send(report::event(&outcome))),
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

fn log_ready(outcome: &Outcome) {
    let state = &outcome.plan.next;
    let anchors = state.bundle.as_ref().map_or(0, |bundle| bundle.anchors.len());
    info!(message_id = id::READY, generation = state.generation, anchors, "ready");
}

fn bind(socket: &Path) -> Result<Listener, Failure> {
    if let Some(directory) = socket.parent() {
        fs::create_dir_all(directory).map_err(|error| {
            Failure::new(
                Failure::code_of(&error),
                format_args!("cannot make {}: {error}", directory.display()),
            )
        })?;
    }
    agent_control::bind_after(socket, 0o660, None, died_holding_on)
        .map_err(|error| Failure::new(Failure::FAILED, error))
}
