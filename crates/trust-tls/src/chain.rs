//! The presented certificates as a graph: who issued whom, proven by signatures, each checked once.
//!
//! webpki is given one proven path at a time. Given all certificates at once, it would search by names alone, and a
//! hostile chain of a hundred CAs of one name would keep it busy for ten seconds an anchor.

use std::collections::HashMap;

use rustls_pki_types::SignatureVerificationAlgorithm;
use trust_core::Fingerprint;
use trust_core::facts::{Facts, Key};

use crate::budget::Budget;
use crate::code::Code;
use crate::path::raw::{Parts, split_spki};
use crate::path::{self, Culprit, Failure};
use crate::presented::{Presented, PresentedCertificate};

/// Longer than any real chain, which has one to three intermediates.
const MAX_INTERMEDIATES: usize = 16;

/// What the provider takes; a longer key can sign, but not be checked.
const MAX_RSA_BITS: usize = 8192;

/// A presented certificate that can be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Node<'a> {
    pub(crate) presented: &'a PresentedCertificate,
    pub(crate) facts: &'a Facts,
    pub(crate) parts: Parts<'a>,
}

/// The leaf, what may stand above it, and what is known of their signatures.
pub(crate) struct Chain<'a> {
    /// The leaf is the first.
    nodes: Vec<Node<'a>>,
    algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
    /// Whether a node is signed by a key.
    signed: HashMap<(usize, Fingerprint), Result<(), Code>>,
    pub(crate) budget: Budget,
}

impl<'a> Chain<'a> {
    /// `None` where the leaf cannot be read.
    pub(crate) fn new(
        presented: &'a Presented,
        algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
    ) -> Option<Self> {
        let leaf = node(&presented.leaf)?;
        let mut others: Vec<Node<'a>> = presented
            .others
            .iter()
            .filter_map(node)
            // One that signed itself issues only what its key signed, and an anchor of that key does so without it.
            .filter(|other| other.presented.sha256 != presented.leaf.sha256 && !other.facts.names_itself())
            .collect();
        // By digest, so that the order in which a server sends them changes nothing.
        others.sort_unstable_by_key(|other| other.presented.sha256);
        others.dedup_by_key(|other| other.presented.sha256);
        let nodes = std::iter::once(leaf).chain(others).collect();
        Some(Self { nodes, algorithms, signed: HashMap::new(), budget: Budget::new() })
    }

