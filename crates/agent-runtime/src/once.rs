//! A regeneration without a daemon: the same engine, its jobs run one after another.

use std::sync::Arc;

use trust_core::engine::{Action, Ask, Engine, Event, Now, Outcome};
use trust_core::guard::Proofs;
use trust_core::plan::StoreState;
use trust_core::policy::{Effective, Warning};

use crate::clock::Clock;
use crate::descriptors;
use crate::endpoint::{Endpoint, Job, Loaded};
use crate::lock::Lock;
use crate::prove::Inquiry;
use crate::turns::Turns;

/// What came of it.
#[derive(Debug)]
pub struct Once {
    /// The plan and how far it came.
    pub outcome: Arc<Outcome>,
    /// The state afterwards: on a dry run what it would be.
    pub state: Arc<StoreState>,
    /// Said where the state that was there could not be used.
    pub warning: Option<Warning>,
}

/// Runs one regeneration to its end; without the lock only a dry run.
#[must_use]
pub fn regenerate(
    endpoint: &Endpoint,
    lock: Option<&Lock>,
    settings: &agent_config::Settings,
    clock: &dyn Clock,
    ask: Ask,
) -> Once {
    let ask = Ask { dry_run: ask.dry_run || lock.is_none(), ..ask };
    let Loaded { state, warning, .. } =
        lock.map_or_else(|| endpoint.load(), |lock| endpoint.load_to_write(lock));
    let mut engine = Engine::new(Endpoint::trust_settings(settings), Arc::new(state));
    let now = || Now { wall: clock.now(), steady: clock.monotonic() };
    let dry_run = ask.dry_run;
    let mut policy = Effective::default();
    let mut actions = engine.handle(now(), Event::Ask(ask));
    loop {
        let mut next = Vec::new();
        // Whoever has the answer does not wait for servers, and neither does what is added.
        actions.sort_by_key(|action| match action {
            Action::Answer { .. } => 0,
            Action::Prove(_) => 2,
            _ => 1,
        });
        for action in actions {
            match action {
                Action::Look => {
                    let look = endpoint.look(engine.state());
                    policy.clone_from(&look.observation.effective);
                    next.extend(engine.handle(now(), Event::Looked(look.observation)));
                }
                Action::Carry { bundle, generation, state, orders } => {
                    let at = clock.now();
                    let carried = endpoint.carry(&Job { bundle, generation, state, orders, at });
                    next.extend(engine.handle(now(), Event::Carried(carried)));
                }
                Action::Prove(question) => {
                    let inquiry = Inquiry::new(question, settings, &policy, Turns::default(), clock.now());
                    next.extend(engine.handle(now(), Event::Proven(answer(inquiry))));
                }
                Action::Answer { outcome, .. } => {
                    let state =
                        if dry_run { Arc::clone(&outcome.plan.next) } else { Arc::clone(engine.state()) };
                    return Once { outcome, state, warning };
                }
                Action::Report(_) | Action::WakeIn(_) => {}
            }
        }
        actions = next;
    }
}

/// Asks the servers, on a runtime of its own; on a thread of its own, for who calls may be within a runtime.
fn answer(inquiry: Inquiry) -> Proofs {
    let ask = move || {
        let runtime = descriptors::for_a_runtime()
            .and_then(|()| tokio::runtime::Builder::new_current_thread().enable_all().build());
        match runtime {
            Ok(runtime) => runtime.block_on(inquiry.answer()),
            Err(error) => inquiry.unanswered(&error.to_string()),
        }
    };
    std::thread::scope(|scope| scope.spawn(ask).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
