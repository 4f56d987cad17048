//! One chain against one anchor: the anchor's own checks, then path building by webpki with that anchor alone.
//!
//! One anchor a call, because webpki's budget of signature checks is for a whole call, and because that keeps the order.
//! webpki takes an anchor for granted, as RFC 5280 §6.2 lets it; every other program of the field refuses one that is
//! expired, no CA, or meant for something else, and so is it refused here.

use std::time::Duration;

use jiff::Timestamp;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, Der, TrustAnchor, UnixTime};
use trust_core::Fingerprint;
use trust_core::facts::{Facts, Key};
use webpki::{EndEntityCert, Error, KeyUsage, VerifiedPath};

use crate::anchors::Anchor;
use crate::code::Code;
use crate::presented::{Presented, PresentedCertificate};

mod raw;

pub(crate) use raw::{spki_of, split_spki};

/// What providers of this field still take; OpenSSL's security level 2 draws the same line.
const MIN_RSA_BITS: usize = 2048;
/// Curves with which a server can sign in TLS here.
const CURVES: [&str; 3] = ["P-256", "P-384", "P-521"];

/// Judges the leaf that is the anchor itself: its signature, version and CA flag do not matter, for nothing but its own
/// bytes vouches for it.
pub(crate) fn exact(facts: &Facts, at: Timestamp, validity: (Timestamp, Timestamp)) -> Result<(), Code> {
    within_validity(at, validity)?;
    usable(facts)?;
    leaf_purpose(facts)
}

/// Builds a path from the leaf to the anchor; the intermediates of it, from the leaf upwards.
pub(crate) fn build(
    anchor: &Anchor,
    presented: &Presented,
    at: Timestamp,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<Vec<Fingerprint>, Code> {
    let certificate = &anchor.certificate;
    within_validity(at, (certificate.not_before(), certificate.not_after()))?;
    usable(&anchor.facts)?;
    if !anchor.facts.may_issue() {
        return Err(Code::AnchorMayNotIssue);
    }
    if anchor.facts.extended_key_usage.is_some_and(|usage| !usage.server_auth) {
        return Err(Code::WrongPurpose);
    }
    let leaf = presented.leaf.facts.as_ref().ok_or(Code::Malformed)?;
    usable(leaf)?;
    leaf_purpose(leaf)?;
    if leaf.version == 1 {
        // webpki reads version 3 alone, and without extensions there is nothing that would say what it is for.
        return Err(Code::Version1);
    }
    let spellings = issuer_spellings(anchor, presented);
    let mut result = Err(Code::NoIssuer);
    for subject in spellings {
        result = build_as(anchor, subject, presented, at, algorithms);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// The anchor's name as the presented certificates spell it: webpki compares bytes, and names that differ in string type,
/// case or spacing are equal (RFC 5280 §7.1).
fn issuer_spellings<'a>(anchor: &Anchor, presented: &'a Presented) -> Vec<&'a [u8]> {
    let mut spellings: Vec<&[u8]> = presented
        .all()
        .filter_map(|certificate| certificate.facts.as_ref())
        .filter(|facts| facts.issuer_name == anchor.facts.subject_name)
        .map(|facts| &*facts.issuer_der)
        .collect();
    spellings.sort_unstable();
    spellings.dedup();
    spellings
}

fn build_as(
    anchor: &Anchor,
    subject: &[u8],
    presented: &Presented,
    at: Timestamp,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<Vec<Fingerprint>, Code> {
    let anchor_der = CertificateDer::from(anchor.certificate.der());
    let spki = spki_of(anchor.certificate.der()).ok_or(Code::Malformed)?;
    let as_webpki_reads_it = webpki::anchor_from_trusted_cert(&anchor_der);
    let name_constraints = match &as_webpki_reads_it {
        Ok(read) => read.name_constraints.clone(),
        // An anchor that webpki is too strict for; but constraints that it cannot read must not be lost.
        Err(_) if !anchor.facts.constrains_hosts => None,
        Err(_) => return Err(Code::Malformed),
    };
    let trust_anchor = TrustAnchor {
        subject: Der::from_slice(raw::content(subject).ok_or(Code::Malformed)?),
        subject_public_key_info: Der::from_slice(raw::content(&spki).ok_or(Code::Malformed)?),
        name_constraints,
    };
    let leaf =
        EndEntityCert::try_from(&presented.leaf.der).map_err(|error| code_of(&error, anchor, presented))?;
    let intermediates: Vec<CertificateDer<'_>> =
        presented.others.iter().map(|other| other.der.clone()).collect();
    let limit = anchor.facts.basic_constraints.and_then(|basic| basic.path_length);
    let path_length = |path: &VerifiedPath<'_>| {
        let count = path.intermediate_certificates().filter(|cert| cert.subject() != cert.issuer()).count();
        match limit {
            Some(limit) if count > limit as usize => Err(Error::PathLenConstraintViolated),
            _ => Ok(()),
        }
    };
    let anchors = [trust_anchor];
    let path = leaf
        .verify_for_usage(
            algorithms.all,
            &anchors,
            &intermediates,
            unix_time(at),
            KeyUsage::server_auth(),
            None,
            Some(&path_length),
        )
        .map_err(|error| code_of(&error, anchor, presented))?;
    Ok(path.intermediate_certificates().map(|cert| Fingerprint::of(&cert.der())).collect())
}

fn code_of(error: &Error, anchor: &Anchor, presented: &Presented) -> Code {
    let weak_key = || {
        let keys = presented.all().filter_map(|certificate| certificate.facts.as_ref());
        keys.chain([&anchor.facts]).any(has_weak_key)
    };
    let weak_digest = || presented.all().filter_map(|c| c.facts.as_ref()).any(Facts::has_weak_digest);
    match error {
        Error::UnknownIssuer => Code::NoIssuer,
        Error::InvalidSignatureForPublicKey if weak_key() => Code::WeakKey,
        Error::InvalidSignatureForPublicKey | Error::SignatureAlgorithmMismatch => Code::IssuerKeyDiffers,
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
            if weak_digest() {
                Code::WeakSignature
            } else {
                Code::UnsupportedAlgorithm
            }
        }
        Error::CertExpired { .. } | Error::InvalidCertValidity => Code::Expired,
        Error::CertNotValidYet { .. } => Code::NotYetValid,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Code::WrongPurpose,
        Error::NameConstraintViolation => Code::NameConstraint,
        Error::PathLenConstraintViolated => Code::PathTooLong,
        Error::UnsupportedCriticalExtension => Code::UnknownCriticalExtension,
        Error::EndEntityUsedAsCa => Code::IntermediateMayNotIssue,
        Error::CaUsedAsEndEntity => Code::CaAsLeaf,
        Error::MaximumNameConstraintComparisonsExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumPathDepthExceeded
        | Error::MaximumSignatureChecksExceeded => Code::TooComplex,
        _ => Code::Malformed,
    }
}

