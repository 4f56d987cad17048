//! What is trusted, and why.
//!
//! Values in, values out: nothing here opens a file, reads a clock or knows of an async runtime.

pub mod certificate;
pub mod fingerprint;

pub use certificate::Certificate;
pub use fingerprint::Fingerprint;
