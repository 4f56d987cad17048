//! What parent and child say to each other. Everything has its length before it and a limit on it.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::read::{FileBytes, ReadError, Spare, Trail};

/// Names of 10,000 files at their longest.
const MAX_NAMES: u64 = 4 << 20;
/// Any other part of an answer.
const MAX_PART: u64 = 1 << 20;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ask {
    /// A file's content.
    File(PathBuf),
    /// The names in a directory.
    Directory(PathBuf),
}

impl Ask {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::File(path) | Self::Directory(path) => path,
        }
    }
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    File(FileBytes),
    /// Names, not paths; and the way to it.
    Directory(Vec<OsString>, Option<Trail>),
    Failed(ReadError),
}

/// Sends a value as JSON.
pub(super) fn send<T: Serialize>(to: &mut impl Write, value: &T) -> io::Result<()> {
    put(to, &serde_json::to_vec(value)?)?;
    to.flush()
}

/// Takes a value; `None` where the other side is done.
pub(super) fn take<T: for<'de> Deserialize<'de>>(from: &mut impl Read) -> io::Result<Option<T>> {
    let Some(bytes) = part(from, MAX_PART, &Spare::default())? else { return Ok(None) };
    Ok(Some(serde_json::from_slice(&bytes)?))
}

impl Answer {
    pub(super) fn send(&self, to: &mut impl Write) -> io::Result<()> {
        match self {
            Self::File(file) => {
                put(to, b"file")?;
                put(to, &file.bytes)?;
                put(to, file.real_path.as_os_str().as_bytes())?;
                let age = file.modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                put(to, &age.as_secs().to_be_bytes())?;
                put(to, &age.subsec_nanos().to_be_bytes())?;
                put(to, &[u8::from(file.racy)])?;
                put(to, &joined(file.hops.iter().map(|hop| hop.as_os_str().as_bytes())))?;
                put(to, &spelt(file.trail.as_ref()))?;
            }
            Self::Directory(names, trail) => {
                put(to, b"directory")?;
                put(to, &joined(names.iter().map(|name| name.as_bytes())))?;
                put(to, &spelt(trail.as_ref()))?;
            }
            Self::Failed(error) => {
                put(to, b"failed")?;
                put(to, &serde_json::to_vec(error)?)?;
            }
        }
        to.flush()
    }

    /// Takes an answer; one that breaks a limit or makes no sense is an error.
    pub(super) fn take(from: &mut impl Read, max_bytes: u64, spare: &Spare) -> io::Result<Self> {
        match needed(from, MAX_PART)?.as_slice() {
            b"file" => Ok(Self::File(FileBytes {
                bytes: part(from, max_bytes, spare)?.ok_or(io::ErrorKind::UnexpectedEof)?,
                real_path: PathBuf::from(OsString::from_vec(needed(from, MAX_PART)?)),
                modified: time(&needed(from, MAX_PART)?, &needed(from, MAX_PART)?)?,
                racy: needed(from, MAX_PART)? != [0],
                hops: apart(&needed(from, MAX_PART)?).into_iter().map(PathBuf::from).collect(),
                trail: serde_json::from_slice(&needed(from, MAX_PART)?)?,
            })),
            b"directory" => {
                let names = apart(&needed(from, MAX_NAMES)?);
                let is_name = |name: &OsString| {
                    !name.as_bytes().contains(&b'/') && name != "." && name != ".." && !name.is_empty()
                };
                let trail = serde_json::from_slice(&needed(from, MAX_PART)?)?;
                if names.iter().all(is_name) { Ok(Self::Directory(names, trail)) } else { Err(nonsense()) }
            }
            b"failed" => Ok(Self::Failed(serde_json::from_slice(&needed(from, MAX_PART)?)?)),
            _ => Err(nonsense()),
        }
    }
}

fn put(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(&(bytes.len() as u64).to_be_bytes())?;
    to.write_all(bytes)
}

fn part(from: &mut impl Read, limit: u64, spare: &Spare) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 8];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u64::from_be_bytes(length);
    if length > limit {
        return Err(nonsense());
    }
    // Below the limit: a child that lies about it costs memory that is never touched.
    let mut bytes = spare.take(usize::try_from(length).map_err(|_| nonsense())?);
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(Some(bytes)) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn needed(from: &mut impl Read, limit: u64) -> io::Result<Vec<u8>> {
    part(from, limit, &Spare::default())?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// A way over names that are not UTF-8 is not told: it is walked again.
fn spelt(trail: Option<&Trail>) -> Vec<u8> {
    serde_json::to_vec(&trail).unwrap_or_else(|_| b"null".to_vec())
}

/// Names and paths hold no null bytes.
fn joined<T: AsRef<[u8]>>(parts: impl Iterator<Item = T>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(part.as_ref());
        bytes.push(0);
    }
    bytes
}

fn apart(bytes: &[u8]) -> Vec<OsString> {
    let parts = bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    parts.map(|part| OsString::from_vec(part.to_vec())).collect()
}

fn time(seconds: &[u8], nanoseconds: &[u8]) -> io::Result<SystemTime> {
    let seconds = u64::from_be_bytes(seconds.try_into().map_err(|_| nonsense())?);
    let nanoseconds = u32::from_be_bytes(nanoseconds.try_into().map_err(|_| nonsense())?);
    if nanoseconds >= 1_000_000_000 {
        return Err(nonsense());
    }
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds)).ok_or_else(nonsense)
}

fn nonsense() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
