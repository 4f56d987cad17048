//! Verdicts in an administrator's words: what is wrong, with which certificate, and what to do next.

use trust_core::facts::{Facts, Key};

use crate::anchors::AnchorSet;
use crate::code::Code;
use crate::path;
use crate::presented::{Presented, PresentedCertificate};
use crate::verdict::{Request, Tried};
use crate::walk::Found;

pub(super) fn accepted(set: &AnchorSet, request: &Request, found: Option<&Found>) -> String {
    let mut text = match found {
        Some(found) => format!("verified by anchor {} \"{}\"", found.index + 1, subject_of(set, found.index)),
        None => "not verified by any anchor: peer verification is switched off".to_owned(),
    };
    if !request.verify_host {
        text.push_str("; the host name was not looked at: host verification is switched off");
    }
    text
}

pub(super) fn unreadable_leaf() -> String {
    "the server's certificate cannot be read as X.509".to_owned()
}

pub(super) fn name_mismatch(
    set: &AnchorSet,
    facts: &Facts,
    request: &Request,
    found: Option<&Found>,
) -> String {
    let mut names = facts.alternative_names();
    let common_name_alone = names.is_empty();
    names.extend(facts.common_name.as_ref().filter(|_| common_name_alone).map(|name| format!("CN={name}")));
    let has = if names.is_empty() {
        "it names no host at all".to_owned()
    } else {
        format!("it is for {}", names.join(", "))
    };
    let verified = found.map_or_else(String::new, |found| {
        format!("anchor {} \"{}\" verifies the chain, but ", found.index + 1, subject_of(set, found.index))
    });
    format!(
        "{verified}the certificate is not for {}: {has}. Connect by a name that it has, or have it issued anew with this one",
        printable(&request.host)
    )
}

pub(super) fn pin_mismatch(presented: &Presented) -> String {
    format!(
        "the server's certificate is not the pinned one: it has SHA-256 {}. If the server's certificate was renewed, have \
         the pin in the policy or the configuration renewed too; if not, somebody may be in between",
        presented.leaf.sha256
    )
}

/// Why no anchor verifies the chain: of all that were tried the one that came furthest tells most.
pub(super) fn no_path(
    set: &AnchorSet,
    presented: &Presented,
    request: &Request,
    tried: &[Tried],
) -> (Code, String) {
    let Some(leaf) = presented.leaf.facts.as_ref() else { return (Code::Malformed, unreadable_leaf()) };
    let best = tried.iter().copied().max_by_key(|tried| (tried.code, std::cmp::Reverse(tried.index)));
    let top = top_of(presented);
    let issuer = top.facts.as_ref().map_or("", |facts| &*facts.issuer);
    match best {
        None | Some(Tried { code: Code::NoIssuer, .. }) => missing(set, presented, leaf, top, issuer),
        Some(tried) => (tried.code, failed(set, presented, request, tried, issuer)),
    }
}

fn missing(
    set: &AnchorSet,
    presented: &Presented,
    leaf: &Facts,
    top: &PresentedCertificate,
    issuer: &str,
) -> (Code, String) {
    let total = set.len();
    let known = top.facts.as_ref().is_some_and(|facts| set.has_subject(&facts.issuer_name));
    if known {
        return (
            Code::IssuerKeyDiffers,
            format!(
                "an anchor has the issuer's name \"{issuer}\", but another key: the CA was re-issued, and this endpoint \
                 missed the update. Put the new CA certificate into a source"
            ),
        );
    }
    let detail = if leaf.names_itself() {
        format!(
            "the server signs itself, and its certificate is none of the {total} anchors: only that very certificate can \
             verify it. Compare SHA-256 {} with the server's console, then add the certificate to a source",
            presented.leaf.sha256
        )
    } else if presented.others.is_empty() {
        format!(
            "none of the {total} anchors is the issuer \"{issuer}\" of the server's certificate, and the server sent no \
             intermediate. Put that issuer's certificate into a source, or have the server send its whole chain"
        )
    } else {
        format!(
            "none of the {total} anchors is \"{issuer}\", at which the chain that the server sent ends. Put that CA's \
             certificate into a source"
        )
    };
    (Code::NoIssuer, detail)
}

