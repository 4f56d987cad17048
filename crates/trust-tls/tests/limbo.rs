//! C2SP/x509-limbo as the referee: a case maps one to one to a verdict.
//!
//! Where the data is not there the test says so and passes: a fresh clone has no copy. `limbo-differences.txt` lists the
//! cases where the verdict is another than expected, each with its reason; one that is missing there fails the test, and so
//! does one that agrees by now.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use trust_core::Certificate;
use trust_formats::certificates::{Limits, scan};
use trust_tls::{AnchorSet, NameRule, Presented, Request, verify};

const DIFFERENCES: &str = include_str!("limbo-differences.txt");

#[test]
fn verdicts_agree_with_x509_limbo() {
    let path = std::env::var_os("AGENTD_CONFORMANCE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance"),
        PathBuf::from,
    );
    let Ok(text) = std::fs::read_to_string(path.join("limbo-part.json")) else {
        println!("SKIPPED: no conformance data in {}", path.display());
        return;
    };
    let data: Value = serde_json::from_str(&text).unwrap();
    let mut found = BTreeMap::new();
    for (mode, rule) in [("strict", NameRule::Strict), ("compat", NameRule::Compat)] {
        let mut differing = BTreeSet::new();
        for case in data["testcases"].as_array().unwrap() {
            let id = case["id"].as_str().unwrap();
            let expected = case["expected_result"] == "SUCCESS";
            if accepts(case, rule) != expected {
                differing.insert(id.to_owned());
                let tolerated = &data["tolerated"][mode][id];
                let ours = if expected { "reject" } else { "accept" };
                assert_eq!(tolerated, ours, "{mode} {id}: {}", case["description"]);
            }
        }
        found.insert(mode, differing);
    }
    for (mode, differing) in found {
        assert_eq!(differing, listed(mode), "{mode}: what differs is not what limbo-differences.txt lists");
    }
}

/// The ids listed for a mode: lines `mode id: reason`.
fn listed(mode: &str) -> BTreeSet<String> {
    let lines = DIFFERENCES.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let split = lines.map(|line| line.split_once(' ').expect("mode, blank, id"));
    split
        .filter(|(modes, _)| modes.split(',').any(|listed| listed == mode))
        .map(|(_, rest)| rest.split_once(": ").expect("id, colon, reason").0.to_owned())
        .collect()
}

fn accepts(case: &Value, rule: NameRule) -> bool {
    let ders = |value: &Value| -> Vec<Vec<u8>> {
        let text = value.as_array().map_or_else(
            || value.as_str().unwrap_or_default().to_owned(),
            |list| list.iter().filter_map(Value::as_str).collect(),
        );
        scan(text.as_bytes(), &Limits::default()).blocks.into_iter().map(|block| block.der).collect()
    };
    let anchors = ders(&case["trusted_certs"]);
    let set = AnchorSet::new(anchors.iter().filter_map(|der| Certificate::parse(der).ok()).map(Arc::new));
    let mut chain = ders(&case["peer_certificate"]);
    chain.extend(ders(&case["untrusted_intermediates"]));
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let Some(presented) = Presented::new(&chain) else { return false };
    let host = case["expected_peer_name"]["value"].as_str().unwrap_or_default();
    let at = case["validation_time"].as_str().and_then(|at| at.parse().ok()).expect("RFC 3339");
    verify(&set, &presented, &Request { names: rule, ..Request::new(host, at) }).accepted
}
