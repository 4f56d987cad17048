//! What the service manager is told: READY, STATUS, RELOADING, STOPPING, and that the loop still turns.

use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use agent_control::wire::{Problem, Severity};
use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

/// Tells the service manager; where there is none, does nothing.
pub(crate) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!(%error, "the service manager could not be told");
    }
}

/// A reload has begun: it is over at the next READY. The time is that of systemd.exec's `notify-reload` (253), older ones
/// ignore it.
pub(crate) fn tell_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Half of the time in which a watchdog wants a sign: nobody sleeps less because of it, and one may come late.
pub(crate) fn pace() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|period| period / 2)
}

/// True where a service manager listens.
pub(crate) fn listens() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Renews STATUS and feeds the watchdog.
///
/// `ask` asks the loop that does the work, and its answer is the proof that it turns: where none comes, the watchdog
/// starves, however well this task sleeps and wakes. It is asked at the `pace`, when something came of a regeneration,
/// and when `fault` changes.
pub(crate) async fn keep(
    pace: Option<Duration>,
    mut fault: watch::Receiver<Option<String>>,
    mut news: impl AsyncFnMut(),
    ask: impl AsyncFn() -> Option<Standing>,
    mut tell: impl FnMut(&[NotifyState<'_>]),
    stopped: impl Future<Output = ()>,
) {
    tokio::pin!(stopped);
    let pace = pace.unwrap_or(UNWATCHED);
    let mut told = String::new();
    let mut next = Instant::now() + pace;
    loop {
        tokio::select! {
            () = &mut stopped => return,
            () = sleep_until(next) => {}
            () = news() => {}
            Ok(()) = fault.changed() => {}
        }
        let standing = tokio::select! {
            () = &mut stopped => return,
            standing = ask() => standing,
        };
        // The loop has gone: so will we.
        let Some(standing) = standing else { return };
        next = Instant::now() + pace;
        let line = standing.line(fault.borrow_and_update().as_deref());
        if line == told {
            tell(&[NotifyState::Watchdog]);
        } else {
            tell(&[NotifyState::Watchdog, NotifyState::Status(&line)]);
            told = line;
        }
    }
}

/// Without a watchdog, the time between two looks at what STATUS says: a server may have been lost without news.
const UNWATCHED: Duration = Duration::from_secs(60);

/// What STATUS is drawn from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Number of the last publication; 0 before the first.
    pub(crate) generation: u64,
    /// Anchors in the store.
    pub(crate) anchors: usize,
    /// What needs a hand, the worst first.
    pub(crate) problems: Vec<Problem>,
}

impl Standing {
    /// One line; `fault` is why the configuration was not read again.
    fn line(&self, fault: Option<&str>) -> String {
        let mut line = match (self.generation, self.anchors) {
            (0, _) => "no store yet".to_owned(),
            (generation, 1) => format!("generation {generation}, 1 anchor"),
            (generation, anchors) => format!("generation {generation}, {anchors} anchors"),
        };
        let mut codes: Vec<&str> = Vec::new();
        let mut count = 0;
        for problem in self.problems.iter().filter(|problem| problem.severity >= Severity::Warning) {
            count += 1;
            if !codes.contains(&problem.code.as_str()) {
                codes.push(&problem.code);
            }
        }
        if let Some(fault) = fault {
            // A diagnosis has several lines, a STATUS one.
            let first = fault.lines().next().unwrap_or_default();
            let _written = write!(line, "; configuration not read again: {first}");
        }
        let plural = if count == 1 { "" } else { "s" };
        let rest = if codes.len() > MOST_CODES { ", …" } else { "" };
        codes.truncate(MOST_CODES);
        if count > 0 {
            let _written = write!(line, "; {count} problem{plural}: {}{rest}", codes.join(", "));
        } else if self.generation > 0 && fault.is_none() {
            line.push_str(", all well");
        }
        line
    }
}

/// So many codes fit on a line of `systemctl status`.
const MOST_CODES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use std::future::pending;

    fn problem(code: &str, severity: Severity) -> Problem {
        let text = String::new();
        Problem { code: code.to_owned(), severity, title: text.clone(), why: text, fix: Vec::new() }
    }

    #[test]
    fn status_says_what_is_true() {
        let many: Vec<Problem> =
            ["a", "b", "a", "c", "d", "e"].map(|code| problem(code, Severity::Warning)).into();
        for (generation, anchors, problems, fault, expected) in [
            (3, 5, vec![], None, "generation 3, 5 anchors, all well"),
            (1, 1, vec![problem("x", Severity::Info)], None, "generation 1, 1 anchor, all well"),
            (0, 0, vec![problem("no-anchors", Severity::Error)], None, "no store yet; 1 problem: no-anchors"),
            (2, 4, many, None, "generation 2, 4 anchors; 6 problems: a, b, c, d, …"),
            (
                2,
                4,
                vec![],
                Some("x.toml:1: what\n  |"),
                "generation 2, 4 anchors; configuration not read again: x.toml:1: what",
            ),
        ] {
            assert_eq!(Standing { generation, anchors, problems }.line(fault), expected);
        }
    }

    /// Runs `keep` for a while of paused time and gives what was told, by the second.
    async fn kept(pace: Option<u64>, ask: impl AsyncFn() -> Option<Standing>) -> Vec<(u64, String)> {
        let begin = Instant::now();
        let told = RefCell::new(Vec::new());
        let tell = |states: &[NotifyState<'_>]| {
            let words: Vec<String> = states.iter().map(ToString::to_string).collect();
            told.borrow_mut().push((begin.elapsed().as_secs(), words.join(" ")));
        };
        let (_fault, faults) = watch::channel(None);
        let stopped = tokio::time::sleep(Duration::from_secs(100));
        keep(pace.map(Duration::from_secs), faults, async || pending().await, ask, tell, stopped).await;
        told.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_turns_feeds_the_watchdog_and_status_is_said_on_change() {
        let generation = Cell::new(1);
        let ask = async || {
            generation.set(if generation.get() < 2 { generation.get() + 1 } else { 2 });
            Some(Standing { generation: generation.get(), anchors: 2, problems: Vec::new() })
        };
        let told = kept(Some(30), ask).await;
        let times: Vec<u64> = told.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, [30, 60, 90]);
        assert!(told.iter().all(|(_, words)| words.contains("WATCHDOG=1")), "{told:?}");
        let said = told.iter().filter(|(_, words)| words.contains("STATUS=generation 2, 2 anchors")).count();
        assert_eq!(said, 1, "{told:?}");
        assert_eq!(kept(None, async || None).await, []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_hangs_starves_the_watchdog() {
        assert_eq!(kept(Some(30), async || pending().await).await, []);
    }
}
