//! `agentctl enroll`: from nothing to a trusted server with one command, and again until all of it stands.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;
use test_support::endpoint::{Endpoint, write};
use test_support::pki::{Cert, Recipe};
use test_support::poll;
use test_support::servers::Server;
use test_support::tools;

/// Each step with what came of it.
fn steps(report: &Value) -> Vec<(String, String)> {
    let steps = report["steps"].as_array().expect("a list").iter();
    let word = |step: &Value, key: &str| step[key].as_str().expect("a word").to_owned();
    steps.map(|step| (word(step, "step"), word(step, "result"))).collect()
}

fn result(report: &Value, step: &str) -> String {
    let all = steps(report);
    let found = all.iter().find(|(name, _)| name == step);
    found.unwrap_or_else(|| panic!("no {step} in {report}")).1.clone()
}

fn server() -> Option<(Cert, Server)> {
    let leaf = Recipe::leaf("localhost").cn_only().self_signed();
    tools::require(&["nginx"]).then(|| (leaf.clone(), Server::nginx(&leaf, &[])))
}

#[test]
fn one_command_and_the_server_is_trusted() {
    for with_daemon in [false, true] {
        let Some((leaf, server)) = server() else { return };
        let mut endpoint = Endpoint::new();
        if with_daemon {
            endpoint.start_daemon();
        }
        let mine = "# mine\n[log]\nlevel = \"debug\"";
        write(&endpoint.config(), mine);
        let (url, fingerprint) = (server.url(), leaf.sha256());
        let command = ["enroll", &url, "--fingerprint", &fingerprint];
        let report = endpoint.json(&command);
        for step in ["fetch", "configuration", "connection"] {
            assert_eq!(result(&report, step), "done", "{report}");
        }
        for step in ["policy", "inventory"] {
            assert_eq!(result(&report, step), "skipped", "{report}");
        }
        assert_eq!(report["fetch"]["result"], "added");
        let text = fs::read_to_string(endpoint.config()).expect("the configuration");
        assert!(text.starts_with(mine) && text.contains(&url), "{text}");
        assert_eq!(endpoint.agentd(&["--check"]).code(), 0);
        assert_eq!(endpoint.published(), Ok(vec![leaf.sha256()]));
        assert_eq!(endpoint.json(&["connect", "localhost"])["result"], "accept");
        if with_daemon {
            // It has read the configuration by itself and reached the server.
            poll::until_ok("the daemon has reached it", || {
                let status = endpoint.json(&["status"]);
                let reached = &status["servers"][0];
                if reached["url"] == url && reached["lock"] == "secure" {
                    Ok(())
                } else {
                    Err(status.to_string())
                }
            });
        }
        let again = endpoint.agentctl(&command).expect_code(0);
        assert!(
            again.out().contains("= fetch") && again.out().contains("= configuration"),
            "{}",
            again.out()
        );
        assert!(again.out().contains("is enrolled"), "{}", again.out());
        assert_eq!(fs::read_to_string(endpoint.config()).ok(), Some(text));
    }
}

