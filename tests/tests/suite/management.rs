//! The management servers as an operator has them: nginx with files, a switch of certificates in the right order and in
//! the wrong one, an outage with failover and return, a proxy, IPv6, and servers that answer badly.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use test_support::endpoint::{Endpoint, write};
use test_support::pem::sha256_hex;
use test_support::pki::{Cert, Recipe};
use test_support::poll;
use test_support::process::{Owned, command};
use test_support::servers::{Counter, Server, deployed, free_port};
use test_support::tools;

pub(crate) const GUID: &str = "5f0c2f4e-8d8b-4c8e-9d53-0a6c1f6b7a11";

/// The server of `docs/MANAGEMENT.md`, word for word but for its places.
pub(crate) fn documented(listen: &str) -> String {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/MANAGEMENT.md");
    let text = fs::read_to_string(page).expect("the page");
    let (_, rest) = text.split_once("```nginx\n").expect("an example");
    let (block, _) = rest.split_once("```").expect("its end");
    let mut block = block.to_owned();
    for (theirs, ours) in [
        ("listen 443 ssl", &*format!("listen {listen}:{{port}} ssl")),
        ("/etc/nginx/smp-chain.pem", "{dir}/chain.pem"),
        ("/etc/nginx/smp-key.pem", "{dir}/key.pem"),
        ("/srv/agentd/inventory", "{dir}/inventory"),
        ("/srv/agentd", "{dir}/www"),
        ("/run/agentd-inventory.sock", "{dir}/inventory.sock"),
    ] {
        assert!(block.contains(theirs), "{theirs}");
        block = block.replace(theirs, ours);
    }
    block
}

/// A CA with a certificate of its own for the server.
pub(crate) fn authority(name: &str) -> (Cert, Cert) {
    let root = Recipe::ca(name).self_signed();
    let leaf = Recipe::leaf("localhost").san("::1").issued_by(&root);
    (root, leaf)
}

/// Puts a version of the policy on a server, with these anchors for its CAInfo.
fn publish(server: &Server, endpoint: &Endpoint, version: u64, anchors: &[&Cert]) {
    let www = server.directory().join("www/policies");
    let bundle: String = anchors.iter().map(|cert| cert.pem()).collect();
    let path = endpoint.path("var/lib/agentd/anchors/site-ca.pem");
    let policy = format!(
        "<Policy guid=\"{{{GUID}}}\" version=\"{version}\"><CurlSSL CAInfo=\"{}\"/></Policy>\n",
        path.display()
    );
    let index = json!({"v": 1, "version": version, "policies": [{
        "file": format!("{GUID}.xml"), "version": version, "sha256": sha256_hex(policy.as_bytes()),
        "anchors": [{"file": "site-ca.pem", "sha256": sha256_hex(bundle.as_bytes())}],
    }]});
    fs::write(www.join("site-ca.pem"), bundle).expect("a scratch directory");
    fs::write(www.join(format!("{GUID}.xml")), policy).expect("a scratch directory");
    fs::write(www.join("index.json"), index.to_string()).expect("a scratch directory");
    deployed(&www.join("index.json"));
}

fn configure(endpoint: &Endpoint, servers: &[(&str, &str)], more: &str) {
    let servers: String = servers
        .iter()
        .map(|(name, url)| format!("[[server]]\nname = \"{name}\"\nurl = \"{url}\"\n"))
        .collect();
    let text = format!(
        "{servers}[refresh]\nindex = \"/policies/index.json\"\n[inventory]\npath = \"/inventory\"\n{more}"
    );
    write(&endpoint.config(), text);
}

pub(crate) fn codes(report: &Value) -> Vec<&str> {
    let attempts = report["attempts"].as_array().expect("a list");
    attempts.iter().map(|attempt| attempt["code"].as_str().expect("a code")).collect()
}

pub(crate) fn problems(status: &Value) -> Vec<&str> {
    let problems = status["problems"].as_array().expect("a list");
    problems.iter().map(|problem| problem["code"].as_str().expect("a code")).collect()
}

