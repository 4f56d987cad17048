//! One handshake against servers of every habit: what it is called when it does not come about, and what the server is
//! told when its chain is refused.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use rcgen::CustomExtension;
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    AlertDescription, Error, HandshakeKind, RootCertStore, ServerConfig, ServerConnection, version,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use test_support::pki::{Cert, Recipe};
use trust_core::Certificate;
use trust_tls::connect::{ConnectError, Outcome, Target, connect, connect_to};
use trust_tls::{AnchorSet, Code, Request, TlsVersion};

const HOST: &str = "localhost";
const LIMIT: Duration = Duration::from_secs(20);

fn set(anchors: &[&Cert]) -> Arc<AnchorSet> {
    Arc::new(AnchorSet::new(anchors.iter().map(|cert| Arc::new(Certificate::parse(cert.der()).unwrap()))))
}

fn dial(set: &Arc<AnchorSet>, address: SocketAddr, request: Request) -> Result<Outcome, ConnectError> {
    dial_within(set, address, request, LIMIT)
}

fn dial_within(
    set: &Arc<AnchorSet>,
    address: SocketAddr,
    request: Request,
    limit: Duration,
) -> Result<Outcome, ConnectError> {
    let target = Target { host: HOST.to_owned(), port: address.port() };
    runtime().block_on(connect_to(Arc::clone(set), &target, &[address], request, limit))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn now() -> Request {
    Request::new(HOST, Timestamp::now())
}

/// A server that deals with each connection by `serve`, one after another, until the test ends.
fn server(mut serve: impl FnMut(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(&mut serve));
    address
}

/// What a TLS server saw of a connection.
type Seen = Result<HandshakeKind, Error>;

/// A TLS server that tells what it saw.
fn tls_server(config: ServerConfig) -> (SocketAddr, mpsc::Receiver<Seen>) {
    let (tell, seen) = mpsc::channel();
    let config = Arc::new(config);
    let address = server(move |stream| {
        let (config, tell) = (Arc::clone(&config), tell.clone());
        thread::spawn(move || {
            let _nobody_asks = tell.send(serve(config, stream));
        });
    });
    (address, seen)
}

/// To the end of the connection: what a refusing client says comes after our last flight.
fn serve(config: Arc<ServerConfig>, mut stream: TcpStream) -> Seen {
    let mut session = ServerConnection::new(config)?;
    loop {
        while session.wants_write() && session.write_tls(&mut stream).is_ok() {}
        if session.read_tls(&mut stream).unwrap_or(0) == 0 {
            return session.handshake_kind().ok_or(Error::HandshakeNotComplete);
        }
        if let Err(error) = session.process_new_packets() {
            let _gone = session.write_tls(&mut stream);
            return Err(error);
        }
    }
}

fn serving(leaf: &Cert, key: &Cert) -> ServerConfig {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.key_der().to_vec()));
    let chain = vec![CertificateDer::from(leaf.der().to_vec())];
    let certified = CertifiedKey::new(chain, any_supported_type(&key).unwrap());
    builder().with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
}

fn builder() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
}

#[test]
fn what_is_no_verdict_blames_no_anchor() {
    let set = set(&[&Recipe::ca("Root").self_signed()]);
    let answer = |text: &'static [u8]| {
        server(move |mut stream| {
            let _gone = stream.read(&mut [0; 512]).and_then(|_| stream.write_all(text));
        })
    };
    let held = Mutex::new(Vec::new());
    let silent = server(move |stream| held.lock().unwrap().push(stream));
    let short = Duration::from_millis(300);
    // An alert of TLS 1.0: protocol_version, handshake_failure, unrecognized_name.
    for (name, address, limit, expected) in [
        ("HTTP", answer(b"HTTP/1.1 400 Bad Request\r\n\r\n"), LIMIT, "not-tls"),
        ("SSH", answer(b"SSH-2.0-OpenSSH_9.2\r\n"), LIMIT, "not-tls"),
        ("old versions alone", answer(&[21, 3, 1, 0, 2, 2, 70]), LIMIT, "tls-incompatible"),
        ("other suites alone", answer(&[21, 3, 3, 0, 2, 2, 40]), LIMIT, "tls-incompatible"),
        ("another site", answer(&[21, 3, 3, 0, 2, 2, 112]), LIMIT, "tls-alert"),
        ("hangs up", server(drop), LIMIT, "handshake-failed"),
        ("says nothing", silent, short, "timeout"),
    ] {
        let error = dial_within(&set, address, now(), limit).expect_err(name);
        assert_eq!(error.code(), expected, "{name}: {error}");
        assert!(!error.remedy().is_empty() && !error.to_string().contains("anchor"), "{name}: {error}");
    }
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    assert_eq!(dial(&set, closed, now()).expect_err("nobody listens").code(), "connect-failed");
    let nowhere = Target { host: "host.invalid".to_owned(), port: 443 };
    let error =
        runtime().block_on(connect(Arc::clone(&set), &nowhere, now(), LIMIT)).expect_err("no such name");
    assert_eq!(error.code(), "resolve-failed");
}

#[test]
fn a_dead_address_costs_its_share_alone() {
    let root = Recipe::ca("Root").self_signed();
    let leaf = Recipe::leaf(HOST).issued_by(&root);
    let (address, _seen) = tls_server(serving(&leaf, &leaf));
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let target = Target { host: HOST.to_owned(), port: address.port() };
    let outcome = runtime()
        .block_on(connect_to(set(&[&root]), &target, &[closed, address], now(), LIMIT))
        .expect("the second address answers");
    assert_eq!((outcome.address, outcome.handshakes), (address, 1));
    assert_eq!(outcome.tls_version.as_deref(), Some("TLSv1.3"));
    assert!(outcome.stream.is_some() && outcome.captured.verdict.accepted);
}

