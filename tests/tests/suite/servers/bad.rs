//! Everything that answers wrongly: a clear sentence, the last good state kept, a problem code.

use std::fs::{self, File};
use std::path::Path;

use serde_json::{Value, json};
use test_support::endpoint::{Endpoint, write};
use test_support::pem::sha256_hex;
use test_support::pki::{Cert, Recipe};
use test_support::servers::{Counter, Server, free_port};
use test_support::tools;

use super::{GUID, authority, codes, documented, publish, publish_as};

fn config(url: &str, index: &str) -> String {
    format!("[[server]]\nname = \"smp\"\nurl = \"{url}\"\n[refresh]\nindex = \"{index}\"\n")
}

/// A failed refresh: its code, in a sentence with a remedy, on the record, and nothing else changed.
#[track_caller]
fn refused(endpoint: &Endpoint, exit: i32, code: &str) -> Value {
    let before = state(endpoint);
    let run = endpoint.agentctl(&["refresh", "--json"]).expect_code(exit);
    let report = run.json();
    assert_eq!((&report["result"], codes(&report)), (&json!("failed"), vec![code]), "{report:#}");
    let attempt = &report["attempts"][0];
    let words = |key: &str| attempt[key].as_str().expect("words").len();
    assert!(words("message") > 20 && words("remedy") > 10, "{attempt}");
    let status = endpoint.json(&["status"]);
    let problems = status["problems"].as_array().expect("a list");
    let said = problems.iter().find(|problem| problem["code"] == "refresh-failed").expect("it is a problem");
    assert!(said["title"].as_str().is_some_and(|title| title.contains(code)), "{said}");
    assert_eq!(status["management"]["refresh_error"], code);
    assert_eq!(state(endpoint), before, "{code}: the last good state");
    attempt.clone()
}

/// The store, the policy and its anchors as they are.
fn state(endpoint: &Endpoint) -> [Option<Vec<u8>>; 3] {
    let policy = endpoint.path(&format!("var/lib/agentd/policies/{GUID}.xml"));
    let anchors = endpoint.path("var/lib/agentd/anchors/site-ca.pem");
    [endpoint.merged(), policy, anchors].map(|path| fs::read(path).ok())
}

/// An endpoint with a policy from a server.
fn settled(root: &Cert, leaf: &Cert, blocks: &str) -> (Endpoint, Server) {
    let endpoint = Endpoint::new();
    let server = Server::nginx_with(leaf, &[], blocks);
    write(&endpoint.bootstrap(), root.pem());
    publish(server.directory(), &endpoint, 5, &[root]);
    write(&endpoint.config(), config(&server.url(), "/policies/index.json"));
    let _regen = endpoint.json(&["regen"]);
    assert_eq!(endpoint.json(&["refresh"])["result"], "taken");
    (endpoint, server)
}

/// Ten gigabytes that take no room.
fn huge(path: &Path) {
    let file = File::create(path).expect("a scratch directory");
    file.set_len(10_000_000_000).expect("a sparse file");
}

#[test]
fn whom_one_reaches_instead_of_the_server() {
    if !tools::require(&["nginx"]) {
        return;
    }
    let (root, leaf) = authority("Reached CA");
    let (stranger, _) = authority("Stranger CA");
    let (endpoint, _server) = settled(&root, &leaf, &documented("127.0.0.1"));
    let portal = Server::nginx(&Recipe::leaf("login.wifi.example").issued_by(&stranger), &[]);
    let other_name = Server::nginx(&Recipe::leaf("other.example").issued_by(&root), &[]);
    let other_ca = Server::nginx(&Recipe::leaf("localhost").issued_by(&stranger), &[]);
    let plain = Server::nginx_with(
        &leaf,
        &[],
        "server {\n  listen 127.0.0.1:{port};\n  location / { return 200 ok; }\n}\n",
    );
    let closed = format!("https://localhost:{}/", free_port());
    for (url, exit, code, words) in [
        ("https://no-such-host.invalid/", 3, "resolve-failed", "no-such-host.invalid"),
        (&closed, 3, "connect-failed", "refused"),
        (&plain.url(), 3, "not-tls", "speaks plain HTTP, not TLS"),
        (&portal.url(), 6, "captive-portal", "another machine answers for the server"),
        (&other_name.url(), 6, "name-mismatch", "other.example"),
        (&other_ca.url(), 6, "no-issuer", "Stranger CA"),
    ] {
        write(&endpoint.config(), config(url, "/policies/index.json"));
        let attempt = refused(&endpoint, exit, code);
        assert!(attempt["message"].as_str().is_some_and(|text| text.contains(words)), "{attempt}");
    }
    // The same for who enrols: nothing is written, and the port is named for what it is.
    let fingerprint = root.sha256();
    let before = fs::read(endpoint.config()).expect("it is there");
    let run = endpoint.agentctl(&["enroll", &plain.url(), "--fingerprint", &fingerprint, "--json"]);
    let report = run.expect_code(3).json();
    let said = report["steps"][0]["detail"].as_str().expect("words");
    assert!(said.contains("speaks plain HTTP"), "{report:#}");
    assert_eq!(fs::read(endpoint.config()).ok(), Some(before));
}

