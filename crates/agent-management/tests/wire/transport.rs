use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use agent_management::dial::Dialer;
use agent_management::http::Ask;
use agent_management::session::Session;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use test_support::pki::Recipe;
use url::Url;

use crate::kit::{answer, authority, get, listen, ok, proxy, request, runtime, set, short, through, tls};

const LIMIT: u64 = 1 << 20;

#[test]
fn an_answer_comes_over_one_connection() {
    let (root, leaf) = authority();
    let server =
        tls(&leaf, |_| answer("200 OK", "ETag: \"1\"\r\nContent-Type: Text/XML; charset=x\r\n", b"hello"));
    let dialer = Dialer::default();
    runtime().block_on(async {
        let mut session = Session::open(&dialer, set(&[&root]), &server.url(), request()).await.unwrap();
        assert!(session.reached().verified);
        for _ in 0..3 {
            let ask = Ask::get(server.url().join("/a/b?c=d").unwrap(), LIMIT);
            let (_, reply) = session.ask(ask, Timestamp::now()).await.unwrap();
            assert_eq!((reply.status, reply.body.as_slice()), (200, &b"hello"[..]));
            assert_eq!(reply.validators.etag.as_deref(), Some("\"1\""));
            assert_eq!(reply.kind.as_deref(), Some("text/xml"));
        }
    });
    assert_eq!(server.connections(), 1);
    let head = &server.requests()[0];
    assert!(head.starts_with("GET /a/b?c=d HTTP/1.1\r\n"), "{head}");
    assert!(
        head.to_ascii_lowercase().contains(&format!("host: localhost:{}\r\n", server.address.port())),
        "{head}"
    );
}

#[test]
fn a_server_that_closes_is_opened_again() {
    let (root, leaf) = authority();
    let server = tls(&leaf, |_| answer("200 OK", "Connection: close\r\n", b"x"));
    let dialer = Dialer::default();
    runtime().block_on(async {
        let mut session = Session::open(&dialer, set(&[&root]), &server.url(), request()).await.unwrap();
        for _ in 0..3 {
            session.ask(Ask::get(server.url(), LIMIT), Timestamp::now()).await.unwrap();
        }
        assert_eq!(session.connections(), 3);
    });
    assert_eq!(server.connections(), 3);
}

#[test]
fn a_stranger_is_told_from_a_changed_certificate() {
    let (root, leaf) = authority();
    let stranger = Recipe::ca("Stranger CA").self_signed();
    let same_name = Recipe::leaf("localhost").issued_by(&stranger);
    let portal = Recipe::leaf("login.wifi.example").issued_by(&stranger);
    let expired = Recipe::leaf("localhost").days(-30, -1).issued_by(&root);
    let direct = Dialer::default();
    for (leaf, code, words) in [
        (&same_name, "no-issuer", ""),
        (&portal, "captive-portal", "Stranger CA"),
        (&expired, "expired", ""),
        (&leaf, "", ""),
    ] {
        let server = tls(leaf, |_| ok(b""));
        let result = get(&direct, &[&root], &server.url(), LIMIT);
        let found = result.as_ref().map_or_else(agent_management::Failure::code, |_| "");
        assert_eq!(found, code, "{result:?}");
        if let Err(failure) = result {
            assert!(failure.to_string().contains(words), "{failure}");
            assert!(!failure.remedy().is_empty());
            assert!(server.requests().is_empty(), "a server that is refused gets no request");
        }
    }
    // The same through a proxy: it is the proxy that is spoken of.
    let (address, _) = proxy(None);
    let server = tls(&same_name, |_| ok(b""));
    let failure = get(&through(address, None), &[&root], &server.url(), LIMIT).unwrap_err();
    assert_eq!(failure.code(), "proxy-breaks-tls");
    let words = failure.to_string();
    assert!(words.contains("Stranger CA") && words.contains("not by your server's CA"), "{words}");
    assert!(words.contains(&address.to_string()), "{words}");
}

