//! A whole file of another form.

use std::fs;
use std::time::{Duration, SystemTime};

use super::{Expected, Scene};
use test_support::endpoint::write;
use test_support::pem;
use test_support::pki;
use test_support::process::{command, run_with_input};
use test_support::tools;

#[test]
fn line_ends_of_windows_and_of_old_macs() {
    let scene = Scene::new();
    let text = pki::bundle(&scene.good);
    for line_end in ["\r\n", "\r"] {
        scene.check(
            text.replace('\n', line_end),
            &Expected { anchors: scene.all_good(), notes: &["foreign-line-ends"], ..Expected::default() },
        );
    }
}

#[test]
fn no_newline_at_the_end() {
    let scene = Scene::new();
    scene.check(
        pki::bundle(&scene.good).trim_end(),
        &Expected { anchors: scene.all_good(), notes: &["no-final-newline"], ..Expected::default() },
    );
}

#[test]
fn a_last_block_cut_off() {
    let scene = Scene::new();
    let text = pki::bundle(&scene.good);
    write(&scene.endpoint.site(), &text[..text.len() - 80]);
    // Written a moment ago it would be waited for; this one has been so for an hour.
    let file = fs::File::options().append(true).open(scene.endpoint.site()).expect("a source");
    file.set_modified(SystemTime::now() - Duration::from_secs(60 * 60)).expect("a file of ours");
    let line = 1 + pki::bundle(&scene.good[..5]).lines().count();
    let expected = Expected {
        anchors: scene.good[..5].iter().collect(),
        rejects: &[(line, "truncated")],
        ..Expected::default()
    };
    scene.check_lint(&expected);
    scene.check_regen(&expected);
    scene.check_consumers();
}

#[test]
fn a_byte_order_mark() {
    let scene = Scene::new();
    scene.check(
        format!("\u{feff}{}", pki::bundle(&scene.good)),
        &Expected { anchors: scene.all_good(), notes: &["utf8-bom"], ..Expected::default() },
    );
}

#[test]
fn byte_order_marks_in_the_middle() {
    let scene = Scene::new();
    // What `copy /b a.pem+b.pem` makes of two files with marks.
    scene.check(scene.around("\u{feff}"), &Expected { anchors: scene.all_good(), ..Expected::default() });
}

#[test]
fn utf_16() {
    let scene = Scene::new();
    let text = pki::bundle(&scene.good).replace('\n', "\r\n");
    for (mark, order) in [
        ("\u{feff}", u16::to_le_bytes as fn(u16) -> [u8; 2]),
        ("\u{feff}", u16::to_be_bytes),
        ("", u16::to_le_bytes),
    ] {
        let bytes: Vec<u8> = format!("{mark}{text}").encode_utf16().flat_map(order).collect();
        scene.check(bytes, &Expected { anchors: scene.all_good(), notes: &["utf16"], ..Expected::default() });
    }
}

#[test]
fn der() {
    let scene = Scene::new();
    let one = &scene.good[0];
    scene.check(one.der(), &Expected { anchors: vec![one], notes: &["der"], ..Expected::default() });
    assert_eq!(scene.endpoint.json(&["sources"])["sources"][1]["encoding"], "der");
}

#[test]
fn pkcs7_in_both_forms() {
    if !tools::require(&["openssl"]) {
        return;
    }
    let scene = Scene::new();
    let list = scene.endpoint.beside("list.pem");
    write(&list, pki::bundle(&scene.good));
    for form in ["PEM", "DER"] {
        let mut openssl = command(tools::path("openssl"));
        openssl.args(["crl2pkcs7", "-nocrl", "-outform", form, "-certfile"]).arg(&list);
        let bytes = run_with_input(&mut openssl, b"").expect_code(0).stdout;
        let list = scene.endpoint.beside("list.p7b");
        write(&list, &bytes);
        scene.check(bytes, &Expected { anchors: scene.all_good(), notes: &["pkcs7"], ..Expected::default() });
    }
}

#[test]
fn the_text_that_openssl_prints_before_a_block() {
    if !tools::require(&["openssl"]) {
        return;
    }
    let scene = Scene::new();
    let texts = scene.good.iter().map(|cert| {
        let mut openssl = command(tools::path("openssl"));
        run_with_input(openssl.args(["x509", "-text"]), cert.pem().as_bytes()).expect_code(0).stdout
    });
    let text: Vec<u8> = texts.flatten().collect();
    scene.check(
        text,
        &Expected { anchors: scene.all_good(), notes: &["prose-between-blocks"], ..Expected::default() },
    );
}

#[test]
fn an_error_page() {
    let scene = Scene::new();
    let page =
        "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n<body>nginx</body></html>\n";
    write(&scene.endpoint.site(), page);
    let lint = scene.endpoint.json(&["lint", &scene.endpoint.site().display().to_string()]);
    assert_eq!(lint[0]["rejected"][0]["reason"], "no-certificate");
    let report = scene.endpoint.json(&["regen"]);
    assert_eq!(report["sources"][1]["rejected"][0]["reason"], "no-certificate");
    assert_eq!(scene.endpoint.published(), Ok(scene.everything(&[])));
    assert!(super::has_problem(&scene.endpoint.json(&["status"]), "source-reject", &["no-certificate"]));
    scene.check_consumers();
}

#[test]
fn an_empty_file() {
    let scene = Scene::new();
    write(&scene.endpoint.site(), b"");
    let report = scene.endpoint.json(&["regen"]);
    assert_eq!(report["sources"][1]["anchors"], 0);
    assert_eq!(scene.endpoint.published(), Ok(scene.everything(&[])));
}

#[test]
fn lines_of_76_columns_and_of_one() {
    let scene = Scene::new();
    for columns in [76, 1, 4096] {
        let text: String = scene
            .good
            .iter()
            .map(|cert| pem::encode_as(pem::CERTIFICATE, cert.der(), "\n", columns))
            .collect();
        scene.check(text, &Expected { anchors: scene.all_good(), ..Expected::default() });
    }
}

#[test]
fn certificates_of_a_directory_come_in_name_order() {
    use test_support::endpoint::{CurlSsl, POLICY};
    let scene = Scene::new();
    let directory = scene.endpoint.path("opt/company/certs");
    for (name, content) in [
        ("b.pem", scene.good[1].pem().into_bytes()),
        ("a.cer", scene.good[0].der().to_vec()),
        ("c.crt", scene.good[2].pem().replace('\n', "\r\n").into_bytes()),
        ("readme.txt", b"no certificate".to_vec()),
    ] {
        write(&directory.join(name), content);
    }
    let ca_info = scene.endpoint.ca_info().display().to_string();
    scene
        .endpoint
        .write_policy(POLICY, CurlSsl { ca_info: &ca_info, ca_path: &directory.display().to_string() });
    let report = scene.endpoint.json(&["regen"]);
    let all = scene.bootstrap.iter().chain(&scene.policy).chain(&scene.good[..3]);
    assert_eq!(scene.endpoint.published(), Ok(pki::fingerprints(all)), "{report}");
    scene.check_consumers();
}
