//! The parts of a certificate for which webpki has no name.

use x509_parser::asn1_rs::{FromDer, Header};
use x509_parser::prelude::X509Certificate;

/// One DER value: its content, and what follows it.
fn value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, header) = Header::from_der(bytes).ok()?;
    let length = header.length().definite().ok()?;
    rest.split_at_checked(length)
}

/// The content of one DER value.
pub(crate) fn content(bytes: &[u8]) -> Option<&[u8]> {
    value(bytes).map(|(content, _)| content)
}

/// The SubjectPublicKeyInfo of a certificate, whole.
pub(crate) fn spki_of(der: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    Some(parsed.public_key().raw.to_vec())
}

/// Algorithm identifier (its content) and key of a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
pub(crate) fn split_spki(spki: &[u8]) -> Option<(&[u8], &[u8])> {
    let inside = content(spki)?;
    let (algorithm, rest) = value(inside)?;
    Some((algorithm, bit_string(rest)?))
}

/// The bytes of a bit string without unused bits.
fn bit_string(bytes: &[u8]) -> Option<&[u8]> {
    content(bytes)?.split_first().filter(|(unused, _)| **unused == 0).map(|(_, bits)| bits)
}