#[test]
fn proxies() {
    let (root, leaf) = authority();
    let server = tls(&leaf, |_| ok(b"through"));
    let (open, heads) = proxy(None);
    let reply = get(&through(open, None), &[&root], &server.url(), LIMIT).unwrap();
    assert_eq!(reply.body, b"through");
    let head = heads.lock().unwrap()[0].clone();
    assert!(head.starts_with(&format!("CONNECT localhost:{} HTTP/1.1\r\n", server.address.port())), "{head}");
    assert!(!head.contains("Proxy-Authorization"), "{head}");

    let (closed, _) = proxy(Some("Basic am9lOnNlY3JldA=="));
    assert!(get(&through(closed, Some("joe:secret")), &[&root], &server.url(), LIMIT).is_ok());
    for (credentials, words) in [(None, "wants"), (Some("joe:wrong"), "does not take")] {
        let failure = get(&through(closed, credentials), &[&root], &server.url(), LIMIT).unwrap_err();
        assert_eq!(failure.code(), "proxy-credentials");
        let all = format!("{failure} {failure:?} {}", failure.remedy());
        assert!(all.contains(words) && !all.contains("joe") && !all.contains("wrong."), "{all}");
    }

    let nowhere = Url::parse("https://127.0.0.1:1/").unwrap();
    let failure = get(&through(open, None), &[&root], &nowhere, LIMIT).unwrap_err();
    assert_eq!(failure.code(), "proxy-refused", "{failure}");

    for (says, code) in [
        (&b"HTTP/1.1 302 Found\r\nLocation: http://login/\r\n\r\n"[..], "captive-portal"),
        (b"HTTP/1.1 511 x\r\n\r\n", "captive-portal"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "proxy-refused"),
        (b"SSH-2.0-OpenSSH\r\n", "proxy-refused"),
        (b"HTTP/1.1 200 OK", "proxy-refused"),
        (b"", "proxy-refused"),
    ] {
        let odd = listen(move |mut stream| {
            let _asked = stream.read(&mut [0; 512]);
            let _gone = stream.write_all(says);
        });
        let failure = get(&through(odd, None), &[&root], &server.url(), LIMIT).unwrap_err();
        assert_eq!(failure.code(), code, "{failure}");
    }
}

#[test]
fn each_phase_has_its_time() {
    let (root, leaf) = authority();
    let wait = |mut stream: std::net::TcpStream| {
        let _until_it_goes = stream.read_to_end(&mut Vec::new());
    };
    let silent = listen(wait);
    let base = Url::parse(&format!("https://localhost:{}/", silent.port())).unwrap();
    let failure = get(&short(), &[&root], &base, LIMIT).unwrap_err();
    assert_eq!((failure.code(), failure.to_string().contains("(tls)")), ("timeout", true), "{failure}");

    let dialer = Dialer { proxy: through(silent, None).proxy, ..short() };
    let failure = get(&dialer, &[&root], &base, LIMIT).unwrap_err();
    assert!(failure.to_string().contains("(proxy)"), "{failure}");

    let slow = tls(&leaf, |_| {
        std::thread::sleep(Duration::from_secs(1));
        ok(b"late")
    });
    let failure = get(&short(), &[&root], &slow.url(), LIMIT).unwrap_err();
    assert!(failure.to_string().contains("(first-byte)"), "{failure}");

    let halting = tls(&leaf, |_| b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec());
    let failure = get(&short(), &[&root], &halting.url(), LIMIT).unwrap_err();
    assert!(failure.to_string().contains("(body)"), "{failure}");
}

