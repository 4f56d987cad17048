//! The daemon's loop: feeds the engine with what happens and carries out what it orders, one job at a time.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent_management::refresh::Set;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use trust_core::engine::{Action, Ask, Carried, Engine, Event, Now, Order, Outcome, Trigger};
use trust_core::guard::Proofs;
use trust_core::plan::{Settings, StoreState};
use trust_core::policy::{Effective, Warning};
use trust_core::source::Failure;

use crate::clock::Clock;
use crate::endpoint::{Endpoint, Job, Loaded};
use crate::history::History;
use crate::lock::Lock;
use crate::look::{Leaving, Look};
use crate::management::disk::{Disk, Record};
use crate::prove::Inquiry;
use crate::publish::{PublishError, RealFs, Step};
use crate::servers::{ServerStatus, Servers};
use crate::turns::Turns;
use crate::watch::{Hint, WatchReport, Watcher};

mod burst;

use burst::Burst;

/// What the loop is asked from outside.
#[derive(Debug)]
pub enum Command {
    /// Regenerate now.
    Regenerate {
        /// Write even where nothing changed, and drop what the guard would keep.
        force: bool,
        /// Only say what would be done.
        dry_run: bool,
        /// Whose wish.
        by: Trigger,
        /// What is to be noted before.
        order: Option<Order>,
        /// Where the answer goes; `None` where nobody waits.
        reply: Option<oneshot::Sender<Arc<Outcome>>>,
    },
    /// Put a set of policies and anchors in place, then regenerate.
    Take(Box<Take>),
    /// Tell how things are.
    View(oneshot::Sender<View>),
    /// Go on with other settings.
    Reload(Box<agent_config::Settings>),
}

/// A set of policies and anchors that a server had.
#[derive(Debug)]
pub struct Take {
    /// The files.
    pub set: Set,
    /// What to remember with it.
    pub record: Record,
    /// Whose wish.
    pub by: Trigger,
    /// Told whether they are in place.
    pub placed: oneshot::Sender<Result<(), PublishError>>,
    /// Told what came of the regeneration.
    pub reply: oneshot::Sender<Arc<Outcome>>,
}

/// A set that is to be put in place, and who is told.
type Placing = (Set, Record, oneshot::Sender<Result<(), PublishError>>);

/// How things are.
#[derive(Debug, Clone)]
pub struct View {
    /// What is known of the store.
    pub state: Arc<StoreState>,
    /// Warnings of the last look.
    pub warnings: Vec<Warning>,
    /// Why the last publication failed, until one succeeds.
    pub failure: Option<Failure>,
    /// When the sources were last looked at.
    pub last_look: Option<jiff::Timestamp>,
    /// What is watched and what is not.
    pub watch: WatchReport,
    /// The last regeneration that changed or tried to change something in this life.
    pub last_outcome: Option<Arc<Outcome>>,
    /// The servers, as they were last reached.
    pub servers: Vec<ServerStatus>,
    /// The settings in force.
    pub settings: Settings,
    /// When the configuration was read that they are of.
    pub configured_at: jiff::Timestamp,
    /// The bundle's path.
    pub merged: PathBuf,
    /// The generations of the store.
    pub history: History,
}

impl View {
    /// Time between two looks.
    #[must_use]
    pub fn poll(&self) -> Duration {
        if self.watch.is_degraded() { self.settings.degraded_poll } else { self.settings.poll }
    }
}

/// The daemon's loop.
pub struct Runner {
    endpoint: Endpoint,
    /// `None` where it could not be had: it is tried again before each write.
    lock: Option<Lock>,
    /// Put before the default layout.
    root: Option<PathBuf>,
    engine: Engine,
    clock: Arc<dyn Clock>,
    watcher: Watcher,
    watch: WatchReport,
    job: Option<JoinHandle<Done>>,
    /// The servers are being asked by the guard.
    inquiry: Option<JoinHandle<Proofs>>,
    /// The settings as configured.
    configured: agent_config::Settings,
    /// What the policies say together.
    policy: Effective,
    wake: Option<Instant>,
    replies: HashMap<u64, oneshot::Sender<Arc<Outcome>>>,
    next_ask: u64,
    warnings: Vec<Warning>,
    start_warning: Option<Warning>,
    /// The state on disk could not be read at the start.
    unread: bool,
    last_outcome: Option<Arc<Outcome>>,
    outcomes: broadcast::Sender<Arc<Outcome>>,
    servers: Servers,
    turns: Turns,
    /// When the configuration in force was read.
    configured_at: jiff::Timestamp,
    /// Sets to be put in place by the next look, before it looks.
    to_take: Vec<Placing>,
    /// The places of what servers send.
    disk: Disk,
    /// After the first sign of a change, so that one rename is one look and not three; short, for what is added counts
    /// at once and what is lost waits by itself.
    settle: Duration,
    /// When to follow a hint.
    hint_at: Option<Instant>,
    burst: Burst,
    /// A look that begins now will find a change.
    certain: bool,
    /// What has yet to end of what read the sources.
    leaving: Leaving,
}

