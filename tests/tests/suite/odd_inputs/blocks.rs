//! One odd block among good ones in a PEM file.

use super::{Expected, Scene};
use test_support::pem;
use test_support::pki::{Cert, Recipe};
use test_support::process::{command, run_with_input};
use test_support::tools;

#[test]
fn a_block_cut_off_in_the_middle_of_the_file() {
    let scene = Scene::new();
    let text = Recipe::ca("Cut").self_signed().pem();
    let cut = format!("{}\n", &text[..text.len() - 80]);
    scene.check(
        scene.around(cut),
        &Expected {
            anchors: scene.all_good(),
            rejects: &[(scene.odd_line(), "truncated")],
            ..Expected::default()
        },
    );
}

#[test]
fn a_block_cut_off_inside_a_line() {
    let scene = Scene::new();
    let text = Recipe::ca("Cut").self_signed().pem();
    // No line end: the next marker stands in the middle of a line.
    scene.check(
        scene.around(&text[..text.len() - 80]),
        &Expected {
            anchors: scene.all_good(),
            rejects: &[(scene.odd_line(), "truncated")],
            ..Expected::default()
        },
    );
}

#[test]
fn base64_that_is_no_certificate() {
    let scene = Scene::new();
    scene.check(
        scene.around(pem::encode(pem::CERTIFICATE, b"this is no DER at all, only good base64")),
        &Expected {
            anchors: scene.all_good(),
            rejects: &[(scene.odd_line(), "not-x509")],
            ..Expected::default()
        },
    );
}

#[test]
fn der_that_is_no_certificate() {
    let scene = Scene::new();
    // A SEQUENCE of one INTEGER.
    scene.check(
        scene.around(pem::encode(pem::CERTIFICATE, &[0x30, 3, 2, 1, 5])),
        &Expected {
            anchors: scene.all_good(),
            rejects: &[(scene.odd_line(), "not-x509")],
            ..Expected::default()
        },
    );
}

#[test]
fn a_bad_base64_character() {
    let scene = Scene::new();
    let text = Recipe::ca("Bad").self_signed().pem();
    let (begin, body) = text.split_at(60);
    scene.check(
        scene.around(format!("{begin}*{}", &body[1..])),
        &Expected {
            anchors: scene.all_good(),
            rejects: &[(scene.odd_line(), "bad-base64")],
            ..Expected::default()
        },
    );
}

#[test]
fn blocks_glued_together() {
    let scene = Scene::new();
    let odd = Recipe::ca("Glued").self_signed();
    scene.check(
        scene.around(odd.pem().trim_end()),
        &Expected { anchors: scene.good_around(&odd), notes: &["glued-blocks"], ..Expected::default() },
    );
}

#[test]
fn the_same_certificate_again() {
    let scene = Scene::new();
    // Twice in this source, and once in each of the others: at its first place, once.
    let again = [scene.good[0].pem(), scene.bootstrap[1].pem(), scene.policy[0].pem()].concat();
    let (before, after) = scene.good.split_at(3);
    let anchors: Vec<&Cert> =
        before.iter().chain([&scene.bootstrap[1], &scene.policy[0]]).chain(after).collect();
    scene.check(scene.around(again), &Expected { anchors, ..Expected::default() });
}

#[test]
fn an_expired_certificate() {
    let scene = Scene::new();
    let odd = Recipe::ca("Expired").days(-400, -30).self_signed();
    scene.check(
        scene.around(odd.pem()),
        &Expected { anchors: scene.good_around(&odd), ..Expected::default() },
    );
    let site = scene.endpoint.site().display().to_string();
    assert_eq!(scene.endpoint.json(&["lint", &site])[0]["anchors"][3]["status"], "expired");
}

#[test]
fn a_certificate_of_the_future() {
    let scene = Scene::new();
    let odd = Recipe::ca("Future").days(30, 400).self_signed();
    scene.check(
        scene.around(odd.pem()),
        &Expected { anchors: scene.good_around(&odd), ..Expected::default() },
    );
    let site = scene.endpoint.site().display().to_string();
    assert_eq!(scene.endpoint.json(&["lint", &site])[0]["anchors"][3]["status"], "not-yet-valid");
}

#[test]
fn a_leaf() {
    let scene = Scene::new();
    let odd = Recipe::leaf("server.example").cn_only().issued_by(&Recipe::ca("Absent").self_signed());
    scene.check(
        scene.around(odd.pem()),
        &Expected { anchors: scene.good_around(&odd), ..Expected::default() },
    );
    let site = scene.endpoint.site().display().to_string();
    assert_eq!(scene.endpoint.json(&["lint", &site])[0]["anchors"][3]["is_ca"], false);
}

