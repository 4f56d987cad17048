//! Anchors that programs take for one another.

use std::collections::BTreeSet;

use agent_control::wire::Severity;

use super::Finding;

/// What tells an authority from another of its name.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    /// Its number in the store.
    pub number: usize,
    pub subject: String,
    /// Those of one name have one number.
    pub name: usize,
    /// Identifies its key.
    pub key: String,
    pub has_key_id: bool,
}

/// Several keys under one name, and nothing in the certificates that tells them apart.
pub(super) fn findings(authorities: &[Named]) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    let mut done = BTreeSet::new();
    for first in authorities {
        if !done.insert(first.name) {
            continue;
        }
        let same: Vec<&Named> = authorities.iter().filter(|other| other.name == first.name).collect();
        let keys = same.iter().map(|one| &one.key).collect::<BTreeSet<_>>().len();
        if keys < 2 || same.iter().all(|one| one.has_key_id) {
            continue;
        }
        let numbers = same.iter().map(|one| one.number.to_string()).collect::<Vec<_>>().join(", ");
        found.push(Finding::new(
            "same-name-keys",
            Severity::Warning,
            format!("anchors {numbers} are all \"{}\", with {keys} keys and without key identifiers", first.subject),
            "agentd tries each of them. OpenSSL takes the first of a name alone, GnuTLS and NSS the last: such a program \
             verifies servers of one of the keys and refuses those of the others.",
            vec![
                "have the authority's certificates made again with a subject key identifier".to_owned(),
                format!("until then put the one in use first in its source: agentctl anchors show {}", first.number),
            ],
        ));
    }
    found
}
