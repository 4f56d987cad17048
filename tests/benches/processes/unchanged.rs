//! What it costs when nothing has changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use test_support::endpoint::Endpoint;
use test_support::process::{Owned, command};
use test_support::tools;

use crate::corpus;
use crate::daemon::Daemon;
use crate::measure::{Contender, Measured, Spans, contest, cpu_of};
use crate::table::{goal, head, ms, row, say};

/// Fewer than after which all is read again.
const LOOKS: u32 = 10;

/// Longer than a look takes.
const PAUSE: Duration = Duration::from_millis(150);

/// No look believes that a file is as it was that was written less than a minute ago.
const LEFT_ALONE: Duration = Duration::from_secs(62);

/// All three sizes.
pub(crate) fn run() {
    let published = |count: usize| {
        let endpoint = corpus::endpoint(&corpus::of(count));
        let first = endpoint.agentctl(&["--quiet", "regen"]);
        if first.code() != 0 {
            say(&format!("\nWRONG: {}", first.err()));
        }
        (endpoint, count)
    };
    let endpoints = corpus::SIZES.map(published);
    sleep(LEFT_ALONE);
    let costs = endpoints.map(|(endpoint, count)| (count, cost(&endpoint)));
    head(
        "Nothing changed",
        &[
            "anchors",
            "",
            "wall ms, median",
            "CPU ms",
            "system calls",
            "of them a file",
            "bundle's inode and times",
        ],
    );
    for (count, cost) in &costs {
        print(*count, cost);
    }
    for (count, cost) in &costs {
        for (what, calls) in [(ASKED, &cost.all_read.1), (BY_ITSELF, &cost.none_read.1)] {
            if let Some(calls) = calls {
                say(&format!("\n{count} anchors, {what}, {LOOKS} times: {}", calls.listed()));
            }
        }
        note_goal(*count, cost);
    }
}

const ALONE: &str = "`agentctl regen`, a whole process";
const ASKED: &str = "a look of the daemon that is asked for: all is read";
const BY_ITSELF: &str = "a look of the daemon by itself";

/// Three sources, a policy, the directory of policies, the bundle.
const FILES: u64 = 6;

struct Cost {
    process: Measured,
    process_calls: Option<Calls>,
    all_read: (Spans, Option<Calls>),
    none_read: (Spans, Option<Calls>),
    same: bool,
}

/// A second `agentctl regen`, a look of the running daemon that is asked for, which reads all, and one that is not.
fn cost(endpoint: &Endpoint) -> Cost {
    let before = identity(endpoint);
    let command = || endpoint.agentctl_command(&["--quiet", "regen"]);
    let again = Contender { name: ALONE, runs: 40, prepare: Box::new(|| ()), command: Box::new(command) };
    let process = contest(&[again]).remove(0);
    let process_calls = calls_of_process(endpoint, &command());
    let daemon = Daemon::start(endpoint);
    sleep(PAUSE);
    let asked = || daemon.look();
    // A name that is no source, beside one that is.
    let beside = endpoint.ca_info().with_extension("beside");
    fs::write(&beside, "").expect("a place of ours");
    // One event each time.
    let hinted = || {
        let mode = fs::metadata(&beside).map_or(0o600, |metadata| metadata.mode() & 0o777 ^ 0o040);
        let _seen = fs::set_permissions(&beside, fs::Permissions::from_mode(mode));
    };
    let all_read = looks(endpoint, &daemon, &asked);
    let none_read = looks(endpoint, &daemon, &hinted);
    daemon.stop();
    Cost { process, process_calls, all_read, none_read, same: identity(endpoint) == before }
}

fn print(count: usize, cost: &Cost) {
    let same = if cost.same { "the same" } else { "CHANGED" };
    let number = |calls: Option<u64>| calls.map_or_else(|| "–".to_owned(), |calls| calls.to_string());
    let line = |what: &str, wall: String, cpu: String, calls: Option<u64>| {
        let each = calls.map(|calls| calls.div_ceil(FILES));
        row(&[count.to_string(), what.to_owned(), wall, cpu, number(calls), number(each), same.to_owned()]);
    };
    let process = &cost.process;
    line(
        ALONE,
        ms(process.wall.median()),
        format!("{} (mean of {})", ms(process.cpu), process.wall.len()),
        cost.process_calls.as_ref().map(Calls::total),
    );
    for (what, look) in [(ASKED, &cost.all_read), (BY_ITSELF, &cost.none_read)] {
        let cpu = format!("{} (median of {})", ms(look.0.median()), look.0.len());
        line(what, "–".to_owned(), cpu, each_look(look));
    }
}

fn each_look((_, calls): &(Spans, Option<Calls>)) -> Option<u64> {
    calls.as_ref().map(|calls| calls.total() / u64::from(LOOKS))
}

fn note_goal(count: usize, cost: &Cost) {
    /// For each file that could have changed.
    const HANDFUL: u64 = 6;
    let Some(calls) = each_look(&cost.none_read) else { return };
    let cpu = cost.none_read.0.median();
    goal(
        format!(
            "nothing changed, {count} anchors, a look of the daemon: under 1 ms of CPU, nothing written, a handful of \
             system calls a file (of {FILES})"
        ),
        format!("{} ms, {calls} calls, {}", ms(cpu), if cost.same { "nothing written" } else { "WRITTEN" }),
        cpu < Duration::from_millis(1) && calls <= FILES * HANDFUL && cost.same,
    );
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
    strace.envs(traced.get_envs().filter_map(|(name, value)| Some((name, value?))));
    strace.args(["-f", "-o"]).arg(&trace).arg(traced.get_program()).args(traced.get_args());
    let ended = strace.stdout(Stdio::null()).stderr(Stdio::null()).status();
    ended.is_ok_and(|status| status.success()).then(|| Calls::read(&trace))
}

fn identity(endpoint: &Endpoint) -> Option<(u64, i64, i64, i64, i64)> {
    let metadata = fs::metadata(endpoint.merged()).ok()?;
    Some((metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()))
}
