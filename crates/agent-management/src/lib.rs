//! The management servers: the way to them, what is asked of them and sent to them, and when.
//!
//! ```text
//!  order ──► schedule ──► session (dial ─► proxy ─► TLS + verdict ─► HTTP/1.1) ──► refresh, inventory
//!  pure      pure         edge                                                     decided here, written elsewhere
//! ```
//! Nothing here knows the disk: what was received is handed on as a value, whole or not at all. What is sent and
//! expected on the wire is in `docs/MANAGEMENT.md`.

pub mod backoff;
pub mod dial;
mod failure;
pub mod http;
pub mod index;
pub mod inventory;
pub mod order;
pub mod proxy;
pub mod random;
pub mod redirect;
pub mod refresh;
pub mod retry_after;
pub mod schedule;
pub mod session;
pub mod validators;

pub use failure::{Attempt, Failure, Phase, ProxyProblem, RedirectProblem};
