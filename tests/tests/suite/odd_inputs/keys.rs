//! Private keys in a source: named loudly, and nowhere else than where they were.

use super::{Expected, Scene, has_problem};
use test_support::endpoint::write;
use test_support::pem;
use test_support::pki::{Cert, Recipe};
use test_support::search;

/// How a key may stand in a file; every label that programs write.
const LABELS: &[&str] = &[
    "PRIVATE KEY",
    "EC PRIVATE KEY",
    "RSA PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "OPENSSH PRIVATE KEY",
    "DSA PRIVATE KEY",
];

#[test]
fn a_key_with_its_certificate() {
    for label in LABELS {
        let mut scene = Scene::new();
        let odd = Recipe::ca("With Key").self_signed();
        let key = pem::encode(label, odd.key_der());
        let source = scene.around([key.as_str(), &odd.pem()].concat());
        let rejects = [(scene.odd_line(), "private-key")];
        write(&scene.endpoint.site(), &source);
        let expected =
            Expected { anchors: scene.good_around(&odd), rejects: &rejects, ..Expected::default() };
        scene.check_lint(&expected);
        scene.check_regen(&expected);
        stays_where_it_was(&mut scene, &odd);
    }
}

#[test]
fn a_key_with_its_certificate_and_every_consumer() {
    let scene = Scene::new();
    let odd = Recipe::ca("With Key").self_signed();
    let rejects = [(scene.odd_line() + odd.pem().lines().count(), "private-key")];
    scene.check(
        scene.around([odd.pem(), odd.key_pem()].concat()),
        &Expected { anchors: scene.good_around(&odd), rejects: &rejects, ..Expected::default() },
    );
}

#[test]
fn a_key_alone() {
    let mut scene = Scene::new();
    let odd = Recipe::ca("Key Only").self_signed();
    scene.check(odd.key_pem(), &Expected { rejects: &[(1, "private-key")], ..Expected::default() });
    stays_where_it_was(&mut scene, &odd);
}

#[test]
fn a_key_in_der() {
    let mut scene = Scene::new();
    let odd = Recipe::ca("Key Only").self_signed();
    write(&scene.endpoint.site(), odd.key_der());
    let report = scene.endpoint.json(&["regen"]);
    assert!(!super::array(&report["sources"][1]["rejected"]).is_empty(), "{report}");
    assert_eq!(scene.endpoint.published(), Ok(scene.everything(&[])));
    stays_where_it_was(&mut scene, &odd);
}

#[test]
fn a_key_that_is_cut_off() {
    let mut scene = Scene::new();
    let odd = Recipe::ca("Cut Key").self_signed();
    let text = odd.key_pem();
    let source = scene.around(format!("{}\n", &text[..text.len() - 60]));
    write(&scene.endpoint.site(), source);
    let report = scene.endpoint.json(&["regen"]);
    assert_eq!(report["sources"][1]["rejected"][0]["line"], scene.odd_line());
    assert_eq!(scene.endpoint.published(), Ok(scene.everything(&scene.all_good())));
    stays_where_it_was(&mut scene, &odd);
}

/// Every command, every log line and every file of the endpoint, with the daemon and without it.
#[track_caller]
fn stays_where_it_was(scene: &mut Scene, odd: &Cert) {
    let traces = search::traces_of_key(odd);
    let site = scene.endpoint.site();
    let says_nothing = |scene: &Scene| {
        let site = site.display().to_string();
        for command in [
            vec!["lint", &site],
            vec!["regen", "--force"],
            vec!["sources"],
            vec!["status"],
            vec!["anchors", "list"],
            vec!["regen", "--dry-run"],
        ] {
            for json in [&["--json"][..], &["-v"]] {
                let run = scene.endpoint.agentctl(&[&command, json].concat());
                assert!(!search::contains_any(&run.stdout, &traces), "{} prints the key", run.command);
                assert!(!search::contains_any(&run.stderr, &traces), "{} prints the key", run.command);
            }
        }
        assert_eq!(search::files_with_any(&scene.endpoint.root(), &traces), [scene.endpoint.site()]);
    };
    says_nothing(scene);
    let status = scene.endpoint.json(&["status"]);
    assert_ne!(status["health"], "ok", "a key in a source needs a hand");
    scene.endpoint.start_daemon();
    says_nothing(scene);
    assert!(scene.endpoint.stop_daemon().success());
    assert!(!search::contains_any(scene.endpoint.log().as_bytes(), &traces), "the log holds the key");
    let named = has_problem(&status, "private-key", &[&site.display().to_string()]);
    let der = has_problem(&status, "source-reject", &[&site.display().to_string()]);
    assert!(named || der, "{status}");
}