#[test]
fn the_first_policies_and_the_first_inventory_come_with_it() {
    const GUID: &str = "5f0c2f4e-8d8b-4c8e-9d53-0a6c1f6b7a11";
    for with_daemon in [false, true] {
        let Some((leaf, server)) = server() else { return };
        let mut endpoint = Endpoint::new();
        if with_daemon {
            endpoint.start_daemon();
        }
        let announced = Recipe::ca("Announced").self_signed();
        let anchors = endpoint.path("var/lib/agentd/anchors/announced.pem").display().to_string();
        let policy =
            format!("<Policy guid=\"{GUID}\" version=\"1\"><CurlSSL CAInfo=\"{anchors}\"/></Policy>");
        let www = server.directory().join("www/policies");
        write(&www.join(format!("{GUID}.xml")), &policy);
        write(&www.join("announced.pem"), announced.pem());
        let sha256 = |bytes: &[u8]| test_support::pem::sha256_hex(bytes);
        let index = serde_json::json!({"v": 1, "policies": [{
            "file": format!("{GUID}.xml"), "sha256": sha256(policy.as_bytes()), "version": 1,
            "anchors": [{"file": "announced.pem", "sha256": sha256(announced.pem().as_bytes())}],
        }]});
        write(&www.join("index.json"), index.to_string());
        let (url, fingerprint) = (server.url(), leaf.sha256());
        let report = endpoint.json(&[
            "enroll",
            &url,
            "--fingerprint",
            &fingerprint,
            "--index",
            "/policies/index.json",
            "--inventory",
            "/inventory",
        ]);
        assert_eq!(report["complete"], true, "{report}");
        // The daemon may have been faster.
        assert!(["done", "already"].contains(&result(&report, "policy").as_str()), "{report}");
        assert_eq!(result(&report, "inventory"), "done", "{report}");
        endpoint.wait_for("what the policy announces", &[leaf.sha256(), announced.sha256()]);
        let again = endpoint.json(&["enroll", &url, "--fingerprint", &fingerprint]);
        assert_eq!(
            (result(&again, "configuration"), result(&again, "policy")),
            ("already".into(), "already".into())
        );
    }
}

#[test]
fn what_is_added_later_reaches_a_running_daemon() {
    let Some((leaf, server)) = server() else { return };
    let mut endpoint = Endpoint::new();
    let www = server.directory().join("www/policies");
    write(&www.join("index.json"), "{\"v\": 1, \"policies\": []}");
    endpoint.start_daemon();
    let (url, fingerprint) = (server.url(), leaf.sha256());
    let command = ["enroll", &url, "--fingerprint", &fingerprint];
    let first = endpoint.json(&[&command[..], &["--inventory", "/inventory"]].concat());
    assert_eq!((result(&first, "policy"), result(&first, "inventory")), ("skipped".into(), "done".into()));
    let read_at = |endpoint: &Endpoint| endpoint.json(&["status"])["daemon"]["configured"].clone();
    let before = read_at(&endpoint);
    // The daemon has the server, and inventory to send; policies are new to it.
    let second = endpoint.json(&[&command[..], &["--index", "/policies/index.json"]].concat());
    assert_eq!(result(&second, "configuration"), "done", "{second}");
    assert!(["done", "already"].contains(&result(&second, "policy").as_str()), "{second}");
    assert_ne!(read_at(&endpoint), before);
    let status = endpoint.json(&["status"]);
    assert!(status["management"]["next_refresh"].is_string(), "{status}");
    // Written by hand in between, and not told: the next run tells it.
    let text = fs::read_to_string(endpoint.config()).expect("the configuration");
    write(&endpoint.config(), text + "[connect]\ncheck-interval = \"2s\"\n");
    let before = read_at(&endpoint);
    let third = endpoint.json(&command);
    assert_eq!(result(&third, "configuration"), "already", "{third}");
    assert_ne!(read_at(&endpoint), before);
}

#[test]
fn every_connection_goes_through_the_proxy() {
    let Some((leaf, server)) = server() else { return };
    let mut endpoint = Endpoint::new();
    let (proxy, ways) = proxy();
    write(&endpoint.config(), format!("[proxy]\nurl = \"http://127.0.0.1:{proxy}\"\n"));
    // Without the proxy there is no way to that name.
    let url = format!("https://mgmt.invalid:{}/", server.port());
    let fingerprint = leaf.sha256();
    let run = endpoint.agentctl(&["enroll", &url, "--fingerprint", &fingerprint, "--json"]).expect_code(6);
    let report = run.json();
    assert_eq!((result(&report, "fetch"), result(&report, "configuration")), ("done".into(), "done".into()));
    assert!(run.out().contains("mgmt.invalid"), "its certificate is for another name: {}", run.out());
    assert_eq!(ways.load(Ordering::SeqCst), 2, "the fetch and the first connection");
    endpoint.start_daemon();
    poll::until_ok("the daemon goes the same way", || {
        let status = endpoint.json(&["status"]);
        if status["servers"][0]["reason"] == "name-mismatch" { Ok(()) } else { Err(status.to_string()) }
    });
    assert!(ways.load(Ordering::SeqCst) > 2);
}

