//! Outside bytes to values, each with the place it came from.
//!
//! - [`certificates`]: a file of certificates (PEM, DER, PKCS#7) to DER blocks and rejects, every block accounted
//!   for.
//! - [`policy`]: a settings policy (XML) to the values of its `CurlSSL` elements.
//!
//! Nothing here decides what is trusted, opens a file or reads a clock. Every parser has limits, and returns what it
//! understood *and* what it did not.

pub mod certificates;
pub mod policy;
