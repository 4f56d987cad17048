//! What the policies together ask for: the policy sources in order, and how the server is to be verified.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use trust_formats::policy::{CurlSsl, Policy};

use crate::fingerprint::Fingerprint;
use crate::source::Failure;

/// What a look at one policy file gave.
#[derive(Debug)]
pub struct PolicyReading {
    /// The file.
    pub path: PathBuf,
    /// Its SHA-256 and what it says, or why it could not be understood.
    pub outcome: Result<(Fingerprint, Arc<Policy>), Failure>,
}

/// What is known and in use of one policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyState {
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of the version in use.
    pub sha256: Fingerprint,
    /// What it says.
    pub policy: Arc<Policy>,
    /// Why the file as it is now could not be used; the version in use is the last good one.
    pub failure: Option<Failure>,
}

/// A path that a policy names as a source of anchors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The path as the policy writes it.
    pub path: PathBuf,
    /// A directory (`CAPath`), whose files are sources in name order; else a file (`CAInfo`).
    pub directory: bool,
    /// The policy file.
    pub policy: PathBuf,
    /// Line of the attribute in it.
    pub line: u32,
}

/// Something about the policies, or a source, that its owner should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Stable code, kebab-case.
    pub code: &'static str,
    /// What, where, and what to do.
    pub message: String,
}

/// What all policies together ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effective {
    /// Sources in merge order, each path once.
    pub named: Vec<Named>,
    /// False if every policy that speaks of it switches peer verification off.
    pub verify_peer: bool,
    /// The same for the host name.
    pub verify_host: bool,
    /// Fingerprints that the server's certificate must have one of; as written; empty for none.
    pub pins: Vec<String>,
    /// A policy asks for TLS 1.3. None can ask for less than the local configuration.
    pub tls_1_3: bool,
    /// Certificates that may never be in the store.
    pub distrusted: BTreeSet<Fingerprint>,
    /// What is odd about the policies.
    pub warnings: Vec<Warning>,
}

/// Takes each reading that could be understood, and the last good version of each that could not.
///
/// A policy file that is gone is forgotten; so the result is in the order of `readings`, which is file-name order.
#[must_use]
pub fn settle(last: &[PolicyState], readings: Vec<PolicyReading>) -> (Vec<PolicyState>, Vec<Warning>) {
    let mut warnings = Vec::new();
    let mut states = Vec::new();
    for PolicyReading { path, outcome } in readings {
        match outcome {
            Ok((sha256, policy)) => states.push(PolicyState { path, sha256, policy, failure: None }),
            Err(failure) => {
                let known = last.iter().find(|state| state.path == path);
                let use_of_it = match known {
                    Some(_) => "the last version that could be read stays in force",
                    None => "it is ignored",
                };
                warnings.push(Warning {
                    code: "policy-unreadable",
                    message: format!(
                        "policy {}: {}; {use_of_it}. {}",
                        path.display(),
                        failure.message,
                        failure.remedy
                    ),
                });
                states.extend(known.map(|state| PolicyState { failure: Some(failure), ..state.clone() }));
            }
        }
    }
    (states, warnings)
}

/// Combines the policies in force: of one GUID the highest version; of several all sources, in file-name order,
/// each `CAInfo` followed by its `CAPath`; the stricter of the switches.
#[must_use]
pub fn combine(states: &[PolicyState]) -> Effective {
    let mut effective = Effective::default();
    let superseded = superseded(states, &mut effective.warnings);
    let mut peer = Switch::default();
    let mut host = Switch::default();
    for (index, state) in states.iter().enumerate() {
        for issue in &state.policy.issues {
            effective.warnings.push(Warning {
                code: "policy-value",
                message: format!("{}:{}: {}", state.path.display(), issue.line, issue.message),
            });
        }
        if superseded.contains(&index) {
            continue;
        }
        effective.distrust(state);
        for element in &state.policy.curl_ssl {
            effective.name_sources(&state.path, element);
            peer.say(element.verify_peer.as_ref().map(|v| v.value));
            host.say(element.verify_host.as_ref().map(|v| v.value));
            let pin = element.fingerprint.as_ref().map(|v| v.value.trim()).filter(|v| !v.is_empty());
            if let Some(pin) = pin
                && !effective.pins.iter().any(|known| known == pin)
            {
                effective.pins.push(pin.to_owned());
            }
            effective.take_minimum_tls(&state.path, element);
        }
    }
    effective.verify_peer = peer.on();
    effective.verify_host = host.on();
    effective
}

