//! The daemon's side: who may connect, for how long, and what they get.
//!
//! Everything runs on the caller's thread in a `LocalSet`; a connection that waits costs the others nothing.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::{broadcast, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::frame::{Frames, encode};
use crate::refusal::Refusal;
use crate::socket::Listener;
use crate::wire::{
    AnchorsReport, Event, HistoryReport, InventoryReport, RefreshReport, RegenReport, SourcesReport,
    StatusReport,
};

mod admission;
mod conversation;
mod turnstile;

use admission::Admission;
use conversation::Conversation;
use turnstile::Turnstile;

/// What the daemon does for a caller. The futures need not be `Send`: all of this lives on one thread.
pub trait Handler {
    /// How things are.
    fn status(&self) -> impl Future<Output = Result<StatusReport, Refusal>>;
    /// The sources as they were last looked at.
    fn sources(&self) -> impl Future<Output = Result<SourcesReport, Refusal>>;
    /// The anchors of the store.
    fn anchors(&self) -> impl Future<Output = Result<AnchorsReport, Refusal>>;
    /// Looks at the sources now and publishes if they changed. Is called for callers that may, never twice at a time;
    /// `by` is the first of those that share the run. A caller that goes away does not stop it.
    fn regenerate(&self, ask: Ask, by: Peer) -> impl Future<Output = Result<RegenReport, Refusal>>;
    /// The status as metrics, in the text format of Prometheus.
    fn metrics(&self) -> impl Future<Output = Result<String, Refusal>>;
    /// The generations of the store.
    fn history(&self) -> impl Future<Output = Result<HistoryReport, Refusal>>;
    /// The anchors of one generation.
    fn generation(&self, number: u64) -> impl Future<Output = Result<AnchorsReport, Refusal>>;
    /// Carries out an order. Is called for callers that may, never beside a regeneration that a caller asked for.
    fn order(&self, order: Order, by: Peer) -> impl Future<Output = Result<RegenReport, Refusal>>;
    /// Asks the management servers for their policies. Is called for callers that may.
    fn refresh(&self, allow_downgrade: bool) -> impl Future<Output = Result<RefreshReport, Refusal>>;
    /// Tells the management servers how things are, or only makes the document. Is called for callers that may.
    fn inventory(&self, only_make: bool) -> impl Future<Output = Result<InventoryReport, Refusal>>;
    /// The events from now on. A watcher that falls behind is told how many it missed.
    fn watch(&self) -> broadcast::Receiver<Event>;
}

/// What a regeneration is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ask {
    /// Write what the sources hold, even where nothing changed and even no anchor: what the guard keeps goes, and a
    /// rollback ends.
    pub force: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What an operator orders besides a regeneration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What.
    pub what: What,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// The orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Never let this certificate into the store again.
    Distrust {
        /// Its SHA-256, in any spelling.
        fingerprint: String,
        /// Why, for the record.
        reason: String,
    },
    /// Take that back.
    Trust {
        /// Its SHA-256, in any spelling.
        fingerprint: String,
    },
    /// Go back to an earlier generation.
    Rollback {
        /// Its number; the one before the present one where it is not given.
        generation: Option<u64>,
        /// For so long a change of a source does not end it.
        pin: Option<Duration>,
    },
}

/// Who is at the other end, as the kernel says (`SO_PEERCRED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The user's id when it connected.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
    /// The process id, for the log only: another process may have it by now.
    pub pid: Option<i32>,
}

impl Peer {
    /// True for root and for the user that this process runs as.
    #[must_use]
    pub fn is_privileged(&self) -> bool {
        self.uid == 0 || self.uid == rustix::process::geteuid().as_raw()
    }
}

