//! The way to a server: names with several addresses, IPv6, proxies with and without credentials, and one that breaks TLS.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use serde_json::json;
use test_support::endpoint::{Endpoint, program, write};
use test_support::pki::Recipe;
use test_support::poll;
use test_support::process::{Owned, Run, command, run};
use test_support::servers::{Server, free_port};
use test_support::tools;

use super::{authority, codes, documented, enroll, publish};

/// nginx on 127.0.0.1, where the kit waits for it, and on `::1`.
fn on_both() -> String {
    documented("127.0.0.1").replacen("listen", "listen [::1]:{port} ssl;\n    listen", 1)
}

fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok() || tools::left_out("there is no IPv6 on loopback")
}

/// `agentctl` in a mount namespace of its own, where these names are in /etc/hosts.
fn with_hosts(endpoint: &Endpoint, hosts: &str, arguments: &[&str]) -> Run {
    let file = endpoint.beside("hosts");
    fs::write(&file, hosts).expect("a scratch directory");
    let mut unshare = command(tools::path("unshare"));
    unshare.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]).arg(file);
    unshare.arg(program("agentctl")).arg("--root").arg(endpoint.root()).args(arguments);
    run(&mut unshare)
}

fn may_mount() -> bool {
    if !tools::require(&["unshare"]) {
        return false;
    }
    let mut attempt = command(tools::path("unshare"));
    attempt.args(["--mount", "mount", "--bind", "/etc/hosts", "/etc/hosts"]);
    run(&mut attempt).code() == 0 || tools::left_out("no mount namespace may be made")
}

#[test]
fn a_name_with_several_addresses() {
    if !tools::require(&["nginx"]) || !may_mount() {
        return;
    }
    let root = Recipe::ca("Names CA").self_signed();
    let leaf = Recipe::leaf("smp.example").san("localhost").issued_by(&root);
    let server = Server::nginx_with(&leaf, std::slice::from_ref(&root), &documented("127.0.0.1"));
    let endpoint = Endpoint::new();
    publish(server.directory(), &endpoint, 1, &[&root]);
    let url = format!("https://smp.example:{}/", server.port());
    // Three dead ones beside it: over IPv6, and two that nobody listens at.
    let live = "::1 smp.example\n127.0.0.3 smp.example\n127.0.0.1 smp.example\n127.0.0.2 smp.example\n";
    let fingerprint = root.sha256();
    let arguments =
        ["enroll", &url, "--fingerprint", &fingerprint, "--index", "/policies/index.json", "--json"];
    let report = with_hosts(&endpoint, live, &arguments).expect_code(0).json();
    assert_eq!(report["complete"], true, "{report:#}");
    let reached = with_hosts(&endpoint, live, &["connect", &url, "--json"]).expect_code(0).json();
    assert_eq!(reached["address"], format!("127.0.0.1:{}", server.port()), "{reached}");
    assert_eq!((&reached["lock"], &reached["handshakes"]), (&json!("secure"), &json!(1)));
    // None of them: each is named with its reason.
    let dead = live.replace("127.0.0.1 ", "127.0.0.4 ");
    let report = with_hosts(&endpoint, &dead, &["refresh", "--json"]).expect_code(3).json();
    assert_eq!(codes(&report), ["connect-failed"]);
    let words = report["attempts"][0]["message"].as_str().expect("words");
    for address in ["[::1]:", "127.0.0.2:", "127.0.0.3:", "127.0.0.4:"] {
        assert!(words.contains(address), "{words}");
    }
}

#[test]
fn enrolled_and_switched_over_ipv6() {
    if !tools::require(&["nginx"]) || !has_ipv6() {
        return;
    }
    let [(a, leaf_a), (b, leaf_b)] = ["Six A", "Six B"].map(authority);
    let mut server = Server::nginx_with(&leaf_a, std::slice::from_ref(&a), &on_both());
    let endpoint = Endpoint::new();
    publish(server.directory(), &endpoint, 1, &[&a]);
    let url = format!("https://[::1]:{}/", server.port());
    let paths = ["--index", "/policies/index.json", "--inventory", "/inventory"];
    let _enrolled = enroll(&endpoint, &url, &a.sha256(), &paths);
    publish(server.directory(), &endpoint, 2, &[&a, &b]);
    assert_eq!(endpoint.json(&["refresh"])["result"], "taken");
    server.present(&leaf_b, &[]);
    let reached = endpoint.json(&["connect", &url]);
    assert_eq!((&reached["lock"], &reached["anchor"]["sha256"]), (&json!("secure"), &json!(b.sha256())));
    assert_eq!(reached["address"], format!("[::1]:{}", server.port()));
    assert_eq!(endpoint.json(&["inventory"])["result"], "sent");
}