#[test]
fn a_life_with_servers() {
    if !tools::require(&["nginx"]) {
        return;
    }
    let [(a, leaf_a), (b, leaf_b), (c, leaf_c)] = ["CA A", "CA B", "CA C"].map(authority);
    let mut endpoint = Endpoint::new();
    let mut first = Server::nginx_with(&leaf_a, &[], &documented("127.0.0.1"));
    let mut second = Server::nginx_with(&leaf_a, &[], &documented("127.0.0.1"));
    let counter = Counter::before(&first);
    publish(&first, &endpoint, 1, &[&a]);
    publish(&second, &endpoint, 1, &[&a]);
    write(&endpoint.bootstrap(), a.pem());
    configure(&endpoint, &[("first", &counter.url()), ("second", &second.url())], "");

    // By itself: policy, CAInfo file, bundle, inventory.
    endpoint.start_daemon();
    poll::until_ok("the daemon has its policy and was told of", || {
        let status = endpoint.json(&["status"]);
        let management = &status["management"];
        match (management["policies"].as_u64(), management["inventory_at"].is_string()) {
            (Some(1), true) => Ok(()),
            _ => Err(format!("{status:#}\n{}", endpoint.log())),
        }
    });
    let sent: Vec<_> =
        fs::read_dir(first.directory().join("inventory")).expect("nginx keeps them").flatten().collect();
    let told: Value = serde_json::from_slice(&fs::read(sent[0].path()).expect("a file")).expect("JSON");
    assert_eq!((told["v"].as_u64(), &told["reason"]), (Some(1), &json!("enrolment")), "{told}");
    assert_eq!(told["store"]["anchors"][0]["fingerprint"], a.sha256());

    // Nothing new: one connection.
    let before = counter.connections();
    let report = endpoint.json(&["refresh"]);
    assert_eq!(
        (&report["result"], &report["how"]),
        (&json!("unchanged"), &json!("not-modified")),
        "{report}"
    );
    assert_eq!(counter.connections() - before, 1, "one connection");

    // In the announced order: the policy first, then the server.
    publish(&first, &endpoint, 2, &[&a, &b]);
    let report = endpoint.json(&["refresh"]);
    assert_eq!((&report["result"], &report["changed"]), (&json!("taken"), &json!(true)), "{report}");
    assert_eq!(report["added"], json!([b.sha256()]));
    endpoint.wait_for("in one pass", &[a.sha256(), b.sha256()]);
    first.present(&leaf_b, &[]);
    assert_eq!(endpoint.json(&["refresh"])["server"], "first");
    assert_eq!(endpoint.json(&["connect", "first"])["anchor"]["sha256"], b.sha256());

    // In the wrong order: the server first. The other server is still there; and without it, what is there stays.
    first.present(&leaf_c, &[]);
    publish(&second, &endpoint, 2, &[&a, &b]);
    let report = endpoint.json(&["refresh"]);
    assert_eq!((&report["server"], codes(&report)), (&json!("second"), vec!["no-issuer"]), "{report}");
    second.stop();
    let report = endpoint.agentctl(&["refresh", "--json"]).expect_code(6).json();
    assert_eq!(codes(&report), ["no-issuer", "connect-failed"], "{report}");
    assert!(problems(&endpoint.json(&["status"])).contains(&"refresh-failed"));
    endpoint.wait_for("the last good state", &[a.sha256(), b.sha256()]);

    // Mended where it broke, and the way back to the first is by itself.
    first.present(&leaf_b, &[]);
    publish(&first, &endpoint, 3, &[&a, &b, &c]);
    let report = endpoint.json(&["refresh"]);
    assert_eq!((&report["server"], &report["added"]), (&json!("first"), &json!([c.sha256()])), "{report}");
    assert!(!problems(&endpoint.json(&["status"])).contains(&"refresh-failed"));

    // Nobody there: inventory waits, and goes out later.
    first.stop();
    let report = endpoint.agentctl(&["inventory", "--json"]).expect_code(3).json();
    assert_eq!((&report["result"], &report["waiting"]), (&json!("queued"), &json!(1)), "{report}");
    first.present(&leaf_c, &[]);
    let report = endpoint.json(&["inventory"]);
    assert_eq!(
        (&report["result"], &report["sent"], &report["waiting"]),
        (&json!("sent"), &json!(2), &json!(0))
    );
}

