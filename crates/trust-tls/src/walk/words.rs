//! Verdicts in an administrator's words: what is wrong, with which certificate, and what to do next.

use jiff::{Timestamp, Unit};
use trust_core::Certificate;
use trust_core::facts::{Facts, Key};

use super::{Failed, Found};
use crate::anchors::AnchorSet;
use crate::code::Code;
use crate::names::{Host, NameRule};
use crate::path::{self, Culprit};
use crate::presented::{Presented, PresentedCertificate};
use crate::verdict::{Match, Request};

pub(super) fn accepted(
    set: &AnchorSet,
    presented: &Presented,
    request: &Request,
    found: Option<&Found>,
) -> String {
    let mut text = match found {
        Some(found) if found.how == Match::Exact => {
            format!("{} is the server's certificate itself", anchor_words(set, found.index))
        }
        Some(found) => format!("verified by {}", anchor_words(set, found.index)),
        None => "NOT verified by any anchor: peer verification is switched off".to_owned(),
    };
    if !request.verify_host {
        text.push_str("; the host name was not looked at: host verification is switched off");
    }
    if presented.ignored > 0 {
        text.push_str(&format!(
            "; {} certificates too many came with it and were not looked at",
            presented.ignored
        ));
    }
    text
}

pub(super) fn unreadable_leaf() -> String {
    "the server's certificate cannot be read as X.509. Have it issued anew".to_owned()
}

pub(super) fn name_mismatch(
    set: &AnchorSet,
    facts: &Facts,
    request: &Request,
    found: Option<&Found>,
) -> String {
    let mut names = shortened(facts.alternative_names());
    let common_name = facts.common_name.as_ref().map(|name| format!("CN={}", printable(name)));
    names.extend(common_name.filter(|_| !facts.has_alternative_host));
    let has = if names.is_empty() {
        "it names no host at all".to_owned()
    } else {
        format!("it is for {}", names.join(", "))
    };
    let verified = found.map_or_else(String::new, |found| {
        format!("{} verifies the chain, but ", anchor_words(set, found.index))
    });
    let strict = strict_alone(facts, request);
    let host = printable(&request.host);
    let advice = if strict {
        "A common name is not looked at with names = \"strict\": have it issued with an alternative name, or set names = \"compat\""
    } else {
        Code::NameMismatch.remedy()
    };
    format!("{verified}the certificate is not for {host}: {has}. {advice}")
}

/// The common name would do, were it looked at.
fn strict_alone(facts: &Facts, request: &Request) -> bool {
    request.names == NameRule::Strict
        && crate::names::match_name(facts, &Host::parse(&request.host), NameRule::Compat).is_some()
}

pub(super) fn pin_mismatch(presented: &Presented) -> String {
    format!(
        "{}: it has SHA-256 {}. {}",
        Code::PinMismatch.meaning(),
        presented.leaf.sha256,
        Code::PinMismatch.remedy()
    )
}

/// Why no anchor verifies the chain: of all that were tried the one that came furthest tells most.
pub(super) fn no_path(
    set: &AnchorSet,
    presented: &Presented,
    request: &Request,
    best: Option<Failed>,
) -> (Code, String) {
    let Some(leaf) = presented.leaf.facts.as_ref() else { return (Code::Malformed, unreadable_leaf()) };
    match best {
        None => missing(set, presented, leaf),
        Some(failed) if failed.why.code == Code::NoIssuer => missing(set, presented, leaf),
        Some(failed) => (failed.why.code, failed_words(set, presented, request, failed)),
    }
}

fn missing(set: &AnchorSet, presented: &Presented, leaf: &Facts) -> (Code, String) {
    let (top, complete) = top_of(presented);
    let issuer = top.facts.as_ref().unwrap_or(leaf);
    let name = issuer_words(issuer);
    if set.has_subject(&issuer.issuer_name) {
        let remedy = Code::IssuerKeyDiffers.remedy();
        return (
            Code::IssuerKeyDiffers,
            format!(
                "an anchor has the issuer's name, {name}, but another key identifier or serial number. {remedy}"
            ),
        );
    }
    let store = match set.len() {
        0 => format!("the store is empty, so it does not have {name}"),
        1 => format!("the one anchor of the store is not {name}"),
        total => format!("none of the {total} anchors is {name}"),
    };
    let sha256 = presented.leaf.sha256;
    let detail = if leaf.names_itself() {
        format!(
            "the server signs itself, and its certificate is not in the store ({store}): only that very certificate can \
             verify it. Compare SHA-256 {sha256} with the server's console, then put the certificate into a source"
        )
    } else if presented.others.is_empty() {
        format!(
            "{store}, who issued the server's certificate, and the server sent no intermediate. Put that issuer's certificate \
             into a source, or have the server send its whole chain"
        )
    } else if complete {
        format!(
            "{store}, the root of the chain that the server sent. Put that CA's certificate into a source"
        )
    } else {
        format!(
            "{store}, at which the chain that the server sent ends. Put that CA's certificate into a source; if the store \
             has the CA above it, have the server send the intermediate that is missing"
        )
    };
    (Code::NoIssuer, detail)
}