#[test]
fn answers_that_are_no_policies() {
    if !tools::require(&["nginx"]) {
        return;
    }
    let (root, leaf) = authority("Answers CA");
    let places = "root {dir}/www;\n\
         location = /elsewhere { return 302 https://elsewhere.example/policies/index.json; }\n\
         location = /plain { return 302 http://localhost:{port}/policies/index.json; }\n\
         location = /round { return 302 /round; }\n\
         location = /portal { default_type text/html; return 200 '<!DOCTYPE html><title>Welcome to the hotel</title>'; }\n\
         location = /json-page { default_type application/json; return 200 '<html>Sorry</html>'; }\n\
         location = /denied { return 403; }\n\
         location = /busy { add_header Retry-After 77 always; return 503; }\n\
         location = /broken { return 500; }\n\
         location = /moved { return 301 /policies/index.json; }\n";
    let (endpoint, server) =
        settled(&root, &leaf, &documented("127.0.0.1").replacen("root {dir}/www;", places, 1));
    for (index, code, words) in [
        ("/elsewhere", "redirect-elsewhere", "https://elsewhere.example"),
        ("/plain", "redirect-plain", "plain HTTP"),
        ("/round", "redirect-bad", "again and again"),
        ("/portal", "web-page", "login page"),
        ("/json-page", "web-page", "web page"),
        ("/nothing-there", "not-on-server", "404"),
        ("/denied", "server-denies", "403"),
        ("/busy", "server-busy", "503"),
        ("/broken", "server-error", "500"),
    ] {
        write(&endpoint.config(), config(&server.url(), index));
        let exit = if code.starts_with("server-b") || code == "server-error" { 3 } else { 1 };
        let attempt = refused(&endpoint, exit, code);
        assert!(attempt["message"].as_str().is_some_and(|text| text.contains(words)), "{attempt}");
        assert!(!attempt.to_string().contains("hotel"), "content is never quoted: {attempt}");
    }
    // A redirect that stays on the server is followed.
    write(&endpoint.config(), config(&server.url(), "/moved"));
    assert_eq!(endpoint.json(&["refresh"])["result"], "unchanged");

    // Ten gigabytes as the index, and as a policy: over at the head, not after the limit.
    let counter = Counter::before(&server);
    let policies = server.directory().join("www/policies");
    huge(&policies.join("huge.json"));
    write(&endpoint.config(), config(&counter.url(), "/policies/huge.json"));
    let _index = refused(&endpoint, 1, "too-large");
    write(&endpoint.config(), config(&counter.url(), "/policies/index.json"));
    publish_as(server.directory(), 6, "<Policy version=\"6\"/>", None);
    huge(&policies.join(format!("{GUID}.xml")));
    let _policy = refused(&endpoint, 1, "too-large");
    let (_, back) = counter.octets();
    // What the server had put into the line before it noticed that nobody listens.
    assert!(back < 40_000_000, "{back} octets came");
}

