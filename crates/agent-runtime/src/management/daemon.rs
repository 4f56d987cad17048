//! The daemon's side: when things are done by themselves, and what is asked of it meanwhile. One thing at a time, so that
//! a server has one connection of ours at a time.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_config::Settings;
use agent_control::Refusal;
use agent_control::wire::{InventoryReport, ManagementReport, RefreshReport};
use agent_management::inventory::Form;
use agent_management::schedule::Rhythm;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::disk::Record;
use super::errands::{Errands, Store};
use super::{facts, report};
use crate::clock::Clock;
use crate::turns::Turns;

/// What is asked of it from outside.
#[derive(Debug)]
pub enum Wish {
    /// Refresh now.
    Refresh {
        /// Take lower versions too.
        allow_downgrade: bool,
        /// Where the report goes.
        reply: oneshot::Sender<Result<RefreshReport, Refusal>>,
    },
    /// Send the inventory now, or only make it.
    Inventory {
        /// Only make it.
        only_make: bool,
        /// Where the report goes.
        reply: oneshot::Sender<Result<InventoryReport, Refusal>>,
    },
    /// Go on with other settings.
    Reload(Box<Settings>),
}

/// How it stands, for whoever wants to know.
#[derive(Debug, Clone, Default)]
pub struct Standing(Arc<Mutex<Told>>);

#[derive(Debug, Clone, Default)]
struct Told {
    record: Record,
    waiting: usize,
    next_refresh: Option<Timestamp>,
    next_inventory: Option<Timestamp>,
}

impl Standing {
    /// For the status.
    #[must_use]
    pub fn report(&self) -> ManagementReport {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        report::management(&told.record, told.waiting, told.next_refresh, told.next_inventory)
    }

    /// What is remembered.
    #[must_use]
    pub fn record(&self) -> Record {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).record.clone()
    }

    fn tell(&self, told: Told) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = told;
    }
}

/// What is done with the servers while the daemon runs.
pub struct Management<S> {
    errands: Errands<S>,
    clock: Arc<dyn Clock>,
    wishes: mpsc::Receiver<Wish>,
    standing: Standing,
    refresh_due: Option<Timestamp>,
    inventory_due: Option<Timestamp>,
    addresses: Vec<IpAddr>,
    /// When it was last looked at the clock: a gap is a sleep.
    awake: Timestamp,
}

impl<S: Store> Management<S> {
    /// Over what the last life remembered.
    #[must_use]
    pub fn new(
        settings: &Settings,
        store: S,
        clock: Arc<dyn Clock>,
        wishes: mpsc::Receiver<Wish>,
        standing: Standing,
        turns: Turns,
    ) -> Self {
        let now = clock.now();
        let mut management = Self {
            errands: Errands::new(settings, store, turns),
            clock,
            wishes,
            standing,
            refresh_due: None,
            inventory_due: None,
            addresses: facts::addresses(),
            awake: now,
        };
        management.begin(now);
        management
    }

