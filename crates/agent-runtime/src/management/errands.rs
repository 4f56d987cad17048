//! Refresh and inventory from their beginning to their end: to the servers, to the disk, to the store. The daemon and an
//! `agentctl` without one do the same; what differs is who changes the store.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use agent_config::Settings;
use agent_control::wire::{AnchorsReport, AttemptReport, InventoryReport, RefreshReport, StatusReport};
use agent_management::backoff::Backoff;
use agent_management::inventory::Inventory;
use agent_management::random::Random;
use agent_management::refresh::{Refreshed, Set};
use jiff::Timestamp;
use trust_core::engine::{Outcome, Trigger};
use trust_core::plan::StoreState;
use trust_core::policy;
use trust_tls::Presented;

use super::desk::{Attempt, Desk, Done, Errand, Trip, What, form};
use super::disk::{Disk, Fault, Record};
use super::document;
use crate::publish::{PublishError, RealFs};
use crate::turns::Turns;

/// Who changes the store.
pub trait Store {
    /// What is known of it.
    fn state(&self) -> impl Future<Output = Option<Arc<StoreState>>>;
    /// Looks at the sources and publishes.
    fn regenerate(&self, by: Trigger) -> impl Future<Output = Option<Arc<Outcome>>>;
    /// Puts a set of files in place while nobody looks at them, then looks at the sources and publishes.
    fn take(&self, set: Set, record: Record, by: Trigger) -> impl Future<Output = Option<Took>>;
    /// A server was reached and presented this chain.
    fn presented(&self, key: &str, chain: &Presented, now: Timestamp);
    /// How things are, for the inventory.
    fn reports(&self) -> impl Future<Output = Option<(StatusReport, AnchorsReport)>>;
}

/// What came of taking a set.
#[derive(Debug)]
pub struct Took {
    /// The files are in place; else they are as they were, or will be put in place by the next start.
    pub files: Result<(), PublishError>,
    /// The look that followed.
    pub outcome: Arc<Outcome>,
}

/// A server that failed is left alone for a while.
#[derive(Debug, Clone)]
struct Wait {
    backoff: Backoff,
    until: Timestamp,
}

/// All that is done with the servers.
pub struct Errands<S> {
    desk: Desk,
    store: S,
    record: Record,
    random: Random,
    waits: BTreeMap<String, Wait>,
}

impl<S: Store> Errands<S> {
    /// With what the last life remembered.
    #[must_use]
    pub fn new(settings: &Settings, store: S, turns: Turns) -> Self {
        let disk = Disk::new(settings);
        let record = disk.load();
        let desk = Desk {
            settings: settings.clone(),
            policy: policy::Effective::default(),
            bundle: settings.store.merged.clone(),
            disk,
            turns,
        };
        // As random as the standard library's hash tables: no secret depends on it.
        let random = Random::new(RandomState::new().hash_one(0));
        Self { desk, store, record, random, waits: BTreeMap::new() }
    }

    /// Other settings. What is known of servers by their names stays.
    pub fn reload(&mut self, settings: &Settings) {
        self.desk.settings = settings.clone();
        self.desk.bundle.clone_from(&settings.store.merged);
        self.desk.disk = Disk::new(settings);
        self.record = self.desk.disk.load();
        self.waits.retain(|name, _| settings.servers.iter().any(|server| server.name == *name));
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.desk.settings
    }

