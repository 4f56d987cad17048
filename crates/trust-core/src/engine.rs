//! The daemon's brain as a value: events in, actions out, time as an argument.
//!
//! Three rules keep its idea of the store and the disk's the same, whatever comes in between: one look or publication
//! is under way at a time; its completion says what was published; and whatever comes meanwhile is remembered and
//! makes one more look.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::bundle::Bundle;
use crate::fingerprint::Fingerprint;
use crate::plan::{self, Observation, Plan, Request, Settings, Step, StoreState};
use crate::source::{Failure, Reading, SourceId};

/// A moment, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The wall clock: for validity and for the record. It may jump.
    pub wall: Timestamp,
    /// A clock that never goes back, from any start: for timers.
    pub steady: Duration,
}

/// Whose wish a regeneration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The service started.
    Start,
    /// Something changed on disk, or it was time for the slow look.
    Watch,
    /// SIGUSR1.
    Signal,
    /// The configuration was read again.
    Reload,
    /// `agentctl`, run by this user.
    Operator {
        /// The user's id.
        uid: u32,
    },
}

impl Trigger {
    /// The words for the record.
    #[must_use]
    pub fn code(self) -> String {
        match self {
            Self::Start => "start".to_owned(),
            Self::Watch => "watch".to_owned(),
            Self::Signal => "signal".to_owned(),
            Self::Reload => "reload".to_owned(),
            Self::Operator { uid } => format!("operator uid {uid}"),
        }
    }
}

/// A wish for a regeneration that somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Names the answer.
    pub id: u64,
    /// Write even where nothing changed, and even a store without anchors.
    pub force: bool,
    /// Answer what would be done, and do nothing.
    pub dry_run: bool,
    /// Whose wish.
    pub by: Trigger,
}

/// Every cause of work.
#[derive(Debug)]
pub enum Event {
    /// Something may have changed on disk.
    Hint,
    /// The time of the last [`Action::WakeIn`] has come.
    Timer,
    /// Somebody wants a regeneration now.
    Ask(Ask),
    /// Other settings.
    Settings(Settings),
    /// [`Action::Look`] is done.
    Looked(Observation),
    /// [`Action::Carry`] is done.
    Carried(Carried),
}

/// How far a publication came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// Bundle and state stand on disk.
    Done,
    /// The bundle stands; the state could not be written and is tried again.
    StateFailed(Failure),
    /// The old bundle and the old state stand.
    Failed(Failure),
}

/// What the edges are to do. At most one `Look` or `Carry` is under way.
#[derive(Debug)]
pub enum Action {
    /// Look at policies and sources, then [`Event::Looked`].
    Look,
    /// Write the bundle where there is one, then the state, then [`Event::Carried`].
    Carry {
        /// The bundle; `None` where it stands already.
        bundle: Option<Bundle>,
        /// The state.
        state: Arc<StoreState>,
    },
    /// Answer who asked.
    Answer {
        /// [`Ask::id`].
        id: u64,
        /// What came of it.
        outcome: Arc<Outcome>,
    },
    /// Tell the log, the watchers and the servers: something was done, or could not be.
    Report(Arc<Outcome>),
    /// Send [`Event::Timer`] after this time (with jitter), unless another `WakeIn` comes first.
    WakeIn(Duration),
}

/// What came of a regeneration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Whose wish it was.
    pub by: Trigger,
    /// When it was decided.
    pub at: Timestamp,
    /// The plan, its bundle's bytes dropped.
    pub plan: Plan,
    /// True where the bundle file was written.
    pub changed: bool,
    /// True where it was only asked what would be done.
    pub dry_run: bool,
    /// True where it was forced.
    pub forced: bool,
    /// Why it could not be carried out; the old store stands.
    pub failure: Option<Failure>,
}

impl Outcome {
    /// True where the bundle file was written, or on a dry run would be.
    #[must_use]
    pub fn would_write(&self) -> bool {
        matches!(self.plan.step, Step::Publish(_))
    }
}

/// The engine. See the module's head.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    state: Arc<StoreState>,
    phase: Phase,
    /// Somebody hinted at a change since the last look began.
    again: bool,
    waiting: Vec<Ask>,
    /// When each source was last seen to become what it is.
    sightings: BTreeMap<SourceId, Sighting>,
    /// The state on disk is behind.
    unsaved: bool,
    failures: u32,
    last_failure: Option<Failure>,
    last_look: Option<Timestamp>,
    watch_degraded: bool,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Looking(Batch),
    Carrying { batch: Batch, plan: Plan },
}