/// Waits for it elsewhere, if there is anybody.
fn let_leave(leaving: Leaving) {
    if !leaving.is_empty() {
        drop(tokio::task::spawn_blocking(move || drop(leaving)));
    }
}

/// What a job on the blocking pool brought back.
enum Done {
    Looked(Look),
    Carried(Carried),
}

impl Runner {
    /// Takes over an endpoint with its lock; without one, it is taken before the first write.
    pub fn new(
        endpoint: Endpoint,
        lock: Option<Lock>,
        settings: &agent_config::Settings,
        root: Option<PathBuf>,
        clock: Arc<dyn Clock>,
        watcher: Watcher,
        outcomes: broadcast::Sender<Arc<Outcome>>,
    ) -> Self {
        let Loaded { state, warning: start_warning, unread } =
            lock.as_ref().map_or_else(|| endpoint.load(), |lock| endpoint.load_to_write(lock));
        let turns = Turns::default();
        let mut servers = Servers::new(settings, endpoint.paths().merged.clone(), turns.clone());
        servers.set_archive(&state.archive);
        servers.set_retained(&state.retained);
        let engine = Engine::new(Endpoint::trust_settings(settings), Arc::new(state));
        Self {
            servers,
            turns,
            configured_at: clock.now(),
            endpoint,
            lock,
            root,
            engine,
            clock,
            watcher,
            watch: WatchReport::default(),
            job: None,
            inquiry: None,
            configured: settings.clone(),
            policy: Effective::default(),
            wake: None,
            replies: HashMap::new(),
            next_ask: 0,
            warnings: Vec::new(),
            start_warning,
            unread,
            last_outcome: None,
            outcomes,
            to_take: Vec::new(),
            disk: Disk::new(settings),
            settle: settings.watch.settle,
            hint_at: None,
            burst: Burst::default(),
            certain: false,
            leaving: Leaving::default(),
        }
    }

    /// For whoever else talks to the servers.
    #[must_use]
    pub fn turns(&self) -> Turns {
        self.turns.clone()
    }

