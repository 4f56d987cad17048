//! The walk: anchors in the order of the store, each against the presented chain, until one verifies it.

use std::cmp::Reverse;

use trust_core::Fingerprint;
use trust_core::facts::Facts;

use crate::anchors::{AnchorSet, Candidate};
use crate::chain::{Chain, Node};
use crate::code::Code;
use crate::names::{self, Host, NameMatch};
use crate::path::{self, Failure};
use crate::presented::Presented;
use crate::verdict::{Match, Request, Tried, Verdict};
use crate::verifier::algorithms;

mod words;

/// Judges a chain. The same inputs give the same verdict, on any machine and any day.
pub fn verify(set: &AnchorSet, presented: &Presented, request: &Request) -> Verdict {
    let candidates = set.candidates(presented);
    let mut walk = Walk { tried: Vec::new(), found: None, best: None };
    walk.run(set, presented, request, &candidates);
    let refusal = if walk.found.is_some() || !request.verify_peer {
        host_refusal(set, presented, request, walk.found.as_ref()).or_else(|| pin_refusal(presented, request))
    } else {
        Some(words::no_path(set, presented, request, walk.best))
    };
    let (code, detail) =
        refusal.unwrap_or_else(|| (Code::Ok, words::accepted(set, presented, request, walk.found.as_ref())));
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
    best: Option<Failed>,
}

/// The first anchor that verifies the chain.
pub(crate) struct Found {
    pub(crate) index: usize,
    pub(crate) how: Match,
    path: Vec<Fingerprint>,
}

/// Why an anchor does not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed {
    pub(crate) index: usize,
    pub(crate) why: Failure,
}

impl Walk {
    fn run(&mut self, set: &AnchorSet, presented: &Presented, request: &Request, candidates: &[Candidate]) {
        let mut chain = Chain::new(presented, algorithms().all);
        for candidate in candidates {
            // A leaf that cannot be read is no candidate's child, and exactly an anchor only where it is one.
            let result = match &mut chain {
                Some(chain) => try_one(set, presented, request, *candidate, chain),
                None => Err(Failure { code: Code::Malformed, culprit: path::Culprit::Leaf }),
            };
            match result {
                Ok(found) => {
                    self.tried.push(Tried { index: candidate.index, code: Code::Ok });
                    self.found = Some(found);
                    return;
                }
                Err(why) => {
                    self.tried.push(Tried { index: candidate.index, code: why.code });
                    let failed = Failed { index: candidate.index, why };
                    let rank = |failed: &Failed| (failed.why, Reverse(failed.index));
                    self.best = self.best.into_iter().chain([failed]).max_by_key(rank);
                }
            }
        }
    }
}

fn try_one(
    set: &AnchorSet,
    presented: &Presented,
    request: &Request,
    candidate: Candidate,
    chain: &mut Chain<'_>,
) -> Result<Found, Failure> {
    let anchor = set.anchor(candidate.index);
    let index = candidate.index;
    let mut path = vec![presented.leaf.sha256];
    if candidate.exact {
        path::exact(anchor, request.at)?;
        return Ok(Found { index, how: Match::Exact, path });
    }
    let names = |path: &[Node<'_>]| common_name_counts(&anchor.facts, path, request);
    path.extend(path::build(anchor, chain, request.at, &names)?);
    path.push(anchor.certificate.fingerprint());
    Ok(Found { index, how: Match::Issuer, path })
}

/// Path building holds alternative names against name constraints (RFC 5280 §4.2.1.10). A common name in their place is
/// nothing that constraints speak of, so below a CA that has any for hosts it proves nothing.
fn common_name_counts(anchor: &Facts, path: &[Node<'_>], request: &Request) -> Result<(), Code> {
    let Some(leaf) = path.first().filter(|_| request.verify_host) else { return Ok(()) };
    let host = Host::parse(&request.host);
    if names::match_name(leaf.facts, &host, request.names) != Some(NameMatch::CommonName) {
        return Ok(());
    }
    let mut issuers = path[1..].iter().map(|node| node.facts).chain([anchor]);
    if issuers.any(|facts| facts.name_constraints.is_some_and(|constraints| constraints.concern_hosts)) {
        Err(Code::NameConstraint)
    } else {
        Ok(())
    }
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