/// The wishes that one look answers.
#[derive(Debug)]
struct Batch {
    asks: Vec<Ask>,
    by: Trigger,
    dry_run: bool,
    force: bool,
}

/// A source as it was last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sighting {
    what: Seen,
    /// When it became so, by the steady clock; `None` for before this life.
    since: Option<Duration>,
}

/// What of a source tells that it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Missing,
    Read(Fingerprint),
    Failed,
}

impl Engine {
    /// An engine over what the last life left. Send it [`Event::Ask`] with [`Trigger::Start`] to begin.
    #[must_use]
    pub fn new(settings: Settings, state: Arc<StoreState>) -> Self {
        Self {
            settings,
            state,
            phase: Phase::Idle,
            again: false,
            waiting: Vec::new(),
            sightings: BTreeMap::new(),
            unsaved: false,
            failures: 0,
            last_failure: None,
            last_look: None,
            watch_degraded: false,
        }
    }

    /// What is known of the store.
    #[must_use]
    pub fn state(&self) -> &Arc<StoreState> {
        &self.state
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Why the last publication failed, until one succeeds.
    #[must_use]
    pub fn last_failure(&self) -> Option<&Failure> {
        self.last_failure.as_ref()
    }

    /// When the sources were last looked at.
    #[must_use]
    pub fn last_look(&self) -> Option<Timestamp> {
        self.last_look
    }

    /// Takes one event and says what is to be done for it.
    #[must_use]
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Action> {
        match event {
            Event::Hint | Event::Timer => self.again = true,
            Event::Ask(ask) => self.waiting.push(ask),
            Event::Settings(settings) => {
                self.settings = settings;
                self.again = true;
            }
            Event::Looked(seen) => return self.looked(now, seen),
            Event::Carried(result) => return self.carried(now, result),
        }
        self.start_look()
    }

    fn start_look(&mut self) -> Vec<Action> {
        if !matches!(self.phase, Phase::Idle) {
            return Vec::new();
        }
        let Some(batch) = self.next_batch() else { return Vec::new() };
        self.phase = Phase::Looking(batch);
        vec![Action::Look]
    }

    /// Real wishes and hints share one look; questions what would be done share another.
    fn next_batch(&mut self) -> Option<Batch> {
        let (dry, real): (Vec<Ask>, Vec<Ask>) = self.waiting.drain(..).partition(|ask| ask.dry_run);
        let dry_run = real.is_empty() && !self.again;
        let asks = if dry_run {
            dry
        } else {
            self.waiting = dry;
            self.again = false;
            real
        };
        if dry_run && asks.is_empty() {
            return None;
        }
        Some(Batch {
            by: asks.first().map_or(Trigger::Watch, |ask| ask.by),
            force: asks.iter().any(|ask| ask.force),
            dry_run,
            asks,
        })
    }

    fn looked(&mut self, now: Now, seen: Observation) -> Vec<Action> {
        let Phase::Looking(batch) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return Vec::new();
        };
        self.last_look = Some(now.wall);
        // A file written a moment ago may be written again within one tick of its time stamps: look once more.
        let fresh =
            seen.sources.iter().any(|(_, reading)| matches!(reading, Reading::Read { fresh: true, .. }));
        self.watch_degraded = seen.watch_degraded;
        self.sight(now, &seen);
        let mut plan = self.plan(now, &batch, seen);
        plan.settling |= fresh;
        if plan.step == Step::Nothing && self.unsaved {
            plan.step = Step::Save;
        }
        if batch.dry_run || plan.step == Step::Nothing {
            return self.finish(now, &batch, plan, false);
        }
        let (bundle, plan) = take_bundle(plan);
        let state = Arc::clone(&plan.next);
        self.phase = Phase::Carrying { batch, plan };
        vec![Action::Carry { bundle, state }]
    }

    fn plan(&self, now: Now, batch: &Batch, seen: Observation) -> Plan {
        // Who asks for a regeneration says that the sources are as they should be; only a file that is visibly
        // being written is given its time.
        let asked = batch.asks.iter().any(|ask| ask.by != Trigger::Start);
        let quiet = |id: &SourceId, reading: &Reading| match reading {
            Reading::Read { snapshot, fresh: true } if asked => !snapshot.content().incomplete,
            _ if asked => true,
            _ => self.has_been_quiet(now, id),
        };
        let request = Request { by: &batch.by.code(), force: batch.force, quiet: &quiet };
        plan::plan(&self.state, seen, &self.settings, &request, now.wall)
    }