    /// What is remembered.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Chance.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// How many documents wait for a server.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.desk.disk.waiting().len()
    }

    /// When the first of the servers that failed may be asked again; `None` where none failed.
    #[must_use]
    pub fn earliest(&self) -> Option<Timestamp> {
        self.waits.values().map(|wait| wait.until).min()
    }

    /// The network is another one: those that failed are asked again, each after a draw of a few seconds, for all of a
    /// site's endpoints see the same network come back.
    pub fn network_changed(&mut self, now: Timestamp) {
        for wait in self.waits.values_mut() {
            let pause = Duration::from_millis(self.random.below(NETWORK_PAUSE));
            wait.until = wait.until.min(now.saturating_add(pause).unwrap_or(now));
        }
    }

    /// Gets the policies, puts them in place, and regenerates: in one pass. `everyone` asks the servers too that are
    /// being left alone.
    pub async fn refresh(
        &mut self,
        allow_downgrade: bool,
        everyone: bool,
        now: Timestamp,
    ) -> Option<RefreshReport> {
        let state = self.stand().await?;
        let errand = Errand::Refresh { present: present(&state), allow_downgrade };
        let trip = self.go(&errand, everyone, now).await;
        let mut report = blank_refresh(&trip);
        let Some(Done { server, what: What::Refreshed(refreshed), .. }) = trip.done else {
            self.record.refresh_fault = trip.attempts.last().map(|attempt| fault(attempt, now));
            self.remember().await;
            report.generation = state.generation;
            return Some(report);
        };
        let by = Trigger::Refresh { asked: everyone };
        let outcome = self.arrived(*refreshed, server, &mut report, by, now).await?;
        report.changed = outcome.changed;
        report.generation = outcome.plan.next.generation;
        let hex = |all: &[trust_core::Fingerprint]| all.iter().map(ToString::to_string).collect();
        report.added = hex(&outcome.plan.added);
        report.removed = hex(&outcome.plan.removed);
        Some(report)
    }

    /// Puts in place what arrived and regenerates; not only where something is new, for a refresh makes the store what its
    /// sources are.
    async fn arrived(
        &mut self,
        refreshed: Refreshed,
        server: String,
        report: &mut RefreshReport,
        by: Trigger,
        now: Timestamp,
    ) -> Option<Arc<Outcome>> {
        let mut record = Record {
            refreshed_at: Some(now),
            refreshed_from: Some(server),
            refresh_fault: None,
            ..self.record.clone()
        };
        match refreshed {
            Refreshed::Unchanged { how, known } => {
                "unchanged".clone_into(&mut report.result);
                report.how = Some(how.word().to_owned());
                record.known = known;
                self.record = record;
                self.remember().await;
                self.store.regenerate(by).await
            }
            Refreshed::Changed(set) => {
                record.known = set.known.clone();
                report.written =
                    set.anchors.iter().chain(&set.policies).map(|file| file.name.clone()).collect();
                report.removed_files = [set.remove_policies.clone(), set.remove_anchors.clone()].concat();
                let nothing = report.written.is_empty() && report.removed_files.is_empty();
                (if nothing { "unchanged" } else { "taken" }).clone_into(&mut report.result);
                let took = self.store.take(set, record.clone(), by).await?;
                match took.files {
                    Ok(()) => self.record = record,
                    Err(error) => {
                        self.record.refresh_fault = Some(disk_fault(&error, now));
                        "failed".clone_into(&mut report.result);
                        report.attempts.push(disk_attempt(&error));
                    }
                }
                Some(took.outcome)
            }
        }
    }

    /// The inventory as it is now; a regeneration comes before it.
    pub async fn make_inventory(&mut self, reason: &'static str, now: Timestamp) -> Option<Inventory> {
        self.store.regenerate(Trigger::Inventory).await?;
        let (status, anchors) = self.store.reports().await?;
        Some(document::inventory(&status, &anchors, &self.record, reason, now))
    }

    /// Makes the inventory and sends it, with whatever waits; where no server takes it, it waits.
    pub async fn inventory(
        &mut self,
        reason: &'static str,
        everyone: bool,
        now: Timestamp,
    ) -> Option<InventoryReport> {
        let inventory = self.make_inventory(reason, now).await?;
        let form = form(&self.desk.settings);
        let (disk, document) = (self.desk.disk.clone(), inventory.render(form));
        match blocking(move || disk.enqueue(&RealFs, &document, form, now)).await {
            Ok(dropped) => self.record.inventory_dropped += dropped as u64,
            Err(error) => {
                self.record.inventory_fault = Some(disk_fault(&error, now));
                let mut report = self.blank_inventory();
                report.attempts.push(disk_attempt(&error));
                return Some(report);
            }
        }
        self.deliver(everyone, now).await
    }

    /// Sends what waits.
    pub async fn deliver(&mut self, everyone: bool, now: Timestamp) -> Option<InventoryReport> {
        self.stand().await?;
        let trip = self.go(&Errand::Deliver, everyone, now).await;
        let mut report = self.blank_inventory();
        report.attempts = trip.attempts.iter().map(Attempt::report).collect();
        match trip.done {
            Some(Done { server, what: What::Delivered(sent), .. }) => {
                let disk = self.desk.disk.clone();
                report.sent = sent.len() as u64;
                // One that cannot be removed is sent once more: better twice than never.
                let _stays =
                    blocking(move || sent.iter().try_for_each(|name| disk.sent(&RealFs, name))).await;
                report.dropped = std::mem::take(&mut self.record.inventory_dropped);
                "sent".clone_into(&mut report.result);
                report.server = Some(server.clone());
                self.record.inventory_at = Some(now);
                self.record.inventory_to = Some(server);
                self.record.inventory_fault = None;
            }
            _ => self.record.inventory_fault = trip.attempts.last().map(|attempt| fault(attempt, now)),
        }
        report.waiting = self.desk.disk.waiting().len() as u64;
        self.remember().await;
        Some(report)
    }

    /// What the policies say of verification, and a store to verify with.
    async fn stand(&mut self) -> Option<Arc<StoreState>> {
        if !self.desk.bundle.exists() {
            self.store.regenerate(Trigger::Refresh { asked: false }).await?;
        }
        let state = self.store.state().await?;
        self.desk.policy = policy::combine(&state.policies);
        Some(state)
    }

    /// To the servers, and notes which of them are to be left alone for a while.
    async fn go(&mut self, errand: &Errand, everyone: bool, now: Timestamp) -> Trip {
        let skip: BTreeSet<String> = self
            .waits
            .iter()
            .filter(|(_, wait)| !everyone && wait.until > now)
            .map(|(name, _)| name.clone())
            .collect();
        let trip = self.desk.go(errand, &skip, now).await;
        let cap = self.desk.settings.refresh.longest_pause;
        for attempt in &trip.attempts {
            let first = Wait { backoff: Backoff::new(FIRST_PAUSE.min(cap), cap), until: now };
            let wait = self.waits.entry(attempt.server.clone()).or_insert(first);
            let pause = wait.backoff.next(&mut self.random, attempt.failure.retry_after());
            wait.until = now.saturating_add(pause).unwrap_or(now);
            tracing::warn!(
                server = %attempt.url,
                code = attempt.failure.code(),
                pause_s = pause.as_secs(),
                remedy = %attempt.failure.remedy(),
                "{}",
                attempt.failure
            );
        }
        if let Some(done) = &trip.done {
            self.waits.remove(&done.server);
            self.store.presented(&done.key, &done.presented, now);
        }
        trip
    }

    async fn remember(&self) {
        let (disk, record) = (self.desk.disk.clone(), self.record.clone());
        if let Err(error) = blocking(move || disk.save(&RealFs, &record)).await {
            tracing::warn!(code = error.code(), remedy = %error.remedy(), "{error}");
        }
    }

    fn blank_inventory(&self) -> InventoryReport {
        InventoryReport {
            result: "queued".to_owned(),
            server: None,
            sent: 0,
            waiting: self.desk.disk.waiting().len() as u64,
            dropped: self.record.inventory_dropped,
            attempts: Vec::new(),
            document: None,
        }
    }
}