/// What the policies in force distrust.
#[must_use]
pub fn distrusted(states: &[PolicyState]) -> BTreeSet<Fingerprint> {
    // Hardly any policy does, and this is asked at every look.
    if states.iter().all(|state| state.policy.distrusted.is_empty()) {
        return BTreeSet::new();
    }
    combine(states).distrusted
}

impl Effective {
    /// The strictest counts. What is no version is none: to guess the strict one would lock out whoever mistypes it.
    fn take_minimum_tls(&mut self, policy: &Path, element: &CurlSsl) {
        let Some(value) = &element.minimum_tls else { return };
        let version = value.value.trim().to_ascii_lowercase();
        match version.trim_start_matches("tls").trim_start_matches(['v', ' ']) {
            "" | "1.2" => {}
            "1.3" => self.tls_1_3 = true,
            _ => self.warnings.push(Warning {
                code: "policy-value",
                message: format!(
                    "{}:{}: MinimumTLS is neither 1.2 nor 1.3; it is passed over",
                    policy.display(),
                    value.line
                ),
            }),
        }
    }

    fn distrust(&mut self, state: &PolicyState) {
        for placed in &state.policy.distrusted {
            match placed.value.parse() {
                Ok(fingerprint) => {
                    self.distrusted.insert(fingerprint);
                }
                Err(error) => self.warnings.push(Warning {
                    code: "policy-distrust",
                    message: format!(
                        "{}:{}: the SHA256 of DistrustCertificate is no fingerprint and distrusts nothing: {error}. \
                         Write the 64 hex digits of the certificate's SHA-256",
                        state.path.display(),
                        placed.line
                    ),
                }),
            }
        }
    }

    fn name_sources(&mut self, policy: &Path, element: &CurlSsl) {
        for (attribute, value, directory) in
            [("CAInfo", &element.ca_info, false), ("CAPath", &element.ca_path, true)]
        {
            let Some(value) = value else { continue };
            let text = value.value.trim();
            if text.is_empty() {
                continue;
            }
            let path = PathBuf::from(text);
            if !path.is_absolute() {
                self.warnings.push(Warning {
                    code: "policy-path-relative",
                    message: format!(
                        "{}:{}: {attribute} must be an absolute path on this endpoint; it is ignored. Write it from \
                         the root, as in \"/etc/ssl/site-ca.pem\"",
                        policy.display(),
                        value.line
                    ),
                });
            } else if !self.named.iter().any(|named| named.path == path && named.directory == directory) {
                self.named.push(Named { path, directory, policy: policy.to_owned(), line: value.line });
            }
        }
    }
}

/// Off only where somebody says off and nobody says on: the stricter wins, and silence is on.
#[derive(Default)]
struct Switch {
    said_on: bool,
    said_off: bool,
}

impl Switch {
    fn say(&mut self, value: Option<bool>) {
        match value {
            Some(true) | None => self.said_on = true,
            Some(false) => self.said_off = true,
        }
    }

    fn on(&self) -> bool {
        self.said_on || !self.said_off
    }
}

/// The indexes of policies that another file with the same GUID and a higher version replaces; of equal versions the
/// later file name stays.
fn superseded(states: &[PolicyState], warnings: &mut Vec<Warning>) -> Vec<usize> {
    let mut newest: BTreeMap<&str, usize> = BTreeMap::new();
    let mut superseded = Vec::new();
    for (index, state) in states.iter().enumerate() {
        let Some(guid) = state.policy.guid.as_deref() else { continue };
        let Some(&rival) = newest.get(guid) else {
            newest.insert(guid, index);
            continue;
        };
        let (winner, loser) = if state.policy.version >= states[rival].policy.version {
            (index, rival)
        } else {
            (rival, index)
        };
        newest.insert(guid, winner);
        superseded.push(loser);
        warnings.push(Warning {
            code: "policy-superseded",
            message: format!(
                "policy {} is not used: {} has the same GUID and {}. Remove the older file",
                states[loser].path.display(),
                states[winner].path.display(),
                if states[winner].policy.version == states[loser].policy.version {
                    "the same version"
                } else {
                    "a higher version"
                }
            ),
        });
    }
    superseded
}

#[cfg(test)]
mod tests {
    use super::*;
    use trust_formats::policy::Placed;

    fn placed<T>(value: T) -> Option<Placed<T>> {
        Some(Placed { value, line: 3 })
    }

    fn state(name: &str, policy: Policy) -> PolicyState {
        PolicyState {
            path: PathBuf::from(format!("/p/{name}.xml")),
            sha256: Fingerprint::of(name.as_bytes()),
            policy: Arc::new(policy),
            failure: None,
        }
    }

