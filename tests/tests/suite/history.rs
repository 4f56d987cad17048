//! Generations: each publication is kept and told, any two lists are compared, and every step back is one command.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};
use test_support::endpoint::{Endpoint, write};
use test_support::pki::{self, Cert};
use test_support::poll;

/// An endpoint with three generations: a; a and b; b and c.
fn endpoint() -> (Vec<Cert>, Endpoint) {
    let certs = pki::roots("History", 4);
    let endpoint = Endpoint::new();
    for range in [0..1, 0..2, 1..3] {
        write(&endpoint.site(), pki::bundle(&certs[range]));
        let _regen = endpoint.json(&["regen"]);
    }
    (certs, endpoint)
}

fn list(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| entry["fingerprint"].as_str().expect("hex"))
        .collect()
}

#[test]
fn each_publication_is_kept_and_told() {
    for with_daemon in [false, true] {
        let (certs, mut endpoint) = endpoint();
        if with_daemon {
            endpoint.start_daemon();
        }
        let history = endpoint.json(&["history"]);
        assert_eq!(history["current"], 3);
        let generations = history["generations"].as_array().expect("a list");
        let numbers: Vec<_> = generations.iter().map(|generation| generation["number"].clone()).collect();
        assert_eq!(numbers, [json!(3), json!(2), json!(1)]);
        let latest = &generations[0];
        assert_eq!(latest["added"], json!([certs[2].sha256()]));
        assert_eq!(latest["removed"], json!([certs[0].sha256()]));
        assert!(latest["by"].as_str().is_some_and(|by| by.starts_with("operator uid")), "{latest}");
        assert!(
            latest["why"][0].as_str().is_some_and(|why| why.contains("cainfo-ss.pem changed")),
            "{latest}"
        );
        assert_eq!(latest["sources"][1]["anchors"], 2);
        assert_eq!(
            endpoint.json(&["history", "--limit", "1"])["generations"].as_array().map(Vec::len),
            Some(1)
        );
        let text = endpoint.agentctl(&["history"]).expect_code(0).out();
        assert!(text.contains("+1 -1"), "{text}");
    }
}

#[test]
fn a_store_that_only_lost_an_anchor_says_why() {
    let (certs, mut endpoint) = endpoint();
    endpoint.start_daemon();
    // The daemon waits until the source is quiet, and then nothing has changed since it looked.
    write(&endpoint.site(), certs[1].pem());
    let latest = poll::until("the loss is published", || {
        let latest = endpoint.json(&["history", "--limit", "1"])["generations"][0].clone();
        (latest["number"] == 4).then_some(latest)
    });
    assert_eq!(latest["removed"], json!([certs[2].sha256()]));
    assert!(latest["why"].as_array().is_some_and(|why| !why.is_empty()), "{latest}");
}

#[test]
fn any_two_lists_are_compared() {
    for with_daemon in [false, true] {
        let (certs, mut endpoint) = endpoint();
        if with_daemon {
            endpoint.start_daemon();
        }
        let diff = endpoint.json(&["diff", "1", "3"]);
        assert_eq!(list(&diff["removed"]), [certs[0].sha256()]);
        assert_eq!(list(&diff["added"]), [certs[1].sha256(), certs[2].sha256()]);
        assert_eq!(endpoint.json(&["diff", "gen:3"])["same"], true);
        let file = endpoint.beside("new.pem");
        write(&file, pki::bundle([&certs[2], &certs[1]]));
        let file = file.display().to_string();
        let moved =
            endpoint.agentctl(&["diff", "store", &file, "--exit-code", "--json"]).expect_code(10).json();
        assert_eq!(moved["moved"][0]["from"], 2, "{moved}");
        let _run = endpoint.agentctl(&["diff", "store", "3", "--exit-code"]).expect_code(0);
        let _run = endpoint.agentctl(&["diff", "9"]).expect_code(5);
        let _run = endpoint.agentctl(&["diff", "no-such-file.pem"]).expect_code(5);
    }
    let (certs, endpoint) = endpoint();
    write(&endpoint.bootstrap(), certs[3].pem());
    assert_eq!(
        list(&endpoint.json(&["diff"])["added"]),
        [certs[3].sha256()],
        "what a regeneration would change"
    );
}

