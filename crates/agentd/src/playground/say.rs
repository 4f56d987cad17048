//! What the playground tells on stdout. A closed pipe is nobody to tell, and no reason to leave the daemon running.

use std::fmt;
use std::io::Write as _;

/// One piece of text and a line end.
pub(super) fn line(text: impl fmt::Display) {
    let mut out = std::io::stdout().lock();
    let _closed = writeln!(out, "{text}");
    let _closed = out.flush();
}
