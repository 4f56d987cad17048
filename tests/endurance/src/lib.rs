//! What a running daemon is worn out with. It is driven from outside, as `docs/RELIABILITY.md` says, and every run
//! prints its figures.
//!
//! Nothing here judges how long something takes: what is bounded is memory, descriptors, files and publications.

pub mod figures;
pub mod kills;
pub mod process;
pub mod random;
pub mod readers;
pub mod soak;
pub mod sources;
pub mod storm;
