//! A week in minutes: load and faults at once, and at the end nothing has grown.
//!
//! The daemon's wall clock is made to run fast (libfaketime, in steps), its steady clock is not; so the looks, the checks
//! of servers and the regenerations of a week come one after another instead of far apart, and what depends on the date
//! sees a week go by.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use test_support::endpoint::{CurlSsl, Endpoint, POLICY, write};
use test_support::{poll, time};

use crate::figures::Figures;
use crate::process::Usage;
use crate::sources::{Sources, pool};

/// How much the daemon sees go by.
const WEEK: u64 = 7 * 24 * 60 * 60;

/// Few, so that the oldest leave early in the run.
const GENERATIONS: usize = 20;

/// Parts of the run; at the end of each all comes to rest and is measured.
const PARTS: usize = 10;

/// Parts at the beginning in which memory may still grow to what it needs.
const WARM: usize = 4;

/// What memory may differ by between two times of rest, in KiB: the allocator keeps what it likes.
const PLAY: u64 = 1024;

/// A week of the daemon's time in this time.
///
/// # Panics
/// Where the bundle does not come right at a time of rest.
#[must_use]
pub fn soak(length: Duration) -> Figures {
    let mut figures = Figures::new("soak");
    let mut endpoint = Endpoint::new();
    let mut sources = Sources::new(&endpoint, &pool(), 11);
    let config = config(server());
    write(&endpoint.config(), &config);
    let clock = Clock::new(&endpoint);
    endpoint.start_daemon_in(|mut agentd| {
        clock.put_into(&mut agentd);
        agentd
    });
    let begin = Instant::now();
    let mut done = Done::default();
    let mut rests: Vec<(Usage, usize)> = Vec::new();
    for part in 1..=PARTS {
        let end = length * u32::try_from(part).unwrap_or(1) / u32::try_from(PARTS).unwrap_or(1);
        let mut idle: Vec<UnixStream> = Vec::new();
        while begin.elapsed() < end {
            clock.show(WEEK * begin.elapsed().as_millis() as u64 / length.as_millis().max(1) as u64);
            work(&endpoint, &config, &mut sources, &mut idle, &mut done);
        }
        drop(idle);
        mend(&endpoint, &config);
        sources.come_to_rest();
        endpoint.wait_for(&format!("rest {part} of {PARTS}"), &sources.expected());
        let at_rest = poll::until("descriptors at rest", || {
            // Connections end a moment after their other end.
            thread::sleep(Duration::from_millis(300));
            let usage = Usage::of(endpoint.daemon_id());
            (usage.descriptors <= MOST_DESCRIPTORS).then_some(usage)
        });
        rests.push((at_rest, files(&endpoint.path("var")).len()));
    }
    judge(&mut figures, &endpoint, &rests, &done, length);
    figures.expect(endpoint.stop_daemon().success(), || format!("it did not end well\n{}", endpoint.log()));
    let left = files(&endpoint.path("var"));
    let temporary: Vec<_> = left.iter().filter(|path| path.ends_with(".agentd-new")).collect();
    figures.expect(temporary.is_empty(), || format!("left over: {temporary:?}"));
    figures
}

/// What the daemon has open when nothing goes on, and a few.
const MOST_DESCRIPTORS: usize = 40;

fn config(port: u16) -> String {
    format!(
        "[watch]\npoll-interval = \"1s\"\n[history]\ngenerations = {GENERATIONS}\n[log]\nlevel = \"error\"\n\
         [connect]\ntimeout = \"1s\"\ncheck-interval = \"1s\"\n\
         [[server]]\nurl = \"https://127.0.0.1:{port}/\"\n"
    )
}

fn judge(
    figures: &mut Figures,
    endpoint: &Endpoint,
    rests: &[(Usage, usize)],
    done: &Done,
    length: Duration,
) {
    let Done { changes, asked, faults } = done;
    let generation = endpoint.json(&["status"])["store"]["generation"].to_string();
    figures.say(format_args!("a week in {} s", length.as_secs()));
    figures
        .say(format_args!("{changes} changes, {generation} generations, {asked} commands, {faults} faults"));
    for (usage, files) in [rests.first(), rests.get(WARM), rests.last()].into_iter().flatten() {
        figures.say(format_args!("{usage}, {files} files"));
    }
    let (warm, later) = rests.split_at(WARM.min(rests.len()));
    let most = |rests: &[(Usage, usize)], what: fn(&Usage) -> u64| {
        rests.iter().map(|(usage, _)| what(usage)).max().unwrap_or_default()
    };
    let memory = [most(warm, |usage| usage.resident), most(later, |usage| usage.resident)];
    figures.expect(memory[1] <= memory[0] + PLAY, || format!("memory grew, in KiB: {memory:?}"));
    let descriptors = [warm, later].map(|rests| most(rests, |usage| usage.descriptors as u64));
    // The servers may be about to be checked at the moment of one measure.
    figures.expect(descriptors[1] <= descriptors[0] + 3, || format!("descriptors grew: {descriptors:?}"));
    let threads = [warm, later].map(|rests| most(rests, |usage| usage.threads));
    figures.expect(threads[1] <= threads[0] + 3, || format!("threads grew: {threads:?}"));
    // Generations, each with at most the certificates of its sources.
    let files = rests.iter().map(|(_, files)| *files).max().unwrap_or_default();
    figures.expect(files <= GENERATIONS * 5 + 40, || format!("{files} files"));
}

