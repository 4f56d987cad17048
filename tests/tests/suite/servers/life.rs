//! nginx and a private CA, from nothing through switches and outages; after each step what `status` says.

use std::fs;

use serde_json::{Value, json};
use test_support::endpoint::{Endpoint, write};
use test_support::pki::{Cert, Recipe};
use test_support::poll;
use test_support::servers::{Counter, Server};
use test_support::tools;

use super::{authority, codes, documented, enroll, problems, publish, server};

fn nginx(leaf: &Cert, root: &Cert) -> Server {
    Server::nginx_with(leaf, std::slice::from_ref(root), &documented("127.0.0.1"))
}

/// Waits until the daemon says of a server that it has this lock and this anchor or reason, and gives the status.
#[track_caller]
fn stands(endpoint: &Endpoint, what: &str, name: &str, lock: &str, key: &str, value: &str) -> Value {
    poll::until_ok(what, || {
        let status = endpoint.json(&["status"]);
        let found = server(&status, name);
        if found["lock"] == lock && found[key] == value { Ok(status) } else { Err(format!("{status:#}")) }
    })
}

/// The codes of what needs a hand; what is only to be known is left out.
fn warnings(status: &Value) -> Vec<&str> {
    let all = status["problems"].as_array().expect("a list").iter();
    let grave = all.filter(|problem| problem["severity"] != "info");
    grave.map(|problem| problem["code"].as_str().expect("a code")).collect()
}

#[test]
fn a_new_user_and_what_status_says() {
    if !tools::require(&["nginx"]) {
        return;
    }
    let [(a, leaf_a), (b, leaf_b), (c, leaf_c)] = ["Life A", "Life B", "Life C"].map(authority);
    let packages_leaf = Recipe::leaf("localhost").self_signed();
    let (mut first, mut second) = (nginx(&leaf_a, &a), nginx(&leaf_a, &a));
    let packages = Server::nginx(&packages_leaf, &[]);
    let mut endpoint = Endpoint::new();
    for server in [&first, &second] {
        publish(server.directory(), &endpoint, 1, &[&a]);
    }
    // So that status is at most a second old.
    write(&endpoint.config(), "[connect]\ncheck-interval = \"1s\"\n");
    endpoint.start_daemon();

    // Enrolled by the CA's fingerprint; the running daemon has it at once.
    let paths = ["--index", "/policies/index.json", "--inventory", "/inventory"];
    let one = enroll(&endpoint, &first.url(), &a.sha256(), &[&paths[..], &["--name", "first"]].concat());
    assert!(
        one["steps"][1]["detail"].as_str().is_some_and(|line| line.contains("the daemon has it")),
        "{one}"
    );
    let status = stands(&endpoint, "enrolled", "first", "secure", "anchor", &a.sha256());
    assert_eq!((&status["health"], &status["management"]["refreshed_from"]), (&json!("ok"), &json!("first")));
    assert_eq!((problems(&status), status["management"]["policies"].as_u64()), (Vec::new(), Some(1)));
    // A second one, and a site server with a certificate of its own.
    let _two = enroll(&endpoint, &second.url(), &a.sha256(), &["--name", "second"]);
    let more = ["--name", "packages", "--role", "site"];
    let _site = enroll(&endpoint, &packages.url(), &packages_leaf.sha256(), &more);
    let status =
        stands(&endpoint, "the site server", "packages", "secure", "anchor", &packages_leaf.sha256());
    assert_eq!(server(&status, "second")["lock"], "secure", "{status:#}");
    assert_eq!(problems(&status), Vec::<&str>::new());
    let everything = [a.sha256(), packages_leaf.sha256()];
    assert_eq!(endpoint.published().as_deref(), Ok(&everything[..]));

    // The announced order: the policy, then the server. Never refused in between.
    publish(first.directory(), &endpoint, 2, &[&a, &b]);
    publish(second.directory(), &endpoint, 2, &[&a, &b]);
    assert_eq!(endpoint.json(&["refresh"])["added"], json!([b.sha256()]));
    assert_eq!(warnings(&endpoint.json(&["status"])), Vec::<&str>::new());
    first.present(&leaf_b, &[]);
    let status = stands(&endpoint, "switched as announced", "first", "secure", "anchor", &b.sha256());
    assert_eq!(warnings(&status), Vec::<&str>::new());
    assert_eq!(problems(&status), ["server-issuer-new"], "nobody is alarmed, and it is said");

    // The wrong order: the server first. It is named, and the other one is used.
    first.present(&leaf_c, &[]);
    let status = stands(&endpoint, "switched too early", "first", "insecure", "reason", "no-issuer");
    assert!(warnings(&status).contains(&"server-not-verified"), "{status:#}");
    assert_eq!(
        (&status["health"], &server(&status, "second")["lock"]),
        (&json!("degraded"), &json!("secure"))
    );
    let report = endpoint.json(&["refresh"]);
    assert_eq!((&report["server"], codes(&report)), (&json!("second"), vec!["no-issuer"]), "{report}");
    assert_eq!(endpoint.json(&["status"])["management"]["refreshed_from"], "second");

    // And the other one goes down: nothing to refresh from, the last good state stays, the lock as well.
    second.stop();
    let report = endpoint.agentctl(&["refresh", "--json"]).expect_code(6).json();
    assert_eq!(codes(&report), ["no-issuer", "connect-failed"], "{report}");
    let status = stands(&endpoint, "an outage", "second", "secure", "reason", "connect-failed");
    let mut named = warnings(&status);
    named.sort_unstable();
    assert_eq!(named, ["refresh-failed", "server-not-verified", "server-unreachable"], "{status:#}");
    assert_eq!(status["management"]["refresh_error"], "connect-failed");
    let kept = [a.sha256(), packages_leaf.sha256(), b.sha256()];
    assert_eq!(endpoint.published().as_deref(), Ok(&kept[..]), "the last good state");

    // It comes back with what was missing, and so does the first.
    publish(second.directory(), &endpoint, 3, &[&a, &b, &c]);
    publish(first.directory(), &endpoint, 3, &[&a, &b, &c]);
    second.restart();
    let report = endpoint.json(&["refresh"]);
    assert_eq!((&report["server"], &report["added"]), (&json!("second"), &json!([c.sha256()])), "{report}");
    let status = stands(&endpoint, "back", "first", "secure", "anchor", &c.sha256());
    assert!(!problems(&status).contains(&"refresh-failed"), "{status:#}");
    assert_eq!(endpoint.json(&["refresh"])["server"], "first");
    let status = poll::until_ok("all is well", || {
        let status = endpoint.json(&["status"]);
        if warnings(&status).is_empty() { Ok(status) } else { Err(format!("{status:#}")) }
    });
    assert_eq!((&server(&status, "second")["lock"], &status["health"]), (&json!("secure"), &json!("ok")));
    // An old one is withdrawn: nobody needs it, so it is gone with the answer.
    publish(first.directory(), &endpoint, 4, &[&a, &c]);
    let report = endpoint.json(&["refresh"]);
    assert_eq!((&report["server"], &report["removed"]), (&json!("first"), &json!([b.sha256()])), "{report}");
    // Each told of itself in time.
    let told = fs::read_dir(first.directory().join("inventory")).expect("nginx keeps them").count();
    assert!(told > 0, "the inventory of the enrolment");
}

