//! Policies as they come: encodings, several at once, broken and hostile ones.

use std::fs;

use test_support::endpoint::{CurlSsl, Endpoint, POLICY, write};
use test_support::pki::{self, Cert};
use test_support::search;

/// An endpoint with one bootstrap anchor and two files that policies may name.
fn endpoint() -> (Endpoint, Vec<Cert>) {
    let (endpoint, certs) = (Endpoint::new(), pki::roots("Policy", 3));
    write(&endpoint.bootstrap(), certs[0].pem());
    write(&endpoint.path("opt/a.pem"), certs[1].pem());
    write(&endpoint.path("opt/b.pem"), certs[2].pem());
    (endpoint, certs)
}

fn policy_file(endpoint: &Endpoint, name: &str) -> std::path::PathBuf {
    endpoint.path("var/lib/agentd/policies").join(format!("{name}.xml"))
}

/// Writes a policy of this text, in which `{A}` and `{B}` are the files.
fn write_text(endpoint: &Endpoint, text: &str) -> String {
    let path = |name: &str| endpoint.path(name).display().to_string();
    let text = text.replace("{A}", &path("opt/a.pem")).replace("{B}", &path("opt/b.pem"));
    write(&policy_file(endpoint, POLICY), &text);
    text
}

#[test]
fn utf_16_with_and_without_a_mark() {
    let (endpoint, certs) = endpoint();
    let text = write_text(
        &endpoint,
        "<?xml version=\"1.0\" encoding=\"utf-16\"?>\r\n<p><CurlSSL CAInfo=\"{A}\"/></p>\r\n",
    );
    for (mark, order) in [
        ("\u{feff}", u16::to_le_bytes as fn(u16) -> [u8; 2]),
        ("\u{feff}", u16::to_be_bytes),
        ("", u16::to_le_bytes),
    ] {
        let bytes: Vec<u8> = format!("{mark}{text}").encode_utf16().flat_map(order).collect();
        write(&policy_file(&endpoint, POLICY), bytes);
        let _regen = endpoint.json(&["regen"]);
        assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs[..2])));
    }
}

#[test]
fn the_element_anywhere_and_with_entities() {
    let (endpoint, certs) = endpoint();
    fs::rename(endpoint.path("opt/a.pem"), endpoint.path("opt/a & o.pem")).expect("a file of ours");
    let named = endpoint.path("opt/a & o.pem").display().to_string().replace('&', "&amp;");
    for text in [
        format!("<CurlSSL CAInfo=\"{named}\"/>"),
        format!("<x:a xmlns:x=\"urn:x\"><b><x:CurlSSL CAInfo='{named}'></x:CurlSSL></b></x:a>"),
    ] {
        write(&policy_file(&endpoint, POLICY), text);
        let _regen = endpoint.json(&["regen"]);
        assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs[..2])));
    }
}

#[test]
fn several_policies_come_in_file_name_order() {
    let (endpoint, certs) = endpoint();
    let path = |name: &str| endpoint.path(name).display().to_string();
    endpoint.write_policy("bbbb", CurlSsl { ca_info: &path("opt/b.pem"), ca_path: "" });
    endpoint.write_policy("aaaa", CurlSsl { ca_info: &path("opt/a.pem"), ca_path: "" });
    let _regen = endpoint.json(&["regen"]);
    assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs)));
}

/// The first file that policies name is asked for before it is known that the store reads it anyway.
#[test]
fn a_policy_may_name_a_source_of_the_store() {
    let (endpoint, certs) = endpoint();
    let own = endpoint.bootstrap().display().to_string();
    endpoint.write_policy("aaaa", CurlSsl { ca_info: &own, ca_path: "" });
    let _regen = endpoint.json(&["regen"]);
    assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs[..1])));
    let b = endpoint.path("opt/b.pem").display().to_string();
    endpoint.write_policy("bbbb", CurlSsl { ca_info: &b, ca_path: "" });
    let _regen = endpoint.json(&["regen"]);
    assert_eq!(endpoint.published(), Ok(vec![certs[0].sha256(), certs[2].sha256()]));
    let states = endpoint.json(&["sources"])["sources"].as_array().expect("a list").clone();
    let states = states.iter().map(|source| (source["kind"].as_str(), source["state"].as_str()));
    let expected = [("bootstrap", "ok"), ("site", "missing"), ("policy", "ok")];
    assert!(states.eq(expected.map(|(kind, state)| (Some(kind), Some(state)))));
}