#[test]
fn policies_that_are_not_taken() {
    if !tools::require(&["nginx"]) {
        return;
    }
    let (root, leaf) = authority("Policies CA");
    let (endpoint, server) = settled(&root, &leaf, &documented("127.0.0.1"));
    let directory = server.directory();
    let anchors = endpoint.path("var/lib/agentd/anchors");
    let with_path = |path: &str| {
        format!("<Policy guid=\"{{{GUID}}}\" version=\"6\"><CurlSSL CAInfo=\"{path}\"/></Policy>")
    };
    let in_ours = |name: &str| with_path(&anchors.join(name).display().to_string());
    let laughs: String = (1..10)
        .map(|level| format!("<!ENTITY l{level} \"{}\">", format!("&l{};", level - 1).repeat(10)))
        .collect();
    let bomb = format!("<!DOCTYPE p [<!ENTITY l0 \"ha\">{laughs}]><Policy version=\"6\">&l9;</Policy>");
    let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
    for (policy, code) in [
        (bomb.as_str(), "policy-unreadable"),
        (&deep, "policy-unreadable"),
        ("<Policy version=\"6\">", "policy-unreadable"),
        ("<!DOCTYPE html><html><body>500</body></html>", "web-page"),
        (&with_path("site-ca.pem"), "policy-path-relative"),
        (&with_path("../cainfo.pem"), "policy-path-relative"),
        (&with_path("/opt/../etc/ssl/ca.pem"), "policy-path"),
        (&in_ours("not-brought.pem"), "policy-path"),
        (&in_ours("../cainfo.pem"), "policy-path"),
        ("<Policy version=\"7\"/>", "policy-version"),
    ] {
        publish_as(directory, 6, policy, None);
        let attempt = refused(&endpoint, 1, code);
        assert!(!attempt.to_string().contains("ha&"), "{attempt}");
    }
    // What it brings and no CAInfo of it names, or that has no certificate.
    publish_as(directory, 6, &with_path("/opt/ca.pem"), Some(&root.pem()));
    let _unnamed = refused(&endpoint, 1, "policy-path");
    publish_as(directory, 6, &in_ours("site-ca.pem"), Some("no certificate here\n"));
    let _empty = refused(&endpoint, 1, "no-certificate");
    // A lower version, of the index and of the policy alone.
    publish(directory, &endpoint, 4, &[&root]);
    let _older = refused(&endpoint, 1, "policy-older");
    let index = directory.join("www/policies/index.json");
    let text = fs::read_to_string(&index).expect("it is there");
    write(&index, text.replace("\"v\":1,\"version\":4", "\"v\":1,\"version\":9"));
    assert_eq!(codes(&endpoint.agentctl(&["refresh", "--json"]).json()), ["policy-older"]);
    assert_eq!(endpoint.json(&["refresh", "--allow-downgrade"])["result"], "taken", "on purpose");

    // A path that leads nowhere is the operator's to mend: it is taken, named, and nothing is lost by it.
    let published = endpoint.published();
    let policy = with_path("/no/such/place/ca.pem");
    publish_as(directory, 10, &policy.replace("version=\"6\"", "version=\"10\""), None);
    assert_eq!(endpoint.json(&["refresh"])["result"], "taken");
    let status = endpoint.json(&["status"]);
    let problems = status["problems"].as_array().expect("a list");
    let missing = problems.iter().find(|problem| problem["code"] == "source-missing").expect("it is named");
    assert!(missing.to_string().contains("/no/such/place/ca.pem"), "{missing}");
    assert_eq!(endpoint.published(), published, "the server's anchor is there by the bootstrap");
    assert_eq!(endpoint.json(&["refresh"])["result"], "unchanged");
}

#[test]
fn the_content_that_a_policy_brings_stays_in_its_directory() {
    if !tools::require(&["nginx"]) {
        return;
    }
    let (root, leaf) = authority("Brought CA");
    let (other, _) = authority("Brought Too");
    let (endpoint, server) = settled(&root, &leaf, &documented("127.0.0.1"));
    let anchors = endpoint.path("var/lib/agentd/anchors/site-ca.pem");
    assert_eq!(fs::read(&anchors).ok(), Some(root.pem().into_bytes()), "written where the policy says");
    // What leads out of it is not followed: a link in its place is replaced, and what it leads to stays.
    let outside = endpoint.beside("outside.pem");
    write(&outside, "untouched\n");
    fs::remove_file(&anchors).and_then(|()| std::os::unix::fs::symlink(&outside, &anchors)).expect("a link");
    publish(server.directory(), &endpoint, 6, &[&root, &other]);
    assert_eq!(endpoint.json(&["refresh"])["added"], json!([other.sha256()]));
    assert_eq!(fs::read(&outside).ok(), Some(b"untouched\n".to_vec()));
    assert!(anchors.symlink_metadata().is_ok_and(|file| file.is_file()));
    // Names that lead out of it make the whole index refused.
    let index = server.directory().join("www/policies/index.json");
    let text = fs::read_to_string(&index).expect("it is there");
    for name in ["../outside.pem", "/etc/passwd", "a/b.pem", ".hidden", "%2e%2e%2fx"] {
        write(&index, text.replace("site-ca.pem", name));
        let _refused = refused(&endpoint, 1, "index-unreadable");
    }
    write(&index, &text);
    // A policy that is on the server no more is taken away with what it brought.
    write(&index, json!({"v": 1, "version": 8, "policies": []}).to_string());
    let report = endpoint.json(&["refresh"]);
    assert_eq!(report["removed_files"].as_array().map(Vec::len), Some(2), "{report}");
    assert!(!anchors.exists());
    assert_eq!(report["removed"], json!([other.sha256()]), "gone with the answer, not some time later");
    assert_eq!(endpoint.published(), Ok(vec![root.sha256()]));
    assert_eq!(sha256_hex(b"untouched\n"), sha256_hex(&fs::read(&outside).expect("it is there")));
}
