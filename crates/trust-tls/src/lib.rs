//! The bundle in use: the anchor set, the verdict of a chain against it, and one handshake that uses it.
//!
//! [`AnchorSet`] is made once for each generation of the store. [`verify`] judges a presented chain against it: pure, the
//! time as an argument. [`connect`] (a feature) is the edge: TCP, one TLS handshake, and the verdict that came of it.
//!
//! Nothing here knows the disk.

mod anchors;
mod budget;
mod chain;
mod code;
#[cfg(feature = "connect")]
pub mod connect;
mod names;
mod path;
mod pin;
mod presented;
mod verdict;
mod verifier;
mod walk;

pub use anchors::{AnchorSet, Unusable};
pub use code::Code;
pub use names::NameRule;
pub use pin::{Pin, PinError};
pub use presented::{Presented, PresentedCertificate};
pub use verdict::{Match, Request, TlsVersion, Tried, Verdict};
pub use verifier::{Captured, ChainVerifier, client_config};
pub use walk::verify;