#[test]
fn a_broken_policy_takes_nothing_away() {
    for broken in
        ["<p><CurlSSL CAInfo=\"{B}\"", "<p><CurlSSL CAInfo=\"{B}\"/>", "", "<html><body>502</body>", "\0\0\0"]
    {
        let (endpoint, certs) = endpoint();
        write_text(&endpoint, "<p><CurlSSL CAInfo=\"{A}\"/></p>");
        let _regen = endpoint.json(&["regen"]);
        write_text(&endpoint, broken);
        let _regen = endpoint.json(&["regen"]);
        assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs[..2])), "{broken:?}");
        let status = endpoint.json(&["status"]);
        assert_ne!(status["health"], "ok", "{broken:?}: it is said");
        assert!(status["problems"].to_string().contains(POLICY), "and named: {}", status["problems"]);
    }
}

#[test]
fn entities_from_outside_are_never_read() {
    const SECRET: &str = "S3CRET-c0ntent-of-another-file";
    let (endpoint, certs) = endpoint();
    let secret = endpoint.beside("secret");
    write(&secret, SECRET);
    let text = format!(
        "<!DOCTYPE p [<!ENTITY x SYSTEM \"file://{}\">]>\n<p><CurlSSL CAInfo=\"/&x;\"/><CurlSSL CAInfo=\"{{A}}\">&x;</CurlSSL></p>",
        secret.display()
    );
    write_text(&endpoint, &text);
    says_nothing_of(&endpoint, SECRET, &certs);
}

#[test]
fn entities_that_multiply_are_refused() {
    let (endpoint, certs) = endpoint();
    let mut text = String::from("<!DOCTYPE p [<!ENTITY a0 \"bomb bomb bomb\">\n");
    for level in 1..20 {
        let below = format!("&a{};", level - 1).repeat(10);
        text.push_str(&format!("<!ENTITY a{level} \"{below}\">\n"));
    }
    text.push_str("]>\n<p><CurlSSL CAInfo=\"/&a19;\"/></p>");
    write_text(&endpoint, &text);
    says_nothing_of(&endpoint, "bomb bomb", &certs);
}

#[test]
fn a_file_that_is_no_certificate_is_never_quoted() {
    const SECRET: &str = "root:$6$salt$hash:19000:0:99999:7:::";
    let (endpoint, certs) = endpoint();
    write(&endpoint.path("opt/shadow"), SECRET);
    write_text(&endpoint, &format!("<p><CurlSSL CAInfo=\"{}\"/></p>", endpoint.path("opt/shadow").display()));
    says_nothing_of(&endpoint, SECRET, &certs);
}

#[test]
fn devices_and_pseudo_files_are_refused_at_once() {
    for hostile in [
        "/dev/zero",
        "/dev/null",
        "/proc/self/mem",
        "/proc/self/environ",
        "/",
        "relative.pem",
        "/nowhere/../etc",
    ] {
        let (endpoint, certs) = endpoint();
        write_text(&endpoint, &format!("<p><CurlSSL CAInfo=\"{hostile}\"/></p>"));
        let _regen = endpoint.json(&["regen"]);
        assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs[..1])), "{hostile}");
        // A relative path is a fault of the policy, and named by its place there.
        let named = if hostile.starts_with('/') { hostile } else { "policy-path-relative" };
        assert!(endpoint.json(&["status"])["problems"].to_string().contains(named), "{hostile} is named");
    }
}

/// The store has the bootstrap anchor at least; the words are in no output and no file but where they were.
#[track_caller]
fn says_nothing_of(endpoint: &Endpoint, words: &str, certs: &[Cert]) {
    let needles = [words.as_bytes().to_vec()];
    let before = search::files_with_any(&endpoint.root(), &needles);
    for command in [&["regen"][..], &["sources"], &["status"], &["regen", "--force"]] {
        for form in [&["--json"][..], &["-v"]] {
            let run = endpoint.agentctl(&[command, form].concat()).expect_code(0);
            assert!(!search::contains_any(&run.stdout, &needles), "{}", run.command);
            assert!(!search::contains_any(&run.stderr, &needles), "{}", run.command);
        }
    }
    assert_eq!(search::files_with_any(&endpoint.root(), &needles), before);
    let published = endpoint.published().expect("a bundle");
    assert_eq!(published.first(), Some(&certs[0].sha256()));
}