/// What rules a certificate out wherever it stands.
fn usable(facts: &Facts) -> Result<(), Code> {
    if facts.malformed_extensions {
        Err(Code::Malformed)
    } else if !facts.unknown_critical.is_empty() {
        Err(Code::UnknownCriticalExtension)
    } else if has_weak_key(facts) {
        Err(Code::WeakKey)
    } else {
        Ok(())
    }
}

pub(crate) fn has_weak_key(facts: &Facts) -> bool {
    match facts.key {
        Key::Rsa(bits) => bits < MIN_RSA_BITS,
        Key::Dsa(_) => true,
        Key::Ec(_) | Key::Ed25519 | Key::Other(_) => false,
    }
}

/// A TLS server signs or decrypts with its key (RFC 5280 §4.2.1.3); webpki does not look at key usage.
fn leaf_purpose(facts: &Facts) -> Result<(), Code> {
    if matches!(facts.key, Key::Ec(curve) if !CURVES.contains(&curve)) {
        return Err(Code::UnsupportedAlgorithm);
    }
    let usage = facts.key_usage.is_none_or(|usage| usage.digital_signature || usage.key_exchange);
    let extended = facts.extended_key_usage.is_none_or(|usage| usage.server_auth);
    if usage && extended { Ok(()) } else { Err(Code::WrongPurpose) }
}

pub(crate) fn within_validity(at: Timestamp, (from, to): (Timestamp, Timestamp)) -> Result<(), Code> {
    if at < from {
        Err(Code::NotYetValid)
    } else if at.as_second() > to.as_second() {
        Err(Code::Expired)
    } else {
        Ok(())
    }
}

/// Times before 1970 are 1970 to webpki; no certificate that matters was valid then.
fn unix_time(at: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0)))
}

/// Validity of a presented certificate, which is not kept in its facts.
pub(crate) fn validity(certificate: &PresentedCertificate) -> Option<(Timestamp, Timestamp)> {
    let read = trust_core::Certificate::parse(&certificate.der).ok()?;
    Some((read.not_before(), read.not_after()))
}
