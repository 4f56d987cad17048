use serde_json::json;
use test_support::endpoint::Endpoint;
use test_support::servers::{Counter, Kind, Server};
use test_support::tools;

use super::{authority, enroll, publish};

/// Enrolled, refreshed, switched in the announced order, told of: with every kind of server.
fn life_with(kind: Kind) {
    if !tools::require(&[kind.program()]) {
        return;
    }
    let [(a, leaf_a), (b, leaf_b)] = ["Kind A", "Kind B"].map(authority);
    let endpoint = Endpoint::new();
    let mut server = Server::of(kind, &leaf_a, std::slice::from_ref(&a));
    publish(server.directory(), &endpoint, 1, &[&a]);
    server.restart();
    let inventory = ["--index", "/policies/index.json", "--inventory", "/inventory"];
    let options = if kind.takes_inventory() { &inventory[..] } else { &inventory[..2] };
    let report = enroll(&endpoint, &server.url(), &a.sha256(), options);
    let last = if kind.takes_inventory() { "done" } else { "skipped" };
    assert_eq!(
        (&report["steps"][3]["result"], &report["steps"][4]["result"]),
        (&json!("done"), &json!(last))
    );
    assert_eq!(endpoint.published(), Ok(vec![a.sha256()]));

    let report = endpoint.json(&["refresh"]);
    let how = if kind.has_validators() { "not-modified" } else { "same-content" };
    assert_eq!(
        (&report["result"], &report["how"], &report["connections"]),
        (&json!("unchanged"), &json!(how), &json!(1)),
        "{report}"
    );

    publish(server.directory(), &endpoint, 2, &[&a, &b]);
    server.restart();
    let report = endpoint.json(&["refresh"]);
    assert_eq!((&report["result"], &report["added"]), (&json!("taken"), &json!([b.sha256()])), "{report}");
    server.present(&leaf_b, &[]);
    assert_eq!(endpoint.json(&["refresh"])["result"], "unchanged");
    let reached = endpoint.json(&["connect", "localhost"]);
    assert_eq!((&reached["anchor"]["sha256"], &reached["lock"]), (&json!(b.sha256()), &json!("secure")));
    assert_eq!(reached["handshakes"], 1);
    // Without a daemon too it is remembered who issued the certificate before.
    let before = reached["new_issuer"]["before"].as_str();
    assert!(before.is_some_and(|issuer| issuer.contains("Kind A")), "{reached}");
    if kind.takes_inventory() {
        assert_eq!(endpoint.json(&["inventory"])["result"], "sent");
    }
    // Counted from outside: what it says of its connections is so.
    let counter = Counter::before(&server);
    let target = counter.url();
    let run = endpoint.agentctl(&["connect", &target, "--json"]).expect_code(0);
    assert_eq!((run.json()["handshakes"].as_u64(), counter.connections()), (Some(1), 1));
}

#[test]
fn a_life_with_apache() {
    life_with(Kind::Apache);
}

#[test]
fn a_life_with_haproxy() {
    life_with(Kind::Haproxy);
}

#[test]
fn a_life_with_caddy() {
    life_with(Kind::Caddy);
}

#[test]
fn a_life_with_s_server() {
    life_with(Kind::Openssl);
}
