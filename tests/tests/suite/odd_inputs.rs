//! What people really put into a source: for every odd input, all good certificates of all sources are in the bundle in
//! order, and the odd one is converted, or named with file, line and reason.

mod blocks;
mod files;
mod keys;
mod nothing_left;
mod unreadable;

use serde_json::Value;
use test_support::endpoint::{Endpoint, write};
use test_support::pki::{self, Cert, Recipe};
use test_support::servers::Server;
use test_support::{consumers, tools};

/// An endpoint with three sources: two good certificates before the one under test, two behind it.
struct Scene {
    endpoint: Endpoint,
    bootstrap: Vec<Cert>,
    policy: Vec<Cert>,
    /// Good certificates for the source under test: three before the odd one, three behind it.
    good: Vec<Cert>,
}

/// What is expected of the source under test.
#[derive(Default)]
struct Expected<'a> {
    /// The anchors it gives, in order.
    anchors: Vec<&'a Cert>,
    /// What is not taken: line and reason.
    rejects: &'a [(usize, &'a str)],
    /// Codes of conversions that must be noted.
    notes: &'a [&'a str],
}

impl Scene {
    fn new() -> Self {
        let scene = Self {
            endpoint: Endpoint::new(),
            bootstrap: pki::roots("Bootstrap", 2),
            policy: pki::roots("Policy", 2),
            good: pki::roots("Good", 6),
        };
        write(&scene.endpoint.bootstrap(), pki::bundle(&scene.bootstrap));
        write(&scene.endpoint.ca_info(), pki::bundle(&scene.policy));
        scene.endpoint.name_ca_info();
        scene
    }

    /// Three good certificates, something odd, three good certificates.
    fn around(&self, odd: impl AsRef<[u8]>) -> Vec<u8> {
        let (before, after) = self.good.split_at(3);
        [pki::bundle(before).as_bytes(), odd.as_ref(), pki::bundle(after).as_bytes()].concat()
    }

    /// The line that stands behind the first three certificates.
    fn odd_line(&self) -> usize {
        1 + pki::bundle(&self.good[..3]).lines().count()
    }

    /// The good ones.
    fn all_good(&self) -> Vec<&Cert> {
        self.good.iter().collect()
    }

    /// The good ones with another in the middle.
    fn good_around<'a>(&'a self, middle: &'a Cert) -> Vec<&'a Cert> {
        let (before, after) = self.good.split_at(3);
        before.iter().chain([middle]).chain(after).collect()
    }

    /// Writes the source under test and checks everything that anybody says of it.
    #[track_caller]
    fn check(&self, source: impl AsRef<[u8]>, expected: &Expected<'_>) {
        write(&self.endpoint.site(), source);
        self.check_lint(expected);
        self.check_regen(expected);
        self.check_consumers();
    }

    /// `lint` says the same beforehand, and changes nothing.
    #[track_caller]
    fn check_lint(&self, expected: &Expected<'_>) {
        let path = self.endpoint.site().display().to_string();
        let before = self.endpoint.published();
        let report = self.endpoint.json(&["lint", &path]);
        let report = &report[0];
        assert_eq!(report["path"], path.as_str());
        assert_eq!(
            without_duplicates(strings(&report["anchors"], "sha256")),
            pki::fingerprints(expected.anchors.iter().copied())
        );
        check_rejects(&report["rejected"], expected.rejects);
        check_notes(&report["notes"], expected.notes);
        let text = self.endpoint.agentctl(&["lint", &path]).expect_code(0).out();
        for (line, reason) in expected.rejects {
            assert!(
                text.contains(reason) && text.contains(&line.to_string()),
                "{text}: no line {line} with {reason}"
            );
        }
        assert_eq!(self.endpoint.published(), before, "lint changes nothing");
    }

    #[track_caller]
    fn check_regen(&self, expected: &Expected<'_>) {
        let report = self.endpoint.json(&["regen"]);
        self.check_sources(&report, expected);
        let everything = self.everything(&expected.anchors);
        assert_eq!(report["bundle"]["anchors"], everything.len());
        assert_eq!(self.endpoint.published(), Ok(everything));
        self.check_sources(&self.endpoint.json(&["sources"]), expected);
        let status = self.endpoint.json(&["status"]);
        self.check_sources(&status, expected);
        let site = self.endpoint.site().display().to_string();
        for (line, reason) in expected.rejects {
            let place = format!("{site}:{line}");
            let code = if *reason == "private-key" { "private-key" } else { "source-reject" };
            assert!(
                has_problem(&status, code, &[&place, reason]),
                "no {code} at {place}: {}",
                status["problems"]
            );
        }
    }

    #[track_caller]
    fn check_sources(&self, report: &Value, expected: &Expected<'_>) {
        let kinds = strings(&report["sources"], "kind");
        assert_eq!(kinds, ["bootstrap", "site", "policy"]);
        let site = &report["sources"][1];
        assert_eq!(site["path"], self.endpoint.site().display().to_string());
        check_rejects(&site["rejected"], expected.rejects);
        check_notes(&site["notes"], expected.notes);
        for other in [0, 2] {
            assert_eq!(report["sources"][other]["anchors"], 2);
        }
    }

    /// All of them read the bundle to its last certificate; and those that connect, connect.
    #[track_caller]
    fn check_consumers(&self) {
        let merged = self.endpoint.merged();
        let count = self.endpoint.published().expect("a bundle").len();
        consumers::all_read(&merged, count);
        if tools::require(&["openssl"]) {
            let last = self.policy.last().expect("two of them");
            let server = Server::openssl(&Recipe::leaf("localhost").issued_by(last), &[]);
            consumers::all_connect(&merged, server.port());
        }
    }

    /// Fingerprints of the whole store with these of the source under test.
    fn everything(&self, site: &[&Cert]) -> Vec<String> {
        let all = self.bootstrap.iter().chain(site.iter().copied()).chain(&self.policy);
        without_duplicates(pki::fingerprints(all))
    }
}

#[track_caller]
fn check_rejects(rejected: &Value, expected: &[(usize, &str)]) {
    let found: Vec<(usize, &str)> = array(rejected)
        .iter()
        .map(|reject| {
            let line = reject["line"].as_u64().and_then(|line| usize::try_from(line).ok());
            (line.expect("a line"), reject["reason"].as_str().expect("a reason"))
        })
        .collect();
    assert_eq!(found, expected);
    for reject in array(rejected) {
        assert!(reject["detail"].as_str().is_some_and(|detail| detail.len() > 20), "a sentence: {reject}");
    }
}

#[track_caller]
fn check_notes(notes: &Value, expected: &[&str]) {
    let notes: Vec<&str> = array(notes).iter().filter_map(Value::as_str).collect();
    for note in expected {
        assert!(notes.contains(note), "{note} is not among {notes:?}");
    }
}

/// Whether status has a problem of this code whose words hold all of these.
fn has_problem(status: &Value, code: &str, words: &[&str]) -> bool {
    array(&status["problems"]).iter().any(|problem| {
        let text = problem.to_string();
        problem["code"] == code && words.iter().all(|word| text.contains(word))
    })
}

#[track_caller]
fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("an array: {value}"))
}

/// One field of each object of an array.
#[track_caller]
fn strings(value: &Value, field: &str) -> Vec<String> {
    array(value).iter().map(|entry| entry[field].as_str().expect("a string").to_owned()).collect()
}

fn without_duplicates(fingerprints: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    fingerprints.into_iter().filter(|fingerprint| seen.insert(fingerprint.clone())).collect()
}
