//! A daemon to which nothing happens: what it holds, and how often it wakes. And how soon it is there.

use std::thread::sleep;
use std::time::Duration;

use test_support::endpoint::Endpoint;

use crate::corpus;
use crate::daemon::Daemon;
use crate::measure::{Spans, all_cpu_of, status_field};
use crate::table::{goal, head, ms, row, say};
use crate::unchanged::{Calls, calls_while};

const WATCHED: Duration = Duration::from_secs(60);

/// Before that no look believes that a file is as it was.
const LEFT_ALONE: Duration = Duration::from_secs(62);

/// A thread that read ends by then.
const SETTLE: Duration = Duration::from_secs(12);

const STARTS: usize = 11;

/// So many wake-ups timers make in that time: the look each half minute, the servers' and the management's turns beside it, and
/// twice as many where a long timer goes from one wheel of the runtime to the next.
const TIMERS: u64 = 20;

/// Calls that end with a wake-up.
const WAITS: &[&str] = &["epoll_wait", "epoll_pwait", "epoll_pwait2"];

/// With a real store and with ten thousand anchors.
pub(crate) fn run() {
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
    // Side by side: neither does anything.
    let subjects = [corpus::FEW, 10_000].map(|count| Subject::start(count, &corpus::of(count)));
    sleep(LEFT_ALONE);
    // Reads all once more, and remembers it.
    subjects.iter().for_each(|subject| subject.daemon.look());
    sleep(SETTLE);
    let told = std::thread::scope(|scope| {
        subjects
            .map(|subject| scope.spawn(|| subject.watch()))
            .map(|watched| watched.join().expect("it was watched"))
    });
    told.iter().for_each(Watched::print);
    for watched in &told {
        if let Some(calls) = &watched.calls {
            say(&format!("\n{} anchors, system calls in a minute: {}", watched.count, calls.listed()));
        }
        watched.note_goals();
    }
}

struct Subject {
    count: usize,
    endpoint: Endpoint,
    daemon: Daemon,
    first: Duration,
    again: Spans,
}

struct Watched {
    count: usize,
    first: Duration,
    again: Spans,
    /// Resident, at most resident, anonymous; in KiB.
    held: [u64; 3],
    threads: u64,
    cpu: Duration,
    calls: Option<Calls>,
}

impl Subject {
    fn start(count: usize, blocks: &[String]) -> Self {
        let endpoint = corpus::endpoint(blocks);
        let once = || {
            let daemon = Daemon::start(&endpoint);
            let ready = daemon.ready_after;
            daemon.stop();
            ready
        };
        let first = once();
        let again = Spans::new((0..STARTS).map(|_| once()).collect());
        let daemon = Daemon::start(&endpoint);
        Self { count, endpoint, daemon, first, again }
    }

    fn watch(self) -> Watched {
        let id = self.daemon.id();
        let before = all_cpu_of(id);
        let calls = calls_while(&self.endpoint, id, || sleep(WATCHED));
        let watched = Watched {
            count: self.count,
            first: self.first,
            again: self.again,
            held: ["VmRSS", "VmHWM", "RssAnon"].map(|field| status_field(id, field)),
            threads: status_field(id, "Threads"),
            cpu: all_cpu_of(id).saturating_sub(before),
            calls,
        };
        self.daemon.stop();
        watched
    }
}

impl Watched {
    fn print(&self) {
        let again = &self.again;
        let counted = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
        let [resident, most, anonymous] = self.held.map(mib);
        row(&[
            self.count.to_string(),
            ms(self.first),
            format!("{} ({}–{})", ms(again.median()), ms(again.min()), ms(again.max())),
            resident,
            most,
            anonymous,
            self.threads.to_string(),
            ms(self.cpu),
            counted(self.calls.as_ref().map(Calls::total)),
            counted(self.wakes()),
        ]);
    }

    fn wakes(&self) -> Option<u64> {
        self.calls.as_ref().map(|calls| calls.of(WAITS))
    }

    fn note_goals(&self) {
        let few = self.count < 1_000;
        if few {
            let ready = self.again.median();
            goal("start to READY under 20 ms", format!("{} ms", ms(ready)), ready.as_millis() < 20);
        }
        if let Some(wakes) = self.wakes() {
            let now = format!("{wakes} wake-ups in 60 s, {} ms of CPU", ms(self.cpu));
            goal(format!("idle, {} anchors: timers only", self.count), now, wakes <= TIMERS);
        }
        let limit = if few { 10 } else { 40 };
        goal(
            format!("idle, {} anchors: under {limit} MiB resident", self.count),
            format!("{} MiB", mib(self.held[0])),
            self.held[0] < limit << 10,
        );
    }
}

fn mib(kib: u64) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}
