//! `agentctl connect` against real servers: the anchor named, one handshake counted, a reason for every other.

use serde_json::Value;
use test_support::endpoint::{Endpoint, write};
use test_support::pki::{self, Cert, Recipe};
use test_support::servers::{Counter, Server, free_port};
use test_support::tools;

type Make = fn(&Cert, &[Cert]) -> Server;

/// An authority, an intermediate and a leaf, and an endpoint whose store holds others around one of them.
struct Scene {
    endpoint: Endpoint,
    root: Cert,
    intermediate: Cert,
    leaf: Cert,
    others: Vec<Cert>,
}

impl Scene {
    fn new() -> Self {
        let root = Recipe::ca("Connect Root").self_signed();
        let intermediate = Recipe::ca("Connect Intermediate").path_len(0).issued_by(&root);
        let leaf = Recipe::leaf("localhost").issued_by(&intermediate);
        Self { endpoint: Endpoint::new(), root, intermediate, leaf, others: pki::roots("Other", 4) }
    }

    /// Publishes a store: two others, then these, then two others.
    fn trust(&self, anchors: &[&Cert]) {
        let (before, after) = self.others.split_at(2);
        let all = before.iter().chain(anchors.iter().copied()).chain(after);
        write(&self.endpoint.bootstrap(), pki::bundle(all));
        let _regen = self.endpoint.json(&["regen"]);
    }

    /// Connects to the server, past a counter of connections, and gives the report.
    #[track_caller]
    fn connect(&self, server: &Server, code: i32) -> Value {
        let counter = Counter::before(server);
        let report = self.endpoint.agentctl(&["connect", &counter.url(), "--json"]).expect_code(code).json();
        assert_eq!(counter.connections(), 1, "one connection, whatever the number of anchors");
        assert_eq!(report["handshakes"], 1, "{report}");
        report
    }
}

#[test]
fn root_intermediate_or_leaf_suffices() {
    for make in servers() {
        let mut scene = Scene::new();
        let server = make(&scene.leaf, std::slice::from_ref(&scene.intermediate));
        for with_daemon in [false, true] {
            if with_daemon {
                scene.endpoint.start_daemon();
            }
            for (anchor, kind) in
                [(&scene.root, "issuer"), (&scene.intermediate, "issuer"), (&scene.leaf, "exact")]
            {
                scene.trust(&[anchor]);
                let report = scene.connect(&server, 0);
                assert_eq!(report["result"], "accept", "{report}");
                assert_eq!(report["anchor"]["sha256"], anchor.sha256());
                assert_eq!(report["anchor"]["index"], 2, "the third of five");
                assert_eq!(report["match"], kind);
                assert_eq!(report["anchors_total"], 5);
                assert!(
                    report["tls_version"].as_str().is_some_and(|version| version.contains("1.")),
                    "{report}"
                );
                assert!(report["cipher_suite"].as_str().is_some_and(|suite| !suite.is_empty()), "{report}");
            }
        }
    }
}

#[test]
fn the_first_in_order_wins() {
    for make in servers() {
        let scene = Scene::new();
        let server = make(&scene.leaf, std::slice::from_ref(&scene.intermediate));
        scene.trust(&[&scene.root, &scene.intermediate]);
        assert_eq!(scene.connect(&server, 0)["anchor"]["sha256"], scene.root.sha256());
        scene.trust(&[&scene.intermediate, &scene.root]);
        assert_eq!(scene.connect(&server, 0)["anchor"]["sha256"], scene.intermediate.sha256());
    }
}

#[test]
fn reasons_for_those_before_it() {
    for make in servers() {
        let scene = Scene::new();
        let server = make(&scene.leaf, std::slice::from_ref(&scene.intermediate));
        // Candidates by name, and neither verifies: another key of the same name, and one that has expired.
        let reissued = Recipe::ca("Connect Root").no_key_ids().self_signed();
        let expired = Recipe::ca("Connect Root").key(&scene.root.key()).days(-400, -30).self_signed();
        scene.trust(&[&reissued, &expired, &scene.root]);
        let report = scene.connect(&server, 0);
        assert_eq!(report["anchor"]["sha256"], scene.root.sha256(), "{report}");
        let tried = report["tried"].as_array().expect("a list");
        let before: Vec<&Value> =
            tried.iter().filter(|tried| tried["code"] != "ok" && tried["code"] != "accept").collect();
        assert_eq!(before.len(), 2, "a reason for each: {report}");
        assert!(before.iter().all(|tried| tried["code"].as_str().is_some_and(|code| !code.is_empty())));
        assert!(
            tried.iter().any(|tried| tried["code"].as_str().is_some_and(|code| code.contains("expired"))),
            "{report}"
        );
    }
}

