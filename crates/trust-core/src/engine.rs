//! The daemon's brain as a value: events in, actions out, time as an argument.
//!
//! Three rules keep its idea of the store and the disk's the same, whatever comes in between: one look or publication
//! is under way at a time; its completion says what was published; and whatever comes meanwhile is remembered and
//! makes one more look.
//!
//! Asking the servers before anchors leave takes as long as the servers take, so it is no phase: looks and publications
//! go on meanwhile, and its answer makes one more look.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::bundle::Bundle;
use crate::certificate::Certificate;
use crate::fingerprint::Fingerprint;
use crate::guard::{Archived, Proof, Proofs, Retained, ServerMemory, Why};
use crate::history::{Asked, Generation};
use crate::plan::{self, Observation, Plan, Request, Settings, Step, StoreState};
use crate::pool::Pool;
use crate::source::{Failure, Reading, SourceId};

mod event;
mod sight;

use sight::Sightings;

pub use event::{Action, Ask, Carried, Event, Now, Order, Outcome, Reached, Trigger};

/// For so long what the servers show is believed: from the question to the publication that rests on the answer. Longer
/// than any connection is tried, shorter than the time in which anybody changes a server on purpose.
const PROOF_LIFE: Duration = Duration::from_secs(30);

/// The engine. See the module's head.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    state: Arc<StoreState>,
    phase: Phase,
    /// Somebody hinted at a change since the last look began.
    again: bool,
    waiting: Vec<Wish>,
    /// Wishes that wait for the servers' answers.
    deferred: Deferred,
    sightings: Sightings,
    /// The state on disk is behind.
    unsaved: bool,
    failures: u32,
    last_failure: Option<Failure>,
    last_look: Option<Timestamp>,
    watch_degraded: bool,
    guard: Asking,
}

/// What goes on between the guard and the servers.
#[derive(Debug, Default)]
struct Asking {
    /// The servers are being asked, since then by the steady clock.
    under_way: Option<Duration>,
    /// It was asked for more than a dry run.
    in_earnest: bool,
    /// Their last answers, and when they were asked by the steady clock.
    proofs: Option<(Duration, Proofs)>,
    /// Anchors that servers were verified by, not yet in the state.
    learnt: BTreeMap<String, Fingerprint>,
    /// Anchors of the archive that servers need, not yet in the store.
    rescues: Vec<(String, Arc<Certificate>, Timestamp)>,
}

/// Wishes that are answered once the servers have been asked, and what was published for them already.
#[derive(Debug, Default)]
struct Deferred {
    asks: Vec<Ask>,
    added: Vec<Fingerprint>,
    removed: Vec<Fingerprint>,
    causes: Vec<String>,
    changed: bool,
}

#[derive(Debug)]
struct Wish {
    ask: Ask,
    /// It has waited for the servers once: it does not again, and its order is carried out.
    deferred: bool,
}

#[derive(Debug)]
enum Phase {
    Idle,
    /// Orders are being written down, before anything follows from them.
    Noting {
        batch: Batch,
        next: Arc<StoreState>,
    },
    Looking(Batch),
    Carrying {
        batch: Batch,
        plan: Box<Plan>,
    },
}

/// The wishes that one look answers.
#[derive(Debug)]
struct Batch {
    wishes: Vec<Wish>,
    by: Trigger,
    dry_run: bool,
    force: bool,
}