fn blank_refresh(trip: &Trip) -> RefreshReport {
    RefreshReport {
        result: "failed".to_owned(),
        server: trip.done.as_ref().map(|done| done.server.clone()),
        how: None,
        connections: trip.done.as_ref().map_or(0, |done| done.connections),
        written: Vec::new(),
        removed_files: Vec::new(),
        attempts: trip.attempts.iter().map(Attempt::report).collect(),
        changed: false,
        generation: 0,
        added: Vec::new(),
        removed: Vec::new(),
    }
}

/// The policies that are there, with GUID and version.
fn present(state: &StoreState) -> Vec<(String, u64)> {
    state
        .policies
        .iter()
        .filter_map(|known| Some((known.policy.guid.clone()?, known.policy.version?)))
        .collect()
}

fn fault(attempt: &Attempt, now: Timestamp) -> Fault {
    let failure = &attempt.failure;
    Fault {
        at: now,
        code: failure.code().to_owned(),
        message: format!("{}: {failure}", attempt.server),
        remedy: failure.remedy(),
    }
}

fn disk_fault(error: &PublishError, now: Timestamp) -> Fault {
    Fault { at: now, code: error.code().to_owned(), message: error.to_string(), remedy: error.remedy() }
}

fn disk_attempt(error: &PublishError) -> AttemptReport {
    AttemptReport {
        server: String::new(),
        url: String::new(),
        code: error.code().to_owned(),
        message: error.to_string(),
        remedy: error.remedy(),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PublishError> + Send + 'static,
) -> Result<T, PublishError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Soon enough for a server that was restarted, late enough for one that has to breathe.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// In milliseconds.
const NETWORK_PAUSE: u64 = 10_000;
