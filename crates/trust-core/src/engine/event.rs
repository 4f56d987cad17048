//! What goes into the engine and what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::bundle::Bundle;
use crate::certificate::Certificate;
use crate::fingerprint::Fingerprint;
use crate::guard::Proofs;
use crate::history::Generation;
use crate::plan::{Observation, Plan, Question, Settings, Step, StoreState};
use crate::source::Failure;
use crate::state::{Ban, Rollback};

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
    /// Policies were asked of a server.
    Refresh {
        /// Somebody asked for it, and no timer.
        asked: bool,
    },
    /// The inventory is about to be sent.
    Inventory,
    /// `agentctl`, run by this user.
    Operator {
        /// The user's id.
        uid: u32,
        /// The process that asked, where it is known.
        pid: Option<u32>,
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
            Self::Refresh { .. } => "refresh".to_owned(),
            Self::Inventory => "inventory".to_owned(),
            Self::Operator { uid, .. } => format!("operator uid {uid}"),
        }
    }

    /// The process that asked.
    #[must_use]
    pub fn pid(self) -> Option<u32> {
        match self {
            Self::Operator { pid, .. } => pid,
            _ => None,
        }
    }
}

/// What an operator orders besides a regeneration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// This certificate may never be in the store.
    Distrust(Ban),
    /// It may again.
    Trust(Fingerprint),
    /// Go back to an earlier store.
    Rollback(Rollback),
}

impl Order {
    /// The words for the record.
    #[must_use]
    pub fn cause(&self) -> String {
        match self {
            Self::Distrust(ban) if ban.reason.is_empty() => format!("{} was distrusted", ban.fingerprint),
            Self::Distrust(ban) => format!("{} was distrusted: {}", ban.fingerprint, ban.reason),
            Self::Trust(fingerprint) => format!("{fingerprint} may be trusted again"),
            Self::Rollback(rollback) => format!("rollback to generation {}", rollback.generation),
        }
    }

    pub(super) fn apply(&self, state: &mut StoreState) {
        match self {
            Self::Distrust(ban) => {
                state.bans.retain(|known| known.fingerprint != ban.fingerprint);
                state.bans.push(ban.clone());
            }
            Self::Trust(fingerprint) => state.bans.retain(|known| known.fingerprint != *fingerprint),
            Self::Rollback(rollback) => state.rollback = Some(rollback.clone()),
        }
    }
}

/// A wish for a regeneration that somebody waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Names the answer.
    pub id: u64,
    /// Write what the sources hold, even where nothing changed and even no anchor: what the guard keeps goes, and a
    /// rollback ends.
    pub force: bool,
    /// Answer what would be done, and do nothing.
    pub dry_run: bool,
    /// Whose wish.
    pub by: Trigger,
    /// What is to be noted before.
    pub order: Option<Order>,
}

/// How a server was reached with the store in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Host and port, as `ServerMemory::server`.
    pub server: String,
    /// The anchor that verified it.
    pub anchor: Arc<Certificate>,
    /// The anchor is one of the archive: none of the store verifies it.
    pub archived: bool,
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
    /// [`Action::Prove`] is done.
    Proven(Proofs),
    /// A server was reached and verified.
    Reached(Reached),
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

/// What the edges are to do. At most one `Look` or `Carry` is under way, and beside it at most one `Prove`.
#[derive(Debug)]
pub enum Action {
    /// Look at policies and sources, then [`Event::Looked`].
    Look,
    /// Write the bundle where there is one, then its generation where that is new, then the state, then
    /// [`Event::Carried`].
    Carry {
        /// The bundle and whether the file is to be written; not where the one on disk is right.
        bundle: Option<(Bundle, bool)>,
        /// The generation that the bundle makes.
        generation: Option<Box<Generation>>,
        /// The state.
        state: Arc<StoreState>,
        /// What operators ordered, and the state notes with this.
        orders: Vec<(Trigger, Order)>,
    },
    /// Try the servers with the store as it would be and as it is, then [`Event::Proven`].
    Prove(Question),
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