    pub(crate) fn node(&self, index: usize) -> Node<'a> {
        self.nodes[index]
    }

    /// The nodes that an anchor issued, by name and key identifier and signature.
    pub(crate) fn issued_by(&mut self, anchor: &Facts, der: &[u8]) -> Result<Vec<usize>, Failure> {
        let parts = Parts::of(der).ok_or(Failure { code: Code::Malformed, culprit: Culprit::Anchor })?;
        let mut issued = Vec::new();
        let mut best = Failure { code: Code::NoIssuer, culprit: Culprit::Anchor };
        for index in 0..self.nodes.len() {
            let facts = self.nodes[index].facts;
            if facts.issuer_name != anchor.subject_name || facts.rules_out(anchor) {
                continue;
            }
            match self.is_signed_by(index, anchor, parts.spki) {
                Ok(()) => issued.push(index),
                Err(code) => best = best.max(blame(code, self.culprit(index), Culprit::Anchor)),
            }
        }
        if issued.is_empty() { Err(best) } else { Ok(issued) }
    }

    /// Calls `judge` with every proven path from the leaf to one of `tops`, until one is good. The path is the leaf's
    /// place first.
    pub(crate) fn climb<T>(
        &mut self,
        tops: &[usize],
        judge: &mut dyn FnMut(&[Node<'a>]) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut path = vec![0];
        self.climb_from(&mut path, tops, judge)
    }

    fn climb_from<T>(
        &mut self,
        path: &mut Vec<usize>,
        tops: &[usize],
        judge: &mut dyn FnMut(&[Node<'a>]) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let head = path[path.len() - 1];
        let mut best = Failure { code: Code::NoIssuer, culprit: Culprit::Anchor };
        if tops.contains(&head) {
            self.budget.path().map_err(Failure::of_work)?;
            let nodes: Vec<Node<'a>> = path.iter().map(|index| self.nodes[*index]).collect();
            match judge(&nodes) {
                Ok(found) => return Ok(found),
                Err(failure) => best = best.max(failure),
            }
        }
        if path.len() > MAX_INTERMEDIATES {
            return Err(best.max(Failure::of_work(Code::TooComplex)));
        }
        for above in 1..self.nodes.len() {
            let (child, parent) = (self.nodes[head].facts, self.nodes[above]);
            let fits = child.issuer_name == parent.facts.subject_name && !child.rules_out(parent.facts);
            // RFC 4158 §5.2: no name and key twice on a path.
            let again = path.iter().any(|below| {
                let below = self.nodes[*below].facts;
                below.spki_sha256 == parent.facts.spki_sha256
                    && below.subject_name == parent.facts.subject_name
            });
            if !fits || again {
                continue;
            }
            self.budget.step().map_err(Failure::of_work)?;
            match self.is_signed_by(head, parent.facts, parent.parts.spki) {
                Ok(()) => {}
                // Another of this name, which is no news: what the server sends besides may be junk.
                Err(Code::IssuerKeyDiffers) => continue,
                Err(code) => {
                    best = best.max(blame(code, self.culprit(head), self.culprit(above)));
                    continue;
                }
            }
            path.push(above);
            let result = self.climb_from(path, tops, judge);
            path.pop();
            match result {
                Ok(found) => return Ok(found),
                Err(failure) => best = best.max(failure),
            }
        }
        Err(best)
    }

    fn is_signed_by(&mut self, index: usize, issuer: &Facts, spki: &[u8]) -> Result<(), Code> {
        let key = (index, issuer.spki_sha256);
        if let Some(known) = self.signed.get(&key) {
            return *known;
        }
        self.budget.signature()?;
        let result = check_signature(&self.nodes[index], issuer, spki, self.algorithms);
        self.signed.insert(key, result);
        result
    }

    /// The leaf by its place, any other by what it is: places change with the order sent.
    fn culprit(&self, index: usize) -> Culprit {
        match index {
            0 => Culprit::Leaf,
            _ => Culprit::Intermediate(self.nodes[index].presented.sha256),
        }
    }
}

/// A short key is the issuer's fault; a weak digest shows in what was signed.
fn blame(code: Code, signed: Culprit, issuer: Culprit) -> Failure {
    Failure { code, culprit: if code == Code::WeakKey { issuer } else { signed } }
}

fn node(presented: &PresentedCertificate) -> Option<Node<'_>> {
    Some(Node { presented, facts: presented.facts.as_ref()?, parts: Parts::of(&presented.der)? })
}

fn check_signature(
    node: &Node<'_>,
    issuer: &Facts,
    spki: &[u8],
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> Result<(), Code> {
    let by_signature =
        algorithms.iter().filter(|algorithm| algorithm.signature_alg_id().as_ref() == node.parts.algorithm);
    let mut known = false;
    let (key_algorithm, key) = split_spki(spki).ok_or(Code::Malformed)?;
    for algorithm in by_signature {
        known = true;
        if algorithm.public_key_alg_id().as_ref() == key_algorithm
            && algorithm.verify_signature(key, node.parts.signed, node.parts.signature).is_ok()
        {
            return Ok(());
        }
    }
    Err(match issuer.key {
        _ if !known && node.facts.has_weak_digest() => Code::WeakSignature,
        _ if !known => Code::UnsupportedAlgorithm,
        _ if path::has_weak_key(issuer) => Code::WeakKey,
        Key::Rsa(bits) if bits > MAX_RSA_BITS => Code::UnsupportedAlgorithm,
        _ => Code::IssuerKeyDiffers,
    })
}
