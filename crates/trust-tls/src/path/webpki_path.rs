//! A proven path handed to webpki, which has the last word on it: validity, CA flags, path lengths, and name constraints,
//! which are judged by it alone.

use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::{CertificateDer, Der, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use trust_core::facts::Facts;
use webpki::{EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter};

use super::proven::{Proven, links};
use super::raw;
use crate::anchors::Anchor;
use crate::chain::Node;
use crate::code::Code;
use crate::verifier::algorithms;

/// webpki's own limit.
const MAX_INTERMEDIATES: usize = 6;

/// The path is the leaf first; all its signatures and CAs are known to be good.
pub(super) fn verify(anchor: &Anchor, path: &[Node<'_>], at: Timestamp) -> Result<(), Code> {
    // webpki compares names byte by byte, where RFC 5280 §7.1 lets two spell one name differently; it does not read all
    // certificates, and takes six intermediates. Where it cannot go on upwards, the certificate above stands in for the
    // anchor. What is above that one was judged before by the same rules, except for name constraints.
    let mut lower = 1;
    let mut goes_on = true;
    for pair in path.windows(2) {
        let spelled_alike = pair[0].facts.issuer_der == pair[1].facts.subject_der;
        goes_on &= is_readable(&pair[1])? && spelled_alike && lower <= MAX_INTERMEDIATES;
        lower += usize::from(goes_on);
    }
    let (lower, above) = path.split_at(lower);
    let anchor_facts = &anchor.facts;
    let anchor = Issuer { facts: anchor_facts, der: anchor.certificate.der() };
    let mut above =
        above.iter().map(|node| Issuer { facts: node.facts, der: &node.presented.der }).chain([anchor]);
    let Some(stand_in) = above.next() else { return Err(Code::Malformed) };
    if is_too_strict(&lower[0]) {
        // Then all that is left for webpki to judge is name constraints.
        let unconstrained = path
            .iter()
            .map(|node| node.facts)
            .chain([anchor_facts])
            .all(|facts| facts.name_constraints.is_none());
        return if unconstrained { Ok(()) } else { Err(Code::UnknownCriticalExtension) };
    }
    verify_below(lower, &stand_in, stand_in.constraints()?.as_deref(), at)?;
    for beyond in above {
        let Some(constraints) = beyond.constraints()? else { continue };
        if beyond.facts.name_constraints.is_some_and(|constraints| constraints.concern_others) {
            // They may speak of the certificates between, which webpki does not see from here.
            return Err(Code::NameConstraint);
        }
        verify_below(lower, &stand_in, Some(&constraints), at)?;
    }
    Ok(())
}

/// Whether webpki can read an intermediate. Critical extensions for policies, which those of larger organisations have,
/// are unknown ones to it; with anything else that it cannot read there is something wrong.
fn is_readable(node: &Node<'_>) -> Result<bool, Code> {
    match EndEntityCert::try_from(&node.presented.der) {
        Ok(_) => Ok(true),
        Err(Error::UnsupportedCriticalExtension) => Ok(false),
        Err(_) => Err(Code::Malformed),
    }
}

/// webpki refuses the leaf for an extension, and nothing else, which is understood here.
fn is_too_strict(leaf: &Node<'_>) -> bool {
    let read = EndEntityCert::try_from(&leaf.presented.der);
    leaf.facts.unknown_critical.is_empty() && matches!(read, Err(Error::UnsupportedCriticalExtension))
}

struct Issuer<'a> {
    facts: &'a Facts,
    der: &'a [u8],
}

impl Issuer<'_> {
    /// Name constraints as webpki takes them.
    fn constraints(&self) -> Result<Option<Vec<u8>>, Code> {
        if self.facts.name_constraints.is_none() {
            // Nor does it matter then whether webpki is too strict for this issuer.
            return Ok(None);
        }
        let der = CertificateDer::from(self.der);
        let read = webpki::anchor_from_trusted_cert(&der).map_err(|_| Code::Malformed)?;
        Ok(read.name_constraints.map(|constraints| constraints.to_vec()))
    }
}

fn verify_below(
    path: &[Node<'_>],
    issuer: &Issuer<'_>,
    constraints: Option<&[u8]>,
    at: Timestamp,
) -> Result<(), Code> {
    let parts = raw::Parts::of(issuer.der).ok_or(Code::Malformed)?;
    let (Some(leaf), Some(top)) = (path.first(), path.last()) else { return Err(Code::Malformed) };
    let anchors = [TrustAnchor {
        subject: Der::from_slice(raw::content(&top.facts.issuer_der).ok_or(Code::Malformed)?),
        subject_public_key_info: Der::from_slice(parts.spki),
        name_constraints: constraints.map(Der::from_slice),
    }];
    let leaf = EndEntityCert::try_from(&leaf.presented.der).map_err(|error| code_of(&error))?;
    let intermediates: Vec<CertificateDer<'_>> =
        path[1..].iter().map(|node| node.presented.der.clone()).collect();
    let links = links(path, parts).ok_or(Code::Malformed)?;
    let proven: Vec<Proven<'_>> =
        algorithms().all.iter().map(|algorithm| Proven { algorithm: *algorithm, links: &links }).collect();
    let proven: Vec<&dyn SignatureVerificationAlgorithm> = proven.iter().map(|proven| proven as _).collect();
    let time = unix_time(at);
    leaf.verify_for_usage(&proven, &anchors, &intermediates, time, Purposes, None, None)
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