#[test]
fn no_anchor_is_refused() {
    for make in servers() {
        let scene = Scene::new();
        let server = make(&scene.leaf, std::slice::from_ref(&scene.intermediate));
        scene.trust(&[]);
        let report = scene.connect(&server, 6);
        assert_eq!(report["result"], "reject", "{report}");
        assert_eq!(report["anchor"], Value::Null);
        assert!(report["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{report}");
        let text = scene.endpoint.agentctl(&["connect", &server.url()]).expect_code(6);
        assert!(
            text.out().contains("Connect Root") || text.out().contains("Connect Intermediate"),
            "{}",
            text.out()
        );
    }
}

#[test]
fn a_common_name_alone_will_do() {
    for make in servers() {
        let scene = Scene::new();
        let leaf = Recipe::leaf("localhost").cn_only().self_signed();
        let server = make(&leaf, &[]);
        scene.trust(&[&leaf]);
        assert_eq!(scene.connect(&server, 0)["match"], "exact");
    }
}

#[test]
fn another_name_is_refused() {
    for make in servers() {
        let scene = Scene::new();
        let leaf = Recipe::leaf("other.example").issued_by(&scene.intermediate);
        let server = make(&leaf, std::slice::from_ref(&scene.intermediate));
        scene.trust(&[&scene.root]);
        let report = scene.connect(&server, 6);
        assert!(report.to_string().contains("other.example"), "the names it has are shown: {report}");
    }
}

#[test]
fn a_server_that_is_not_there_cannot_be_reached() {
    let scene = Scene::new();
    scene.trust(&[&scene.root]);
    let url = format!("https://localhost:{}/", free_port());
    let run = scene.endpoint.agentctl(&["connect", &url, "--json"]).expect_code(3);
    assert!(
        !run.out().contains("no-anchor") && !run.out().contains("untrusted"),
        "that says nothing of anchors: {}",
        run.out()
    );
}

#[test]
fn a_configured_server_is_found_by_name() {
    for make in servers() {
        let scene = Scene::new();
        let server = make(&scene.leaf, std::slice::from_ref(&scene.intermediate));
        write(
            &scene.endpoint.config(),
            format!("[[server]]\nname = \"management\"\nurl = \"{}\"\n", server.url()),
        );
        scene.trust(&[&scene.root]);
        let report = scene.endpoint.json(&["connect", "management"]);
        assert_eq!(report["anchor"]["sha256"], scene.root.sha256(), "{report}");
    }
}

#[test]
fn a_policy_asks_for_a_newer_tls_and_never_for_an_older_one() {
    if !tools::require(&["openssl"]) {
        return;
    }
    let scene = Scene::new();
    let leaf = Recipe::leaf("localhost").self_signed();
    let old = Server::openssl_with(&leaf, &["-tls1_2"]);
    let new = Server::openssl_with(&leaf, &["-tls1_3"]);
    scene.trust(&[&leaf]);
    for (local, policy, old_is_reached) in
        [("1.2", "1.2", true), ("1.2", "1.3", false), ("1.3", "1.2", false), ("1.2", "1.0", true)]
    {
        write(&scene.endpoint.config(), format!("[security]\nminimum-tls = \"{local}\"\n"));
        let text = format!("<Policy><CurlSSL CAInfo=\"\" MinimumTLS=\"{policy}\"/></Policy>");
        write(&scene.endpoint.path("var/lib/agentd/policies/tls.xml"), text);
        let run = scene.endpoint.agentctl(&["connect", &old.url(), "--json"]);
        let run = run.expect_code(if old_is_reached { 0 } else { 3 });
        assert_eq!(
            run.err().contains("does not speak TLS 1.3"),
            !old_is_reached,
            "{local} {policy}: {}",
            run.err()
        );
        let reached = scene.endpoint.json(&["connect", &new.url()]);
        assert_eq!(reached["tls_version"], "TLSv1.3", "{local} {policy}: {reached}");
    }
}

/// The servers that are installed.
fn servers() -> Vec<Make> {
    let all: [(&str, Make); 2] = [("nginx", Server::nginx), ("openssl", Server::openssl)];
    all.into_iter().filter(|(program, _)| tools::require(&[program])).map(|(_, make)| make).collect()
}
