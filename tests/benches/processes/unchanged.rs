//! What it costs when nothing has changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use test_support::endpoint::Endpoint;
use test_support::process::{Owned, command};
use test_support::tools;

use crate::daemon::Daemon;
use crate::measure::{Contender, Spans, contest, cpu_of};
use crate::table::{goal, head, ms, row, say};

/// Fewer than after which all is read again.
const LOOKS: u32 = 10;

/// Longer than a look takes.
const PAUSE: Duration = Duration::from_millis(150);

/// A second `agentctl regen`, a look of the running daemon that is asked for, which reads all, and one that is not.
/// Everything must have been left alone for a minute, else no look believes that it is as it was.
pub(crate) fn run(endpoint: &Endpoint, count: usize) {
    let before = identity(endpoint);
    let command = || endpoint.agentctl_command(&["--quiet", "regen"]);
    let again =
        Contender { name: "agentctl regen", runs: 40, prepare: Box::new(|| ()), command: Box::new(command) };
    let measured = contest(&[again]);
    let alone = calls_of_process(endpoint, &command());
    let daemon = Daemon::start(endpoint);
    sleep(PAUSE);
    let asked = || daemon.look();
    // A name that is no source, beside one that is.
    let beside = endpoint.ca_info().with_extension("beside");
    let hinted = || {
        if fs::remove_file(&beside).is_err() {
            let _seen = fs::write(&beside, "");
        }
    };
    let all_read = looks(endpoint, &daemon, &asked);
    let none_read = looks(endpoint, &daemon, &hinted);
    daemon.stop();
    head(
        &format!("Nothing changed: {count} anchors in three sources"),
        &["", "wall ms, median", "CPU ms", "system calls", "bundle's inode and times"],
    );
    let same = if identity(endpoint) == before { "the same" } else { "CHANGED" };
    for again in measured {
        row(&[
            "agentctl regen, a whole process".to_owned(),
            ms(again.wall.median()),
            format!("{} (mean of {})", ms(again.cpu), again.wall.len()),
            alone.as_ref().map_or_else(|| "–".to_owned(), |calls| calls.total().to_string()),
            same.to_owned(),
        ]);
    }
    let told = [
        ("a look of the daemon that is asked for: all is read", &all_read),
        ("a look of the daemon by itself", &none_read),
    ];
    for (what, (spans, calls)) in told {
        let calls = calls.as_ref().map_or_else(
            || "–".to_owned(),
            |calls| format!("{:.0}", calls.total() as f64 / f64::from(LOOKS)),
        );
        let cpu = format!("{} (median of {})", ms(spans.median()), spans.len());
        row(&[what.to_owned(), "–".to_owned(), cpu, calls, same.to_owned()]);
    }
    for (what, (_, calls)) in told {
        if let Some(calls) = calls {
            say(&format!("\n{count} anchors, {what}, {LOOKS} times: {}", calls.listed()));
        }
    }
    if let (spans, Some(calls)) = &none_read {
        let each = calls.total() / u64::from(LOOKS);
        goal(
            match count {
                10_000 => {
                    "nothing changed, 10,000 anchors: under 1 ms of CPU, a handful of system calls a file (6 files)"
                }
                1_000 => "nothing changed, 1,000 anchors: the same",
                _ => {
                    "nothing changed, Mozilla's roots: under 1 ms of CPU, a handful of system calls a file (6 files)"
                }
            },
            format!("{} ms, {each} calls, bundle {same}", ms(spans.median())),
            spans.median() < Duration::from_millis(1) && each <= 6 * 6 && same == "the same",
        );
    }
}

/// What looks cost that are caused so: first without a tracer, then the system calls of as many.
fn looks(endpoint: &Endpoint, daemon: &Daemon, cause: &dyn Fn()) -> (Spans, Option<Calls>) {
    // What was read before is known only once a look has read it and found it old enough.
    daemon.look();
    sleep(PAUSE);
    let spans = (0..LOOKS).map(|_| {
        let start = cpu_of(daemon.id());
        cause();
        sleep(PAUSE);
        cpu_of(daemon.id()).saturating_sub(start)
    });
    let spans = Spans::new(spans.collect());
    // Every twentieth look reads all: begin anew.
    daemon.look();
    sleep(PAUSE);
    let calls = calls_while(endpoint, daemon.id(), || {
        for _ in 0..LOOKS {
            cause();
            sleep(PAUSE);
        }
    });
    (spans, calls)
}

/// How often each system call was made.
pub(crate) struct Calls(BTreeMap<String, u64>);

impl Calls {
    /// All of them.
    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The sum of these.
    pub(crate) fn of(&self, names: &[&str]) -> u64 {
        names.iter().filter_map(|name| self.0.get(*name)).sum()
    }

    /// As text, the most frequent first.
    pub(crate) fn listed(&self) -> String {
        let mut calls: Vec<_> = self.0.iter().collect();
        calls.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), (*name).clone()));
        let listed: Vec<String> = calls.iter().map(|(name, count)| format!("{name} {count}")).collect();
        if listed.is_empty() { "none".to_owned() } else { listed.join(", ") }
    }

    /// Lines of `strace -f -o`: an identity, then the call. One that was resumed has been counted.
    fn read(trace: &Path) -> Self {
        let text = String::from_utf8_lossy(&fs::read(trace).unwrap_or_default()).into_owned();
        let mut calls = BTreeMap::new();
        for line in text.lines() {
            let call = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
            let Some((name, _)) = call.split_once('(') else { continue };
            if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                *calls.entry(name.to_owned()).or_default() += 1;
            }
        }
        Self(calls)
    }
}

/// The system calls of a running process while `work` is done; nothing where strace is not installed or not allowed.
pub(crate) fn calls_while(endpoint: &Endpoint, id: u32, work: impl FnOnce()) -> Option<Calls> {
    let trace = endpoint.beside("trace");
    let _none = fs::remove_file(&trace);
    let mut strace = command(tools::find("strace")?);
    strace.args(["-f", "-p", &id.to_string(), "-o"]).arg(&trace);
    let log = endpoint.beside("strace.log");
    let _none = fs::remove_file(&log);
    let mut strace = Owned::start(&mut strace, &log);
    let end = Instant::now() + Duration::from_secs(5);
    while !fs::read_to_string(&log).is_ok_and(|said| said.contains("attached")) {
        if !strace.is_running() || Instant::now() > end {
            say("\nstrace may not attach here: no system calls are counted");
            return None;
        }
        sleep(Duration::from_millis(10));
    }
    work();
    strace.signal(Signal::INT);
    let _detached = strace.wait();
    Some(Calls::read(&trace))
}

fn calls_of_process(endpoint: &Endpoint, traced: &Command) -> Option<Calls> {
    let trace = endpoint.beside("trace");
    let mut strace = command(tools::find("strace")?);
    strace.args(["-f", "-o"]).arg(&trace).arg(traced.get_program()).args(traced.get_args());
    let ended = strace.stdout(Stdio::null()).stderr(Stdio::null()).status();
    ended.is_ok_and(|status| status.success()).then(|| Calls::read(&trace))
}

fn identity(endpoint: &Endpoint) -> Option<(u64, i64, i64, i64, i64)> {
    let metadata = fs::metadata(endpoint.merged()).ok()?;
    Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()))
}
