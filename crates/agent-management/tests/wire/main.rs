//! The way to servers and proxies of every habit, and what a refresh makes of what they send.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod kit;
mod refresh;
mod transport;
