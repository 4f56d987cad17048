//! The walk: anchors in the order of the store, each against the presented chain, until one verifies it.

use rustls::crypto::WebPkiSupportedAlgorithms;
use trust_core::Fingerprint;

use crate::anchors::{AnchorSet, Candidate};
use crate::code::Code;
use crate::names::{self, Host, NameMatch};
use crate::path;
use crate::presented::Presented;
use crate::verdict::{Match, Request, Tried, Verdict};

mod words;

/// Anchors of one name that are tried. Each costs a signature check, some 50 µs; 150 re-keyed CAs of one name are real,
/// and 2,000 are answered in a tenth of a second.
const MAX_TRIED: usize = 2000;

/// Judges a chain. The same inputs give the same verdict, on any machine and any day.
pub fn verify(set: &AnchorSet, presented: &Presented, request: &Request) -> Verdict {
    let candidates = set.candidates(presented);
    let mut walk = Walk { tried: Vec::new(), found: None };
    walk.run(set, presented, request, &candidates);
    let refusal = if walk.found.is_some() || !request.verify_peer {
        host_refusal(set, presented, request, walk.found.as_ref()).or_else(|| pin_refusal(presented, request))
    } else {
        Some(words::no_path(set, presented, request, &walk.tried))
    };
    let (code, detail) =
        refusal.unwrap_or_else(|| (Code::Ok, words::accepted(set, request, walk.found.as_ref())));
    Verdict {
        accepted: code == Code::Ok,
        code,
        detail,
        anchor: walk.found.as_ref().map(|found| found.index),
        matched: walk.found.as_ref().map(|found| found.how),
        path: walk.found.map(|found| found.path).unwrap_or_default(),
        candidates: candidates.len(),
        tried: walk.tried,
    }
}

struct Walk {
    tried: Vec<Tried>,
    found: Option<Found>,
}

/// The first anchor that verifies the chain.
pub(crate) struct Found {
    pub(crate) index: usize,
    how: Match,
    path: Vec<Fingerprint>,
}

impl Walk {
    fn run(&mut self, set: &AnchorSet, presented: &Presented, request: &Request, candidates: &[Candidate]) {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        for candidate in candidates {
            if self.tried.len() == MAX_TRIED {
                self.tried.push(Tried { index: candidate.index, code: Code::TooComplex });
                return;
            }
            let result = try_one(set, presented, request, *candidate, &algorithms);
            self.tried.push(Tried {
                index: candidate.index,
                code: result.as_ref().err().copied().unwrap_or(Code::Ok),
            });
            if let Ok(found) = result {
                self.found = Some(found);
                return;
            }
        }
    }
}

fn try_one(
    set: &AnchorSet,
    presented: &Presented,
    request: &Request,
    candidate: Candidate,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<Found, Code> {
    let anchor = set.anchor(candidate.index);
    let certificate = &anchor.certificate;
    let mut path = vec![presented.leaf.sha256];
    if candidate.exact {
        path::exact(&anchor.facts, request.at, (certificate.not_before(), certificate.not_after()))?;
        return Ok(Found { index: candidate.index, how: Match::Exact, path });
    }
    let intermediates = path::build(anchor, presented, request.at, algorithms)?;
    common_name_counts(set, presented, request, candidate.index, &intermediates)?;
    path.extend(intermediates);
    path.push(certificate.fingerprint());
    Ok(Found { index: candidate.index, how: Match::Issuer, path })
}

/// A common name in the place of alternative names is not what a CA's name constraints speak of (RFC 5280 §4.2.1.10), so
/// below a CA that has any for hosts it proves nothing.
fn common_name_counts(
    set: &AnchorSet,
    presented: &Presented,
    request: &Request,
    anchor: usize,
    intermediates: &[Fingerprint],
) -> Result<(), Code> {
    let Some(leaf) = presented.leaf.facts.as_ref() else { return Err(Code::Malformed) };
    if names::match_name(leaf, &Host::parse(&request.host), request.names) != Some(NameMatch::CommonName) {
        return Ok(());
    }
    let on_path = presented.others.iter().filter(|other| intermediates.contains(&other.sha256));
    let mut facts = on_path.filter_map(|other| other.facts.as_ref()).chain([&set.anchor(anchor).facts]);
    if facts.any(|facts| facts.constrains_hosts) { Err(Code::NameConstraint) } else { Ok(()) }
}

fn host_refusal(
    set: &AnchorSet,
    presented: &Presented,
    request: &Request,
    found: Option<&Found>,
) -> Option<(Code, String)> {
    if !request.verify_host {
        return None;
    }
    let Some(facts) = presented.leaf.facts.as_ref() else {
        return Some((Code::Malformed, words::unreadable_leaf()));
    };
    match names::match_name(facts, &Host::parse(&request.host), request.names) {
        Some(_) => None,
        None => Some((Code::NameMismatch, words::name_mismatch(set, facts, request, found))),
    }
}

fn pin_refusal(presented: &Presented, request: &Request) -> Option<(Code, String)> {
    let pinned = request.pins.is_empty() || request.pins.iter().any(|pin| pin.matches(&presented.leaf.der));
    (!pinned).then(|| (Code::PinMismatch, words::pin_mismatch(presented)))
}