#[test]
fn the_server_is_told_why() {
    let root = Recipe::ca("Root").self_signed();
    let leaf = Recipe::leaf(HOST).issued_by(&root);
    let stranger = Recipe::ca("Stranger").self_signed();
    let (address, seen) = tls_server(serving(&leaf, &leaf));
    let later = Timestamp::now() + (20 * 366 * 24).hours();
    for (anchor, request, code, alert) in [
        (&stranger, now(), Code::NoIssuer, AlertDescription::UnknownCA),
        (&root, Request { at: later, ..now() }, Code::Expired, AlertDescription::CertificateExpired),
        (
            &root,
            Request { host: "other.example".to_owned(), ..now() },
            Code::NameMismatch,
            AlertDescription::BadCertificate,
        ),
    ] {
        let outcome = dial(&set(&[anchor]), address, request).expect("a verdict");
        assert_eq!(outcome.captured.verdict.code, code);
        assert!(outcome.stream.is_none(), "a refused connection cannot be used");
        assert_eq!(seen.recv_timeout(LIMIT).unwrap(), Err(Error::AlertReceived(alert)), "{code:?}");
    }
}

#[test]
fn an_old_version_is_refused_where_a_new_one_is_asked_for() {
    let root = Recipe::ca("Root").self_signed();
    let leaf = Recipe::leaf(HOST).issued_by(&root);
    for (versions, minimum_tls, expected) in [
        (&[&version::TLS12][..], TlsVersion::V1_2, Ok("TLSv1.2")),
        (&[&version::TLS12], TlsVersion::V1_3, Err("tls-too-old")),
        (&[&version::TLS12, &version::TLS13], TlsVersion::V1_3, Ok("TLSv1.3")),
    ] {
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(leaf.der().to_vec())],
                PrivatePkcs8KeyDer::from(leaf.key_der().to_vec()).into(),
            )
            .unwrap();
        let (address, _seen) = tls_server(config);
        let result = dial(&set(&[&root]), address, Request { minimum_tls, ..now() });
        let seen = match &result {
            Ok(outcome) => Ok(outcome.tls_version.as_deref().unwrap_or_default()),
            Err(error) => Err(error.code()),
        };
        assert_eq!(seen, expected, "{result:?}");
    }
}

#[test]
fn a_client_certificate_is_asked_for() {
    let root = Recipe::ca("Root").self_signed();
    let leaf = Recipe::leaf(HOST).issued_by(&root);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(root.der().to_vec())).unwrap();
    let asking = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
        .build()
        .unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&version::TLS12])
        .unwrap()
        .with_client_cert_verifier(asking)
        .with_single_cert(
            vec![CertificateDer::from(leaf.der().to_vec())],
            PrivatePkcs8KeyDer::from(leaf.key_der().to_vec()).into(),
        )
        .unwrap();
    let (address, _seen) = tls_server(config);
    let error = dial(&set(&[&root]), address, now()).expect_err("we have none");
    assert_eq!(error.code(), "tls-alert", "{error}: versions and suites were not the matter");
}

/// Whoever has the certificate has not its key: that is what the handshake's signature shows, and no switch turns it off.
#[test]
fn the_handshake_signature_always_counts() {
    let root = Recipe::ca("Root").self_signed();
    let usual = Recipe::leaf(HOST).issued_by(&root);
    // webpki does not read this one, so its key is looked at as it stands there.
    let mut params = rcgen::CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
    extension.set_criticality(true);
    params.custom_extensions.push(extension);
    let odd_key = rcgen::KeyPair::generate().unwrap();
    let odd = params.self_signed(&odd_key).unwrap().der().to_vec();
    let thief = Recipe::leaf(HOST).issued_by(&root);
    for versions in [&[&version::TLS12], &[&version::TLS13]] {
        for (der, key) in [(usual.der(), usual.key_der()), (&odd, odd_key.serialized_der())] {
            for (key, right) in [(key, true), (thief.key_der(), false)] {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.to_vec()));
                let certified = CertifiedKey::new(
                    vec![CertificateDer::from(der.to_vec())],
                    any_supported_type(&key).unwrap(),
                );
                let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
                    .with_protocol_versions(versions)
                    .unwrap()
                    .with_no_client_auth()
                    .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
                let (address, _seen) = tls_server(config);
                for (verify_peer, verify_host) in [(true, true), (true, false), (false, true), (false, false)]
                {
                    let result = dial(&set(&[&root]), address, Request { verify_peer, verify_host, ..now() });
                    let usable = result.as_ref().is_ok_and(|outcome| outcome.stream.is_some());
                    let verdict_is_yes = der == usual.der() || !verify_peer;
                    assert_eq!(
                        usable,
                        right && verdict_is_yes,
                        "{verify_peer} {verify_host} {right}: {result:?}"
                    );
                    if !right && verdict_is_yes {
                        assert_eq!(result.expect_err("a wrong signature").code(), "handshake-failed");
                    }
                }
            }
        }
    }
}

#[test]
fn the_first_flight_is_one_packet() {
    let (tell, seen) = mpsc::channel();
    let address = server(move |mut stream| {
        let mut flight = [0; 4096];
        let length = stream.read(&mut flight).unwrap_or(0);
        let _nobody_asks = tell.send(length);
    });
    dial(&set(&[]), address, now()).expect_err("it hangs up");
    let length = seen.recv_timeout(LIMIT).unwrap();
    assert!(
        (100..1000).contains(&length),
        "{length} bytes: a share of a post-quantum group has more than a thousand"
    );
}
