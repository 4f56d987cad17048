//! Exit codes: promises that scripts hold on to, the same for every command.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done; also: nothing to do.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage, wrong configuration or unreadable input.
    Usage = 2,
    /// The daemon or a server cannot be reached.
    Unreachable = 3,
    /// Permission denied.
    Permission = 4,
    /// Not found.
    NotFound = 5,
    /// Trust refused: no anchor verifies, a fingerprint differs.
    Refused = 6,
    /// Conflict: another process holds the lock, or the store moved on.
    Conflict = 7,
    /// Degraded (`status --check`, `doctor`).
    Degraded = 8,
    /// Differences were found (`diff --exit-code`).
    Differences = 10,
}

impl Exit {
    /// The stable word for JSON.
    #[must_use]
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Unreachable => "unreachable",
            Self::Permission => "permission-denied",
            Self::NotFound => "not-found",
            Self::Refused => "trust-refused",
            Self::Conflict => "conflict",
            Self::Degraded => "degraded",
            Self::Differences => "differences",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The table for `--help`.
pub(crate) const HELP: &str = "\
Exit status:
  0  done, or nothing to do
  1  failed
  2  wrong usage, wrong configuration or unreadable input
  3  the daemon or a server cannot be reached
  4  permission denied
  5  not found
  6  trust refused: no anchor verifies, or a fingerprint differs
  7  conflict: another process holds the store's lock
  8  degraded (status --check, doctor)
  10 differences (diff --exit-code)";
