//! The parts of a certificate that signature checks are made over, for certificates that webpki does not read.

use jiff::Timestamp;
use rustls::crypto::WebPkiSupportedAlgorithms;
use x509_parser::asn1_rs::{FromDer, Header};
use x509_parser::prelude::X509Certificate;

use crate::anchors::Anchor;
use crate::code::Code;
use crate::presented::PresentedCertificate;

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

/// To-be-signed part with its header, the content of the algorithm identifier, and the signature (RFC 5280 §4.1.1).
fn signed(der: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let inside = content(der)?;
    let (_, rest) = value(inside)?;
    let tbs = &inside[..inside.len() - rest.len()];
    let (algorithm, rest) = value(rest)?;
    Some((tbs, algorithm, bit_string(rest)?))
}

/// Verifies a leaf of version 1 that the anchor itself issued: there are no extensions whose rules a path could break.
pub(crate) fn issued_directly(
    leaf: &PresentedCertificate,
    anchor: &Anchor,
    at: Timestamp,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<(), Code> {
    let facts = leaf.facts.as_ref().ok_or(Code::Malformed)?;
    if facts.issuer_name != anchor.facts.subject_name {
        return Err(Code::NoIssuer);
    }
    super::within_validity(at, super::validity(leaf).ok_or(Code::Malformed)?)?;
    let (tbs, signature_algorithm, signature) = signed(&leaf.der).ok_or(Code::Malformed)?;
    let spki = spki_of(anchor.certificate.der()).ok_or(Code::Malformed)?;
    let (key_algorithm, key) = split_spki(&spki).ok_or(Code::Malformed)?;
    let mut usable = algorithms
        .all
        .iter()
        .filter(|algorithm| algorithm.signature_alg_id().as_ref() == signature_algorithm)
        .peekable();
    if usable.peek().is_none() {
        return Err(if facts.has_weak_digest() { Code::WeakSignature } else { Code::UnsupportedAlgorithm });
    }
    let verifies = usable
        .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == key_algorithm)
        .any(|algorithm| algorithm.verify_signature(key, tbs, signature).is_ok());
    if verifies { Ok(()) } else { Err(Code::IssuerKeyDiffers) }
}
