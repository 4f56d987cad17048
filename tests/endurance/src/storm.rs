//! A hundred thousand changes, as fast as they can be made, and more events than the system keeps.

use std::fs;

use rustix::process::Signal;
use test_support::endpoint::{Endpoint, write};
use test_support::{poll, tools};

use crate::figures::Figures;
use crate::process::Usage;
use crate::sources::{Sources, pool};

/// Only events lead to a look: what is found, is found by them.
pub const NO_POLL: &str = "[watch]\npoll-interval = \"1d\"\ndegraded-poll-interval = \"1d\"\n";

/// What the daemon may have in RAM: as much as its unit allows.
pub const MOST_MEMORY: u64 = 64 * 1024;

/// The sources are changed `changes` times, with a pause for the bundle to come right `stops` times.
///
/// # Panics
/// Where the end state is not the model's.
#[must_use]
pub fn storm(changes: usize, stops: usize) -> Figures {
    let mut figures = Figures::new("storm");
    let mut endpoint = Endpoint::new();
    let mut sources = Sources::new(&endpoint, &pool(), 7);
    write(&endpoint.config(), NO_POLL);
    endpoint.start_daemon();
    endpoint.wait_for("before the storm", &sources.expected());
    let before = Usage::at_rest(endpoint.daemon_id());
    for stop in 1..=stops {
        for _ in 0..changes / stops {
            sources.change();
        }
        sources.come_to_rest();
        endpoint.wait_for(&format!("stop {stop} of {stops}"), &sources.expected());
    }
    let after = Usage::at_rest(endpoint.daemon_id());
    let publications = generation(&endpoint);
    figures.say(format_args!("{changes} changes, {publications} publications"));
    figures.say(format_args!("before {before}, after {after}"));
    figures.expect(after.peak <= MOST_MEMORY, || format!("it took {} KiB", after.peak));
    // A look takes in all the changes that came before it. How many that are depends on the machine; never so few.
    figures.expect(publications * 5 <= changes as u64, || {
        format!("{publications} publications of {changes} changes")
    });
    figures.expect(after.descriptors <= before.descriptors + 2, || {
        format!("{} descriptors became {}", before.descriptors, after.descriptors)
    });
    figures.expect(endpoint.stop_daemon().success(), || "it did not end well".to_owned());
    figures
}

/// The daemon sleeps while more happens than the system keeps events of; a directory is replaced among it. `None` where
/// that would be too many.
///
/// # Panics
/// Where the end state is not the model's.
#[must_use]
pub fn overflow() -> Option<Figures> {
    /// No test should write more files than this.
    const MOST: usize = 200_000;
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").ok();
    let Some(limit) = limit.and_then(|text| text.trim().parse().ok()).filter(|limit: &usize| *limit <= MOST)
    else {
        let _left_out = tools::left_out("the queue of events is longer than can be filled");
        return None;
    };
    let mut figures = Figures::new("overflow");
    let mut endpoint = Endpoint::new();
    let mut sources = Sources::new(&endpoint, &pool(), 8);
    write(&endpoint.config(), NO_POLL);
    endpoint.start_daemon();
    endpoint.wait_for("before the overflow", &sources.expected());
    endpoint.signal(Signal::STOP);
    sources.write_in_turn(limit + limit / 8);
    // What tells of this is lost.
    sources.replace_directory();
    endpoint.signal(Signal::CONT);
    endpoint.wait_for("after the overflow", &sources.expected());
    poll::until("the log names it", || endpoint.log().contains("events were lost").then_some(()));
    // It sees again, in the new directory too.
    for turn in 1..=2 {
        sources.change_at_once();
        endpoint.wait_for(&format!("change {turn} after the overflow"), &sources.expected());
    }
    figures.say(format_args!("{} changes while it slept, {limit} events kept", limit + limit / 8 + 1));
    figures.say(Usage::of(endpoint.daemon_id()));
    figures.expect(endpoint.stop_daemon().success(), || "it did not end well".to_owned());
    Some(figures)
}

/// The number of the last publication.
///
/// # Panics
/// Where `agentctl` does not say.
#[must_use]
pub fn generation(endpoint: &Endpoint) -> u64 {
    endpoint.json(&["status"])["store"]["generation"].as_u64().expect("a number")
}
