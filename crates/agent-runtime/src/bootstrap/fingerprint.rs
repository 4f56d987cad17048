//! A fingerprint as an operator gives it, and what of a presented certificate it is.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use trust_core::Fingerprint;
use trust_tls::{Pin, PinError, PresentedCertificate};

/// A fingerprint that a certificate of the chain must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted(Pin);

/// What of a certificate a fingerprint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// SHA-256 of the certificate.
    Certificate,
    /// SHA-256 of its key (SubjectPublicKeyInfo): it says nothing of what else is in the certificate.
    Key,
    /// SHA-1 of the certificate.
    Sha1,
}

impl How {
    /// The stable word for JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Key => "spki",
            Self::Sha1 => "sha1",
        }
    }
}

/// Why a text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WantedError {
    /// Neither digits nor separators, or not as many as a digest has.
    #[error(transparent)]
    Hex(#[from] PinError),
    /// There is nothing.
    #[error("it is empty: a fingerprint has 64 hex digits (SHA-256)")]
    Empty,
    /// After `sha256//` there is no base64 of 32 bytes.
    #[error("after sha256// there must be the base64 of 32 bytes, as `curl --pinnedpubkey` takes it")]
    Base64,
}

impl Wanted {
    /// Reads a fingerprint as consoles and tools write it: either case; colons, blanks or nothing between the digits;
    /// after `sha256:`, or after `SHA256 Fingerprint=` as OpenSSL prints it; or base64 after `sha256//` as curl takes it.
    ///
    /// # Errors
    /// [`WantedError`]
    pub fn parse(text: &str) -> Result<Self, WantedError> {
        let text = text.trim();
        if let Some(base64) = text.strip_prefix("sha256//") {
            let bytes = STANDARD.decode(base64).map_err(|_| WantedError::Base64)?;
            let bytes = <[u8; 32]>::try_from(bytes).map_err(|_| WantedError::Base64)?;
            return Ok(Self(Pin::Sha256(Fingerprint::from(bytes))));
        }
        Pin::parse(after_label(text))?.map(Self).ok_or(WantedError::Empty)
    }

    /// What of this certificate it is; `None` where it is another's.
    #[must_use]
    pub fn matches(&self, presented: &PresentedCertificate) -> Option<How> {
        match &self.0 {
            Pin::Sha256(wanted) if *wanted == presented.sha256 => Some(How::Certificate),
            Pin::Sha256(wanted) => {
                let key = presented.facts.as_ref().map(|facts| facts.spki_sha256);
                (key == Some(*wanted)).then_some(How::Key)
            }
            Pin::Sha1(_) => self.0.matches(&presented.der).then_some(How::Sha1),
        }
    }

    /// The presented certificate's fingerprint by the same digest, to be held beside it.
    #[must_use]
    pub fn beside(&self, presented: &PresentedCertificate) -> Self {
        Self(self.0.same_kind_of(&presented.der))
    }

    /// It is a SHA-1, of which a second certificate may be made one day.
    #[must_use]
    pub fn is_weak(&self) -> bool {
        matches!(self.0, Pin::Sha1(_))
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `SHA256 Fingerprint=AB:CD`, `sha256:ab`, `Thumbprint: ab` to what follows.
fn after_label(text: &str) -> &str {
    let is_label = |label: &str| {
        let label = label.trim().to_ascii_lowercase().replace('-', "");
        matches!(
            label.as_str(),
            "sha256" | "sha1" | "fingerprint" | "thumbprint" | "sha256 fingerprint" | "sha1 fingerprint"
        )
    };
    match text.split_once(['=', ':']) {
        Some((label, rest)) if is_label(label) => rest,
        _ => text,
    }
}
