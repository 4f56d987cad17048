//! A certificate as a value: its bytes, its identity, and the few facts that every screen shows.

use std::fmt;
use std::sync::OnceLock;

use jiff::Timestamp;
use x509_parser::certificate::X509CertificateParser;
use x509_parser::nom::Parser as _;
use x509_parser::x509::X509Name;

use crate::fingerprint::Fingerprint;

/// A certificate that x509-parser can read whole. Name and validity are read when it is parsed, or when they are first
/// asked for where it is [known](Self::known); everything beyond is read from the bytes each time (`crate::facts`).
#[derive(Clone)]
pub struct Certificate {
    der: Box<[u8]>,
    fingerprint: Fingerprint,
    shown: OnceLock<Shown>,
}

/// What every screen shows.
#[derive(Debug, Clone)]
struct Shown {
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
        let shown = Shown::read(der)?;
        Ok(Self { fingerprint: Fingerprint::of(der), shown: OnceLock::from(shown), der: der.into() })
    }

    /// The same for bytes whose SHA-256 is known already.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(crate) fn read(der: Vec<u8>, fingerprint: Fingerprint) -> Result<Self, NotX509> {
        let shown = Shown::read(&der)?;
        Ok(Self { fingerprint, shown: OnceLock::from(shown), der: der.into() })
    }

    /// A certificate out of a record of our own: it was parsed before it was written there, and its SHA-256 shows that it
    /// is that one. Most looks need no more of it than that, so it is parsed when its facts are asked for; of what turns
    /// out to be none they say that it has no subject and that it ended long ago.
    #[must_use]
    pub fn known(der: Vec<u8>) -> Self {
        Self { fingerprint: Fingerprint::of(&der), shown: OnceLock::new(), der: der.into() }
    }

    /// Whether it can be read: of one that was parsed, always.
    pub(crate) fn is_whole(&self) -> bool {
        // What ended at the beginning of time may be none.
        self.shown().not_after > Timestamp::MIN || Shown::read(&self.der).is_ok()
    }

    fn shown(&self) -> &Shown {
        self.shown.get_or_init(|| Shown::read(&self.der).unwrap_or_else(|_| Shown::nothing()))
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
        &self.shown().subject
    }

    /// Start of validity.
    #[must_use]
    pub fn not_before(&self) -> Timestamp {
        self.shown().not_before
    }

    /// End of validity, inclusive (RFC 5280 §4.1.2.5).
    #[must_use]
    pub fn not_after(&self) -> Timestamp {
        self.shown().not_after
    }

    /// Where `now` stands to the validity. Certificates count in whole seconds, and the last one belongs to it.
    #[must_use]
    pub fn validity_at(&self, now: Timestamp) -> Validity {
        if now < self.not_before() {
            Validity::NotYetValid
        } else if now.as_second() > self.not_after().as_second() {
            Validity::Expired
        } else {
            Validity::Valid
        }
    }
}

/// SHA-256 is its identity.
impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for Certificate {}

impl Shown {
    fn read(der: &[u8]) -> Result<Self, NotX509> {
        // What an extension says is not asked here, and one that makes no sense has never made a certificate none.
        let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
        let (rest, parsed) = parser.parse(der).map_err(|_| NotX509::Structure)?;
        if !rest.is_empty() {
            return Err(NotX509::TrailingBytes(rest.len()));
        }
        let validity = parsed.validity();
        Ok(Self {
            subject: display_name(parsed.subject()).into(),
            not_before: timestamp(validity.not_before.timestamp()),
            not_after: timestamp(validity.not_after.timestamp()),
        })
    }

    fn nothing() -> Self {
        Self { subject: Box::default(), not_before: Timestamp::MIN, not_after: Timestamp::MIN }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} {:?})", self.fingerprint.short(), self.subject())
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
    // Nearly all are.
    if text.len() <= MAX_CHARS && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return text;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_one_is_the_one_that_was_parsed() {
        let key = rcgen::KeyPair::generate().expect("randomness");
        let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
        let der = params.self_signed(&key).expect("parameters").der().to_vec();
        let (parsed, known) = (Certificate::parse(&der).expect("X.509"), Certificate::known(der));
        assert_eq!(parsed, known);
        assert_eq!(known.subject(), parsed.subject());
        assert_eq!((known.not_before(), known.not_after()), (parsed.not_before(), parsed.not_after()));
        assert!(known.is_whole());
    }

    #[test]
    fn extensions_that_are_not_read_decide_nothing() {
        use x509_parser::prelude::{FromDer as _, X509Certificate};

        let mut params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).expect("a name");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(1));
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        let key = rcgen::KeyPair::generate().expect("randomness");
        let der = params.self_signed(&key).expect("parameters").der().to_vec();
        let mut accepted = 0;
        for at in 0..der.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut changed = der.clone();
                changed[at] ^= change;
                let whole = X509Certificate::from_der(&changed).is_ok_and(|(rest, _)| rest.is_empty());
                assert_eq!(Certificate::parse(&changed).is_ok(), whole, "octet {at} ^ {change:#x}");
                accepted += usize::from(whole);
            }
        }
        assert!(accepted > 100 && accepted < der.len() * 3, "{accepted}: some of each");
    }

    #[test]
    fn what_is_none_ended_long_ago() {
        let none = Certificate::known(b"\x30\x03\x02\x01\x01".to_vec());
        assert!(!none.is_whole());
        assert_eq!(none.subject(), "");
        assert_eq!(none.validity_at(Timestamp::UNIX_EPOCH), Validity::Expired);
        assert!(!none.is_whole());
    }
}
