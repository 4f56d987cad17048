//! The edges: reading, watching, publishing, state, lock, clock, and the loop around the engine.

pub mod clock;
pub mod escape;
pub mod lock;
pub mod publish;
pub mod read;
pub mod watch;