#[test]
fn bad_answers_change_nothing() {
    if !tools::require(&["nginx"]) {
        return;
    }
    let (root, leaf) = authority("Bad Answers CA");
    for with_daemon in [false, true] {
        let mut endpoint = Endpoint::new();
        let server = Server::nginx_with(&leaf, &[], &documented("127.0.0.1"));
        let www = server.directory().join("www/policies");
        write(&endpoint.bootstrap(), root.pem());
        configure(&endpoint, &[("smp", &server.url())], "");
        publish(&server, &endpoint, 5, &[&root]);
        let _regen = endpoint.json(&["regen"]);
        if with_daemon {
            endpoint.start_daemon();
        }
        let taken = endpoint.json(&["refresh"]);
        assert_ne!(taken["result"], "failed", "{taken}");
        let policy = endpoint.path(&format!("var/lib/agentd/policies/{GUID}.xml"));
        let good = fs::read(&policy).expect("it was taken");
        let index = fs::read_to_string(www.join("index.json")).expect("it is there");
        let outside = index.replace("site-ca.pem", "../../../../etc/passwd");
        for (name, content, code) in [
            ("index.json", "<!DOCTYPE html><html>login</html>".to_owned(), "web-page"),
            ("index.json", "{}".to_owned(), "index-unreadable"),
            ("index.json", outside, "index-unreadable"),
            ("index.json", index.replace("\"version\":5", "\"version\":4"), "policy-older"),
            ("index.json", " ".repeat(2 << 20), "too-large"),
        ] {
            fs::write(www.join(name), content).expect("a scratch directory");
            let report = endpoint.agentctl(&["refresh", "--json"]).expect_code(1).json();
            assert_eq!((&report["result"], codes(&report)), (&json!("failed"), vec![code]), "{report}");
            assert_eq!(fs::read(&policy).expect("it stays"), good, "{code}");
        }
        // Mended by hand on the endpoint is not mended: the next refresh takes it anew.
        fs::write(www.join("index.json"), &index).expect("a scratch directory");
        fs::write(&policy, "<Policy/>").expect("a scratch directory");
        assert_eq!(endpoint.json(&["refresh"])["result"], "taken");
        assert_eq!(fs::read(&policy).expect("it is back"), good);
        // Another index of the same second and size is the same to nginx, and seen all the same.
        let other = index.replace("\"version\":5", "\"version\":3");
        fs::write(www.join("index.json"), other).expect("a scratch directory");
        let report = endpoint.agentctl(&["refresh", "--json"]).expect_code(1).json();
        assert_eq!(codes(&report), ["policy-older"], "{report}");
        let document = endpoint.json(&["inventory", "--print"]);
        assert_eq!(document["store"]["anchors"][0]["fingerprint"], root.sha256());
    }
}

#[test]
fn inventory_waits_within_bounds_and_goes_out_as_xml() {
    const BOUND: u64 = 14;
    if !tools::require(&["nginx"]) {
        return;
    }
    let (root, leaf) = authority("Waiting CA");
    let endpoint = Endpoint::new();
    let mut server = Server::nginx_with(&leaf, &[], &documented("127.0.0.1"));
    write(&endpoint.bootstrap(), root.pem());
    configure(&endpoint, &[("smp", &server.url())], "form = \"xml\"\n");
    let _regen = endpoint.json(&["regen"]);
    server.stop();
    for made in 1..=BOUND + 2 {
        let report = endpoint.agentctl(&["inventory", "--json"]).expect_code(3).json();
        let (waits, dropped) = (made.min(BOUND), made.saturating_sub(BOUND));
        assert_eq!((report["waiting"].as_u64(), report["dropped"].as_u64()), (Some(waits), Some(dropped)));
    }
    let status = endpoint.json(&["status"]);
    assert!(problems(&status).contains(&"inventory-dropped"), "{status:#}");
    assert_eq!(status["management"]["waiting"], BOUND);
    server.restart();
    let report = endpoint.json(&["inventory"]);
    assert_eq!((report["sent"].as_u64(), report["waiting"].as_u64()), (Some(BOUND), Some(0)), "{report}");
    assert_eq!(report["dropped"], 3, "it is said with the next that arrives");
    assert!(!problems(&endpoint.json(&["status"])).contains(&"inventory-dropped"));
    let kept = fs::read_dir(server.directory().join("inventory")).expect("nginx keeps them").flatten();
    let documents: Vec<String> =
        kept.map(|file| fs::read_to_string(file.path()).expect("a document")).collect();
    assert_eq!(documents.len() as u64, BOUND);
    for document in documents {
        let whole = document.contains("<inventory>") && document.trim_end().ends_with("</inventory>");
        assert!(whole && document.contains(&root.sha256()), "{document}");
    }
}

