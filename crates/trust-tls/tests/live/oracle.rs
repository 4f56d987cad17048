//! The three who judge a live server: curl with one anchor after another, stock rustls with all of them, and ours.

use std::fs;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use test_support::poll;
use test_support::process::{Owned, command, run};
use test_support::servers::free_port;
use test_support::tools;
use trust_core::Certificate;
use trust_tls::connect::{ConnectError, Target, connect};
use trust_tls::{AnchorSet, Request};

use crate::kit::Kit;
use crate::shape::Shape;

/// What came of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Accepted by the anchor at this place, from 0.
    Anchor(usize),
    /// Accepted, and nobody says by which.
    Accepted,
    /// The certificates were refused.
    Refused,
    /// There was no common version or suite.
    NoHandshake,
}

impl Answer {
    /// As the table has it; people count from 1.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Anchor(index) => format!("anchor {}", index + 1),
            Self::Accepted => "accepted".to_owned(),
            Self::Refused => "refused".to_owned(),
            Self::NoHandshake => "no handshake".to_owned(),
        }
    }
}

/// All three answers, and our own code and words.
pub(crate) struct Row {
    pub(crate) curl: Answer,
    pub(crate) stock: Answer,
    pub(crate) ours: Answer,
    pub(crate) code: &'static str,
    pub(crate) detail: String,
}

pub(crate) struct Live {
    pub(crate) port: u16,
    _process: Owned,
}

/// `openssl s_server` with everything allowed: what a server may not do any more is for the client to say.
pub(crate) fn serve(kit: &Kit, shape: &Shape) -> Live {
    const ATTEMPTS: usize = 5;
    let sent = kit.path().join("sent.pem");
    fs::write(&sent, shape.sent.iter().map(crate::kit::Cert::pem).collect::<String>())
        .expect("a scratch directory");
    let log = kit.path().join("server.log");
    for _ in 0..ATTEMPTS {
        let port = free_port();
        let mut server = command(tools::path("openssl"));
        server.args(["s_server", "-www", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
        server.arg("-cert").arg(&shape.leaf.path).arg("-key").arg(&shape.leaf.key);
        if !shape.sent.is_empty() {
            server.arg("-cert_chain").arg(&sent);
        }
        if shape.server.is_empty() {
            server.args(["-cipher", "DEFAULT:@SECLEVEL=0"]);
        }
        server.args(shape.server);
        let mut process = Owned::start(&mut server, &log);
        let up =
            poll::until("the server listens or ends", || match TcpStream::connect(("127.0.0.1", port)) {
                Ok(_) => Some(process.is_running()),
                Err(_) if !process.is_running() => Some(false),
                Err(_) => None,
            });
        if up {
            return Live { port, _process: process };
        }
    }
    panic!("{}: no server\n{}", shape.name, fs::read_to_string(log).unwrap_or_default());
}

pub(crate) fn judge(kit: &Kit, shape: &Shape) -> Row {
    let server = serve(kit, shape);
    let (ours, code, detail) = ours(shape, server.port);
    Row { curl: curl(kit, shape, server.port), stock: stock(shape, server.port), ours, code, detail }
}

/// One anchor a connection, in order, until one connects.
fn curl(kit: &Kit, shape: &Shape, port: u16) -> Answer {
    let mut shook_hands = shape.anchors.is_empty();
    for (index, anchor) in shape.anchors.iter().enumerate() {
        match curl_exit(kit, shape, port, anchor.path.as_os_str()) {
            (0, _) => return Answer::Anchor(index),
            // CURLE_SSL_CONNECT_ERROR of TLS itself. A wrong signature of a certificate has this number too, but the words
            // of the arithmetic that failed.
            (35, said) if said.contains("SSL routines") => {}
            // CURLE_PEER_FAILED_VERIFICATION
            (35 | 60, _) => shook_hands = true,
            (code, said) => panic!("{}: curl ended with {code}: {said}", shape.name),
        }
    }
    if shook_hands { Answer::Refused } else { Answer::NoHandshake }
}

fn curl_exit(kit: &Kit, shape: &Shape, port: u16, anchor: &std::ffi::OsStr) -> (i32, String) {
    let mut curl = command(tools::path("curl"));
    curl.args(["-q", "-s", "-S", "--noproxy", "*", "--max-time", "10", "-o", "/dev/null", "--cacert"])
        .arg(anchor);
    curl.arg("--capath").arg(kit.path().join("no-anchors"));
    curl.args(["--resolve", &format!("{}:{port}:127.0.0.1", shape.host.trim_end_matches('.'))]);
    curl.args(["--resolve", &format!("{}:{port}:127.0.0.1", shape.host)]);
    curl.arg(format!("https://{}:{port}/", shape.host));
    let done = run(&mut curl);
    (done.code(), done.err())
}

/// rustls as it comes, with the whole store as its roots.
fn stock(shape: &Shape, port: u16) -> Answer {
    let mut roots = RootCertStore::empty();
    for anchor in &shape.anchors {
        // What it cannot take as a root it goes without, as programs do.
        let _refused = roots.add(CertificateDer::from(anchor.der()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("a provider with suites")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let Ok(name) = ServerName::try_from(shape.host.clone()) else { return Answer::Refused };
    let mut connection = ClientConnection::new(Arc::new(config), name).expect("a configuration");
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    match connection.complete_io(&mut socket) {
        Ok(_) => Answer::Accepted,
        Err(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(_)) => Answer::Refused,
            Some(rustls::Error::AlertReceived(_) | rustls::Error::PeerIncompatible(_)) => Answer::NoHandshake,
            other => panic!("{}: stock rustls: {other:?} {error}", shape.name),
        },
    }
}

pub(crate) fn request(shape: &Shape) -> Request {
    Request::new(shape.host.clone(), Timestamp::now())
}

fn ours(shape: &Shape, port: u16) -> (Answer, &'static str, String) {
    let (answer, code, detail, _) = ours_with(shape, port, request(shape));
    (answer, code, detail)
}

/// Ours, with another request; the last is the number of bytes of certificates presented.
pub(crate) fn ours_with(shape: &Shape, port: u16, request: Request) -> (Answer, &'static str, String, usize) {
    let parse = |cert: &crate::kit::Cert| Arc::new(Certificate::parse(&cert.der()).expect("X.509"));
    let set = Arc::new(AnchorSet::new(shape.anchors.iter().map(parse)));
    let target = Target { host: "127.0.0.1".to_owned(), port };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(connect(set, &target, request, Duration::from_secs(10))) {
        Ok(outcome) => {
            assert_eq!(outcome.handshakes, 1);
            let verdict = outcome.captured.verdict;
            let answer = match (verdict.accepted, verdict.anchor) {
                (true, Some(index)) => Answer::Anchor(index),
                (true, None) => Answer::Accepted,
                (false, _) => Answer::Refused,
            };
            let bytes = outcome.captured.presented.all().map(|cert| cert.der.len()).sum();
            (answer, verdict.code.code(), verdict.detail, bytes)
        }
        Err(error @ ConnectError::Incompatible { .. }) => {
            (Answer::NoHandshake, error.code(), error.to_string(), 0)
        }
        Err(error) => panic!("{}: {error} ({error:?})", shape.name),
    }
}