/// A proxy that opens a way to 127.0.0.1 whatever the name, and counts the ways.
fn proxy() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = listener.local_addr().expect("a bound listener").port();
    let ways = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&ways);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let counted = Arc::clone(&counted);
            thread::spawn(move || open_way(client, &counted));
        }
    });
    (port, ways)
}

fn open_way(mut client: TcpStream, counted: &AtomicUsize) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).ok()?;
    let port: u16 = head.strip_prefix("CONNECT ")?.split(' ').next()?.rsplit_once(':')?.1.parse().ok()?;
    let mut server = TcpStream::connect(("127.0.0.1", port)).ok()?;
    counted.fetch_add(1, Ordering::SeqCst);
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
    let (mut from, mut to) = (client.try_clone().ok()?, server.try_clone().ok()?);
    thread::spawn(move || {
        let _ended = std::io::copy(&mut from, &mut to);
        let _gone = to.shutdown(Shutdown::Write);
    });
    let _ended = std::io::copy(&mut server, &mut client);
    client.shutdown(Shutdown::Write).ok()
}

#[test]
fn a_step_that_fails_says_what_to_do_and_the_next_run_goes_on() {
    let Some((leaf, server)) = server() else { return };
    let endpoint = Endpoint::new();
    let (url, fingerprint) = (server.url(), leaf.sha256());
    // Nothing at all without a fingerprint, or with another's.
    let run = endpoint.agentctl(&["enroll", &url, "--json"]).expect_code(2);
    assert!(run.err().contains("--fingerprint") && run.out().is_empty(), "{}", run.err());
    let other = Recipe::leaf("localhost").self_signed().sha256();
    let refused = endpoint.agentctl(&["enroll", &url, "--fingerprint", &other, "--json"]).expect_code(6);
    let report = refused.json();
    assert_eq!(steps(&report), [("fetch".to_owned(), "failed".to_owned())], "{report}");
    assert!(!endpoint.bootstrap().exists() && !endpoint.config().exists());
    // A configuration that becomes wrong in between.
    let site = "[[server]]\nurl = \"".to_owned() + &url + "\"\nrole = \"site\"\n";
    write(&endpoint.config(), &site);
    let stopped =
        endpoint.agentctl(&["enroll", &url, "--fingerprint", &fingerprint, "--json"]).expect_code(2);
    let report = stopped.json();
    assert_eq!(
        (result(&report, "fetch"), result(&report, "configuration")),
        ("done".into(), "failed".into())
    );
    assert_eq!(report["complete"], false);
    assert!(report["steps"][1]["fix"][0].as_str().is_some_and(|fix| fix.contains("--role")), "{report}");
    assert_eq!(fs::read_to_string(endpoint.config()).ok(), Some(site));
    assert_eq!(endpoint.published(), Ok(vec![leaf.sha256()]), "what is done stays");
    fs::remove_file(endpoint.config()).expect("the configuration");
    let report = endpoint.json(&["enroll", &url, "--fingerprint", &fingerprint]);
    assert_eq!(
        (result(&report, "fetch"), result(&report, "configuration")),
        ("already".into(), "done".into())
    );
    assert_eq!(result(&report, "connection"), "done");
}

#[test]
fn a_site_server_goes_to_its_own_source() {
    let Some((leaf, server)) = server() else { return };
    let endpoint = Endpoint::new();
    let (url, fingerprint) = (server.url(), leaf.sha256());
    let command = [
        "enroll",
        &url,
        "--fingerprint",
        &fingerprint,
        "--role",
        "site",
        "--name",
        "branch",
        "--timeout",
        "5s",
    ];
    let report = endpoint.json(&command);
    assert_eq!(report["fetch"]["target"]["kind"], "site", "{report}");
    assert!(endpoint.site().exists() && !endpoint.bootstrap().exists());
    assert_eq!(endpoint.json(&["status"])["servers"][0]["name"], "branch");
}
