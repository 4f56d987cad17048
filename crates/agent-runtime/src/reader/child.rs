//! The child's side: gives up what it does not need, then reads what it is asked for.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::wire::{Answer, Ask, take};
use crate::read::{ReadError, Rules, list_directory, read_file};
use crate::sandbox;

/// The one argument of a program that is to be the child. Not for people, so it is in no help.
pub(super) const ARGUMENT: &str = "--reader-child";

static OFFERED: AtomicBool = AtomicBool::new(false);

/// Whether this program can be its own child.
pub(super) fn is_offered() -> bool {
    OFFERED.load(Ordering::Relaxed)
}

/// To be called first in `main`: where this process is meant to be a reader it is one, and ends with this exit code.
#[must_use]
pub fn serve_if_asked() -> Option<ExitCode> {
    OFFERED.store(true, Ordering::Relaxed);
    let mut arguments = std::env::args_os().skip(1);
    let asked = arguments.next().is_some_and(|argument| argument == OsStr::new(ARGUMENT));
    if !asked || arguments.next().is_some() {
        return None;
    }
    // Nobody listens to what a reader says of its own end: the parent sees it by the closed pipe.
    Some(if serve().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn serve() -> io::Result<()> {
    let (mut from, mut to) = (io::stdin().lock(), io::BufWriter::new(io::stdout().lock()));
    let Some(rules) = take::<Rules>(&mut from)? else { return Ok(()) };
    confine(rules.max_bytes);
    while let Some(ask) = take::<Ask>(&mut from)? {
        let answer = answer(&ask, &rules);
        // An error whose paths are not UTF-8 cannot be spelt in JSON.
        let spelt = match &answer {
            Answer::Failed(error) => serde_json::to_string(error).is_ok(),
            _ => true,
        };
        if spelt {
            answer.send(&mut to)?;
        } else {
            Answer::Failed(ReadError::io(ask.path(), Errno::ILSEQ)).send(&mut to)?;
        }
        to.flush()?;
    }
    Ok(())
}

fn answer(ask: &Ask, rules: &Rules) -> Answer {
    let answer = match ask {
        Ask::File(path) => read_file(path, rules).map(Answer::File),
        Ask::Directory(path) => list_directory(path, rules).map(|listing| {
            let name = |file: std::path::PathBuf| file.file_name().map(OsString::from);
            Answer::Directory(listing.files.into_iter().filter_map(name).collect(), listing.trail)
        }),
    };
    answer.unwrap_or_else(Answer::Failed)
}

/// What cannot be given up on this system is kept: to read is better than to be strict.
fn confine(max_bytes: u64) {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        let _kept = set_parent_process_death_signal(Some(Signal::KILL));
    }
    for (resource, limit) in [
        (Resource::As, ADDRESSES.saturating_add(max_bytes.saturating_mul(4))),
        (Resource::Nofile, DESCRIPTORS),
        (Resource::Cpu, SECONDS),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
    ] {
        let maximum = getrlimit(resource).maximum.map_or(limit, |maximum| maximum.min(limit));
        let _kept = setrlimit(resource, Rlimit { current: Some(maximum), maximum: Some(maximum) });
    }
    let _kept = sandbox::no_writes_but(&[]);
}

/// The program itself is mapped within it.
const ADDRESSES: u64 = 128 << 20;
/// One for each directory on the way.
const DESCRIPTORS: u64 = 256;
/// Of the processor, for one look.
const SECONDS: u64 = 5;
