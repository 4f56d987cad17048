//! `agentctl fetch` against real servers: by fingerprint in a script, by a person on a terminal.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::Value;
use test_support::endpoint::{Endpoint, write};
use test_support::pki::{Cert, Recipe};
use test_support::process::{self, run};
use test_support::servers::{Server, free_port};
use test_support::tools;

mod terminal;

type Make = fn(&Cert, &[Cert]) -> Server;

struct Chain {
    root: Cert,
    issuer: Cert,
    leaf: Cert,
}

impl Chain {
    fn new() -> Self {
        let root = Recipe::ca("Fetch Root").self_signed();
        let issuer = Recipe::ca("Fetch Issuer").path_len(0).issued_by(&root);
        let leaf = Recipe::leaf("localhost").issued_by(&issuer);
        Self { root, issuer, leaf }
    }
}

fn host(server: &Server) -> String {
    format!("localhost:{}", server.port())
}

/// Inode and times of a file: what a write would change.
fn identity(path: &Path) -> (u64, i64, i64) {
    let metadata = fs::metadata(path).expect("a file");
    (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
}

#[test]
fn a_script_gives_the_fingerprint_and_the_server_is_trusted() {
    for make in servers() {
        for with_daemon in [false, true] {
            let mut endpoint = Endpoint::new();
            if with_daemon {
                endpoint.start_daemon();
            }
            let leaf = Recipe::leaf("localhost").cn_only().self_signed();
            let server = make(&leaf, &[]);
            let _before = endpoint.agentctl(&["connect", &server.url()]).expect_code(5);
            let fetched = endpoint.json(&["fetch", &host(&server), "--fingerprint", &leaf.sha256()]);
            assert_eq!(fetched["result"], "added", "{fetched}");
            assert_eq!(fetched["verified"]["accepted"], false);
            assert_eq!(fetched["certificate"]["matched_by"], "certificate");
            assert_eq!(fetched["certificate"]["works"], true, "{fetched}");
            assert_eq!(fetched["proven"], true);
            assert_eq!(fetched["store"]["has_it"], true, "{fetched}");
            assert!(fetched["store"]["generation"].as_u64() > Some(0), "{fetched}");
            endpoint.wait_for("after fetch", &[leaf.sha256()]);
            assert_eq!(endpoint.json(&["connect", &server.url()])["match"], "exact");
            // Once more: there already, nothing written, and the chain verified as it was.
            let before = identity(&endpoint.bootstrap());
            let upper = leaf.sha256().to_uppercase();
            let pairs: Vec<&str> = (0..upper.len()).step_by(2).map(|at| &upper[at..at + 2]).collect();
            let colons = pairs.join(":");
            let again = endpoint.json(&["fetch", &host(&server), "--fingerprint", &colons]);
            assert_eq!(again["result"], "present", "{again}");
            assert_eq!(again["verified"]["accepted"], true);
            assert_eq!(again["store"]["generation"], fetched["store"]["generation"]);
            assert_eq!(identity(&endpoint.bootstrap()), before);
            let text = endpoint.agentctl(&["fetch", &host(&server), "--fingerprint", &leaf.sha256()]);
            let text = text.expect_code(0);
            assert!(
                text.out().contains("there already") && text.out().contains("had verified"),
                "{}",
                text.out()
            );
        }
    }
}

#[test]
fn another_certificate_of_the_chain_may_be_picked() {
    for make in servers() {
        let chain = Chain::new();
        let server = make(&chain.leaf, &[chain.issuer.clone(), chain.root.clone()]);
        for (given, pick, taken) in [
            (&chain.leaf, None, &chain.leaf),
            (&chain.issuer, None, &chain.issuer),
            (&chain.leaf, Some("issuer"), &chain.issuer),
            (&chain.leaf, Some("root"), &chain.root),
            (&chain.root, Some("leaf"), &chain.leaf),
        ] {
            let endpoint = Endpoint::new();
            let (server_name, fingerprint) = (host(&server), given.sha256());
            let mut arguments = vec!["fetch", &server_name, "--fingerprint", &fingerprint];
            arguments.extend(pick.into_iter().flat_map(|pick| ["--pick", pick]));
            let fetched = endpoint.json(&arguments);
            assert_eq!(fetched["certificate"]["sha256"], taken.sha256(), "{fetched}");
            assert_eq!(endpoint.published(), Ok(vec![taken.sha256()]));
            assert_eq!(fetched["chain"].as_array().map(Vec::len), Some(3));
            let _reached = endpoint.agentctl(&["connect", &server.url()]).expect_code(0);
        }
        let without_root = make(&chain.leaf, std::slice::from_ref(&chain.issuer));
        let endpoint = Endpoint::new();
        let run = endpoint
            .agentctl(&[
                "fetch",
                &host(&without_root),
                "--fingerprint",
                &chain.leaf.sha256(),
                "--pick",
                "root",
            ])
            .expect_code(6);
        assert!(run.err().contains("did not send its root"), "{}", run.err());
        assert!(!endpoint.bootstrap().exists());
    }
}

#[test]
fn a_wrong_fingerprint_saves_nothing_and_both_are_named() {
    for make in servers() {
        let chain = Chain::new();
        let mut endpoint = Endpoint::new();
        endpoint.start_daemon();
        let server = make(&chain.leaf, std::slice::from_ref(&chain.issuer));
        let wrong = Recipe::leaf("localhost").self_signed().sha256();
        for extra in [&[][..], &["--replace"], &["--pick", "issuer"]] {
            let host = host(&server);
            let arguments = [&["fetch", &host, "--fingerprint", &wrong, "--json"], extra].concat();
            let run = endpoint.agentctl(&arguments).expect_code(6);
            assert!(run.err().contains(&wrong) && run.err().contains(&chain.leaf.sha256()), "{}", run.err());
            assert!(run.out().is_empty(), "{}", run.out());
        }
        assert!(!endpoint.bootstrap().exists());
        // One of several is enough.
        let (host, right) = (host(&server), chain.leaf.sha256());
        let both = endpoint.json(&["fetch", &host, "--fingerprint", &wrong, "--fingerprint", &right]);
        assert_eq!(both["result"], "added", "{both}");
    }
}

#[test]
fn keys_and_sha1_are_compared_as_openssl_prints_them() {
    if !tools::require(&["openssl", "sh"]) {
        return;
    }
    let endpoint = Endpoint::new();
    let leaf = Recipe::leaf("localhost").self_signed();
    let server = Server::openssl(&leaf, &[]);
    let file = endpoint.beside("leaf.pem");
    write(&file, leaf.pem());
    let say = |script: &str| {
        let run = run(process::command(tools::path("sh")).args(["-c", script]).arg("sh").arg(&file));
        run.expect_code(0).out().trim().to_owned()
    };
    let key = say(
        "openssl x509 -in \"$1\" -noout -pubkey | openssl pkey -pubin -outform der | sha256sum | cut -c1-64",
    );
    let key_base64 = say(
        "openssl x509 -in \"$1\" -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64",
    );
    let sha256 = say("openssl x509 -in \"$1\" -noout -fingerprint -sha256");
    let sha1 = say("openssl x509 -in \"$1\" -noout -fingerprint -sha1");
    for (fingerprint, how, warned) in [
        (key, "spki", false),
        (format!("sha256//{key_base64}"), "spki", false),
        (sha256, "certificate", false),
        (sha1, "sha1", true),
    ] {
        let to = endpoint.path(&format!("var/lib/agentd/{how}-{}.pem", fingerprint.len()));
        let to = to.display().to_string();
        let run = endpoint
            .agentctl(&["fetch", &host(&server), "--fingerprint", &fingerprint, "--to", &to, "--json"])
            .expect_code(0);
        let fetched = run.json();
        assert_eq!(fetched["certificate"]["matched_by"], how, "{fingerprint}: {fetched}");
        let codes: Vec<&Value> =
            fetched["warnings"].as_array().expect("a list").iter().map(|warning| &warning["code"]).collect();
        assert_eq!(codes.contains(&&Value::from("sha1-fingerprint")), warned, "{fetched}");
        assert_eq!(run.err().contains(&leaf.sha256()), warned, "the better one is named: {}", run.err());
        // No policy names it yet.
        assert_eq!(fetched["store"]["is_source"], false, "{fetched}");
    }
}

#[test]
fn without_a_fingerprint_and_without_a_terminal_nothing_is_done() {
    let endpoint = Endpoint::new();
    // Not even a connection: there is no server.
    let run = endpoint.agentctl(&["fetch", &format!("localhost:{}", free_port())]).expect_code(2);
    assert!(run.err().contains("--fingerprint"), "{}", run.err());
    for (arguments, word) in [
        (["fetch", "localhost", "--fingerprint", "abc"], "64 hex digits"),
        (["fetch", "http://localhost/", "--fingerprint", &"a".repeat(64)], "HOST"),
        (["fetch", "localhost", "--timeout", "soon"], "10s"),
    ] {
        let run = endpoint.agentctl(&arguments).expect_code(2);
        assert!(run.err().contains(word), "{}", run.err());
    }
}

#[test]
fn a_server_on_ipv6_and_another_name() {
    if !tools::require(&["openssl"]) {
        return;
    }
    let endpoint = Endpoint::new();
    let leaf = Recipe::leaf("mgmt.example").self_signed();
    let files = endpoint.beside("server");
    write(&files.join("leaf.pem"), leaf.pem());
    write(&files.join("key.pem"), leaf.key_pem());
    let Some((_server, port)) = openssl_v6(&files) else { return };
    let (host, fingerprint) = (format!("[::1]:{port}"), leaf.sha256());
    let fetched = endpoint.json(&["fetch", &host, "--fingerprint", &fingerprint, "--to", "site"]);
    assert_eq!(fetched["certificate"]["works"], false, "it is not for that address: {fetched}");
    assert_eq!(fetched["address"], host);
    assert_eq!(fetched["target"]["kind"], "site");
    let fetched =
        endpoint.json(&["fetch", &host, "--fingerprint", &fingerprint, "--server-name", "mgmt.example"]);
    assert_eq!(fetched["certificate"]["works"], true, "{fetched}");
    assert_eq!(fetched["verified"]["accepted"], true, "the site source has it: {fetched}");
    assert_eq!(endpoint.published(), Ok(vec![fingerprint]));
}

#[test]
fn what_is_no_tls_server_is_named() {
    let endpoint = Endpoint::new();
    let fingerprint = "a".repeat(64);
    let http = listen(|mut stream| {
        let mut request = [0; 512];
        let _some = stream.read(&mut request);
        let _gone = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nplain HTTP");
    });
    let silent = listen(|mut stream| {
        // Until the other end has had enough.
        let _all = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let closing = listen(drop);
    for (port, words) in [
        (http, "speaks plain HTTP, not TLS"),
        (silent, "did not answer within"),
        (closing, "failed"),
        (free_port(), "cannot connect"),
    ] {
        let run = endpoint
            .agentctl(&[
                "fetch",
                &format!("localhost:{port}"),
                "--fingerprint",
                &fingerprint,
                "--timeout",
                "400ms",
            ])
            .expect_code(3);
        assert!(run.err().contains(words) && run.err().contains("nothing was saved"), "{}", run.err());
        assert!(run.err().contains("hint:"), "{}", run.err());
    }
    let run =
        endpoint.agentctl(&["fetch", "no-such-host.invalid", "--fingerprint", &fingerprint]).expect_code(3);
    assert!(run.err().contains("no-such-host.invalid"), "{}", run.err());
    assert!(!endpoint.bootstrap().exists());
}

#[test]
fn a_server_that_wants_a_clients_certificate_shows_its_chain_all_the_same() {
    if !tools::require(&["openssl"]) {
        return;
    }
    let endpoint = Endpoint::new();
    let leaf = Recipe::leaf("localhost").self_signed();
    let server = Server::openssl_with(&leaf, &["-Verify", "1", "-verify_return_error", "-tls1_2"]);
    let run = endpoint
        .agentctl(&["fetch", &host(&server), "--fingerprint", &leaf.sha256(), "--json"])
        .expect_code(0);
    let fetched = run.json();
    assert_eq!(
        (&fetched["proven"], &fetched["result"]),
        (&Value::from(false), &Value::from("added")),
        "{fetched}"
    );
    assert!(run.err().contains("did not finish the handshake"), "{}", run.err());
}

#[test]
fn a_file_that_a_policy_names_is_kept_as_it_is_and_added_to() {
    for make in servers().into_iter().take(1) {
        let mut endpoint = Endpoint::new();
        let [old, new] = ["Old", "New"].map(|name| Recipe::ca(name).self_signed());
        let leaf = Recipe::leaf("localhost").issued_by(&new);
        let server = make(&leaf, std::slice::from_ref(&new));
        // As a Windows tool leaves it, without a final line end.
        let wide: Vec<u8> = std::iter::once(0xfeff)
            .chain(old.pem().trim_end().replace('\n', "\r\n").encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        write(&endpoint.ca_info(), &wide);
        endpoint.name_ca_info();
        endpoint.start_daemon();
        endpoint.wait_for("the policy's", &[old.sha256()]);
        let to = endpoint.ca_info().display().to_string();
        let fetched = endpoint.json(&["fetch", &host(&server), "--fingerprint", &new.sha256(), "--to", &to]);
        assert_eq!(fetched["store"]["is_source"], true, "{fetched}");
        endpoint.wait_for("both", &[old.sha256(), new.sha256()]);
        assert!(fs::read(endpoint.ca_info()).expect("the file").starts_with(&wide));
        assert_eq!(endpoint.agentctl(&["status", "--check"]).code(), 0);
    }
}

#[test]
fn what_must_not_be_written_is_not() {
    for make in servers().into_iter().take(1) {
        let endpoint = Endpoint::new();
        let leaf = Recipe::leaf("localhost").self_signed();
        let server = make(&leaf, &[]);
        let victim = endpoint.beside("victim");
        write(&victim, "precious");
        symlink(&victim, endpoint.bootstrap()).expect("a place of the test");
        let text = endpoint.path("var/lib/agentd/text.pem");
        write(&text, "not certificates");
        let merged = endpoint.merged();
        for (to, code, words) in [
            (PathBuf::from("bootstrap"), 2, "symbolic link"),
            (text.clone(), 2, "no file of certificates"),
            (merged, 2, "the store itself"),
            (endpoint.path("nowhere/ca.pem"), 5, "mkdir -p"),
            (endpoint.path("var/lib/agentd/state/x.pem"), 2, ""),
            (PathBuf::from("/dev/null"), 2, ""),
        ] {
            let to = to.display().to_string();
            let run = endpoint
                .agentctl(&["fetch", &host(&server), "--fingerprint", &leaf.sha256(), "--to", &to])
                .expect_code(code);
            assert!(run.err().contains(words) && run.err().contains("hint:"), "{to}: {}", run.err());
        }
        assert_eq!(fs::read_to_string(&victim).ok().as_deref(), Some("precious"));
        assert_eq!(fs::read_to_string(&text).ok().as_deref(), Some("not certificates"));
        // Banned: never saved.
        fs::remove_file(endpoint.bootstrap()).expect("the link");
        write(&endpoint.config(), format!("[distrust]\nfingerprints = [\"{}\"]\n", leaf.sha256()));
        let run =
            endpoint.agentctl(&["fetch", &host(&server), "--fingerprint", &leaf.sha256()]).expect_code(6);
        assert!(run.err().contains("distrusted by the configuration"), "{}", run.err());
        fs::remove_file(endpoint.config()).expect("the configuration");
        let _banned = endpoint.agentctl(&["distrust", &leaf.sha256()]).expect_code(0);
        let run =
            endpoint.agentctl(&["fetch", &host(&server), "--fingerprint", &leaf.sha256()]).expect_code(6);
        assert!(run.err().contains("agentctl trust"), "{}", run.err());
        assert!(!endpoint.bootstrap().exists());
    }
}

/// `openssl s_server` on `[::1]`; `None` where there is no IPv6 here.
fn openssl_v6(files: &Path) -> Option<(process::Owned, u16)> {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        let _left_out = tools::left_out("there is no IPv6 loopback");
        return None;
    };
    let port = listener.local_addr().expect("a bound listener").port();
    drop(listener);
    let mut server = process::command(tools::path("openssl"));
    server.args(["s_server", "-www", "-quiet", "-accept", &format!("[::1]:{port}")]);
    server.arg("-cert").arg(files.join("leaf.pem")).arg("-key").arg(files.join("key.pem"));
    let server = process::Owned::start(&mut server, &files.join("log"));
    test_support::poll::until("the server listens", || TcpStream::connect(("::1", port)).ok());
    Some((server, port))
}

/// A port of 127.0.0.1 where each connection is dealt with by `serve`, until the test's process ends.
fn listen(serve: impl Fn(TcpStream) + Send + Copy + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
    let port = listener.local_addr().expect("a bound listener").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            drop(thread::spawn(move || serve(stream)));
        }
    });
    port
}

/// The servers that are installed.
fn servers() -> Vec<Make> {
    let all: [(&str, Make); 2] = [("nginx", Server::nginx), ("openssl", Server::openssl)];
    all.into_iter().filter(|(program, _)| tools::require(&[program])).map(|(_, make)| make).collect()
}