#[test]
fn enrolled_through_a_proxy_of_either_kind() {
    if !tools::require(&["nginx", "tinyproxy"]) {
        return;
    }
    let [(a, leaf_a), (b, leaf_b)] = ["Proxy A", "Proxy B"].map(authority);
    for credentials in [None, Some("joe:s3cret")] {
        let endpoint = Endpoint::new();
        let mut server = Server::nginx_with(&leaf_a, std::slice::from_ref(&a), &documented("127.0.0.1"));
        publish(server.directory(), &endpoint, 1, &[&a]);
        let (port, conf) = (free_port(), endpoint.beside("tinyproxy.conf"));
        let asks = if credentials.is_some() { "BasicAuth joe s3cret\n" } else { "" };
        write(&conf, format!("Port {port}\nListen 127.0.0.1\nTimeout 60\nAllow 127.0.0.1\n{asks}"));
        let mut tinyproxy = command(tools::path("tinyproxy"));
        tinyproxy.arg("-d").arg("-c").arg(&conf);
        let mut proxy = Owned::start(&mut tinyproxy, &endpoint.beside("tinyproxy.log"));
        poll::until("the proxy listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        let mut config = format!("[proxy]\nurl = \"http://127.0.0.1:{port}\"\n");
        if let Some(credentials) = credentials {
            let file = endpoint.beside("credentials");
            write(&file, credentials);
            config += &format!("credentials-file = \"{}\"\n", file.display());
        }
        write(&endpoint.config(), config);
        let paths = ["--index", "/policies/index.json", "--inventory", "/inventory"];
        let _enrolled = enroll(&endpoint, &server.url(), &a.sha256(), &paths);
        publish(server.directory(), &endpoint, 2, &[&a, &b]);
        assert_eq!(endpoint.json(&["refresh"])["added"], json!([b.sha256()]));
        server.present(&leaf_b, &[]);
        let reached = endpoint.json(&["connect", "localhost"]);
        assert_eq!(
            (&reached["lock"], &reached["address"]),
            (&json!("secure"), &json!(format!("127.0.0.1:{port}")))
        );
        assert_eq!(endpoint.json(&["inventory"])["result"], "sent");
        // Without the proxy there is no way: nothing goes around it.
        proxy.signal(rustix::process::Signal::TERM);
        let _ended = proxy.wait();
        let report = endpoint.agentctl(&["refresh", "--json"]).expect_code(3).json();
        assert_eq!(codes(&report), ["connect-failed"], "{report}");
    }
}

#[test]
fn a_proxy_that_breaks_tls_is_named() {
    if !tools::require(&["nginx"]) {
        return;
    }
    let (root, leaf) = authority("True CA");
    let (inspector, _) = authority("Inspection CA");
    let endpoint = Endpoint::new();
    let server = Server::nginx_with(&leaf, std::slice::from_ref(&root), &documented("127.0.0.1"));
    publish(server.directory(), &endpoint, 1, &[&root]);
    // Made for the name on the way, as such proxies do.
    let forged = Recipe::leaf("localhost").issued_by(&inspector);
    let broken_open = Server::nginx(&forged, std::slice::from_ref(&inspector));
    let proxy = breaks_tls(broken_open.port());
    let proxied = format!("[proxy]\nurl = \"http://127.0.0.1:{proxy}\"\n");
    write(&endpoint.config(), &proxied);
    // Whoever enrols through it is not taken in: the fingerprint is the server's.
    let (url, fingerprint) = (server.url(), root.sha256());
    let run = endpoint.agentctl(&["enroll", &url, "--fingerprint", &fingerprint, "--json"]).expect_code(6);
    assert!(!endpoint.bootstrap().exists(), "{}", run.out());
    // Enrolled without it, and then it comes.
    write(&endpoint.config(), "");
    let _enrolled = enroll(&endpoint, &url, &fingerprint, &["--index", "/policies/index.json"]);
    let config = fs::read_to_string(endpoint.config()).expect("enroll wrote it");
    write(&endpoint.config(), format!("{config}{proxied}"));
    let report = endpoint.agentctl(&["refresh", "--json"]).expect_code(6).json();
    assert_eq!(codes(&report), ["proxy-breaks-tls"], "{report}");
    let words = report["attempts"][0].to_string();
    for said in ["Inspection CA", "not by your server's CA", "no-proxy", &format!("127.0.0.1:{proxy}")] {
        assert!(words.contains(said), "{words}");
    }
    let status = endpoint.json(&["status"]);
    assert_eq!(status["management"]["refresh_error"], "proxy-breaks-tls");
    write(&endpoint.config(), format!("{config}{proxied}no-proxy = [\"localhost\"]\n"));
    assert_eq!(endpoint.json(&["refresh"])["result"], "unchanged");
}

/// A proxy that leads every CONNECT to itself.
fn breaks_tls(to: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let port = listener.local_addr().expect("a bound listener").port();
    // Ends with the test's process: it holds nothing but a port.
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || lead_astray(client, to));
        }
    });
    port
}

fn lead_astray(mut client: TcpStream, to: u16) -> Option<()> {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut octet).ok()?;
        head.extend(octet);
    }
    let mut server = TcpStream::connect(("127.0.0.1", to)).ok()?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
    let (mut from, mut into) = (client.try_clone().ok()?, server.try_clone().ok()?);
    thread::spawn(move || {
        let _ended = std::io::copy(&mut from, &mut into);
        let _gone = into.shutdown(Shutdown::Write);
    });
    let _ended = std::io::copy(&mut server, &mut client);
    client.shutdown(Shutdown::Write).ok()
}
