//! A pin: the fingerprint that the server's certificate must have, whatever else holds.

use std::fmt;

use sha1::{Digest as _, Sha1};
use trust_core::Fingerprint;
use trust_core::fingerprint::{ParseError, hex_digits};

/// A SHA-256 or SHA-1 of a certificate's DER. SHA-1 because that is what Windows consoles show and policies carry; the
/// certificate is verified besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// 64 hex digits.
    Sha256(Fingerprint),
    /// 40 hex digits.
    Sha1([u8; 20]),
}

/// Why a text is no pin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// Something else than hex digits and separators.
    #[error(transparent)]
    Text(#[from] ParseError),
    /// Neither SHA-1 nor SHA-256.
    #[error("a fingerprint has 64 hex digits (SHA-256) or 40 (SHA-1), this has {0}")]
    Length(usize),
}

impl Pin {
    /// Reads a pin as people paste it: any case, colons, blanks, and the U+200E that a Windows console copies. An empty
    /// text is no pin.
    ///
    /// # Errors
    /// [`PinError`]
    pub fn parse(text: &str) -> Result<Option<Self>, PinError> {
        let digits = hex_digits(text)?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        match digits.len() {
            0 => Ok(None),
            64 => Ok(<[u8; 32]>::try_from(bytes).ok().map(|bytes| Self::Sha256(Fingerprint::from(bytes)))),
            40 => Ok(<[u8; 20]>::try_from(bytes).ok().map(Self::Sha1)),
            length => Err(PinError::Length(length)),
        }
    }

    /// Whether a certificate has this fingerprint.
    #[must_use]
    pub fn matches(&self, der: &[u8]) -> bool {
        *self == self.same_kind_of(der)
    }

    /// The fingerprint of a certificate by the digest of this one, to be held beside it.
    #[must_use]
    pub fn same_kind_of(&self, der: &[u8]) -> Self {
        match self {
            Self::Sha256(_) => Self::Sha256(Fingerprint::of(der)),
            Self::Sha1(_) => Self::Sha1(Sha1::digest(der).into()),
        }
    }
}

impl fmt::Display for Pin {
    /// Lower-case hex.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(fingerprint) => fingerprint.fmt(f),
            Self::Sha1(digest) => digest.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}