#[test]
fn a_rollback_is_a_new_generation_and_holds_until_a_source_changes() {
    for with_daemon in [false, true] {
        let (certs, mut endpoint) = endpoint();
        if with_daemon {
            endpoint.start_daemon();
        }
        let dry = endpoint.json(&["rollback", "--dry-run"]);
        assert_eq!((&dry["changed"], &dry["generation"]), (&json!(true), &json!(4)), "{dry}");
        assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs[1..3])));
        let back = endpoint.json(&["rollback"]);
        assert_eq!((&back["generation"], &back["rollback"]["generation"]), (&json!(4), &json!(2)), "{back}");
        let earlier = pki::fingerprints(&certs[..2]);
        assert_eq!(endpoint.published(), Ok(earlier.clone()));
        // Nothing changed, so nothing undoes it.
        assert_eq!(endpoint.json(&["regen"])["changed"], false);
        let status = endpoint.json(&["status"]);
        assert_eq!(status["store"]["rollback"]["generation"], 2, "{status}");
        write(&endpoint.site(), pki::bundle(&certs[2..4]));
        let ended = endpoint.json(&["regen"]);
        assert_eq!((&ended["changed"], &ended["rollback"]), (&json!(true), &Value::Null), "{ended}");
        assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs[2..4])));
        let history = endpoint.json(&["history"]);
        let mut generations = history["generations"].as_array().expect("a list").iter();
        let fourth = generations.find(|generation| generation["number"] == 4).expect("it is kept");
        assert_eq!(fourth["rollback_to"], 2, "{history}");
    }
}