#[test]
fn from_a_publication_to_the_first_connection_on_its_anchors() {
    if !tools::require(&["nginx"]) {
        return;
    }
    for by_itself in [false, true] {
        let [(a, leaf_a), (b, leaf_b)] = ["Known CA", "Published CA"].map(authority);
        let (serves, switched) = (nginx(&leaf_a, &a), nginx(&leaf_b, &b));
        let mut endpoint = Endpoint::new();
        publish(serves.directory(), &endpoint, 1, &[&a]);
        write(&endpoint.bootstrap(), a.pem());
        // A server is looked at when the store changes, and then not for an hour: it is the new store that is tried.
        let interval = if by_itself { "interval = \"5s\"\n" } else { "" };
        let config = format!(
            "[[server]]\nname = \"serves\"\nurl = \"{}\"\n[[server]]\nname = \"switched\"\nurl = \"{}\"\nrole = \"site\"\n\
             [refresh]\nindex = \"/policies/index.json\"\n{interval}[connect]\ncheck-interval = \"1h\"\n",
            serves.url(),
            switched.url()
        );
        write(&endpoint.config(), config);
        endpoint.start_daemon();
        let _before = stands(&endpoint, "the policy is there", "switched", "insecure", "reason", "no-issuer");
        poll::until("and was asked for", || {
            endpoint.json(&["status"])["management"]["refreshed_at"].is_string().then_some(())
        });
        let published = std::time::Instant::now();
        publish(serves.directory(), &endpoint, 2, &[&a, &b]);
        if !by_itself {
            assert_eq!(endpoint.json(&["refresh"])["added"], json!([b.sha256()]));
        }
        let _after = stands(&endpoint, "in one pass", "switched", "secure", "anchor", &b.sha256());
        let how = if by_itself { "by itself, interval 5 s" } else { "by one agentctl refresh" };
        let seconds = published.elapsed().as_secs_f32();
        tools::say(&format!(
            "from the publication to the first connection on its anchors: {seconds:.2} s ({how})"
        ));
    }
}

#[test]
fn nothing_new_is_one_connection_and_what_it_costs() {
    if !tools::require(&["nginx"]) {
        return;
    }
    const TIMES: usize = 50;
    let (root, leaf) = authority("Costs CA");
    let server = nginx(&leaf, &root);
    let counter = Counter::before(&server);
    let mut endpoint = Endpoint::new();
    publish(server.directory(), &endpoint, 1, &[&root]);
    endpoint.start_daemon();
    let _enrolled = enroll(&endpoint, &counter.url(), &root.sha256(), &["--index", "/policies/index.json"]);
    poll::until("the daemon has looked at its server", || {
        (endpoint.json(&["status"])["servers"][0]["lock"] == "secure").then_some(())
    });
    let (connections, octets) = (counter.connections(), counter.octets());
    let (daemon, web) = (cpu(endpoint.daemon_id()), cpu(server.id()));
    for _ in 0..TIMES {
        let report = endpoint.json(&["refresh"]);
        assert_eq!((&report["how"], &report["connections"]), (&json!("not-modified"), &json!(1)), "{report}");
    }
    assert_eq!(counter.connections() - connections, TIMES, "one connection each");
    let each = |after: u64, before: u64| (after - before) / TIMES as u64;
    let (up, down) = counter.octets();
    let (up, down) = (each(up, octets.0), each(down, octets.1));
    tools::say(&format!(
        "a refresh with nothing new: 1 connection, {up} octets there, {down} back; CPU of {TIMES} of them: agentd {} ms, \
         nginx {} ms",
        cpu(endpoint.daemon_id()) - daemon,
        cpu(server.id()) - web,
    ));
    assert!((100..2_000).contains(&up) && (100..4_000).contains(&down), "{up} there, {down} back");
}

/// Milliseconds of CPU that a process has used, as the kernel counts them in ticks of ten.
fn cpu(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).expect("a process of ours");
    let (_, fields) = text.rsplit_once(')').expect("its name");
    let ticks =
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
    ticks.sum::<u64>() * 10
}
