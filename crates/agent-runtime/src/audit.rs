//! The record of every change of trust: `state/audit.jsonl`, a line of JSON each, the latest last.
//!
//! Every line carries the SHA-256 of the line before it, so that none can be changed, taken out or put in without all
//! that follow being written anew; and the state remembers a line, so that the last ones cannot be cut off unseen. What
//! cannot be written never holds up a publication: the state remembers that as well, and the next chance mends it from
//! the generations.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use trust_core::Fingerprint;

use crate::escape::escaped;
use crate::lock::is_at;

mod entry;
#[cfg(test)]
mod tests;
mod verify;

pub use entry::Entry;
pub use verify::{Report, verify};

/// The record of one endpoint.
#[derive(Debug, Clone)]
pub struct Audit {
    directory: PathBuf,
}

/// Why a line could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} {}: {source}", escaped(path))]
pub struct AuditError {
    /// The file.
    pub path: PathBuf,
    /// What was being done.
    pub step: &'static str,
    /// The reason.
    pub source: io::Error,
}

/// Where the record ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct End {
    /// Number of the last line; 0 where there is none.
    pub seq: u64,
    /// SHA-256 of the last line; of nothing, zeros.
    pub head: String,
    /// The generation in force.
    pub generation: u64,
    /// SHA-256 of its bundle.
    pub sha256: Option<String>,
}

impl Audit {
    /// The record in this state directory.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        Self { directory: state.to_owned() }
    }

    /// Appends what `entries` makes of the end of the record, durably; a half line that a crash left is taken away
    /// first. Says where the record ends then.
    ///
    /// # Errors
    /// [`AuditError`]; the record ends where it did.
    pub fn append(&self, entries: impl FnOnce(&End) -> Vec<Entry>) -> Result<End, AuditError> {
        let mut open = self.open()?;
        let mut end = open.end.clone();
        let mut text = String::new();
        for entry in entries(&end) {
            let line = entry.line(&mut end, open.repaired);
            open.repaired = false;
            text.push_str(&line);
            text.push('\n');
        }
        if text.is_empty() {
            return Ok(end);
        }
        open.write(text.as_bytes(), &self.directory)?;
        Ok(end)
    }

    /// The files of the record, the older first.
    #[must_use]
    pub fn files(&self) -> [PathBuf; 2] {
        [self.directory.join(OLDER), self.directory.join(NAME)]
    }

    fn open(&self) -> Result<Open, AuditError> {
        let [older, path] = self.files();
        let file = self.locked(&path)?;
        let failed = |step| {
            let path = path.clone();
            move |source| AuditError { path, step, source }
        };
        let length = file.metadata().map_err(failed("look at"))?.len();
        if length > LARGEST {
            fs::rename(&path, &older).map_err(failed("put aside"))?;
            return self.open();
        }
        let (mut end, whole) = tail(&file, length).map_err(failed("read"))?;
        if end.seq == 0 {
            // The first line of a new file follows the last of the one before.
            if let Ok(older) = File::open(&older) {
                let length = older.metadata().map_err(failed("look at"))?.len();
                end = tail(&older, length).map_err(failed("read"))?.0;
            }
        }
        if end.head.is_empty() {
            end.head = NOTHING.to_owned();
        }
        let repaired = whole < length;
        if repaired {
            file.set_len(whole).map_err(failed("take a half line from"))?;
        }
        Ok(Open { file, path, length: whole, end, repaired })
    }

    /// Opens the file and takes its lock: the daemon and an `agentctl` may both have something to write.
    fn locked(&self, path: &Path) -> Result<File, AuditError> {
        let failed = |step, source| AuditError { path: path.to_owned(), step, source };
        for _ in 0..ATTEMPTS {
            let (file, made) = open_or_make(path).map_err(|source| failed("open", source))?;
            if made {
                self.give_away(&file);
            }
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // Unless it was put aside meanwhile.
                Ok(()) if is_at(&file, path) => return Ok(file),
                Ok(()) | Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => thread::sleep(PAUSE),
                Err(errno) => return Err(failed("lock", errno.into())),
            }
        }
        Err(failed("lock", Errno::WOULDBLOCK.into()))
    }

    /// Root writes on behalf of the service.
    fn give_away(&self, file: &File) {
        let Ok(directory) = fs::metadata(&self.directory) else { return };
        if rustix::process::geteuid().is_root() && directory.uid() != 0 {
            // Where it cannot be, root goes on writing it, and the service says that it cannot.
            let _stays = fchown(file, Some(directory.uid()), Some(directory.gid()));
        }
    }
}

/// The file, locked, at its end.
struct Open {
    file: File,
    path: PathBuf,
    length: u64,
    end: End,
    repaired: bool,
}

impl Open {
    fn write(&mut self, bytes: &[u8], directory: &Path) -> Result<(), AuditError> {
        let failed = |step, source| AuditError { path: self.path.clone(), step, source };
        let written = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| (&self.file).write_all(bytes))
            .and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // A half line does no harm: the next who appends takes it away.
            let _stays = self.file.set_len(self.length);
            return Err(failed("write", source));
        }
        if self.length == 0 {
            let synced = File::open(directory).and_then(|directory| directory.sync_all());
            synced.map_err(|source| failed("make durable", source))?;
        }
        Ok(())
    }
}

fn open_or_make(path: &Path) -> io::Result<(File, bool)> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK).bits())
        .map_err(io::Error::other)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(flags).mode(0o600);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            options.create(true).open(path).map(|file| (file, true))
        }
        opened => opened.map(|file| (file, false)),
    }
}

/// Where the whole lines of a file end: in the record, and in octets.
fn tail(mut file: &File, length: u64) -> io::Result<(End, u64)> {
    let from = length.saturating_sub(LONGEST * 2);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(LONGEST * 2).read_to_end(&mut bytes)?;
    let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') else {
        // A half line and nothing before it; more than that is not of our making.
        let ours = from == 0;
        let foreign = || io::Error::new(io::ErrorKind::InvalidData, "it has no lines");
        return if ours { Ok((End::default(), 0)) } else { Err(foreign()) };
    };
    let whole = bytes.get(..last).unwrap_or_default();
    let begin = whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = whole.get(begin..).unwrap_or_default();
    Ok((entry::end_of(line), from + last as u64 + 1))
}

/// SHA-256 of a line, without its line break.
fn hash(line: &[u8]) -> String {
    Fingerprint::of(line).to_string()
}

const NAME: &str = "audit.jsonl";
const OLDER: &str = "audit.jsonl.1";
/// What the first line follows.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Of one file; there are two.
const LARGEST: u64 = 1 << 20;
/// Of a line: the lists in it are bounded.
const LONGEST: u64 = 64 << 10;
/// Whoever has the lock writes a line or two.
const ATTEMPTS: usize = 50;
const PAUSE: Duration = Duration::from_millis(20);