    fn naming(info: &str, path: &str) -> CurlSsl {
        CurlSsl { ca_info: placed(info.to_owned()), ca_path: placed(path.to_owned()), ..CurlSsl::default() }
    }

    fn paths(effective: &Effective) -> Vec<&str> {
        effective.named.iter().filter_map(|named| named.path.to_str()).collect()
    }

    #[test]
    fn sources_come_in_file_order_each_info_before_its_directory() {
        let a =
            Policy { curl_ssl: vec![naming("/a.pem", "/a.d"), naming("/a.pem", "")], ..Policy::default() };
        let b = Policy { curl_ssl: vec![naming("/b.pem", "/a.d")], ..Policy::default() };
        assert_eq!(paths(&combine(&[state("1", a), state("2", b)])), ["/a.pem", "/a.d", "/b.pem"]);
    }

    #[test]
    fn highest_version_of_a_guid_wins_wherever_it_stands() {
        let with = |version, info| Policy {
            guid: Some("g".into()),
            version: Some(version),
            curl_ssl: vec![naming(info, "")],
            distrusted: placed(format!("{version:064x}")).into_iter().collect(),
            issues: Vec::new(),
        };
        for (first, second, expected) in [(1, 2, "/b.pem"), (2, 1, "/a.pem"), (2, 2, "/b.pem")] {
            let effective = combine(&[state("1", with(first, "/a.pem")), state("2", with(second, "/b.pem"))]);
            assert_eq!(paths(&effective), [expected], "{first} {second}");
            assert_eq!(effective.warnings[0].code, "policy-superseded");
            let last = format!("{:064x}", first.max(second)).parse().unwrap();
            assert_eq!(effective.distrusted, BTreeSet::from([last]), "only what is in force distrusts");
        }
    }

    #[test]
    fn the_stricter_switch_wins_and_silence_is_strict() {
        let with = |peer: Option<bool>| {
            let element = CurlSsl { verify_peer: peer.and_then(placed), ..CurlSsl::default() };
            Policy { curl_ssl: vec![element], ..Policy::default() }
        };
        for (first, second, expected) in [
            (Some(false), Some(false), false),
            (Some(false), Some(true), true),
            (Some(false), None, true),
            (None, None, true),
        ] {
            let effective = combine(&[state("1", with(first)), state("2", with(second))]);
            assert_eq!(effective.verify_peer, expected, "{first:?} {second:?}");
        }
        assert!(combine(&[]).verify_peer);
    }

    #[test]
    fn a_policy_asks_for_a_newer_tls_and_never_for_an_older_one() {
        let with = |version: &str| {
            let element = CurlSsl { minimum_tls: placed(version.to_owned()), ..CurlSsl::default() };
            Policy { curl_ssl: vec![element], ..Policy::default() }
        };
        for (first, second, expected, warned) in [
            ("1.3", "1.2", true, 0),
            ("1.2", "TLSv1.3", true, 0),
            ("TLS 1.2", "", false, 0),
            ("1.0", "1.2", false, 1),
            ("1.1", "1.3", true, 1),
            ("yes", "TLS", false, 1),
        ] {
            let effective = combine(&[state("1", with(first)), state("2", with(second))]);
            assert_eq!((effective.tls_1_3, effective.warnings.len()), (expected, warned), "{first} {second}");
        }
    }

    #[test]
    fn a_relative_path_is_named_with_its_place() {
        let effective = combine(&[state(
            "1",
            Policy { curl_ssl: vec![naming("cert.pem", "C:\\certs")], ..Policy::default() },
        )]);
        assert!(effective.named.is_empty());
        assert_eq!(effective.warnings.len(), 2);
        assert!(effective.warnings[0].message.starts_with("/p/1.xml:3: CAInfo"), "{:?}", effective.warnings);
    }

    #[test]
    fn an_unreadable_policy_keeps_its_last_version() {
        let known = state("1", Policy { curl_ssl: vec![naming("/a.pem", "")], ..Policy::default() });
        let failure = Failure {
            code: "xml".into(),
            message: "line 3: cut off".into(),
            remedy: "Send it again.".into(),
        };
        let reading = |name: &str| PolicyReading {
            path: PathBuf::from(format!("/p/{name}.xml")),
            outcome: Err(failure.clone()),
        };
        let (states, warnings) = settle(&[known], vec![reading("1"), reading("new")]);
        assert_eq!(paths(&combine(&states)), ["/a.pem"]);
        assert_eq!(warnings.len(), 2);
        assert!(settle(&states, Vec::new()).0.is_empty(), "a policy that is gone is forgotten");
    }
}