    /// Runs until `shutdown`. What is under way then is dropped: nothing is half on disk by it.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.work() => {}
        }
    }

    async fn work(&mut self) {
        loop {
            match timeout(self.pause(), self.wishes.recv()).await {
                Ok(Some(wish)) => self.fulfil(wish).await,
                // Nobody is left to wish for anything, which is the end.
                Ok(None) => return std::future::pending().await,
                Err(_) => self.look_at_the_clock().await,
            }
            self.tell();
        }
    }

    /// By the wall clock, in short steps: a machine that slept looks at its clock soon after.
    fn pause(&self) -> Duration {
        let now = self.clock.now();
        let next = self.refresh_due.into_iter().chain(self.inventory_due).min();
        let until =
            next.map_or(STEP, |next| Duration::try_from(next.duration_since(now)).unwrap_or_default());
        until.min(STEP)
    }

    fn begin(&mut self, now: Timestamp) {
        let (refreshed, told) = (self.errands.record().refreshed_at, self.errands.record().inventory_at);
        self.refresh_due =
            self.rhythm_of_refresh().map(|rhythm| rhythm.first(refreshed, now, self.errands.random()));
        self.inventory_due = self.rhythm_of_inventory().map(|rhythm| {
            let first = rhythm.first(told, now, self.errands.random());
            // After the first refresh: what the server is told then is what the policies made of us.
            first.max(self.refresh_due.filter(|_| told.is_none()).unwrap_or(first))
        });
        self.tell();
    }

    fn rhythm_of_refresh(&self) -> Option<Rhythm> {
        let settings = self.errands.settings();
        let wanted = settings.refresh.index.is_some() && has_management(settings);
        wanted.then(|| Rhythm::of(&facts::id(), settings.refresh.interval))
    }

    fn rhythm_of_inventory(&self) -> Option<Rhythm> {
        let settings = self.errands.settings();
        let wanted = settings.inventory.path.is_some() && has_management(settings);
        // Another name, so that both do not fall together where their intervals are the same.
        wanted.then(|| Rhythm::of(&format!("{} inventory", facts::id()), settings.inventory.interval))
    }

    async fn fulfil(&mut self, wish: Wish) {
        let now = self.clock.now();
        match wish {
            // Whoever asked may be gone.
            Wish::Refresh { reply, .. } if self.rhythm_of_refresh().is_none() => {
                let _gone = reply.send(Err(report::no_index()));
            }
            Wish::Refresh { allow_downgrade, reply } => {
                if let Some(report) = self.refresh(allow_downgrade, true, now).await {
                    let _gone = reply.send(Ok(report));
                }
            }
            Wish::Inventory { only_make: false, reply } if self.rhythm_of_inventory().is_none() => {
                let _gone = reply.send(Err(report::no_inventory()));
            }
            Wish::Inventory { only_make, reply } => {
                let report = if only_make {
                    self.made(now).await
                } else {
                    self.inventory("operator", true, now).await
                };
                if let Some(report) = report {
                    let _gone = reply.send(Ok(report));
                }
            }
            Wish::Reload(settings) => {
                self.errands.reload(&settings);
                self.begin(now);
            }
        }
    }

    async fn look_at_the_clock(&mut self) {
        let now = self.clock.now();
        self.notice_sleep(now);
        self.notice_network(now);
        if self.refresh_due.is_some_and(|due| due <= now) {
            let _report = self.refresh(false, false, now).await;
        }
        let now = self.clock.now();
        if self.inventory_due.is_some_and(|due| due <= now) {
            let _report = self.inventory("timer", false, now).await;
        }
    }

    /// After a sleep much is overdue at once, and on all machines that woke with us.
    fn notice_sleep(&mut self, now: Timestamp) {
        let gap = now.duration_since(self.awake);
        self.awake = now;
        if gap > SLEPT {
            self.begin(now);
        } else if gap < -SLEPT {
            // The clock was set back: what is due must not wait for its old time.
            self.begin(now);
        }
    }

    fn notice_network(&mut self, now: Timestamp) {
        // Looked at only while a server is being left alone: there is nothing to gain else.
        let Some(earliest) = self.errands.earliest() else { return };
        let addresses = facts::addresses();
        if addresses != self.addresses {
            self.addresses = addresses;
            self.errands.network_changed(now);
            let earliest = self.errands.earliest().unwrap_or(earliest);
            self.refresh_due = self.refresh_due.map(|due| due.min(earliest));
        }
    }

    async fn refresh(
        &mut self,
        allow_downgrade: bool,
        everyone: bool,
        now: Timestamp,
    ) -> Option<RefreshReport> {
        let report = self.errands.refresh(allow_downgrade, everyone, now).await?;
        let ended = self.clock.now();
        self.refresh_due = self.rhythm_of_refresh().map(|rhythm| {
            let regular = rhythm.next(ended, self.errands.random());
            match self.errands.earliest() {
                Some(earliest) if report.result == "failed" => regular.min(earliest.max(ended + PATIENCE)),
                _ => regular,
            }
        });
        if report.result != "failed" {
            tracing::info!(
                server = report.server,
                result = report.result,
                written = report.written.join(" "),
                changed = report.changed,
                "policies refreshed"
            );
        }
        self.awake = ended;
        Some(report)
    }

    async fn inventory(
        &mut self,
        reason: &'static str,
        everyone: bool,
        now: Timestamp,
    ) -> Option<InventoryReport> {
        let reason = if self.errands.record().inventory_at.is_none() { "enrolment" } else { reason };
        let report = self.errands.inventory(reason, everyone, now).await?;
        let ended = self.clock.now();
        self.inventory_due = self.rhythm_of_inventory().map(|rhythm| {
            let regular = rhythm.next(ended, self.errands.random());
            match self.errands.earliest() {
                Some(earliest) if report.result != "sent" => regular.min(earliest.max(ended + PATIENCE)),
                _ => regular,
            }
        });
        if report.dropped > 0 {
            tracing::warn!(dropped = report.dropped, "the oldest inventory documents were dropped unsent");
        }
        self.awake = ended;
        Some(report)
    }

    async fn made(&mut self, now: Timestamp) -> Option<InventoryReport> {
        let inventory = self.errands.make_inventory("operator", now).await?;
        let text = String::from_utf8_lossy(&inventory.render(Form::Json)).into_owned();
        Some(InventoryReport {
            result: "made".to_owned(),
            server: None,
            sent: 0,
            waiting: self.errands.waiting() as u64,
            dropped: self.errands.record().inventory_dropped,
            attempts: Vec::new(),
            document: Some(text),
        })
    }

    fn tell(&self) {
        self.standing.tell(Told {
            record: self.errands.record().clone(),
            waiting: self.errands.waiting(),
            next_refresh: self.refresh_due,
            next_inventory: self.inventory_due,
        });
    }
}

/// Whether there is a server to ask.
fn has_management(settings: &Settings) -> bool {
    settings.servers.iter().any(|server| server.role == agent_config::Role::Management)
}

/// As often as the sources are looked at.
const STEP: Duration = Duration::from_secs(30);
/// More than a step and a trip that takes its time.
const SLEPT: SignedDuration = SignedDuration::from_secs(120);
/// Between two attempts at all servers.
const PATIENCE: SignedDuration = SignedDuration::from_secs(1);
