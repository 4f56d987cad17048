//! The edges: reading, watching, publishing, state, lock, clock, servers, and the loop around the engine.
//!
//! What is decided is decided in `trust-core` and `trust-tls`; here it is done, and what can go wrong in doing it is told.

pub mod audit;
pub mod bootstrap;
pub mod clock;
pub mod config;
pub mod descriptors;
mod directory;
pub mod endpoint;
pub mod escape;
pub mod file_size;
pub mod history;
pub mod journal;
pub mod lock;
pub mod look;
pub mod management;
mod memory;
pub mod once;
pub mod orders;
pub mod prove;
pub mod publish;
pub mod read;
pub mod reader;
pub mod report;
pub mod run;
pub mod sandbox;
pub mod servers;
pub mod standing;
pub mod state;
pub mod turns;
pub mod watch;