impl Batch {
    fn orders(&self) -> impl Iterator<Item = &Order> {
        self.wishes.iter().filter_map(|wish| wish.ask.order.as_ref())
    }
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
            deferred: Deferred::default(),
            sightings: Sightings::default(),
            unsaved: false,
            failures: 0,
            last_failure: None,
            last_look: None,
            watch_degraded: false,
            guard: Asking::default(),
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
            Event::Ask(ask) => {
                // Who asks wants to hear how the servers are now.
                if matches!(ask.by, Trigger::Operator { .. } | Trigger::Signal) {
                    self.guard.proofs = None;
                }
                self.waiting.push(Wish { ask, deferred: false });
            }
            Event::Settings(settings) => {
                self.settings = settings;
                self.again = true;
            }
            Event::Looked(seen) => return self.looked(now, seen),
            Event::Carried(result) => return self.carried(now, result),
            Event::Proven(proofs) => self.proven(proofs),
            Event::Reached(reached) => self.reached(now, reached),
        }
        self.start_look()
    }

    fn start_look(&mut self) -> Vec<Action> {
        if !matches!(self.phase, Phase::Idle) {
            return Vec::new();
        }
        let Some(batch) = self.next_batch() else { return Vec::new() };
        let rescues = if batch.dry_run { Vec::new() } else { std::mem::take(&mut self.guard.rescues) };
        let new_orders =
            || batch.wishes.iter().filter(|wish| !wish.deferred).filter_map(|w| w.ask.order.as_ref());
        if batch.dry_run || new_orders().next().is_none() && rescues.is_empty() {
            self.phase = Phase::Looking(batch);
            return vec![Action::Look];
        }
        // An order is on disk before anything is done for it: a crash between the two does not undo it.
        let mut next = StoreState::clone(&self.state);
        new_orders().for_each(|order| order.apply(&mut next));
        let ordered = |wish: &Wish| Some((wish.ask.by, wish.ask.order.clone()?));
        let orders = batch.wishes.iter().filter(|wish| !wish.deferred).filter_map(ordered).collect();
        rescues.into_iter().for_each(|(server, anchor, at)| rescue(&mut next, server, anchor, at));
        let next = Arc::new(next);
        self.phase = Phase::Noting { batch, next: Arc::clone(&next) };
        vec![Action::Carry { bundle: None, generation: None, state: next, orders }]
    }

    /// Real wishes and hints share one look; questions what would be done share another.
    fn next_batch(&mut self) -> Option<Batch> {
        let (dry, real): (Vec<Wish>, Vec<Wish>) = self.waiting.drain(..).partition(|wish| wish.ask.dry_run);
        let dry_run = real.is_empty() && !self.again;
        let wishes = if dry_run {
            dry
        } else {
            self.waiting = dry;
            self.again = false;
            real
        };
        if dry_run && wishes.is_empty() {
            return None;
        }
        Some(Batch {
            by: wishes.first().map_or(Trigger::Watch, |wish| wish.ask.by),
            force: wishes.iter().any(|wish| wish.ask.force),
            dry_run,
            wishes,
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
        self.sightings.take_in(now.steady, &seen, &self.state.sources);
        if !batch.dry_run {
            self.remember_servers(now);
        }
        let mut plan = self.plan(now, &batch, seen);
        plan.settling |= fresh;
        if plan.step == Step::Nothing && self.unsaved {
            plan.step = Step::Save;
        }
        let mut actions = self.ask_servers(now, &plan, batch.dry_run);
        if batch.dry_run || plan.step == Step::Nothing {
            actions.extend(self.finish(now, batch, plan, false));
            return actions;
        }
        let asked = Asked { pid: batch.by.pid(), forced: batch.force };
        let generation = Generation::of(&plan, &self.state, asked).map(Box::new);
        let (bundle, plan) = take_bundle(plan);
        let state = Arc::clone(&plan.next);
        self.phase = Phase::Carrying { batch, plan: Box::new(plan) };
        actions.push(Action::Carry { bundle, generation, state, orders: Vec::new() });
        actions
    }

    fn plan(&self, now: Now, batch: &Batch, seen: Observation) -> Plan {
        // Who asks for a regeneration says that the sources are as they should be; only a file that is visibly
        // being written is given its time.
        // Nobody says so at a start, nor where a timer goes off.
        let says_nothing =
            |by| matches!(by, Trigger::Start | Trigger::Refresh { asked: false } | Trigger::Inventory);
        let asked = batch.wishes.iter().any(|wish| !says_nothing(wish.ask.by));
        let quiet = |id: &SourceId, reading: &Reading| match reading {
            Reading::Read { snapshot, fresh: true } if asked => {
                !snapshot.content(&Pool::of(&self.state)).incomplete
            }
            _ if asked => true,
            _ => self.sightings.has_been_quiet(id, now.steady, self.settings.quiet),
        };
        let orders: Vec<String> = batch.orders().map(Order::cause).collect();
        let proofs = self.guard.proofs.as_ref();
        let request = Request {
            by: &batch.by.code(),
            force: batch.force,
            quiet: &quiet,
            proofs: proofs
                .filter(|(since, _)| now.steady.saturating_sub(*since) < PROOF_LIFE)
                .map(|(_, proofs)| proofs),
            orders: &orders,
        };
        if batch.dry_run && !orders.is_empty() {
            let mut state = StoreState::clone(&self.state);
            batch.orders().for_each(|order| order.apply(&mut state));
            return plan::plan(&Arc::new(state), seen, &self.settings, &request, now.wall);
        }
        plan::plan(&self.state, seen, &self.settings, &request, now.wall)
    }

    fn ask_servers(&mut self, now: Now, plan: &Plan, dry_run: bool) -> Vec<Action> {
        let Some(question) = &plan.question else { return Vec::new() };
        self.guard.in_earnest |= !dry_run;
        if self.guard.under_way.is_some() {
            return Vec::new();
        }
        self.guard.under_way = Some(now.steady);
        vec![Action::Prove(question.clone())]
    }

    fn proven(&mut self, proofs: Proofs) {
        let Some(asked) = self.guard.under_way.take() else { return };
        for (server, proof) in &proofs.servers {
            if let Proof::Verified(anchor) | Proof::Needs(anchor) = proof {
                self.guard.learnt.insert(server.clone(), *anchor);
            }
        }
        self.guard.proofs = Some((asked, proofs));
        self.again |= std::mem::take(&mut self.guard.in_earnest);
        let asks = std::mem::take(&mut self.deferred.asks);
        self.waiting.extend(asks.into_iter().map(|ask| Wish { ask, deferred: true }));
    }

    fn reached(&mut self, now: Now, reached: Reached) {
        let anchor = reached.anchor.fingerprint();
        let known = |memory: &ServerMemory| memory.server == reached.server && memory.anchor == anchor;
        if !self.state.servers.iter().any(known) {
            // What it answered before is no longer so.
            self.guard.proofs = None;
            self.again = true;
        }
        self.guard.learnt.insert(reached.server.clone(), anchor);
        if reached.archived && self.settings.guard.enabled {
            self.guard.rescues.push((reached.server, reached.anchor, now.wall));
            self.again = true;
        }
    }

    /// What was learnt of the servers goes into the state; it is saved with the next publication, or by itself.
    fn remember_servers(&mut self, now: Now) {
        for (server, anchor) in std::mem::take(&mut self.guard.learnt) {
            let known = self.state.servers.iter().position(|memory| memory.server == server);
            let same = known.is_some_and(|at| self.state.servers[at].anchor == anchor);
            if same || !self.settings.guard.servers.contains(&server) {
                continue;
            }
            let servers = &mut Arc::make_mut(&mut self.state).servers;
            let memory = ServerMemory { server, anchor, since: now.wall };
            match known {
                Some(at) => servers[at] = memory,
                None => servers.push(memory),
            }
            self.unsaved = true;
        }
    }

    fn carried(&mut self, now: Now, carried: Carried) -> Vec<Action> {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Noting { batch, next } => self.noted(now, batch, next, carried),
            Phase::Carrying { batch, plan } => self.published(now, batch, *plan, carried),
            phase @ (Phase::Idle | Phase::Looking(_)) => {
                self.phase = phase;
                Vec::new()
            }
        }
    }

    fn noted(&mut self, now: Now, batch: Batch, next: Arc<StoreState>, carried: Carried) -> Vec<Action> {
        match carried {
            Carried::Done => {
                self.state = next;
                self.unsaved = false;
                self.phase = Phase::Looking(batch);
                vec![Action::Look]
            }
            Carried::StateFailed(failure) | Carried::Failed(failure) => {
                let outcome = Outcome {
                    by: batch.by,
                    at: now.wall,
                    plan: plan::nothing(&self.state, Vec::new()),
                    changed: false,
                    dry_run: false,
                    forced: batch.force,
                    failure: Some(failure),
                };
                self.again = true;
                let mut actions = answers(batch.wishes.into_iter().map(|wish| wish.ask), &Arc::new(outcome));
                actions.extend(self.start_look());
                actions
            }
        }
    }

    fn published(&mut self, now: Now, batch: Batch, plan: Plan, carried: Carried) -> Vec<Action> {
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
        self.finish(now, batch, plan, changed)
    }

    fn finish(&mut self, now: Now, batch: Batch, plan: Plan, changed: bool) -> Vec<Action> {
        let acted = !batch.dry_run && plan.step != Step::Nothing;
        if !acted && !batch.dry_run {
            // What failed before is not wanted any more.
            self.last_failure = None;
            self.failures = 0;
        }
        let settling = plan.settling;
        let outcome = Outcome {
            by: batch.by,
            at: now.wall,
            plan,
            changed,
            dry_run: batch.dry_run,
            forced: batch.force,
            failure: if acted { self.last_failure.clone() } else { None },
        };
        let mut actions = self.answer(batch.wishes, &outcome);
        if acted {
            actions.push(Action::Report(Arc::new(outcome)));
        }
        let more = self.start_look();
        if more.is_empty() {
            actions.push(Action::WakeIn(self.pause(settling)));
        }
        actions.extend(more);
        actions
    }

    /// Answers who asked; but whoever sits and waits hears the end of it, so after the servers were asked.
    fn answer(&mut self, wishes: Vec<Wish>, outcome: &Outcome) -> Vec<Action> {
        let open = outcome.plan.question.is_some() && outcome.failure.is_none();
        let sits_and_waits =
            |by| matches!(by, Trigger::Operator { .. } | Trigger::Refresh { .. } | Trigger::Inventory);
        let waits = |wish: &Wish| open && !wish.deferred && sits_and_waits(wish.ask.by);
        let (later, at_once): (Vec<Wish>, Vec<Wish>) = wishes.into_iter().partition(waits);
        let was_deferred = at_once.iter().any(|wish| wish.deferred);
        let whole = if was_deferred && !outcome.dry_run {
            Arc::new(std::mem::take(&mut self.deferred).complete(outcome.clone()))
        } else {
            Arc::new(outcome.clone())
        };
        let actions = answers(at_once.into_iter().map(|wish| wish.ask), &whole);
        if !later.is_empty() && !outcome.dry_run {
            self.deferred.note(outcome);
        }
        if self.guard.under_way.is_some() {
            self.deferred.asks.extend(later.into_iter().map(|wish| wish.ask));
        } else {
            // The servers were faster than the publication.
            self.waiting.extend(later.into_iter().map(|wish| Wish { deferred: true, ..wish }));
        }
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

impl Deferred {
    /// Remembers what was published before the servers were asked.
    fn note(&mut self, outcome: &Outcome) {
        self.added.extend(&outcome.plan.added);
        self.removed.extend(&outcome.plan.removed);
        self.causes.extend(outcome.plan.causes.iter().cloned());
        self.changed |= outcome.changed;
    }

    /// Both parts as one.
    fn complete(self, mut outcome: Outcome) -> Outcome {
        let plan = &mut outcome.plan;
        let (added, removed) = (std::mem::take(&mut plan.added), std::mem::take(&mut plan.removed));
        plan.added = self.added.iter().copied().filter(|anchor| !removed.contains(anchor)).collect();
        plan.removed = self.removed.iter().copied().filter(|anchor| !added.contains(anchor)).collect();
        plan.added.extend(added.into_iter().filter(|anchor| !self.removed.contains(anchor)));
        plan.removed.extend(removed.into_iter().filter(|anchor| !self.added.contains(anchor)));
        for cause in self.causes {
            if !plan.causes.contains(&cause) {
                plan.causes.push(cause);
            }
        }
        outcome.changed |= self.changed;
        outcome
    }
}

/// Takes an anchor back from the archive: a server is verified by it, and by none of the store.
fn rescue(state: &mut StoreState, server: String, anchor: Arc<Certificate>, at: Timestamp) {
    let fingerprint = anchor.fingerprint();
    let archived = |archived: &Archived| archived.certificate.fingerprint() == fingerprint;
    if !state.archive.iter().any(archived) {
        return;
    }
    state.servers.retain(|memory| memory.server != server);
    state.servers.push(ServerMemory { server: server.clone(), anchor: fingerprint, since: at });
    state.archive.retain(|known| !archived(known));
    state.retained.push(Retained {
        certificate: anchor,
        why: Why::Archived,
        servers: vec![server],
        since: at,
    });
}

fn answers(asks: impl Iterator<Item = Ask>, outcome: &Arc<Outcome>) -> Vec<Action> {
    asks.map(|ask| Action::Answer { id: ask.id, outcome: Arc::clone(outcome) }).collect()
}

/// Takes the text out of a plan, which is kept for its report: it is the edges' now.
fn take_bundle(mut plan: Plan) -> (Option<(Bundle, bool)>, Plan) {
    let write = matches!(plan.step, Step::Publish(_));
    match &mut plan.step {
        Step::Record(bundle) | Step::Publish(bundle) => {
            let parts = std::mem::take(&mut bundle.parts);
            (Some((Bundle { parts, sha256: bundle.sha256 }, write)), plan)
        }
        Step::Nothing | Step::Save => (None, plan),
    }
}