#[test]
fn a_pin_holds_against_sources_and_lets_new_anchors_in() {
    for with_daemon in [false, true] {
        let (certs, mut endpoint) = endpoint();
        if with_daemon {
            endpoint.start_daemon();
        }
        let pinned = endpoint.json(&["rollback", "2", "--pin", "1h"]);
        assert!(pinned["rollback"]["until"].is_string(), "{pinned}");
        write(&endpoint.site(), pki::bundle(&certs[2..4]));
        let regen = endpoint.json(&["regen"]);
        // c was taken away by the rollback and stays away; d is new.
        let expected = pki::fingerprints([&certs[0], &certs[1], &certs[3]]);
        assert_eq!(endpoint.published(), Ok(expected.clone()), "{regen}");
        if with_daemon {
            assert!(endpoint.stop_daemon().success());
            endpoint.start_daemon();
        }
        assert_eq!(endpoint.json(&["regen"])["changed"], false);
        assert_eq!(endpoint.published(), Ok(expected));
        let _ended = endpoint.json(&["regen", "--force"]);
        assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs[2..4])));
    }
    let (_, endpoint) = endpoint();
    let _short = endpoint.json(&["rollback", "1", "--pin", "1s"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(endpoint.json(&["regen"])["changed"], true, "a pin ends by itself");
}

#[test]
fn what_cannot_be_gone_back_to_is_said() {
    let (_, endpoint) = endpoint();
    let unknown = endpoint.agentctl(&["rollback", "9"]).expect_code(5);
    assert!(unknown.err().contains("1 to 3 are kept"), "{}", unknown.err());
    let _run = endpoint.agentctl(&["rollback", "x"]).expect_code(2);
    let _run = endpoint.agentctl(&["rollback", "2", "--pin", "soon"]).expect_code(2);
    let _run = endpoint.agentctl(&["distrust", "zz"]).expect_code(2);
    let _run = endpoint.agentctl(&["trust", "ab"]).expect_code(5);
    let fresh = Endpoint::new();
    let _run = fresh.agentctl(&["rollback"]).expect_code(5);
}

/// Another configuration is no reason to forget a generation whose bundle is in place and that could not be kept yet.
#[test]
fn a_generation_that_could_not_be_kept_is_kept_after_a_reload() {
    let (certs, mut endpoint) = endpoint();
    endpoint.start_daemon();
    let kept = |number: u32| endpoint.path(&format!("var/lib/agentd/state/generations/{number}.pem"));
    let (in_the_way, next) = (kept(4), kept(5));
    fs::create_dir_all(in_the_way.join("not empty")).unwrap();
    write(&endpoint.site(), pki::bundle(&certs[..3]));
    poll::until("it is said", || endpoint.log().contains("4.pem").then_some(()));
    endpoint.signal(Signal::HUP);
    poll::until("it is read again", || endpoint.log().contains("configuration read again").then_some(()));
    fs::remove_dir_all(&in_the_way).unwrap();
    write(&endpoint.site(), pki::bundle(&certs));
    poll::until("the next is kept", || next.is_file().then_some(()));
    assert!(in_the_way.is_file(), "and the one before");
}

#[test]
fn a_lost_state_is_found_again_in_the_generations() {
    let (certs, endpoint) = endpoint();
    let ban = endpoint.json(&["distrust", "1", "--reason", "stolen"]);
    assert_eq!(ban["removed"], json!([certs[1].sha256()]));
    let state = endpoint.path("var/lib/agentd/state");
    for damage in ["{\"v\": 1, ", "{\"v\": 99}", ""] {
        write(&state.join("state.json"), damage);
        let _regen = endpoint.json(&["regen"]);
        assert_eq!(endpoint.published(), Ok(vec![certs[2].sha256()]), "the ban holds: {damage:?}");
        let history = endpoint.json(&["history"]);
        assert_eq!(history["current"], 4, "numbers go on: {history}");
    }
    for file in ["state.json", "state.json.previous"] {
        fs::remove_file(state.join(file)).expect("there");
    }
    // The source cannot be read either: what it held is known from the generation.
    fs::remove_file(endpoint.site()).expect("there");
    fs::create_dir(endpoint.site()).expect("a directory in its place");
    let regen = endpoint.agentctl(&["regen", "--json"]).json();
    assert_eq!(endpoint.published(), Ok(vec![certs[2].sha256()]), "{regen}");
}

#[test]
fn a_state_that_can_be_read_again_is_gone_on_with() {
    let (certs, mut endpoint) = endpoint();
    let _ban = endpoint.json(&["distrust", "1", "--reason", "stolen"]);
    let only = vec![certs[2].sha256()];
    assert_eq!(endpoint.published(), Ok(only.clone()));
    let (state, away) = (endpoint.path("var/lib/agentd/state/state.json"), endpoint.beside("away"));
    fs::rename(&state, &away).expect("there");
    // Not missing and not damaged: only not to be read.
    fs::create_dir(&state).expect("a directory in its place");
    endpoint.start_daemon();
    write(&endpoint.site(), pki::bundle(&certs[1..4]));
    let failed = endpoint.agentctl(&["regen"]).expect_code(1);
    assert!(failed.err().contains("state.json"), "{}", failed.err());
    assert_eq!(endpoint.published(), Ok(only), "the store stays, and what was distrusted stays out");
    fs::remove_dir(&state).and_then(|()| fs::rename(&away, &state)).expect("put back");
    endpoint.wait_for("the state is gone on with", &pki::fingerprints(&certs[2..4]));
    assert_eq!(endpoint.json(&["distrust"])[0]["reason"], "stolen");
}

#[test]
fn a_store_that_was_emptied_on_purpose_says_why_it_is_empty() {
    let endpoint = Endpoint::new();
    let only = pki::Recipe::ca("Only").self_signed();
    write(&endpoint.bootstrap(), only.pem());
    let _made = endpoint.json(&["regen"]);
    let _banned = endpoint.json(&["distrust", "1"]);
    let status = endpoint.json(&["status"]);
    assert_eq!(status["health"], "failed");
    let problems = status["problems"].as_array().expect("a list");
    let none = problems.iter().find(|problem| problem["code"] == "no-anchors").expect("the problem");
    assert!(none["why"].as_str().is_some_and(|why| why.contains("distrusted")), "{none}");
    let _lifted = endpoint.json(&["trust", &only.sha256()]);
    assert_eq!(endpoint.json(&["status"])["health"], "ok");
}
