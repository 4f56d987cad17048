//! A proven path handed to webpki, which has the last word on it: signatures once more, validity, CA flags, purposes, and
//! name constraints, which are judged by it alone.

use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, Der, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter};

use super::raw;
use crate::anchors::Anchor;
use crate::chain::Node;
use crate::code::Code;
use crate::verifier::algorithms;

/// webpki's own limit.
const MAX_INTERMEDIATES: usize = 6;

/// The path is the leaf first; all its signatures and CAs are known to be good.
pub(super) fn verify(anchor: &Anchor, path: &[Node<'_>], at: Timestamp) -> Result<(), Code> {
    // webpki compares names byte by byte. Where two spell one name differently (RFC 5280 §7.1), and where the path is
    // longer than it takes, the certificate above stands in for the anchor.
    let agree = path
        .windows(2)
        .take(MAX_INTERMEDIATES)
        .take_while(|pair| pair[0].facts.issuer_der == pair[1].facts.subject_der);
    let last = agree.count();
    let (lower, above) = path.split_at(last + 1);
    let issuer_der = match above.first() {
        None => anchor.certificate.der(),
        Some(node) => &node.presented.der,
    };
    let beyond =
        above.iter().skip(1).map(|node| node.facts).chain((!above.is_empty()).then_some(&anchor.facts));
    if beyond.into_iter().any(|facts| facts.name_constraints.is_some()) {
        // They would have to be held against names that webpki does not see from here.
        return Err(Code::NameConstraint);
    }
    let name = &lower[last].facts.issuer_der;
    let constrained = above.first().map_or(&anchor.facts, |node| node.facts).name_constraints.is_some();
    with_anchor(lower, issuer_der, name, constrained, at)
}

fn with_anchor(
    path: &[Node<'_>],
    issuer: &[u8],
    name: &[u8],
    constrained: bool,
    at: Timestamp,
) -> Result<(), Code> {
    let parts = raw::Parts::of(issuer).ok_or(Code::Malformed)?;
    let issuer = CertificateDer::from(issuer);
    let name_constraints = match webpki::anchor_from_trusted_cert(&issuer) {
        Ok(read) => read.name_constraints,
        // An issuer that webpki is too strict for; but constraints that it cannot read must not be lost.
        Err(_) if !constrained => None,
        Err(_) => return Err(Code::Malformed),
    };
    let anchors = [TrustAnchor {
        subject: Der::from_slice(raw::content(name).ok_or(Code::Malformed)?),
        subject_public_key_info: Der::from_slice(parts.spki),
        name_constraints,
    }];
    let leaf = EndEntityCert::try_from(&path[0].presented.der).map_err(|error| code_of(&error))?;
    let intermediates: Vec<CertificateDer<'_>> =
        path[1..].iter().map(|node| node.presented.der.clone()).collect();
    let time = unix_time(at);
    leaf.verify_for_usage(algorithms().all, &anchors, &intermediates, time, Purposes, None, None)
        .map(|_| ())
        .map_err(|error| code_of(&error))
}

/// The purposes were judged before, by the same rule for all certificates; what is left is that the list can be read.
struct Purposes;

impl ExtendedKeyUsageValidator for Purposes {
    fn validate(&self, mut purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        purposes.try_for_each(|purpose| purpose.map(|_| ()))
    }
}

fn code_of(error: &Error) -> Code {
    match error {
        Error::UnknownIssuer => Code::NoIssuer,
        Error::InvalidSignatureForPublicKey => Code::IssuerKeyDiffers,
        Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Code::UnsupportedAlgorithm,
        Error::CertExpired { .. } => Code::Expired,
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

/// Times before 1970 are 1970 to webpki; no certificate that matters was valid then.
fn unix_time(at: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0)))
}