    /// Runs until `shutdown`; a job that is under way is finished first.
    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                done = next_done(&mut self.job) => self.done(done),
                Some(command) = commands.recv() => self.command(command),
                hint = self.watcher.changed() => self.hinted(hint),
                () = until(self.hint_at) => self.follow(),
                () = until(self.wake) => {
                    self.wake = None;
                    self.endpoint.suspects();
                    self.handle(Event::Timer);
                }
                proofs = next_proofs(&mut self.inquiry) => self.handle(Event::Proven(proofs)),
                reached = self.servers.advance() => {
                    self.save_chains();
                    for reached in reached {
                        self.handle(Event::Reached(reached));
                    }
                }
            }
        }
        if let Some(job) = self.job.take() {
            // Its result is on disk; the next start finds it there.
            let _finished = job.await;
        }
    }

    /// A change that is complete is followed at once; one that goes on, and what comes soon after another, when it has
    /// settled: a burst of events makes two looks, the first and the last.
    fn hinted(&mut self, hint: Hint) {
        let now = Instant::now();
        if !hint.complete || self.burst.is_on(now) {
            let at = now + self.settle;
            self.hint_at = Some(self.hint_at.map_or(at, |known| known.min(at)));
            return;
        }
        // Not by a timer: those count in milliseconds.
        if self.job.is_some() {
            return self.follow();
        }
        // What reads the file starts meanwhile, and nothing is won by a glance.
        self.certain = hint.known;
        if hint.named {
            self.endpoint.start_reader();
        }
        self.follow();
        self.certain = false;
        if self.job.is_none() {
            let_leave(self.endpoint.dismiss_reader());
        }
    }

    fn follow(&mut self) {
        self.hint_at = None;
        self.burst.looked(Instant::now());
        self.endpoint.hinted();
        self.handle(Event::Hint);
    }

    fn now(&self) -> Now {
        Now { wall: self.clock.now(), steady: self.clock.monotonic() }
    }

    fn handle(&mut self, event: Event) {
        let actions = self.engine.handle(self.now(), event);
        for action in actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Look => {
                let endpoint = self.endpoint.clone();
                let known = Arc::clone(self.engine.state());
                let (sets, disk, at) = (self.sets_to_take(), self.disk.clone(), self.clock.now());
                if sets.is_empty()
                    && !self.certain
                    && let Some(look) = endpoint.glance(&known)
                {
                    // Nothing changed, which is most of the time: no thread is needed for that.
                    return self.done(Done::Looked(look));
                }
                self.job = Some(tokio::task::spawn_blocking(move || {
                    // Between two looks, so that none sees half of a set.
                    for (set, record, placed) in sets {
                        let taken = disk.take(&RealFs, &set, &record);
                        if taken.is_ok() {
                            endpoint.record_policies(&set, &record, at);
                        }
                        let _gone = placed.send(taken);
                    }
                    Done::Looked(endpoint.look(&known))
                }));
            }
            Action::Carry { bundle, generation, state, orders } => {
                if let Err(failure) = self.take_lock() {
                    return self.handle(Event::Carried(Carried::Failed(failure)));
                }
                if self.read_again() {
                    let by = Trigger::Start;
                    return self.handle(Event::Ask(Ask {
                        id: 0,
                        force: false,
                        dry_run: false,
                        by,
                        order: None,
                    }));
                }
                let endpoint = self.endpoint.clone();
                let job = Job { bundle, generation, state, orders, at: self.clock.now() };
                // What read the sources ends meanwhile; that it has is seen after the publication, on the same thread.
                let leaving = std::mem::take(&mut self.leaving);
                self.job = Some(tokio::task::spawn_blocking(move || {
                    let carried = endpoint.carry(&job);
                    drop(leaving);
                    Done::Carried(carried)
                }));
            }
            Action::Prove(question) => {
                let now = self.clock.now();
                let inquiry = Inquiry::new(question, &self.configured, &self.policy, self.turns.clone(), now);
                self.inquiry = Some(tokio::spawn(inquiry.answer()));
            }
            Action::Answer { id, outcome } => {
                if let Some(reply) = self.replies.remove(&id) {
                    // Whoever asked may be gone.
                    let _gone = reply.send(outcome);
                }
            }
            Action::Report(outcome) => self.report(outcome),
            Action::WakeIn(pause) => self.wake = Some(Instant::now() + jittered(pause, self.clock.now())),
        }
    }

    /// The sets that this look is to put in place; none where somebody else has the store.
    fn sets_to_take(&mut self) -> Vec<Placing> {
        let sets = std::mem::take(&mut self.to_take);
        if sets.is_empty() || self.take_lock().is_ok() {
            return sets;
        }
        for (_, _, placed) in sets {
            let path = self.endpoint.paths().state.clone();
            let _gone = placed.send(Err(PublishError::Step {
                step: Step::OpenDirectory,
                path,
                errno: rustix::io::Errno::BUSY,
            }));
        }
        Vec::new()
    }

    /// The state that could not be read at the start can be read now: all begins anew from it. What was planned rests on
    /// another one.
    fn read_again(&mut self) -> bool {
        if !self.unread {
            return false;
        }
        match self.endpoint.state().load() {
            Ok(Some(state)) => {
                self.unread = false;
                self.start_warning = None;
                self.servers.set_archive(&state.archive);
                self.engine = Engine::new(self.engine.settings().clone(), Arc::new(state));
                // Who waits is told to ask again.
                self.replies.clear();
                true
            }
            // Still not: the save fails, and it is tried again.
            Err(error) if error.may_pass() => false,
            Ok(None) | Err(_) => {
                self.unread = false;
                false
            }
        }
    }

    fn take_lock(&mut self) -> Result<(), Failure> {
        if self.lock.is_none() {
            self.lock = Some(self.endpoint.open().map_err(|error| error.failure())?);
        }
        Ok(())
    }

    /// What the servers presented, for what is foreseen after the next start. Nothing else depends on it.
    fn save_chains(&mut self) {
        if self.lock.is_none() {
            return;
        }
        let Some(chains) = self.servers.take_unsaved() else { return };
        let (files, state) = (self.endpoint.files(), self.endpoint.paths().state.clone());
        drop(tokio::task::spawn_blocking(move || {
            if let Err(error) = chains.save(&*files, &state) {
                tracing::debug!(%error, "what the servers presented was not written down");
            }
        }));
    }

    fn report(&mut self, outcome: Arc<Outcome>) {
        crate::journal::outcome(&outcome);
        if outcome.changed {
            self.servers.store_changed();
        }
        self.last_outcome = Some(Arc::clone(&outcome));
        // Nobody may be watching.
        let _unheard = self.outcomes.send(outcome);
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Looked(mut look) => {
                let (mut report, rearmed) = self.watcher.arm(&look.watch);
                self.watcher.know(look.places());
                report.follow(std::mem::take(&mut look.ways));
                look.observation.watch_degraded = report.is_degraded();
                self.watch = report;
                self.warnings = look.observation.effective.warnings.clone();
                self.warnings.extend(self.start_warning.clone());
                self.warnings.extend(look.observation.warnings.iter().cloned());
                self.servers.set_policy(&look.observation.effective);
                self.policy.clone_from(&look.observation.effective);
                self.leaving = std::mem::take(&mut look.leaving);
                self.handle(Event::Looked(look.observation));
                if self.job.is_none() {
                    self.burst.in_vain(Instant::now());
                }
                self.servers.store_looked_at();
                // Where something was published, that has taken it along.
                let_leave(std::mem::take(&mut self.leaving));
                if rearmed {
                    // What changed between the look and the watch was not seen.
                    self.handle(Event::Hint);
                }
            }
            Done::Carried(carried) => {
                self.handle(Event::Carried(carried));
                self.servers.set_archive(&self.engine.state().archive);
                self.servers.set_retained(&self.engine.state().retained);
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Regenerate { force, dry_run, by, order, reply } => {
                if matches!(by, Trigger::Operator { .. } | Trigger::Signal | Trigger::Start | Trigger::Reload)
                {
                    // Who asks is not told what the times of files say.
                    self.endpoint.read_all_next();
                }
                let id = self.next_ask;
                self.next_ask += 1;
                if let Some(reply) = reply {
                    self.replies.insert(id, reply);
                }
                self.handle(Event::Ask(Ask { id, force, dry_run, by, order }));
            }
            Command::Take(take) => {
                let Take { set, record, by, placed, reply } = *take;
                self.to_take.push((set, record, placed));
                // In one step: the look that puts it in place is the one that answers.
                self.command(Command::Regenerate {
                    force: false,
                    dry_run: false,
                    by,
                    order: None,
                    reply: Some(reply),
                });
            }
            Command::View(reply) => {
                let _gone = reply.send(self.view());
            }
            Command::Reload(settings) => {
                let endpoint = self.endpoint.reloaded(&settings, self.root.as_deref());
                if endpoint.paths().state != self.endpoint.paths().state {
                    // The lock is of the old place.
                    self.lock = None;
                }
                self.endpoint = endpoint;
                self.disk = Disk::new(&settings);
                self.settle = settings.watch.settle;
                self.configured = (*settings).clone();
                self.configured_at = self.clock.now();
                self.servers.reload(&settings, self.endpoint.paths().merged.clone());
                self.handle(Event::Settings(Endpoint::trust_settings(&settings)));
            }
        }
    }

    fn view(&self) -> View {
        View {
            state: Arc::clone(self.engine.state()),
            warnings: self.warnings.iter().cloned().chain(self.endpoint.audit_warning()).collect(),
            failure: self.engine.last_failure().cloned(),
            last_look: self.engine.last_look(),
            watch: self.watch.clone(),
            last_outcome: self.last_outcome.clone(),
            servers: self.servers.statuses(),
            settings: self.engine.settings().clone(),
            configured_at: self.configured_at,
            merged: self.endpoint.paths().merged.clone(),
            history: self.endpoint.history().clone(),
        }
    }
}

async fn next_done(job: &mut Option<JoinHandle<Done>>) -> Done {
    match job {
        Some(handle) => {
            let done = handle.await;
            *job = None;
            // A panic in a job aborts the process (release) or fails the test; the runtime never cancels one.
            done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        }
        None => std::future::pending().await,
    }
}

async fn next_proofs(inquiry: &mut Option<JoinHandle<Proofs>>) -> Proofs {
    match inquiry {
        Some(handle) => {
            let proofs = handle.await;
            *inquiry = None;
            proofs.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
        }
        None => std::future::pending().await,
    }
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

/// Up to a tenth more, so that a fleet started at once does not look at once for ever. The clock's own fraction is
/// random enough for that.
fn jittered(pause: Duration, now: jiff::Timestamp) -> Duration {
    let thousandths = now.subsec_microsecond().unsigned_abs() % 100;
    pause + pause * thousandths / 1000
}
