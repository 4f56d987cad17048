//! The edges: reading, watching, publishing, state, lock, clock, and the loop around the engine.

pub mod clock;
pub mod lock;
pub mod publish;
pub mod escape;
pub mod read;
pub mod watch;