fn failed_words(set: &AnchorSet, presented: &Presented, request: &Request, failed: Failed) -> String {
    let code = failed.why.code;
    let anchor = anchor_words(set, failed.index);
    let who = culprit_words(set, presented, failed);
    let remedy = code.remedy();
    match code {
        Code::Expired | Code::NotYetValid => outside_validity(set, presented, request, failed),
        Code::IssuerKeyDiffers if presented.leaf.facts.as_ref().is_some_and(Facts::names_itself) => format!(
            "the server signs itself, and {anchor} has its name, but another key: the server's certificate was replaced, and this \
             endpoint missed the update. Compare SHA-256 {} with the server's console, then put the certificate into a source",
            presented.leaf.sha256
        ),
        Code::SelfSignedRenewed => format!(
            "the server signs itself, and {anchor} is another certificate of its name and key: the server's certificate was renewed. \
             Put the new one, SHA-256 {}, into a source",
            presented.leaf.sha256
        ),
        Code::IssuerKeyDiffers => format!(
            "{anchor} has the name of who issued {who}, but another key: the CA was re-issued, and this endpoint missed the \
             update. Put the new CA certificate into a source"
        ),
        Code::AnchorMayNotIssue => format!(
            "{anchor} issued the server's certificate by name and key, but it is no CA certificate, so it verifies itself alone. \
             {remedy}"
        ),
        Code::WeakKey => {
            format!("{}; at least RSA 2048 is needed. {remedy}", weak_key(set, presented, failed))
        }
        Code::WeakSignature => format!(
            "{who} is signed with {}, which can be forged. {remedy}",
            facts_of(set, presented, failed).map_or("SHA-1 or MD5", Facts::signature_algorithm)
        ),
        Code::UnknownCriticalExtension => {
            let extension = facts_of(set, presented, failed).and_then(|facts| facts.unknown_critical.first());
            let which = extension.map_or_else(String::new, |oid| format!(" ({oid})"));
            format!(
                "{who} has a critical extension{which} that agentd does not understand, so it has to be refused. {remedy}"
            )
        }
        Code::WrongPurpose => format!(
            "{who} is not meant for TLS servers: {}. {remedy}",
            facts_of(set, presented, failed)
                .map_or_else(|| "its key usage does not allow it".to_owned(), purpose_words)
        ),
        Code::IntermediateMayNotIssue => {
            format!("{who} is no CA certificate, though another is signed with its key. {remedy}")
        }
        Code::PathTooLong => {
            format!("{who} allows fewer intermediates below it than there are (path length). {remedy}")
        }
        Code::NameConstraint => format!(
            "a CA on the way to {anchor} may not issue certificates for {} (name constraints). {remedy}",
            printable(&request.host)
        ),
        Code::Malformed | Code::UnsupportedAlgorithm | Code::TooComplex => {
            format!("{} ({who}). {remedy}", code.meaning())
        }
        Code::Version1 | Code::CaAsLeaf => format!("{}. {remedy}", code.meaning()),
        Code::Ok | Code::NoIssuer | Code::NameMismatch | Code::PinMismatch => code.meaning().to_owned(),
    }
}

fn outside_validity(set: &AnchorSet, presented: &Presented, request: &Request, failed: Failed) -> String {
    let who = culprit_words(set, presented, failed);
    let own = Some(&*set.anchor(failed.index).certificate);
    let certificate = match failed.why.culprit {
        Culprit::Anchor => own,
        Culprit::Leaf => presented.leaf.certificate.as_ref(),
        Culprit::Intermediate(sha256) => presented
            .others
            .iter()
            .find(|other| other.sha256 == sha256)
            .and_then(|other| other.certificate.as_ref()),
        Culprit::Chain => None,
    };
    let Some(certificate) = certificate else {
        return format!("{}. {}", failed.why.code.meaning(), failed.why.code.remedy());
    };
    let when = if failed.why.code == Code::Expired {
        format!("expired at {}", second(certificate.not_after()))
    } else {
        format!("is not valid before {}", second(certificate.not_before()))
    };
    let clock = second(request.at);
    if clock_is_doubtful(set, presented, request) {
        return format!(
            "{who} {when}; the clock says {clock}, and most certificates here are outside their validity: the clock of this \
             endpoint is wrong, set it first"
        );
    }
    let renew = match failed.why.culprit {
        Culprit::Anchor => "Put the CA's renewed certificate into a source",
        Culprit::Leaf | Culprit::Chain => "Have the server's certificate renewed",
        Culprit::Intermediate(_) => "Have the server send the renewed intermediate",
    };
    let advice = if failed.why.code == Code::Expired {
        renew
    } else {
        "If that clock is right, wait or have it issued anew"
    };
    format!("{who} {when}, and the clock says {clock}. {advice}")
}