#[test]
fn a_root_without_basic_constraints() {
    let scene = Scene::new();
    let odd = Recipe::ca("Old Root").no_basic_constraints().self_signed();
    scene.check(
        scene.around(odd.pem()),
        &Expected { anchors: scene.good_around(&odd), ..Expected::default() },
    );
}

#[test]
fn two_authorities_of_one_name() {
    let scene = Scene::new();
    let odd = Recipe::ca("Good 1").no_key_ids().self_signed();
    scene.check(
        scene.around(odd.pem()),
        &Expected { anchors: scene.good_around(&odd), ..Expected::default() },
    );
}

#[test]
fn the_label_of_old() {
    let scene = Scene::new();
    let odd = Recipe::ca("Old Label").self_signed();
    scene.check(
        scene.around(pem::encode("X509 CERTIFICATE", odd.der())),
        &Expected { anchors: scene.good_around(&odd), notes: &["x509-label"], ..Expected::default() },
    );
}

#[test]
fn a_trusted_certificate_of_openssl() {
    let Some((odd, text)) = trusted(&["-addtrust", "serverAuth"]) else { return };
    let scene = Scene::new();
    scene.check(
        scene.around(text),
        &Expected { anchors: scene.good_around(&odd), notes: &["trusted-label"], ..Expected::default() },
    );
}

#[test]
fn a_trusted_certificate_that_is_rejected_for_servers() {
    let Some((_, text)) = trusted(&["-addreject", "serverAuth"]) else { return };
    let scene = Scene::new();
    scene.check(
        scene.around(text),
        &Expected {
            anchors: scene.all_good(),
            rejects: &[(scene.odd_line(), "distrusted")],
            ..Expected::default()
        },
    );
}

#[test]
fn a_trusted_certificate_for_other_purposes_alone() {
    let Some((_, text)) = trusted(&["-addtrust", "emailProtection"]) else { return };
    let scene = Scene::new();
    scene.check(
        scene.around(text),
        &Expected {
            anchors: scene.all_good(),
            rejects: &[(scene.odd_line(), "distrusted")],
            ..Expected::default()
        },
    );
}

#[test]
fn prose_between_blocks() {
    let scene = Scene::new();
    let prose = "Bag Attributes\n    friendlyName: the new one --- ask Eve\nsubject=CN = x\n\n";
    scene.check(
        scene.around(prose),
        &Expected { anchors: scene.all_good(), notes: &["prose-between-blocks"], ..Expected::default() },
    );
}

#[test]
fn a_nul_byte_between_blocks() {
    let scene = Scene::new();
    scene.check(
        scene.around(b"\0\n"),
        &Expected { anchors: scene.all_good(), notes: &["control-bytes"], ..Expected::default() },
    );
}

#[test]
fn a_block_of_another_kind() {
    let scene = Scene::new();
    scene.check(
        scene.around(pem::encode("X509 CRL", &[0x30, 3, 2, 1, 5])),
        &Expected {
            anchors: scene.all_good(),
            rejects: &[(scene.odd_line(), "other-label")],
            ..Expected::default()
        },
    );
}

#[test]
fn an_end_without_a_beginning() {
    let scene = Scene::new();
    scene.check(
        scene.around("-----END CERTIFICATE-----\n"),
        &Expected {
            anchors: scene.all_good(),
            rejects: &[(scene.odd_line(), "stray-end")],
            ..Expected::default()
        },
    );
}

#[test]
fn two_odd_blocks_are_two_rejects() {
    let scene = Scene::new();
    let junk = pem::encode(pem::CERTIFICATE, b"junk of some length, more than one line of base64 would be");
    let line = scene.odd_line();
    scene.check(
        scene.around([junk.as_str(), &junk].concat()),
        &Expected {
            anchors: scene.all_good(),
            rejects: &[(line, "not-x509"), (line + junk.lines().count(), "not-x509")],
            ..Expected::default()
        },
    );
}

/// A certificate and its `TRUSTED CERTIFICATE` text with these settings; `None` where openssl is not there.
fn trusted(settings: &[&str]) -> Option<(Cert, Vec<u8>)> {
    if !tools::require(&["openssl"]) {
        return None;
    }
    let cert = Recipe::ca("Trusted").self_signed();
    let mut openssl = command(tools::path("openssl"));
    let run = run_with_input(openssl.args(["x509", "-trustout"]).args(settings), cert.pem().as_bytes())
        .expect_code(0);
    assert!(run.out().contains("TRUSTED CERTIFICATE"));
    Some((cert, run.stdout))
}