#[test]
fn what_is_no_https_server() {
    let (root, _) = authority();
    let plain = listen(|mut stream| {
        let _hello = stream.read(&mut [0; 64]);
        let _gone = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let base = Url::parse(&format!("https://localhost:{}/", plain.port())).unwrap();
    let failure = get(&Dialer::default(), &[&root], &base, LIMIT).unwrap_err();
    assert_eq!(failure.code(), "not-tls", "{failure}");
    assert!(failure.to_string().contains("speaks plain HTTP"), "{failure}");
    assert!(failure.remedy().contains("port for HTTPS"), "{}", failure.remedy());
    let other = listen(|mut stream| {
        let _gone = stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
        let _until_it_goes = stream.read_to_end(&mut Vec::new());
    });
    let base = Url::parse(&format!("https://localhost:{}/", other.port())).unwrap();
    let failure = get(&Dialer::default(), &[&root], &base, LIMIT).unwrap_err();
    assert_eq!(failure.code(), "not-tls", "{failure}");
    assert!(!failure.to_string().contains("HTTP"), "{failure}");

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let base = Url::parse(&format!("https://127.0.0.1:{}/", closed.port())).unwrap();
    let failure = get(&Dialer::default(), &[&root], &base, LIMIT).unwrap_err();
    assert_eq!(failure.code(), "connect-failed");
    assert!(failure.to_string().contains(&closed.to_string()), "each address is named: {failure}");

    let base = Url::parse("https://no-such-host.invalid/").unwrap();
    assert_eq!(get(&Dialer::default(), &[&root], &base, LIMIT).unwrap_err().code(), "resolve-failed");
}

#[test]
fn redirects_stay_at_home() {
    let (root, leaf) = authority();
    for (location, expected) in [
        ("/moved", Ok(&b"moved"[..])),
        ("https://elsewhere.example/", Err("redirect-elsewhere")),
        ("http://localhost/", Err("redirect-plain")),
        ("/again", Err("redirect-bad")),
    ] {
        let server = tls(&leaf, move |head| {
            if head.starts_with("GET /moved ") {
                ok(b"moved")
            } else {
                answer("302 Found", &format!("Location: {location}\r\n"), b"<html>moved</html>")
            }
        });
        let result = get(&Dialer::default(), &[&root], &server.url(), LIMIT);
        match (&result, expected) {
            (Ok(reply), Ok(body)) => assert_eq!(reply.body, body),
            (Err(failure), Err(code)) => {
                assert_eq!(failure.code(), code);
                assert!(!failure.to_string().contains("secret"), "{failure}");
            }
            _ => panic!("{location}: {result:?}"),
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn bodies_have_bounds() {
    let (root, leaf) = authority();
    let packed = "Content-Encoding: gzip\r\n";
    let bomb = gzip(&vec![0; 64 << 20]);
    assert!(bomb.len() < 100_000, "it is small on the wire");
    let endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n".to_vec();
    let endless = [endless, vec![b'x'; 1 << 20], b"\r\n10\r\n".to_vec(), vec![b'x'; 16]].concat();
    for (bytes, expected) in [
        (answer("200 OK", packed, &gzip(b"<Policy/>")), Ok(&b"<Policy/>"[..])),
        (answer("200 OK", "Content-Encoding: identity\r\n", b"x"), Ok(b"x")),
        (answer("200 OK", packed, &bomb), Err("too-large")),
        (answer("200 OK", packed, b"no gzip at all"), Err("http-broken")),
        (answer("200 OK", packed, &gzip(b"<Policy/>")[..12]), Err("http-broken")),
        (answer("200 OK", "Content-Encoding: br\r\n", b"x"), Err("http-broken")),
        (endless, Err("too-large")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n".to_vec(), Err("too-large")),
        (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\nhalf".to_vec(),
            Err("http-broken"),
        ),
        (b"no http\r\n\r\n".to_vec(), Err("http-broken")),
        (answer("404 Not Found", "", b"<html>nothing</html>"), Ok(b"")),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        let server = tls(&leaf, move |_| bytes.clone());
        let mut dialer = Dialer::default();
        dialer.timeouts.body = Duration::from_secs(1);
        let result = get(&dialer, &[&root], &server.url(), LIMIT);
        let found =
            result.as_ref().map(|reply| reply.body.as_slice()).map_err(agent_management::Failure::code);
        assert_eq!(found, expected, "{shown}: {result:?}");
    }
}

#[test]
fn what_is_sent_arrives_whole() {
    let (root, leaf) = authority();
    let server = tls(&leaf, |_| answer("201 Created", "", b"<html>thanks</html>"));
    let dialer = Dialer::default();
    runtime().block_on(async {
        let mut session = Session::open(&dialer, set(&[&root]), &server.url(), request()).await.unwrap();
        let ask =
            Ask::post(server.url().join("/inventory").unwrap(), "application/json", b"{\"v\":1}".to_vec());
        let (_, reply) = session.ask(ask, Timestamp::now()).await.unwrap();
        assert_eq!(reply.status, 201);
    });
    let seen = server.requests();
    assert!(
        seen[0].starts_with("POST /inventory HTTP/1.1\r\n") && seen[0].ends_with("{\"v\":1}"),
        "{}",
        seen[0]
    );
}
