//! The anchors of one generation of the store, with the indexes that make trying them cost what trying one costs.

use std::collections::HashMap;
use std::sync::Arc;

use trust_core::facts::{CanonicalName, Facts};
use trust_core::{Certificate, Fingerprint};

use crate::path;
use crate::presented::Presented;

/// Immutable: a new generation is a new set.
#[derive(Debug)]
pub struct AnchorSet {
    anchors: Vec<Anchor>,
    /// First place of each certificate.
    by_sha256: HashMap<Fingerprint, usize>,
    /// Places of each subject, in order.
    by_subject: HashMap<CanonicalName, Vec<usize>>,
    unusable: Vec<Unusable>,
}

#[derive(Debug)]
pub(crate) struct Anchor {
    pub(crate) certificate: Arc<Certificate>,
    pub(crate) facts: Facts,
}

/// A certificate of the store that can never verify anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Its place, from 0.
    pub index: usize,
    /// Why, as a sentence.
    pub reason: String,
}

/// An anchor worth trying for a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate {
    pub(crate) index: usize,
    /// The presented leaf is this very certificate.
    pub(crate) exact: bool,
}

impl AnchorSet {
    /// A set of anchors in the order of trial.
    #[must_use]
    pub fn new(certificates: impl IntoIterator<Item = Arc<Certificate>>) -> Self {
        let mut set = Self {
            anchors: Vec::new(),
            by_sha256: HashMap::new(),
            by_subject: HashMap::new(),
            unusable: Vec::new(),
        };
        for certificate in certificates {
            set.push(certificate);
        }
        set
    }

    fn push(&mut self, certificate: Arc<Certificate>) {
        let index = self.anchors.len();
        let facts = Facts::of_certificate(&certificate);
        self.by_sha256.entry(certificate.fingerprint()).or_insert(index);
        if !facts.subject_name.is_empty() {
            self.by_subject.entry(facts.subject_name.clone()).or_default().push(index);
        }
        if let Some(reason) = unusable_reason(&facts) {
            self.unusable.push(Unusable { index, reason });
        }
        self.anchors.push(Anchor { certificate, facts });
    }

    /// How many anchors there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.anchors.len()
    }

    /// True where there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// Those that can never verify anything, and why.
    #[must_use]
    pub fn unusable(&self) -> &[Unusable] {
        &self.unusable
    }

    /// The certificate at a place, from 0.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Arc<Certificate>> {
        self.anchors.get(index).map(|anchor| &anchor.certificate)
    }

    pub(crate) fn anchor(&self, index: usize) -> &Anchor {
        &self.anchors[index]
    }

    /// The place of a certificate, if it is an anchor.
    pub(crate) fn place_of(&self, sha256: &Fingerprint) -> Option<usize> {
        self.by_sha256.get(sha256).copied()
    }

    /// The anchors that may verify this chain, in order: the leaf itself, and for every presented certificate those with
    /// its issuer's name whose key identifier does not contradict (RFC 5280 §4.2.1.1).
    pub(crate) fn candidates(&self, presented: &Presented) -> Vec<Candidate> {
        let exact = self.place_of(&presented.leaf.sha256);
        let mut candidates: Vec<Candidate> =
            exact.iter().map(|index| Candidate { index: *index, exact: true }).collect();
        for facts in presented.all().filter_map(|certificate| certificate.facts.as_ref()) {
            for &index in self.by_subject.get(&facts.issuer_name).into_iter().flatten() {
                if !facts.rules_out(&self.anchors[index].facts) && Some(index) != exact {
                    candidates.push(Candidate { index, exact: false });
                }
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }

    /// Whether an anchor has the name of an issuer, whatever its key identifier says.
    pub(crate) fn has_subject(&self, name: &CanonicalName) -> bool {
        self.by_subject.contains_key(name)
    }
}

/// Why an anchor can never verify anything, whatever the day and the chain.
fn unusable_reason(facts: &Facts) -> Option<String> {
    if facts.malformed_extensions {
        Some("its extensions break the rules of X.509".to_owned())
    } else if let Some(extension) = facts.unknown_critical.first() {
        Some(format!("its critical extension {extension} is not understood"))
    } else if path::has_weak_key(facts) {
        Some(format!("its key is too weak: {}", facts.key_description()))
    } else {
        None
    }
}
