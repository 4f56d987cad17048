//! One regeneration at a time, few a second, and one for all who wait for the same.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Mutex, broadcast};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep_until};

use super::{Ask, Handler, Limits, Order, Peer};
use crate::refusal::Refusal;
use crate::wire::RegenReport;

type Answer = Result<RegenReport, Refusal>;

/// The turnstile in front of [`Handler::regenerate`].
pub(super) struct Turnstile {
    every: Duration,
    /// How far the theoretical start may lie ahead of now.
    slack: Duration,
    /// Runs that have not begun; at most one for each `Ask`. Who joins one gets a look that began after the call.
    waiting: RefCell<Vec<(Ask, broadcast::Sender<Answer>)>>,
    turn: Mutex<()>,
    /// When the next run would begin if all had kept their distance (the generic cell rate algorithm).
    due: Cell<Option<Instant>>,
}

impl Turnstile {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            every: limits.regenerate_every,
            slack: limits.regenerate_every * limits.regenerate_burst.saturating_sub(1),
            waiting: RefCell::default(),
            turn: Mutex::new(()),
            due: Cell::new(None),
        }
    }

    /// Runs or joins a regeneration. The run goes on where this future is dropped.
    pub(super) async fn regenerate<H: Handler + 'static>(
        self: &Rc<Self>,
        handler: &Rc<H>,
        ask: Ask,
        by: Peer,
    ) -> Answer {
        let mut answer = self.join(ask).unwrap_or_else(|| self.begin(handler, ask, by));
        answer.recv().await.unwrap_or_else(|_| {
            Err(Refusal::failed(
                "interrupted",
                "the daemon is stopping",
                "look again once it runs: agentctl status",
            ))
        })
    }

    /// Carries out an order when it is its turn. What was begun goes on where this future is dropped.
    pub(super) async fn order<H: Handler>(&self, handler: &Rc<H>, order: Order, by: Peer) -> Answer {
        let _turn = self.turn.lock().await;
        self.pace().await;
        handler.order(order, by).await
    }

    fn join(&self, ask: Ask) -> Option<broadcast::Receiver<Answer>> {
        let waiting = self.waiting.borrow();
        waiting.iter().find(|(wanted, _)| *wanted == ask).map(|(_, answers)| answers.subscribe())
    }

    fn begin<H: Handler + 'static>(
        self: &Rc<Self>,
        handler: &Rc<H>,
        ask: Ask,
        by: Peer,
    ) -> broadcast::Receiver<Answer> {
        let (answers, answer) = broadcast::channel(1);
        self.waiting.borrow_mut().push((ask, answers.clone()));
        let (turnstile, handler) = (Rc::clone(self), Rc::clone(handler));
        spawn_local(async move {
            let _turn = turnstile.turn.lock().await;
            turnstile.pace().await;
            turnstile.waiting.borrow_mut().retain(|(waiting, _)| *waiting != ask);
            // Nobody may be there any more to hear it.
            drop(answers.send(handler.regenerate(ask, by).await));
        });
        answer
    }

    /// Waits until the rate allows another run, and counts it.
    async fn pace(&self) {
        let now = Instant::now();
        let due = self.due.get().map_or(now, |due| due.max(now));
        let start = due.checked_sub(self.slack).unwrap_or(now).max(now);
        self.due.set(Some(due + self.every));
        sleep_until(start).await;
    }
}
