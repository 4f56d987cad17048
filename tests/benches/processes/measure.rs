//! Spans of wall clock and CPU, of children and of a running process.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use test_support::process::command;
use test_support::tools;

/// Spans of one thing, sorted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spans(Vec<Duration>);

impl Spans {
    /// Of these, in any order.
    pub(crate) fn new(mut spans: Vec<Duration>) -> Self {
        spans.sort();
        Self(spans)
    }

    /// The one in the middle; zero of none.
    pub(crate) fn median(&self) -> Duration {
        self.at(0.5)
    }

    /// The 99th percentile: of fewer than a hundred the longest.
    pub(crate) fn p99(&self) -> Duration {
        self.at(0.99)
    }

    /// The shortest.
    pub(crate) fn min(&self) -> Duration {
        self.at(0.0)
    }

    /// The longest.
    pub(crate) fn max(&self) -> Duration {
        self.at(1.0)
    }

    /// All of them, sorted.
    pub(crate) fn all(&self) -> &[Duration] {
        &self.0
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn at(&self, part: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * part).ceil() as usize).copied().unwrap_or_default()
    }
}

/// One way of doing the work: what is made ready before each run, and the command.
pub(crate) struct Contender<'a> {
    pub(crate) name: &'static str,
    pub(crate) runs: usize,
    pub(crate) prepare: Box<dyn Fn() + 'a>,
    pub(crate) command: Box<dyn Fn() -> Command + 'a>,
}

/// What was measured of a contender.
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) wall: Spans,
    /// Of the process and its children, the mean of all runs.
    pub(crate) cpu: Duration,
    /// Peak resident memory of the biggest process in KiB, where `time` is installed.
    pub(crate) peak: Option<u64>,
    /// Runs that did not end with 0.
    pub(crate) failed: usize,
}

/// Runs all of them in turns, so that a noisy minute of the machine meets each alike.
pub(crate) fn contest(contenders: &[Contender<'_>]) -> Vec<Measured> {
    const TURNS: usize = 4;
    let mut walls = vec![Vec::new(); contenders.len()];
    let mut cpus = vec![Duration::ZERO; contenders.len()];
    let mut failed = vec![0; contenders.len()];
    for turn in 0..TURNS {
        for (index, contender) in contenders.iter().enumerate() {
            let runs = contender.runs * (turn + 1) / TURNS - contender.runs * turn / TURNS;
            for _ in 0..runs {
                (contender.prepare)();
                let mut command = (contender.command)();
                let before = cpu_of_children();
                let (wall, success) = once(&mut command);
                walls[index].push(wall);
                cpus[index] += cpu_of_children().saturating_sub(before);
                failed[index] += usize::from(!success);
            }
        }
    }
    contenders
        .iter()
        .zip(walls)
        .zip(cpus.into_iter().zip(failed))
        .map(|((contender, wall), (cpu, failed))| Measured {
            name: contender.name,
            cpu: cpu / u32::try_from(wall.len().max(1)).unwrap_or(u32::MAX),
            wall: Spans::new(wall),
            peak: peak(contender),
            failed,
        })
        .collect()
}

/// Runs a command without its words: how long it took, and whether it ended with 0.
pub(crate) fn once(command: &mut Command) -> (Duration, bool) {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status().expect("a program that was found");
    (start.elapsed(), status.success())
}

/// CPU that a running process has used so far, with threads that have ended, in ticks of 10 ms.
pub(crate) fn all_cpu_of(id: u32) -> Duration {
    const UTIME: usize = 11;
    ticks(&format!("/proc/{id}/stat"), UTIME)
}

/// CPU that the threads of a running process have used so far; one that ends takes its share with it.
pub(crate) fn cpu_of(id: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{id}/task")).expect("a running process");
    threads
        .flatten()
        .filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
        })
        .sum()
}

/// A field of `/proc/<id>/status`, without its unit.
pub(crate) fn status_field(id: u32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/status")).expect("a running process");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// What the figures belong to; nothing that names the machine.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown CPU");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let (release, load) = (read("/proc/sys/kernel/osrelease"), read("/proc/loadavg"));
    format!(
        "{model}, {cores} cores, Linux {}, scratch on {}, load {}",
        release.trim().split('-').next().unwrap_or("unknown"),
        file_system(&std::env::temp_dir(), &read("/proc/mounts")),
        load.split(' ').next().unwrap_or("unknown")
    )
}

/// Of the mount with the longest path that is one of this path's ancestors.
fn file_system(path: &Path, mounts: &str) -> String {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let over = mounts.filter(|(place, _)| path.starts_with(place)).max_by_key(|(place, _)| place.len());
    over.map_or_else(|| "an unknown file system".to_owned(), |(_, kind)| kind.to_owned())
}

/// User and system time of all children that have ended: exact over many runs only, as a tick is 10 ms and the kernel
/// keeps the rest of one and shows it later.
fn cpu_of_children() -> Duration {
    const CUTIME: usize = 13;
    ticks("/proc/self/stat", CUTIME)
}

/// The sum of a field of `/proc/<id>/stat` and the one after it, counted from behind the name, which may hold anything.
fn ticks(path: &str, field: usize) -> Duration {
    let text = fs::read_to_string(path).expect("a running process");
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().skip(field).take(2);
    Duration::from_millis(fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10)
}

fn peak(contender: &Contender<'_>) -> Option<u64> {
    // Where one run takes long, a second one for this figure is too dear.
    if contender.runs < 2 {
        return None;
    }
    let time = tools::find("time")?;
    (contender.prepare)();
    let ours = (contender.command)();
    let mut timed = command(time);
    timed.args(["-f", "%M"]).arg(ours.get_program()).args(ours.get_args());
    for (name, value) in ours.get_envs() {
        if let Some(value) = value {
            timed.env(name, value);
        }
    }
    let out = timed.output().ok()?;
    String::from_utf8_lossy(&out.stderr).lines().last()?.trim().parse().ok()
}
