//! The parts of a certificate for which webpki has no name: what was signed, how, and with which key.

use x509_parser::asn1_rs::{FromDer, Header};

const TAG_VERSION: u32 = 0;

/// A certificate's parts, borrowed (RFC 5280 §4.1).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parts<'a> {
    /// What is signed, whole.
    pub(crate) signed: &'a [u8],
    /// How: the content of the algorithm identifier.
    pub(crate) algorithm: &'a [u8],
    /// The signature.
    pub(crate) signature: &'a [u8],
    /// The content of the SubjectPublicKeyInfo.
    pub(crate) spki: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(crate) fn of(der: &'a [u8]) -> Option<Self> {
        let certificate = content(der)?;
        let (signed, rest) = whole(certificate)?;
        let (algorithm, rest) = value(rest)?;
        Some(Self { signed, algorithm, signature: bit_string(rest)?, spki: spki(signed)? })
    }
}

/// Algorithm identifier (its content) and key of a SubjectPublicKeyInfo's content (RFC 5280 §4.1.2.7).
pub(crate) fn split_spki(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let (algorithm, rest) = value(spki)?;
    Some((algorithm, bit_string(rest)?))
}

/// The content of one DER value.
pub(crate) fn content(bytes: &[u8]) -> Option<&[u8]> {
    value(bytes).map(|(content, _)| content)
}

fn spki(signed: &[u8]) -> Option<&[u8]> {
    let mut rest = content(signed)?;
    let (_, first) = Header::from_der(rest).ok()?;
    let has_version = first.is_contextspecific() && first.tag().0 == TAG_VERSION;
    // Version where there is one, then serial number, signature, issuer, validity, subject.
    for _ in 0..(5 + usize::from(has_version)) {
        rest = value(rest)?.1;
    }
    content(rest)
}

/// One DER value: its content, and what follows it.
fn value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, header) = Header::from_der(bytes).ok()?;
    let length = header.length().definite().ok()?;
    rest.split_at_checked(length)
}

/// One DER value with its header, and what follows it.
fn whole(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (_, rest) = value(bytes)?;
    bytes.split_at_checked(bytes.len() - rest.len())
}

/// The bytes of a bit string without unused bits.
fn bit_string(bytes: &[u8]) -> Option<&[u8]> {
    content(bytes)?.split_first().filter(|(unused, _)| **unused == 0).map(|(_, bits)| bits)
}