/// What clients together may cost. Local users who may read the status must not be able to stop the service: a local
/// daemon was exhausted that way in CVE-2025-59529.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time: an operator has a handful of terminals, a monitor one.
    pub connections: usize,
    /// Of these, kept free for callers who may change things: an operator always gets in.
    pub reserved: usize,
    /// Connections of one user who may not.
    pub per_user: usize,
    /// Bytes of a request: the longest one is a tenth of it.
    pub request_bytes: usize,
    /// For a request to arrive and for a reply to be taken: a local program needs milliseconds.
    pub patience: Duration,
    /// Time between two regenerations in the long run: each reads every source.
    pub regenerate_every: Duration,
    /// How many may come at once before that holds, so that a script of a few steps is not slowed down.
    pub regenerate_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16,
            reserved: 4,
            per_user: 4,
            request_bytes: 4096,
            patience: Duration::from_secs(2),
            regenerate_every: Duration::from_secs(1),
            regenerate_burst: 4,
        }
    }
}

/// How to serve.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// What clients may cost.
    pub limits: Limits,
    /// The daemon's version, for `org.varlink.service.GetInfo`.
    pub version: &'static str,
    /// Who may change things; [`Peer::is_privileged`] outside tests.
    pub may_change: fn(&Peer) -> bool,
}

impl Options {
    /// The usual limits and the usual policy.
    #[must_use]
    pub fn new(version: &'static str) -> Self {
        Self { limits: Limits::default(), version, may_change: Peer::is_privileged }
    }
}

/// Serves until `shutdown` completes; then takes no more, lets calls under way end within `Limits::patience`, and ends
/// watchers at once. Its future is not `Send`: await it, or spawn it locally, on a current-thread runtime.
pub async fn serve<H: Handler + 'static>(
    listener: Listener,
    handler: H,
    options: Options,
    shutdown: impl Future<Output = ()>,
) {
    LocalSet::new().run_until(accept_all(listener, Rc::new(handler), options, shutdown)).await;
}

/// What all conversations share.
struct Shared<H> {
    handler: Rc<H>,
    turnstile: Rc<Turnstile>,
    options: Options,
}

/// After a failed accept, which mostly means that descriptors are short: they get time to come back.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

async fn accept_all<H: Handler + 'static>(
    listener: Listener,
    handler: Rc<H>,
    options: Options,
    shutdown: impl Future<Output = ()>,
) {
    let shared = Rc::new(Shared { handler, turnstile: Rc::new(Turnstile::new(&options.limits)), options });
    let admission = Rc::new(Admission::new(options.limits));
    let (closing, _) = watch::channel(());
    let mut conversations = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    let mut accept_fails = false;
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = conversations.join_next() => {}
            accepted = listener.inner.accept() => match accepted {
                Ok((stream, _)) => {
                    accept_fails = false;
                    admit(stream, &admission, &shared, &closing, &mut conversations);
                }
                Err(error) => {
                    // Once per outage: whoever may connect must not be able to fill the log.
                    if !std::mem::replace(&mut accept_fails, true) {
                        warn!(%error, "cannot accept control connections");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    drop(closing);
    let ended = async { while conversations.join_next().await.is_some() {} };
    if timeout(options.limits.patience, ended).await.is_err() {
        debug!("control connections were cut off at the end");
    }
}

fn admit<H: Handler + 'static>(
    stream: UnixStream,
    admission: &Rc<Admission>,
    shared: &Rc<Shared<H>>,
    closing: &watch::Sender<()>,
    conversations: &mut JoinSet<()>,
) {
    let peer = match stream.peer_cred() {
        Ok(cred) => Peer { uid: cred.uid(), gid: cred.gid(), pid: cred.pid() },
        Err(error) => {
            debug!(%error, "a control connection without credentials was closed");
            return;
        }
    };
    let may_change = (shared.options.may_change)(&peer);
    match admission.admit(&peer, may_change) {
        Ok(ticket) => {
            let talk =
                Conversation { peer, may_change, shared: Rc::clone(shared), closing: closing.subscribe() };
            let frames = Frames::new(stream, shared.options.limits.request_bytes);
            conversations.spawn_local(async move {
                talk.run(frames).await;
                drop(ticket);
            });
        }
        Err(refusal) => {
            debug!(uid = peer.uid, pid = peer.pid, %refusal, "a control connection was turned away");
            // It may have gone already, and it gets no time.
            drop(encode(&refusal).and_then(|bytes| stream.try_write(&bytes)));
        }
    }
}
