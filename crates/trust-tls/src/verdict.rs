//! What is asked of a chain, and what came of it.

use jiff::Timestamp;
use trust_core::Fingerprint;

use crate::code::Code;
use crate::names::NameRule;
use crate::pin::Pin;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// The name or address that was connected to.
    pub host: String,
    /// Which names of the certificate count.
    pub names: NameRule,
    /// An anchor must verify the chain (`SSLVerifyPeer`).
    pub verify_peer: bool,
    /// The certificate must be for the host (`SSLVerifyHost`).
    pub verify_host: bool,
    /// The server's certificate must have one of these fingerprints besides, whatever the switches say; empty for none.
    pub pins: Vec<Pin>,
    /// The oldest version of TLS that is spoken on the connection.
    pub minimum_tls: TlsVersion,
    /// The time to judge by.
    pub at: Timestamp,
}

/// A version of TLS that is spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    V1_2,
    /// TLS 1.3.
    V1_3,
}

impl Request {
    /// Everything verified, names as the field has them.
    #[must_use]
    pub fn new(host: impl Into<String>, at: Timestamp) -> Self {
        Self {
            host: host.into(),
            names: NameRule::default(),
            verify_peer: true,
            verify_host: true,
            pins: Vec::new(),
            minimum_tls: TlsVersion::default(),
            at,
        }
    }
}

/// How an anchor verified a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// The presented certificate is the anchor.
    Exact,
    /// The anchor issued it, or an intermediate that leads to it.
    Issuer,
}

impl Match {
    /// The stable word for JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Issuer => "issuer",
        }
    }
}

/// An anchor that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// Its place in the store, from 0.
    pub index: usize,
    /// What came of it.
    pub code: Code,
}

/// What came of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Verdict {
    /// The connection may be used.
    pub accepted: bool,
    /// Why not, or [`Code::Ok`].
    pub code: Code,
    /// The same as a sentence or two: what is wrong, and what to do next.
    pub detail: String,
    /// The first anchor, in order, that verifies the chain; its place from 0. A chain may verify and be refused for its
    /// name.
    pub anchor: Option<usize>,
    /// How.
    pub matched: Option<Match>,
    /// From the leaf to the anchor.
    pub path: Vec<Fingerprint>,
    /// How many anchors could come into question.
    pub candidates: usize,
    /// Those that were tried, in order, up to the first that verifies.
    pub tried: Vec<Tried>,
}
