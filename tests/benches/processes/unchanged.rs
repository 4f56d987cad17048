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
use crate::table::{head, ms, row, say};

const LOOKS: u32 = 20;

/// Longer than a look takes.
const PAUSE: Duration = Duration::from_millis(150);

/// A second `agentctl regen`, and a look of the running daemon.
pub(crate) fn run(endpoint: &Endpoint, count: usize) {
    let before = identity(endpoint);
    let command = || endpoint.agentctl_command(&["--quiet", "regen"]);
    let again =
        Contender { name: "agentctl regen", runs: 40, prepare: Box::new(|| ()), command: Box::new(command) };
    let measured = contest(&[again]);
    let alone = calls_of_process(endpoint, &command());
    let daemon = Daemon::start(endpoint);
    sleep(PAUSE);
    let spans = (0..LOOKS).map(|_| {
        let start = cpu_of(daemon.id());
        daemon.look();
        sleep(PAUSE);
        cpu_of(daemon.id()).saturating_sub(start)
    });
    let looks = Spans::new(spans.collect());
    let traced = calls_while(endpoint, daemon.id(), || {
        for _ in 0..LOOKS {
            daemon.look();
            sleep(PAUSE);
        }
    });
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
    row(&[
        "a look of the daemon".to_owned(),
        "–".to_owned(),
        format!("{} (median of {})", ms(looks.median()), looks.len()),
        traced.as_ref().map_or_else(
            || "–".to_owned(),
            |calls| format!("{:.0}", calls.total() as f64 / f64::from(LOOKS)),
        ),
        same.to_owned(),
    ]);
    if let Some(calls) = traced {
        say(&format!("\n{LOOKS} looks of the daemon: {}", calls.listed()));
    }
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
