//! A certificate as a value: its bytes, its identity, and the few facts that every screen shows.

use std::fmt;

use jiff::Timestamp;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use crate::fingerprint::Fingerprint;

/// A certificate that x509-parser can read whole. Everything beyond identity, name and validity is read from the
/// bytes when it is asked for (`crate::facts`): a store of 10,000 anchors is merged without it.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Box<[u8]>,
    fingerprint: Fingerprint,
    subject: Box<str>,
    not_before: Timestamp,
    not_after: Timestamp,
}

/// The bytes are not an X.509 certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotX509 {
    /// The DER structure is not that of RFC 5280 §4.1.
    #[error("not an X.509 certificate")]
    Structure,
    /// Bytes follow the certificate.
    #[error("{0} bytes follow the certificate")]
    TrailingBytes(usize),
}

impl Certificate {
    /// Reads a DER certificate (RFC 5280 §4.1).
    ///
    /// # Errors
    /// [`NotX509`] where the bytes are not exactly one certificate.
    pub fn parse(der: &[u8]) -> Result<Self, NotX509> {
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| NotX509::Structure)?;
        if !rest.is_empty() {
            return Err(NotX509::TrailingBytes(rest.len()));
        }
        let validity = parsed.validity();
        Ok(Self {
            fingerprint: Fingerprint::of(der),
            subject: display_name(parsed.subject()).into(),
            not_before: timestamp(validity.not_before.timestamp()),
            not_after: timestamp(validity.not_after.timestamp()),
            der: der.into(),
        })
    }

    /// The DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the DER.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The subject for people, as [`display_name`] writes it; may be empty.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Start of validity.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// End of validity, inclusive (RFC 5280 §4.1.2.5).
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Where `now` stands to the validity. Certificates count in whole seconds, and the last one belongs to it.
    #[must_use]
    pub fn validity_at(&self, now: Timestamp) -> Validity {
        if now < self.not_before {
            Validity::NotYetValid
        } else if now.as_second() > self.not_after.as_second() {
            Validity::Expired
        } else {
            Validity::Valid
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} {:?})", self.fingerprint.short(), self.subject)
    }
}

/// Where a moment stands to a certificate's validity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Before its start.
    NotYetValid,
    /// Within it.
    Valid,
    /// After its end.
    Expired,
}

impl Validity {
    /// The stable word for JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NotYetValid => "not-yet-valid",
            Self::Valid => "valid",
            Self::Expired => "expired",
        }
    }
}

/// A distinguished name for people: attributes in the order of the certificate, control characters replaced, cut off
/// where it is longer than any screen.
#[must_use]
pub fn display_name(name: &X509Name<'_>) -> String {
    const MAX_CHARS: usize = 256;
    let text = name.to_string();
    let printable = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    if text.chars().count() <= MAX_CHARS {
        printable.collect()
    } else {
        printable.take(MAX_CHARS - 1).chain(['…']).collect()
    }
}

/// Seconds since 1970 to a timestamp; what lies outside jiff's years (-9999 to 9999) becomes its nearest end.
fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