/// Most of the chain and the store is outside its validity: then it is the clock.
fn clock_is_doubtful(set: &AnchorSet, presented: &Presented, request: &Request) -> bool {
    const FEW: usize = 3;
    let shown = presented.all().filter_map(|certificate| certificate.certificate.as_ref());
    let kept = (0..set.len()).map(|index| &*set.anchor(index).certificate);
    let all: Vec<&Certificate> = shown.chain(kept).collect();
    let outside =
        all.iter().filter(|certificate| path::within_validity(request.at, certificate).is_err()).count();
    all.len() >= FEW && outside * 2 > all.len()
}

fn weak_key(set: &AnchorSet, presented: &Presented, failed: Failed) -> String {
    let who = culprit_words(set, presented, failed);
    let size = facts_of(set, presented, failed).map_or_else(String::new, |facts| match facts.key {
        Key::Rsa(bits) => format!("RSA with {bits} bits"),
        _ => facts.key_description(),
    });
    format!("the key of {who} is too weak: {size}")
}

fn purpose_words(facts: &Facts) -> String {
    match &facts.extended_key_usage {
        Some(usage) if !usage.server_auth => format!(
            "its extended key usage is {}",
            shortened(usage.purposes.iter().map(|purpose| printable(purpose)).collect()).join(", ")
        ),
        _ if facts.netscape_type.is_some_and(|netscape| !netscape.server) => {
            "its Netscape certificate type is not for servers".to_owned()
        }
        _ => "its key usage allows neither signing nor key exchange".to_owned(),
    }
}

fn facts_of<'a>(set: &'a AnchorSet, presented: &'a Presented, failed: Failed) -> Option<&'a Facts> {
    match failed.why.culprit {
        Culprit::Anchor => Some(&set.anchor(failed.index).facts),
        Culprit::Leaf => presented.leaf.facts.as_ref(),
        Culprit::Intermediate(sha256) => presented
            .others
            .iter()
            .find(|other| other.sha256 == sha256)
            .and_then(|other| other.facts.as_ref()),
        Culprit::Chain => None,
    }
}

fn culprit_words(set: &AnchorSet, presented: &Presented, failed: Failed) -> String {
    match failed.why.culprit {
        Culprit::Anchor => anchor_words(set, failed.index),
        Culprit::Leaf => "the server's certificate".to_owned(),
        Culprit::Chain => "the chain".to_owned(),
        Culprit::Intermediate(sha256) => {
            let found = presented.others.iter().find(|other| other.sha256 == sha256);
            let subject = found.map_or("", PresentedCertificate::subject);
            format!("the intermediate \"{subject}\" (SHA-256 {})", sha256.short())
        }
    }
}

/// The certificate at which the chain from the leaf upwards ends, and whether that is a root.
fn top_of(presented: &Presented) -> (&PresentedCertificate, bool) {
    let mut top = &presented.leaf;
    // A step for each certificate at most: a ring of cross-signed CAs has no top.
    for _ in &presented.others {
        let Some(facts) = top.facts.as_ref().filter(|facts| !facts.names_itself()) else { break };
        let issued_it = |other: &&PresentedCertificate| {
            other
                .facts
                .as_ref()
                .is_some_and(|other| other.subject_name == facts.issuer_name && !facts.rules_out(other))
        };
        // The least digest of several, so that the order sent changes no word.
        match presented.others.iter().filter(issued_it).min_by_key(|other| other.sha256) {
            Some(other) => top = other,
            None => break,
        }
    }
    (top, top.facts.as_ref().is_some_and(Facts::names_itself))
}

fn anchor_words(set: &AnchorSet, index: usize) -> String {
    format!("anchor {} \"{}\"", index + 1, set.anchor(index).certificate.subject())
}

fn issuer_words(facts: &Facts) -> String {
    if facts.issuer_name.is_empty() {
        "named (the issuer has no name)".to_owned()
    } else {
        format!("\"{}\"", facts.issuer)
    }
}

/// A certificate may have thousands of names; a line has room for a few.
fn shortened(mut names: Vec<String>) -> Vec<String> {
    const SHOWN: usize = 12;
    if names.len() > SHOWN {
        let more = names.len() - SHOWN;
        names.truncate(SHOWN);
        names.push(format!("{more} more"));
    }
    names
}

fn second(at: Timestamp) -> Timestamp {
    at.round(Unit::Second).unwrap_or(at)
}

fn printable(text: &str) -> String {
    const MAX_CHARS: usize = 256;
    text.chars().take(MAX_CHARS).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
