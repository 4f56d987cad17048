//! The control socket from both sides, in one process and one temporary directory.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of tests that fails is a test that failed")]

mod calls;
mod client;
mod limits;
mod others;
mod protocol;
mod socket;
mod support;
mod watch;
mod wire;
