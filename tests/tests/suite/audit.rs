//! The record of changes: who did what, with the daemon and without it, and that nobody changes it unseen.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use test_support::endpoint::{Endpoint, replace, write};
use test_support::pki::{self, Recipe};
use test_support::servers::Server;
use test_support::tools;

/// Event and generation of each line; the record must be whole.
fn events(endpoint: &Endpoint) -> Vec<(String, u64)> {
    let report = endpoint.json(&["audit"]);
    assert_eq!((&report["whole"], &report["complete"]), (&Value::Bool(true), &Value::Bool(true)), "{report}");
    let entries = report["entries"].as_array().expect("a list").iter();
    entries
        .map(|entry| {
            let event = entry["event"].as_str().expect("text").to_owned();
            (event, entry["generation"].as_u64().expect("a number"))
        })
        .collect()
}

fn last(endpoint: &Endpoint) -> Value {
    let report = endpoint.json(&["audit", "--limit", "1"]);
    let entries = report["entries"].as_array().expect("a list");
    assert_eq!(entries.len(), 1, "{report}");
    entries[0].clone()
}

fn named(list: &[(&str, u64)]) -> Vec<(String, u64)> {
    list.iter().map(|(event, generation)| ((*event).to_owned(), *generation)).collect()
}

#[test]
fn every_change_of_trust_is_a_line_with_the_daemon_and_without() {
    let mut endpoint = Endpoint::new();
    let certs = pki::roots("Audited", 3);
    write(&endpoint.bootstrap(), pki::bundle(&certs[..2]));
    let _made = endpoint.json(&["regen"]);
    let line = last(&endpoint);
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!(line["by"], format!("operator uid {uid}"));
    assert_eq!(line["added"], serde_json::json!(pki::fingerprints(&certs[..2])));
    assert!(line["pid"].is_u64() && line["forced"].is_null(), "{line}");
    assert_eq!(line["sha256"], endpoint.json(&["status"])["store"]["sha256"]);
    let file = endpoint.path("var/lib/agentd/state/audit.jsonl");
    let before = fs::read(&file).expect("the record");
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    let _same = endpoint.json(&["regen"]);
    let _would = endpoint.json(&["distrust", "1", "--dry-run"]);
    assert_eq!(fs::read(&file).expect("the record"), before, "nothing happened");

    endpoint.start_daemon();
    replace(&endpoint.bootstrap(), pki::bundle(&certs));
    endpoint.wait_for("a third", &pki::fingerprints(&certs));
    let mut expected = named(&[("published", 1), ("published", 2)]);
    test_support::poll::until("the line", || (events(&endpoint) == expected).then_some(()));
    assert_eq!(last(&endpoint)["by"], "watch");
    let _banned = endpoint.json(&["distrust", &certs[2].sha256(), "--reason", "key stolen"]);
    expected.extend(named(&[("distrusted", 2), ("published", 3)]));
    assert_eq!(events(&endpoint), expected);
    assert_eq!(last(&endpoint)["removed"], serde_json::json!([certs[2].sha256()]));
    let _lifted = endpoint.json(&["trust", &certs[2].sha256()]);
    expected.extend(named(&[("trusted", 3), ("published", 4)]));
    let _back = endpoint.json(&["rollback", "1", "--pin", "1h"]);
    expected.extend(named(&[("rolled-back", 4), ("published", 5)]));
    assert_eq!(events(&endpoint), expected);
    endpoint.stop_daemon();
    let _forced = endpoint.json(&["regen", "--force"]);
    assert_eq!(last(&endpoint)["forced"], true, "it ends the rollback");
    let text = endpoint.agentctl(&["audit"]).expect_code(0).out();
    for words in ["key stolen", "rolled-back", "forced", &certs[2].sha256(), "✓ 9 lines"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_fetched_certificate_is_in_the_record() {
    if !tools::require(&["nginx"]) {
        return;
    }
    let endpoint = Endpoint::new();
    let leaf = Recipe::leaf("localhost").self_signed();
    let server = Server::nginx(&leaf, &[]);
    let host = format!("localhost:{}", server.port());
    let fetch = ["fetch", &host, "--fingerprint", &leaf.sha256()];
    let _fetched = endpoint.agentctl(&fetch).expect_code(0);
    assert_eq!(events(&endpoint), named(&[("source-added", 0), ("published", 1)]));
    let line = endpoint.json(&["audit"])["entries"][0].clone();
    assert_eq!(line["fingerprint"], leaf.sha256());
    assert_eq!(line["path"], endpoint.bootstrap().display().to_string());
    let elsewhere = endpoint.beside("other.pem").display().to_string();
    let _fetched = endpoint.agentctl(&[&fetch[..], &["--to", &elsewhere]].concat());
    assert_eq!(events(&endpoint).len(), 2, "no source, no change of trust");
}

#[test]
fn what_was_tampered_with_is_named_and_what_was_lost_is_made_up_for() {
    let endpoint = Endpoint::new();
    let certs = pki::roots("Tampered", 4);
    for count in 1..=3 {
        write(&endpoint.bootstrap(), pki::bundle(&certs[..count]));
        let _made = endpoint.json(&["regen"]);
    }
    let file = endpoint.path("var/lib/agentd/state/audit.jsonl");
    let text = fs::read_to_string(&file).expect("the record");
    let lines: Vec<&str> = text.lines().collect();
    for (tampered, words) in [
        (text.replacen(&certs[0].sha256(), &certs[3].sha256(), 1), "line 2"),
        (format!("{}\n{}\n", lines[0], lines[2]), "line 2"),
        (format!("{}\n{}\n", lines[0], lines[1]), "number 3"),
        (String::new(), "number 3"),
    ] {
        write(&file, tampered);
        let run = endpoint.agentctl(&["audit", "--verify"]).expect_code(1);
        assert!(run.out().contains(words), "{words}: {}", run.out());
        let found = endpoint.agentctl(&["doctor", "--json"]).expect_code(8).json();
        assert!(found["findings"].to_string().contains("audit-broken"), "{found}");
    }
    write(&file, &text);
    assert!(endpoint.agentctl(&["audit", "--verify"]).expect_code(0).out().contains("3 lines"));

    // It cannot be written: the store is published all the same, that is said, and the line comes later.
    let aside = endpoint.beside("aside");
    fs::rename(&file, &aside).and_then(|()| fs::create_dir(&file)).expect("ours");
    write(&endpoint.bootstrap(), pki::bundle(&certs));
    let run = endpoint.agentctl(&["regen"]).expect_code(0);
    assert!(run.err().contains("record of changes"), "{}", run.err());
    assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs)));
    let status = endpoint.json(&["status"]);
    assert!(status["problems"].to_string().contains("audit-failed"), "{status}");
    fs::remove_dir(&file).and_then(|()| fs::rename(&aside, &file)).expect("ours");
    let _nothing = endpoint.json(&["regen"]);
    let line = last(&endpoint);
    assert_eq!((&line["generation"], &line["recovered"]), (&Value::from(4), &Value::Bool(true)), "{line}");
    let whole = format!("{text}{}", "half a li");
    write(&file, whole);
    write(&endpoint.bootstrap(), pki::bundle(&certs[..1]));
    let _made = endpoint.json(&["regen"]);
    assert_eq!(
        last(&endpoint)["repaired"].as_bool().or(Some(false)),
        Some(false),
        "the lost line comes first"
    );
    assert_eq!(events(&endpoint).last(), Some(&("published".to_owned(), 5)));
}
