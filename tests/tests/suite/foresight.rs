//! What will break, and when: said days ahead, with the daemon and after it, by `status` and by `connect` alike.

use serde_json::Value;
use test_support::endpoint::{Endpoint, write};
use test_support::pki::{self, Cert, Recipe};
use test_support::poll;
use test_support::servers::Server;
use test_support::tools;

fn configure(endpoint: &Endpoint, server: &Server, anchors: &[&Cert]) {
    write(
        &endpoint.config(),
        format!(
            "[connect]\ncheck-interval = \"1s\"\n[[server]]\nname = \"mgmt\"\nurl = \"{}\"\n",
            server.url()
        ),
    );
    write(&endpoint.bootstrap(), pki::bundle(anchors.iter().copied()));
}

fn codes(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(|problem| problem["code"].as_str()).collect()
}

/// The status once its server is what is waited for.
fn status_where(endpoint: &Endpoint, holds: impl Fn(&Value) -> bool) -> Value {
    poll::until_ok("the status", || {
        let status = endpoint.json(&["status"]);
        if holds(&status) { Ok(status) } else { Err(format!("{status}\n{}", endpoint.log())) }
    })
}

fn day(cert_days: i64) -> String {
    let text = format!("{cert_days} days");
    let date = test_support::process::run(test_support::process::command(tools::path("date")).args([
        "-u",
        "+%Y-%m-%d",
        "-d",
        &text,
    ]));
    date.expect_code(0).out().trim().to_owned()
}

#[test]
fn the_end_of_a_servers_certificate_is_said_ahead_and_after_the_daemon_is_gone() {
    if !tools::require(&["nginx", "date"]) {
        return;
    }
    let mut endpoint = Endpoint::new();
    let leaf = Recipe::leaf("localhost").days(-300, 20).self_signed();
    let server = Server::nginx(&leaf, &[]);
    configure(&endpoint, &server, &[&leaf]);
    endpoint.start_daemon();
    let status = status_where(&endpoint, |status| status["servers"][0]["lock"] == "attention");
    let reached = &status["servers"][0];
    assert_eq!(codes(&reached["reasons"]), ["server-certificate-expires"], "{status}");
    assert!(reached["breaks_at"].as_str().is_some_and(|at| at.starts_with(&day(20))), "{status}");
    assert!(codes(&status["problems"]).contains(&"server-certificate-expires"), "{status}");
    assert_eq!(endpoint.agentctl(&["status", "--check"]).code(), 8);
    let text = endpoint.agentctl(&["status"]).expect_code(0);
    assert!(text.out().contains("that very certificate alone"), "{}", text.out());
    let connected = endpoint.json(&["connect", "mgmt"]);
    assert_eq!(connected["lock"], "attention");
    assert_eq!(codes(&connected["lock_reasons"]), ["server-certificate-expires"]);
    assert_eq!(connected["breaks_at"], reached["breaks_at"]);
    // It is remembered, without a daemon and without the server.
    poll::until("it is written down", || {
        endpoint.path("var/lib/agentd/state/chains.json").exists().then_some(())
    });
    assert!(endpoint.stop_daemon().success());
    drop(server);
    let later = endpoint.json(&["status"]);
    assert_eq!(later["servers"][0]["lock"], Value::Null);
    assert_eq!(later["servers"][0]["breaks_at"], reached["breaks_at"], "{later}");
    assert!(codes(&later["problems"]).contains(&"server-certificate-expires"), "{later}");
}

#[test]
fn an_anchor_that_ends_first_and_an_intermediate_that_is_not_sent() {
    if !tools::require(&["nginx", "date"]) {
        return;
    }
    let mut endpoint = Endpoint::new();
    let root = Recipe::ca("Far Root").self_signed();
    let issuer = Recipe::ca("Near Issuer").days(-300, 12).issued_by(&root);
    let leaf = Recipe::leaf("localhost").days(-30, 300).issued_by(&issuer);
    let server = Server::nginx(&leaf, &[]);
    configure(&endpoint, &server, &[&issuer]);
    endpoint.start_daemon();
    let status = status_where(&endpoint, |status| status["servers"][0]["lock"] == "attention");
    assert_eq!(codes(&status["servers"][0]["reasons"]), ["anchor-expires"], "{status}");
    assert!(
        status["servers"][0]["breaks_at"].as_str().is_some_and(|at| at.starts_with(&day(12))),
        "{status}"
    );
    let found = codes(&status["problems"]);
    for code in ["server-anchor-expires", "server-intermediate-not-sent"] {
        assert!(found.contains(&code), "{code}: {status}");
    }
    assert!(!found.contains(&"server-certificate-expires"), "{status}");
    // Its successor, sent out in time, and nothing is about to break any more.
    let successor = Recipe::ca("Near Issuer").key(&issuer.key()).days(-1, 900).issued_by(&root);
    write(&endpoint.bootstrap(), pki::bundle([&issuer, &successor]));
    let status = status_where(&endpoint, |status| {
        status["servers"][0]["breaks_at"].as_str().is_some_and(|at| at.starts_with(&day(300)))
    });
    assert!(!codes(&status["problems"]).contains(&"server-anchor-expires"), "{status}");
}

#[test]
fn a_new_issuer_is_noticed() {
    if !tools::require(&["nginx"]) {
        return;
    }
    let mut endpoint = Endpoint::new();
    let [old, new] = ["Old Issuer", "New Issuer"].map(|name| Recipe::ca(name).self_signed());
    let [before, after] = [&old, &new].map(|ca| Recipe::leaf("localhost").issued_by(ca));
    let mut server = Server::nginx(&before, &[]);
    configure(&endpoint, &server, &[&old, &new]);
    endpoint.start_daemon();
    let status = status_where(&endpoint, |status| status["servers"][0]["lock"] == "secure");
    assert!(!codes(&status["problems"]).contains(&"server-issuer-new"), "{status}");
    server.present(&after, &[]);
    let status = status_where(&endpoint, |status| codes(&status["problems"]).contains(&"server-issuer-new"));
    assert!(status.to_string().contains("CN=Old Issuer"), "{status}");
    assert_eq!(status["servers"][0]["lock"], "secure");
    assert_eq!(endpoint.agentctl(&["status", "--check"]).code(), 0, "that is for information");
}