    /// Notes when each source became what it is now. At the first look after a start a file's modification time tells
    /// whether it has been quiet.
    fn sight(&mut self, now: Now, seen: &Observation) {
        let mut sightings = BTreeMap::new();
        for (id, reading) in &seen.sources {
            let (what, settled) = match reading {
                Reading::Missing => (Seen::Missing, false),
                Reading::Read { snapshot, fresh } => (Seen::Read(snapshot.sha256()), !fresh),
                Reading::Failed(_) => (Seen::Failed, false),
            };
            let first = !self.sightings.contains_key(id);
            let since = if first && settled { None } else { Some(now.steady) };
            sightings.insert(id.clone(), self.since_when(id, Sighting { what, since }));
        }
        for state in &self.state.sources {
            let gone = Sighting { what: Seen::Missing, since: Some(now.steady) };
            if !sightings.contains_key(&state.id) {
                sightings.insert(state.id.clone(), self.since_when(&state.id, gone));
            }
        }
        self.sightings = sightings;
    }

    /// The earlier sighting where it was of the same, else this one.
    fn since_when(&self, id: &SourceId, now: Sighting) -> Sighting {
        self.sightings.get(id).copied().filter(|known| known.what == now.what).unwrap_or(now)
    }

    fn has_been_quiet(&self, now: Now, id: &SourceId) -> bool {
        let since = self.sightings.get(id).and_then(|sighting| sighting.since);
        since.is_none_or(|since| now.steady.saturating_sub(since) >= self.settings.quiet)
    }

    fn carried(&mut self, now: Now, carried: Carried) -> Vec<Action> {
        let Phase::Carrying { batch, plan } = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return Vec::new();
        };
        let published = !matches!(carried, Carried::Failed(_));
        if published {
            self.state = Arc::clone(&plan.next);
            self.unsaved = carried != Carried::Done;
        }
        self.last_failure = match carried {
            Carried::Done => None,
            Carried::StateFailed(failure) | Carried::Failed(failure) => Some(failure),
        };
        self.failures = if self.last_failure.is_some() { self.failures.saturating_add(1) } else { 0 };
        let changed = published && matches!(plan.step, Step::Publish(_));
        self.finish(now, &batch, plan, changed)
    }

    fn finish(&mut self, now: Now, batch: &Batch, plan: Plan, changed: bool) -> Vec<Action> {
        let acted = !batch.dry_run && plan.step != Step::Nothing;
        if !acted && !batch.dry_run {
            // What failed before is not wanted any more.
            self.last_failure = None;
            self.failures = 0;
        }
        let settling = plan.settling;
        let outcome = Arc::new(Outcome {
            by: batch.by,
            at: now.wall,
            plan,
            changed,
            dry_run: batch.dry_run,
            forced: batch.force,
            failure: if acted { self.last_failure.clone() } else { None },
        });
        let mut actions: Vec<Action> = batch
            .asks
            .iter()
            .map(|ask| Action::Answer { id: ask.id, outcome: Arc::clone(&outcome) })
            .collect();
        if acted {
            actions.push(Action::Report(outcome));
        }
        let more = self.start_look();
        if more.is_empty() {
            actions.push(Action::WakeIn(self.pause(settling)));
        }
        actions.extend(more);
        actions
    }

    /// Time to the next look: soon after a failure or while anchors wait to leave, else the slow look.
    fn pause(&self, settling: bool) -> Duration {
        const FIRST_RETRY: Duration = Duration::from_secs(1);
        /// 2^5 = 32 s: about the slow look, which is the longest pause anyway.
        const MAX_DOUBLINGS: u32 = 5;
        let slow = if self.watch_degraded { self.settings.degraded_poll } else { self.settings.poll };
        if self.failures > 0 {
            slow.min(FIRST_RETRY * (1 << (self.failures - 1).min(MAX_DOUBLINGS)))
        } else if settling {
            slow.min(self.settings.quiet)
        } else {
            slow
        }
    }
}

/// Takes the bytes out of a plan, which is kept for its report: they are the edges' now.
fn take_bundle(mut plan: Plan) -> (Option<Bundle>, Plan) {
    match &mut plan.step {
        Step::Publish(bundle) => {
            let bytes = std::mem::take(&mut bundle.bytes);
            let bundle = Bundle { bytes, sha256: bundle.sha256 };
            (Some(bundle), plan)
        }
        Step::Nothing | Step::Save => (None, plan),
    }
}