fn failed(set: &AnchorSet, presented: &Presented, request: &Request, tried: Tried, issuer: &str) -> String {
    let anchor = format!("anchor {} \"{}\"", tried.index + 1, subject_of(set, tried.index));
    match tried.code {
        Code::Expired => outside_validity(set, presented, request, tried.index, "expired", "have it renewed"),
        Code::NotYetValid => {
            outside_validity(set, presented, request, tried.index, "not valid yet", "is the clock right?")
        }
        Code::IssuerKeyDiffers => format!(
            "{anchor} has the issuer's name, but another key: the CA was re-issued, and this endpoint missed the update. Put \
             the new CA certificate into a source"
        ),
        Code::AnchorMayNotIssue => format!(
            "{anchor} has the issuer's name, but it is no CA certificate, so it can verify only itself. Put the CA's own \
             certificate into a source"
        ),
        Code::WeakKey => format!(
            "{}; at least RSA 2048 is needed. Have the certificate issued anew with a longer key",
            weak_key(set, presented, tried.index)
        ),
        Code::WeakSignature => format!(
            "a certificate of the chain below \"{issuer}\" is signed with SHA-1 or MD5, which can be forged. Have it issued \
             anew, or add the server's own certificate as an anchor"
        ),
        Code::UnsupportedAlgorithm => {
            "the chain uses a signature algorithm that is not supported here. Have it issued with RSA, ECDSA or Ed25519".to_owned()
        }
        Code::WrongPurpose => "a certificate of the chain is not meant for TLS servers (key usage, extended key usage). Have \
                               it issued for server authentication"
            .to_owned(),
        Code::PathTooLong => format!("there are more intermediates between the server and a CA than that CA allows (path length), for {anchor}"),
        Code::NameConstraint => format!(
            "a CA on the way to {anchor} may not issue certificates for this name (name constraints), or the certificate has \
             the name as its common name alone, which such a CA cannot vouch for. Have it issued with the right alternative \
             names"
        ),
        Code::Version1 => "the server's certificate is X.509 version 1, which only itself can verify: add this very \
                           certificate as an anchor, or have one of version 3 issued"
            .to_owned(),
        Code::UnknownCriticalExtension => "a certificate of the chain has a critical extension that is not understood, so it \
                                           must be refused (RFC 5280 §4.2)"
            .to_owned(),
        Code::IntermediateMayNotIssue => {
            "an intermediate that the server sent is no CA certificate. Have the server send the right chain".to_owned()
        }
        Code::CaAsLeaf => "the server's certificate is that of a CA, and another CA issued it: a server needs a certificate of \
                           its own. Add this very certificate as an anchor, or have a server certificate issued"
            .to_owned(),
        Code::TooComplex => "the chain and the anchors of its issuers' names need more work than is allowed for one \
                             connection: are there thousands of anchors of one name?"
            .to_owned(),
        Code::Malformed => "a certificate of the chain, or of the anchors for it, breaks the rules of X.509 and cannot be \
                            judged"
            .to_owned(),
        Code::Ok | Code::NoIssuer | Code::NameMismatch | Code::PinMismatch => tried.code.code().to_owned(),
    }
}

/// Which certificate is outside its validity: the server's own, an intermediate, or the anchor.
fn outside_validity(
    set: &AnchorSet,
    presented: &Presented,
    request: &Request,
    index: usize,
    what: &str,
    remedy: &str,
) -> String {
    let anchor = &set.anchor(index).certificate;
    let outside = |from, to| path::within_validity(request.at, (from, to)).is_err();
    let clock = format!("the clock says {}", request.at);
    let of = |name: String, from: jiff::Timestamp, to: jiff::Timestamp| {
        format!("{name} is {what}: it is valid from {from} to {to}, and {clock}; {remedy}")
    };
    for (position, certificate) in presented.all().enumerate() {
        if let Some((from, to)) = path::validity(certificate)
            && outside(from, to)
        {
            let name = if position == 0 {
                "the server's certificate".to_owned()
            } else {
                format!("intermediate {position} that the server sent")
            };
            return of(name, from, to);
        }
    }
    let name = format!("anchor {} \"{}\"", index + 1, anchor.subject());
    of(name, anchor.not_before(), anchor.not_after())
}

fn weak_key(set: &AnchorSet, presented: &Presented, index: usize) -> String {
    let size = |facts: &Facts| match facts.key {
        Key::Rsa(bits) => format!("RSA with {bits} bits"),
        _ => facts.key_description(),
    };
    let presented_weak = presented.all().enumerate().find_map(|(position, certificate)| {
        let facts = certificate.facts.as_ref().filter(|facts| path::has_weak_key(facts))?;
        let name = if position == 0 {
            "the server's certificate".to_owned()
        } else {
            format!("intermediate {position}")
        };
        Some(format!("the key of {name} is too short: {}", size(facts)))
    });
    presented_weak.unwrap_or_else(|| {
        format!("the key of anchor {} is too short: {}", index + 1, size(&set.anchor(index).facts))
    })
}

/// The certificate at which the chain from the leaf upwards ends.
fn top_of(presented: &Presented) -> &PresentedCertificate {
    let mut top = &presented.leaf;
    // A step for each certificate at most: a ring of cross-signed CAs has no top.
    for _ in &presented.others {
        let Some(facts) = top.facts.as_ref().filter(|facts| !facts.names_itself()) else { break };
        let issued_it = |other: &&PresentedCertificate| {
            other.facts.as_ref().is_some_and(|other| other.subject_name == facts.issuer_name)
        };
        match presented.others.iter().find(issued_it) {
            Some(other) => top = other,
            None => break,
        }
    }
    top
}

fn subject_of(set: &AnchorSet, index: usize) -> &str {
    set.anchor(index).certificate.subject()
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