#[test]
fn nothing_is_asked_that_is_not_configured() {
    let endpoint = Endpoint::new();
    for arguments in [["refresh"], ["inventory"]] {
        let run = endpoint.agentctl(&arguments).expect_code(2);
        assert!(run.err().contains("hint:"), "{}", run.err());
    }
}

#[test]
fn through_a_proxy() {
    if !tools::require(&["nginx", "tinyproxy"]) {
        return;
    }
    let (root, leaf) = authority("Proxied CA");
    let server = Server::nginx_with(&leaf, &[], &documented("127.0.0.1"));
    let endpoint = Endpoint::new();
    publish(&server, &endpoint, 1, &[&root]);
    write(&endpoint.bootstrap(), root.pem());
    let _regen = endpoint.json(&["regen"]);
    let (port, credentials) = (free_port(), endpoint.beside("proxy-credentials"));
    let conf = endpoint.beside("tinyproxy.conf");
    let text = format!("Port {port}\nListen 127.0.0.1\nTimeout 60\nAllow 127.0.0.1\nBasicAuth joe s3cret\n");
    fs::write(&conf, text).expect("a scratch directory");
    let mut tinyproxy = command(tools::path("tinyproxy"));
    tinyproxy.arg("-d").arg("-c").arg(&conf);
    let _proxy = Owned::start(&mut tinyproxy, &endpoint.beside("tinyproxy.log"));
    poll::until("the proxy listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    let proxied = |with: &str| {
        let proxy = format!("[proxy]\nurl = \"http://127.0.0.1:{port}\"\n{with}");
        configure(&endpoint, &[("smp", &server.url())], &proxy);
    };
    let file = format!("credentials-file = \"{}\"\n", credentials.display());
    proxied("");
    let run = endpoint.agentctl(&["refresh", "--json"]).expect_code(3);
    assert_eq!(codes(&run.json()), ["proxy-credentials"], "{}", run.out());
    for (content, code) in [("joe:wrong\n", "proxy-credentials"), ("nonsense", "proxy-credentials-file")] {
        fs::write(&credentials, content).expect("a scratch directory");
        proxied(&file);
        let run = endpoint.agentctl(&["refresh", "--json"]);
        assert_eq!(codes(&run.json()), [code], "{}", run.out());
        assert!(!run.out().contains("wrong\n") && !run.out().contains("joe:"), "{}", run.out());
    }
    fs::write(&credentials, "joe:s3cret\n").expect("a scratch directory");
    let report = endpoint.json(&["refresh"]);
    assert_eq!(report["result"], "taken", "{report}");
    assert!(!endpoint.json(&["status"]).to_string().contains("s3cret"));
    // Every connection goes that way: the checks, the question of the guard, the operator's.
    let reached = endpoint.json(&["connect", "smp"]);
    assert_eq!(reached["address"], format!("127.0.0.1:{port}"), "{reached}");
    // What a proxy that breaks TLS shows is a stranger's certificate: it is the proxy that is named.
    let (stranger, _) = authority("Inspection CA");
    let inspecting = Server::nginx(&Recipe::leaf("localhost").issued_by(&stranger), &[]);
    configure(
        &endpoint,
        &[("smp", &inspecting.url())],
        &format!("[proxy]\nurl = \"http://127.0.0.1:{port}\"\n{file}"),
    );
    let report = endpoint.agentctl(&["refresh", "--json"]).expect_code(6).json();
    assert_eq!(codes(&report), ["proxy-breaks-tls"], "{report}");
    assert!(
        report["attempts"][0]["message"].as_str().is_some_and(|words| words.contains("Inspection CA")),
        "{report}"
    );
    // A host that is passed by needs none.
    proxied("no-proxy = [\"localhost\"]\n");
    assert_eq!(endpoint.json(&["refresh"])["result"], "unchanged");
}

