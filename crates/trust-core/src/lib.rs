//! What is trusted, and why.
//!
//! Values in, values out: nothing here opens a file, reads a clock or knows of an async runtime.
//!
//! The way of the data: [`source`] and [`policy`] hold what was read; [`plan`] decides; [`bundle`] merges and writes
//! the text; [`engine`] says when.

pub mod bundle;
pub mod certificate;
pub mod engine;
pub mod facts;
pub mod fingerprint;
pub mod guard;
pub mod history;
pub mod parallel;
pub mod plan;
pub mod policy;
pub mod pool;
pub mod source;
pub mod state;

pub use certificate::Certificate;
pub use fingerprint::Fingerprint;
