//! A daemon to which nothing happens: what it holds, and how often it wakes. And how soon it is there.

use std::thread::sleep;
use std::time::Duration;

use crate::corpus;
use crate::daemon::Daemon;
use crate::measure::{Spans, all_cpu_of, status_field};
use crate::table::{goal, head, ms, row, say};
use crate::unchanged::calls_while;

const WATCHED: Duration = Duration::from_secs(60);

/// After a start something may still be under way.
const SETTLE: Duration = Duration::from_secs(5);

const STARTS: usize = 11;

/// So many wake-ups timers make in that time: the look each half minute, the servers' and the management's turns beside it,
/// and the end of a thread that read.
const TIMERS: u64 = 12;

/// Calls that end with a wake-up.
const WAITS: &[&str] = &["epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"];

/// With Mozilla's roots and with ten thousand.
pub(crate) fn run() {
    let mut told = Vec::new();
    head(
        "Idle daemon",
        &[
            "anchors",
            "start to READY ms, first",
            "again, median (min–max)",
            "VmRSS MiB",
            "VmHWM MiB",
            "of it anonymous",
            "threads",
            "CPU in 60 s, ms (ticks of 10)",
            "system calls in 60 s",
            "wake-ups",
        ],
    );
    for count in [corpus::FEW, 10_000] {
        told.extend(one(&corpus::of(count)));
    }
    for line in told {
        say(&line);
    }
}

fn one(blocks: &[String]) -> Option<String> {
    let endpoint = corpus::endpoint(blocks);
    let first = Daemon::start(&endpoint);
    let first_ready = first.ready_after;
    first.stop();
    let starts = (0..STARTS).map(|_| {
        let daemon = Daemon::start(&endpoint);
        let ready = daemon.ready_after;
        daemon.stop();
        ready
    });
    let again = Spans::new(starts.collect());
    let daemon = Daemon::start(&endpoint);
    sleep(SETTLE);
    let id = daemon.id();
    let held = ["VmRSS", "VmHWM", "RssAnon"].map(|field| status_field(id, field));
    let before = all_cpu_of(id);
    let calls = calls_while(&endpoint, id, || sleep(WATCHED));
    let cpu = all_cpu_of(id).saturating_sub(before);
    let threads = status_field(id, "Threads");
    daemon.stop();
    let (memory_goal, limit) = if blocks.len() < 1_000 {
        goal(
            "start to READY under 20 ms",
            format!("{} ms", ms(again.median())),
            again.median().as_millis() < 20,
        );
        ("under 10 MiB resident with a real store", 10 << 10)
    } else {
        ("under 40 MiB resident with 10,000", 40 << 10)
    };
    if let Some(calls) = &calls {
        let wakes = calls.of(WAITS);
        goal(
            format!("idle, {} anchors: timers only", blocks.len()),
            format!("{wakes} wake-ups in 60 s, {} ms of CPU", ms(cpu)),
            wakes <= TIMERS,
        );
    }
    goal(memory_goal, format!("{:.1} MiB", held[0] as f64 / 1024.0), held[0] < limit);
    let counted = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
    let mib = |kib: u64| format!("{:.1}", kib as f64 / 1024.0);
    row(&[
        blocks.len().to_string(),
        ms(first_ready),
        format!("{} ({}–{})", ms(again.median()), ms(again.min()), ms(again.max())),
        mib(held[0]),
        mib(held[1]),
        mib(held[2]),
        threads.to_string(),
        ms(cpu),
        counted(calls.as_ref().map(super::unchanged::Calls::total)),
        counted(calls.as_ref().map(|calls| calls.of(WAITS))),
    ]);
    calls.map(|calls| format!("\n{} anchors, system calls in a minute: {}", blocks.len(), calls.listed()))
}