#[test]
fn over_ipv6() {
    if !tools::require(&["nginx"]) || std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let (root, leaf) = authority("IPv6 CA");
    // The kit waits for the port on 127.0.0.1, so it listens on both.
    let both = documented("127.0.0.1").replacen("listen", "listen [::1]:{port} ssl;\n    listen", 1);
    let server = Server::nginx_with(&leaf, &[], &both);
    let endpoint = Endpoint::new();
    publish(&server, &endpoint, 1, &[&root]);
    write(&endpoint.bootstrap(), root.pem());
    let _regen = endpoint.json(&["regen"]);
    configure(&endpoint, &[("smp", &format!("https://[::1]:{}/", server.port()))], "");
    assert_eq!(endpoint.json(&["refresh"])["result"], "taken");
}

#[test]
fn by_itself_after_an_outage_and_after_a_month_away() {
    if !tools::require(&["nginx"]) {
        return;
    }
    let [(a, leaf_a), (b, _), (c, leaf_c)] = ["Then A", "Then B", "Then C"].map(authority);
    let mut endpoint = Endpoint::new();
    let mut server = Server::nginx_with(&leaf_a, &[], &documented("127.0.0.1"));
    let packages = Server::nginx(&leaf_a, &[]);
    publish(&server, &endpoint, 1, &[&a, &c]);
    write(&endpoint.bootstrap(), a.pem());
    let timers = "interval = \"5s\"\n";
    configure(&endpoint, &[("smp", &server.url())], timers);
    let config = fs::read_to_string(endpoint.config()).expect("it was written");
    let config = config.replace("[refresh]\n", "[refresh]\ninterval = \"5s\"\nlongest-pause = \"1s\"\n");
    let site = format!("[[server]]\nname = \"packages\"\nrole = \"site\"\nurl = \"{}\"\n", packages.url());
    write(&endpoint.config(), format!("{config}{site}"));
    endpoint.start_daemon();
    endpoint.wait_for("the first policy", &[a.sha256(), c.sha256()]);

    // An outage: said, and over without anybody's hand.
    server.stop();
    let has_failed = |endpoint: &Endpoint| problems(&endpoint.json(&["status"])).contains(&"refresh-failed");
    poll::until("the outage is told", || has_failed(&endpoint).then_some(()));
    server.present(&leaf_a, &[]);
    poll::until("the way back", || (!has_failed(&endpoint)).then_some(()));
    // The site server has packages: it is looked at, and never asked for policies.
    let status = endpoint.json(&["status"]);
    assert_eq!(status["management"]["refreshed_from"], "smp", "{status}");
    assert_eq!(status["servers"][1]["lock"], "secure", "{status}");

    // Away for a month, in which the server changed twice, from A over B to C; one anchor is still in common.
    let _stopped = endpoint.stop_daemon();
    let record = endpoint.path("var/lib/agentd/state/management.json");
    let mut remembered: Value =
        serde_json::from_slice(&fs::read(&record).expect("it is there")).expect("JSON");
    remembered["refreshed_at"] = json!("2026-01-01T00:00:00Z");
    fs::write(&record, remembered.to_string()).expect("a scratch directory");
    server.present(&leaf_c, &[]);
    publish(&server, &endpoint, 9, &[&b, &c]);
    endpoint.start_daemon();
    // A is the bootstrap anchor, and stays.
    endpoint.wait_for("found its way back", &[a.sha256(), b.sha256(), c.sha256()]);
    poll::until("and reached its server", || {
        let status = endpoint.json(&["status"]);
        (status["servers"][0]["anchor"] == c.sha256().as_str()).then_some(())
    });
}
