//! Faults at a chosen system call: `strace` counts the occurrences of each name, and at the chosen one it ends the
//! process or makes the call fail.
//!
//! It counts by name and by thread. A point is therefore a name and a number, found in the trace of a clean run, and
//! only the first thread of the first process is traced: the programs that are swept this way do their work there.
//! A signal is delivered as the call is entered, so "after call i" is tried as "at call i + 1".

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use test_support::process::{self, Run};
use test_support::tools;

/// The n-th call of this name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// The system call.
    pub name: String,
    /// From one.
    pub nth: usize,
    /// Its place in the trace.
    pub index: usize,
    /// Whether a file of the endpoint was named or used before it or by it.
    pub at_work: bool,
}

impl std::fmt::Display for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} #{}", self.name, self.nth)
    }
}

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL.
    Kill,
    /// The call fails with this.
    Errno(&'static str),
    /// It fails, and so do all later ones of its name.
    ErrnoFromThenOn(&'static str),
}

/// How a run with a fault ended.
#[derive(Debug)]
pub struct Shot {
    /// The program's own end and words; by a kill it has no code.
    pub run: Run,
    /// Whether the fault came to pass. A run without it proves nothing.
    pub hit: bool,
}

/// The points of a clean run, in order. `work` is the directory whose mention begins the program's own work.
///
/// # Panics
/// Where the command fails, or starts another process.
#[must_use]
pub fn points(command: &Command, log: &Path, work: &Path) -> Vec<Point> {
    let mut strace = traced(command, log, &["-f", "-s", "4096"]);
    let run = process::run(&mut strace);
    assert_eq!(run.code(), 0, "a clean run of {}\n{}{}", run.command, run.out(), run.err());
    parse(&fs::read_to_string(log).expect("a trace"), &work.to_string_lossy())
}

/// The points of a trace that was attached to one thread, or to several: then the most that any of them came to. Where a
/// thread waits for another, as it did when it was attached to, is not among them.
#[must_use]
pub fn points_of(trace: &str) -> Vec<Point> {
    let mut counts: HashMap<(String, String), usize> = HashMap::new();
    let mut points: Vec<Point> = Vec::new();
    for (id, name, rest) in trace.lines().filter_map(call) {
        if matches!(name, "restart_syscall" | "futex") || rest.contains("resuming interrupted") {
            continue;
        }
        let nth = counts.entry((id.to_owned(), name.to_owned())).or_default();
        *nth += 1;
        let point = Point { name: name.to_owned(), nth: *nth, index: points.len(), at_work: true };
        if !points.iter().any(|known| (&known.name, known.nth) == (&point.name, point.nth)) {
            points.push(point);
        }
    }
    points
}

/// The thread of a line, the call and the rest; `None` for the second half of a call that another thread's came between,
/// a signal, an end. The lines of a single thread do not name it.
fn call(line: &str) -> Option<(&str, &str, &str)> {
    let (id, call) = match line.split_once(' ') {
        Some((id, call)) if id.bytes().all(|byte| byte.is_ascii_digit()) => (id, call.trim_start()),
        _ => ("", line),
    };
    call.split_once('(').filter(|(name, _)| is_name(name)).map(|(name, rest)| (id, name, rest))
}

fn parse(trace: &str, work: &str) -> Vec<Point> {
    let mut first = None;
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut points = Vec::new();
    let mut at_work = false;
    for (id, name, rest) in trace.lines().filter_map(call) {
        if *first.get_or_insert(id) != id {
            continue;
        }
        let nth = counts.entry(name.to_owned()).or_default();
        *nth += 1;
        at_work |= name != "execve" && rest.contains(work);
        // The program's own start cannot be hit.
        if name != "execve" {
            points.push(Point { name: name.to_owned(), nth: *nth, index: points.len(), at_work });
        }
    }
    points
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Runs the command with a fault at a point.
#[must_use]
pub fn shoot(command: &Command, log: &Path, point: &Point, fault: Fault) -> Shot {
    let options = injection(point, fault);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let run = process::run(&mut traced(command, log, &options));
    let said = fs::read_to_string(log).unwrap_or_default();
    let hit = match fault {
        Fault::Kill => said.contains("+++ killed by SIGKILL"),
        Fault::Errno(_) | Fault::ErrnoFromThenOn(_) => said.contains("(INJECTED)"),
    };
    Shot { run, hit }
}

/// The options that put a fault at a point.
#[must_use]
pub fn injection(point: &Point, fault: Fault) -> Vec<String> {
    let what = match fault {
        Fault::Kill => format!("signal=KILL:when={}", point.nth),
        Fault::Errno(errno) => format!("error={errno}:when={}", point.nth),
        Fault::ErrnoFromThenOn(errno) => format!("error={errno}:when={}+", point.nth),
    };
    let (trace, inject) = (format!("trace={}", point.name), format!("inject={}:{what}", point.name));
    vec!["-e".to_owned(), trace, "-e".to_owned(), inject]
}

fn traced(command: &Command, log: &Path, options: &[&str]) -> Command {
    let mut strace = process::command(tools::path("strace"));
    strace.arg("-q").args(options).arg("-o").arg(log).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            strace.env(name, value);
        }
    }
    strace
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_counted_by_name_in_the_first_process() {
        let trace = "12 execve(\"/bin/x\", [\"--root\", \"/r\"], 0x7) = 0\n\
                     12 openat(AT_FDCWD, \"/etc/ld.so.cache\", O_RDONLY) = 3\n\
                     12 read(3, \"\", 0) = 0\n\
                     12 openat(AT_FDCWD, \"/r/a\", O_RDONLY <unfinished ...>\n\
                     13 openat(AT_FDCWD, \"/r/b\", O_RDONLY) = 3\n\
                     12 <... openat resumed>) = 4\n\
                     12 read(4, \"\", 0) = 0\n\
                     12 +++ exited with 0 +++\n";
        let points = parse(trace, "/r");
        let short: Vec<_> =
            points.iter().map(|point| (point.name.as_str(), point.nth, point.at_work)).collect();
        assert_eq!(short, [("openat", 1, false), ("read", 1, false), ("openat", 2, true), ("read", 2, true)]);
    }

    #[test]
    fn points_of_attached_threads_are_the_most_that_one_came_to() {
        let trace = "12 futex(0x1, FUTEX_WAIT <unfinished ...>\n\
                     13 restart_syscall(<... resuming interrupted futex ...>) = 0\n\
                     13 read(3, \"\", 0) = 0\n\
                     12 <... futex resumed>) = 0\n\
                     12 read(3, \"\", 0) = 0\n\
                     12 read(3, \"\", 0) = 0\n";
        let short: Vec<_> = points_of(trace).iter().map(ToString::to_string).collect();
        assert_eq!(short, ["read #1", "read #2"]);
        assert_eq!(points_of("read(3, \"\", 0) = 0\n").len(), 1);
    }
}
