//! Where no source holds an anchor any more, the store stays as it was, and says why.

use std::fs;

use super::{Scene, has_problem};
use test_support::endpoint::{Endpoint, write};
use test_support::pki::{self, Recipe};

const PAGE: &str = "<html><body>404 Not Found</body></html>\n";

#[test]
fn every_source_is_gone() {
    held(|endpoint| {
        for path in [endpoint.bootstrap(), endpoint.site(), endpoint.ca_info()] {
            fs::remove_file(path).expect("a file of ours");
        }
    });
}

#[test]
fn every_source_is_an_error_page() {
    held(|endpoint| every_source(endpoint, PAGE.as_bytes()));
}

#[test]
fn every_source_is_empty() {
    held(|endpoint| every_source(endpoint, b""));
}

#[test]
fn every_source_is_a_key() {
    let key = Recipe::ca("Key").self_signed().key_pem();
    held(|endpoint| every_source(endpoint, key.as_bytes()));
}

#[test]
fn it_is_given_up_on_purpose_and_mended_by_a_certificate() {
    let scene = good();
    every_source(&scene.endpoint, PAGE.as_bytes());
    let _held = scene.endpoint.agentctl(&["regen"]).expect_code(6);
    write(&scene.endpoint.site(), scene.good[0].pem());
    let report = scene.endpoint.json(&["regen"]);
    assert_eq!(report["held"], serde_json::Value::Null);
    assert_eq!(scene.endpoint.published(), Ok(vec![scene.good[0].sha256()]));
    write(&scene.endpoint.site(), PAGE);
    let report = scene.endpoint.json(&["regen", "--force"]);
    assert_eq!(report["bundle"]["anchors"], 0);
    assert_eq!(scene.endpoint.published(), Ok(vec![]));
}

#[test]
fn nothing_from_the_beginning_makes_no_bundle() {
    let endpoint = Endpoint::new();
    let report = endpoint.json(&["regen"]);
    assert_eq!(report["changed"], false);
    assert!(!endpoint.merged().exists());
    assert!(has_problem(
        &endpoint.json(&["status"]),
        "no-anchors",
        &[&endpoint.bootstrap().display().to_string()]
    ));
}

fn good() -> Scene {
    let scene = Scene::new();
    write(&scene.endpoint.site(), pki::bundle(&scene.good));
    let _regen = scene.endpoint.agentctl(&["regen"]).expect_code(0);
    assert_eq!(scene.endpoint.published(), Ok(scene.everything(&scene.all_good())));
    scene
}

/// After `spoil` there is nothing, and the store is byte for byte what it was: without the daemon, and with it.
#[track_caller]
fn held(spoil: impl Fn(&Endpoint)) {
    let mut scene = good();
    let before = fs::read(scene.endpoint.merged()).expect("a bundle");
    spoil(&scene.endpoint);
    let check = |scene: &Scene| {
        let report = scene.endpoint.agentctl(&["regen", "--json"]).expect_code(6).json();
        assert_eq!(report["held"]["reason"], "no-anchors", "{report}");
        assert_eq!(report["changed"], false);
        let status = scene.endpoint.json(&["status"]);
        assert_eq!(status["store"]["held"]["reason"], "no-anchors");
        assert_ne!(status["health"], "ok");
        assert!(has_problem(&status, "store-held", &["regen --force"]), "{}", status["problems"]);
        let _degraded = scene.endpoint.agentctl(&["status", "--check"]).expect_code(8);
        assert_eq!(fs::read(scene.endpoint.merged()).expect("a bundle"), before, "the store stays as it was");
    };
    check(&scene);
    scene.endpoint.start_daemon();
    check(&scene);
    assert!(scene.endpoint.stop_daemon().success());
    check(&scene);
}

fn every_source(endpoint: &Endpoint, content: &[u8]) {
    for path in [endpoint.bootstrap(), endpoint.site(), endpoint.ca_info()] {
        write(&path, content);
    }
}
