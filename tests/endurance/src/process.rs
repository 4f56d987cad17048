//! What a process costs, by `/proc`.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use test_support::poll;

/// What a process has and has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Memory in RAM, in KiB.
    pub resident: u64,
    /// The most that it ever was.
    pub peak: u64,
    /// Open descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: u64,
    /// Processor time of it and of the children it has waited for, in hundredths of a second.
    pub ticks: u64,
}

impl Usage {
    /// What this process has now.
    ///
    /// # Panics
    /// Where there is no such process.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        let read = |name: &str| {
            fs::read_to_string(format!("/proc/{pid}/{name}")).expect("a process of ours that runs")
        };
        let status = read("status");
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let word = line.and_then(|line| line.split_whitespace().next());
            word.and_then(|word| word.parse().ok()).expect("a number of proc(5)")
        };
        let stat = read("stat");
        // After the name, which may hold anything: utime, stime, cutime and cstime are the 14th to the 17th field.
        let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
        let times = after.split(' ').skip(11).take(4).filter_map(|word| word.parse::<u64>().ok());
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("a process of ours that runs");
        Self {
            resident: number("VmRSS"),
            peak: number("VmHWM"),
            descriptors: descriptors.count(),
            threads: number("Threads"),
            ticks: times.sum(),
        }
    }

    /// The same once nothing is opened or closed any more: a reader that is at work has three descriptors, who asks one.
    ///
    /// # Panics
    /// As [`Self::of`], and where it does not come to rest.
    #[must_use]
    pub fn at_rest(pid: u32) -> Self {
        const QUIET: Duration = Duration::from_millis(300);
        let (mut last, mut since) = (Self::of(pid), Instant::now());
        poll::until("descriptors at rest", || {
            let now = Self::of(pid);
            if now.descriptors != last.descriptors {
                (last, since) = (now, Instant::now());
            }
            (since.elapsed() >= QUIET).then_some(now)
        })
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resident, peak, descriptors, threads, ticks } = self;
        let (seconds, hundredths) = (ticks / 100, ticks % 100);
        write!(
            f,
            "{resident} KiB resident (peak {peak}), {descriptors} descriptors, {threads} threads, \
             {seconds}.{hundredths:02} s of processor time"
        )
    }
}