#[derive(Debug, Default)]
struct Done {
    changes: usize,
    asked: usize,
    faults: usize,
}

/// A moment of it: a few changes, a command, perhaps a fault.
fn work(
    endpoint: &Endpoint,
    config: &str,
    sources: &mut Sources,
    idle: &mut Vec<UnixStream>,
    done: &mut Done,
) {
    for _ in 0..sources.random.below(8) {
        sources.change();
        done.changes += 1;
    }
    const COMMANDS: [&[&str]; 5] = [&["status"], &["sources"], &["anchors", "list"], &["history"], &["diff"]];
    // It waits its turn, which comes once a second.
    let regenerate = sources.random.below(30) == 0;
    let command = if regenerate { &["regen"] } else { COMMANDS[sources.random.below(COMMANDS.len())] };
    // What it says does not matter here, and some of it is refused amid the faults.
    let _answer = endpoint.agentctl(command);
    done.asked += 1;
    done.faults += 1;
    match sources.random.below(14) {
        0 => endpoint.signal(Signal::HUP),
        1 => endpoint.signal(Signal::USR1),
        2 => set_mode(&endpoint.bootstrap(), 0o666),
        3 => set_mode(&endpoint.bootstrap(), 0o644),
        4 => write(&endpoint.path(&format!("var/lib/agentd/policies/{POLICY}.xml")), "<Policy"),
        5 => endpoint.name_ca_info(),
        6 => write(&endpoint.merged(), "by hand"),
        7 => endpoint.write_policy(POLICY, CurlSsl { ca_info: "/dev/zero", ca_path: "/proc/self" }),
        8 => idle.extend(half_a_question(&endpoint.socket())),
        9 => idle.clear(),
        10 => write(&endpoint.config(), "[wrong"),
        11 => set_mode(&endpoint.path("var/lib/agentd/policies"), 0o700),
        12 => write(&endpoint.config(), config),
        _ => done.faults -= 1,
    }
}

/// Nothing is broken any more, save what the sources hold.
fn mend(endpoint: &Endpoint, config: &str) {
    write(&endpoint.config(), config);
    endpoint.name_ca_info();
    set_mode(&endpoint.bootstrap(), 0o644);
    set_mode(&endpoint.path("var/lib/agentd/policies"), 0o755);
    // Modes are looked at again in any case; so it is sooner.
    endpoint.signal(Signal::USR1);
}

/// Modes of what may not be there at the moment.
fn set_mode(path: &Path, mode: u32) {
    let _absent = fs::set_permissions(path, fs::Permissions::from_mode(mode));
}

/// A client that says half of something and then nothing.
fn half_a_question(socket: &Path) -> Option<UnixStream> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.write_all(b"{\"method\":").ok()?;
    Some(stream)
}

/// All files below a directory.
fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path);
        }
    }
    all
}

/// The daemon's wall clock, where it can be made to run fast.
struct Clock {
    file: PathBuf,
    fakes: bool,
}

impl Clock {
    fn new(endpoint: &Endpoint) -> Self {
        // Without it the week takes as long as it takes.
        let clock = Self { file: endpoint.beside("clock"), fakes: time::can_be_faked() };
        clock.show(0);
        clock
    }

    fn put_into(&self, agentd: &mut std::process::Command) {
        if self.fakes {
            time::follow(agentd, &self.file);
        }
    }

    /// So many seconds from now.
    fn show(&self, seconds: u64) {
        let beside = self.file.with_extension("new");
        write(&beside, format!("+{seconds}"));
        fs::rename(beside, &self.file).expect("a file of ours");
    }
}

/// The port of a server that takes every connection and ends it in the middle of the handshake. It ends with us.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _greeting = stream.read(&mut [0; 64]);
        }
    });
    port
}
