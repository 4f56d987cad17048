//! One chain against one anchor: the anchor's own checks, and every path from the leaf to it.
//!
//! webpki takes an anchor for granted, as RFC 5280 §6.2 lets it; every other program of the field refuses one that is
//! expired, no CA, or meant for something else, and so is it refused here. It has no eye for key usage either.

use jiff::Timestamp;
use trust_core::facts::{Facts, Key};
use trust_core::{Certificate, Fingerprint};

use crate::anchors::Anchor;
use crate::chain::{Chain, Node};
use crate::code::Code;

mod proven;
pub(crate) mod raw;
mod webpki_path;

/// What providers of this field still take; OpenSSL's security level 2 draws the same line.
const MIN_RSA_BITS: usize = 2048;
/// Curves with which a server can sign in TLS here.
const CURVES: [&str; 3] = ["P-256", "P-384", "P-521"];

/// Why an anchor does not verify a chain, and whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Failure {
    /// By rank: the one that came furthest.
    pub(crate) code: Code,
    pub(crate) culprit: Culprit,
}

/// Which certificate is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Culprit {
    Anchor,
    Leaf,
    Intermediate(Fingerprint),
    /// None alone.
    Chain,
}

impl Failure {
    pub(crate) fn of_work(code: Code) -> Self {
        Self { code, culprit: Culprit::Chain }
    }
}

/// Judges the leaf that is the anchor itself: its signature, version and CA flag do not matter, for nothing but its own
/// bytes vouches for it.
pub(crate) fn exact(anchor: &Anchor, at: Timestamp) -> Result<(), Failure> {
    let judged = within_validity(at, &anchor.certificate).and_then(|()| usable(&anchor.facts));
    judged.and_then(|()| leaf_purpose(&anchor.facts)).map_err(|code| Failure { code, culprit: Culprit::Leaf })
}

/// Finds a path from the leaf to the anchor; the intermediates of it, from the leaf upwards. `names` has the last word
/// on a path: whether the CAs on it may vouch for the name by which the leaf is known.
pub(crate) fn build<'a>(
    anchor: &Anchor,
    chain: &mut Chain<'a>,
    at: Timestamp,
    names: &dyn Fn(&[Node<'a>]) -> Result<(), Code>,
) -> Result<Vec<Fingerprint>, Failure> {
    let leaf = chain.node(0);
    if leaf.facts.names_itself() {
        // As OpenSSL: what says that it signed itself is verified by itself alone.
        return Err(Failure { code: replaced(anchor, leaf), culprit: Culprit::Leaf });
    }
    let tops = chain.issued_by(&anchor.facts, anchor.certificate.der())?;
    chain.climb(&tops, &mut |path| judge(anchor, path, at, names))
}

fn replaced(anchor: &Anchor, leaf: Node<'_>) -> Code {
    if anchor.facts.subject_name != leaf.facts.subject_name {
        // It has to do with something else that was sent.
        Code::NoIssuer
    } else if anchor.facts.spki_sha256 == leaf.facts.spki_sha256 {
        Code::SelfSignedRenewed
    } else {
        Code::IssuerKeyDiffers
    }
}

fn judge<'a>(
    anchor: &Anchor,
    path: &[Node<'a>],
    at: Timestamp,
    names: &dyn Fn(&[Node<'a>]) -> Result<(), Code>,
) -> Result<Vec<Fingerprint>, Failure> {
    let Some((leaf, intermediates)) = path.split_first() else {
        return Err(Failure::of_work(Code::Malformed));
    };
    let mut below = 0;
    for node in intermediates {
        let culprit = Culprit::Intermediate(node.presented.sha256);
        let blame = |code| Failure { code, culprit };
        let certificate = node.presented.certificate.as_ref().ok_or(blame(Code::Malformed))?;
        may_issue(node.facts, certificate, at, below).map_err(blame)?;
        if !node.facts.may_issue() {
            return Err(blame(Code::IntermediateMayNotIssue));
        }
        // Self-issued certificates do not count (RFC 5280 §4.2.1.9).
        below += usize::from(node.facts.subject_name != node.facts.issuer_name);
    }
    let blame = |code| Failure { code, culprit: Culprit::Anchor };
    if !anchor.facts.may_issue() {
        return Err(blame(Code::AnchorMayNotIssue));
    }
    may_issue(&anchor.facts, &anchor.certificate, at, below).map_err(blame)?;
    let blame = |code| Failure { code, culprit: Culprit::Leaf };
    leaf_checks(leaf, at).map_err(blame)?;
    names(path).map_err(blame)?;
    webpki_path::verify(anchor, path, at).map_err(|code| Failure { code, culprit: Culprit::Chain })?;
    Ok(intermediates.iter().map(|node| node.presented.sha256).collect())
}

fn leaf_checks(leaf: &Node<'_>, at: Timestamp) -> Result<(), Code> {
    usable(leaf.facts)?;
    leaf_purpose(leaf.facts)?;
    if leaf.facts.version == 1 {
        // webpki reads version 3 alone, and without extensions there is nothing that would say what it is for.
        return Err(Code::Version1);
    }
    if leaf.facts.is_ca() {
        return Err(Code::CaAsLeaf);
    }
    within_validity(at, leaf.presented.certificate.as_ref().ok_or(Code::Malformed)?)
}

/// What holds for whoever stands above another, with so many intermediates between it and the leaf.
fn may_issue(facts: &Facts, certificate: &Certificate, at: Timestamp, below: usize) -> Result<(), Code> {
    within_validity(at, certificate)?;
    usable(facts)?;
    if facts.extended_key_usage.as_ref().is_some_and(|usage| !usage.server_auth) {
        return Err(Code::WrongPurpose);
    }
    match facts.basic_constraints.and_then(|basic| basic.path_length) {
        Some(limit) if below > limit as usize => Err(Code::PathTooLong),
        _ => Ok(()),
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
    let extended = facts.extended_key_usage.as_ref().is_none_or(|usage| usage.server_auth);
    let netscape = facts.netscape_type.is_none_or(|netscape| netscape.server);
    if usage && extended && netscape { Ok(()) } else { Err(Code::WrongPurpose) }
}

pub(crate) fn within_validity(at: Timestamp, certificate: &Certificate) -> Result<(), Code> {
    match certificate.validity_at(at) {
        trust_core::certificate::Validity::NotYetValid => Err(Code::NotYetValid),
        trust_core::certificate::Validity::Expired => Err(Code::Expired),
        trust_core::certificate::Validity::Valid => Ok(()),
    }
}
