//! A change of trust under load: the next connection uses the new generation, no session of the old one is resumed, and
//! a connection that stands goes on as it began.

#![cfg(feature = "connect")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{HandshakeKind, ServerConfig};
use test_support::pki::{Cert, Recipe};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use trust_core::Certificate;
use trust_tls::connect::{Outcome, Target, connect};
use trust_tls::{AnchorSet, Code, Request};

const TASKS: usize = 16;
const CONNECTIONS: usize = 25;
const LIMIT: Duration = Duration::from_secs(30);

fn generation(ca: &Cert) -> Arc<AnchorSet> {
    let certificate = Certificate::parse(ca.der()).expect("a certificate");
    Arc::new(AnchorSet::new([Arc::new(certificate)]))
}

/// A server that offers sessions (TLS 1.3 tickets and TLS 1.2 ids) and sends back what it gets.
async fn echo_server(ca: &Cert) -> Target {
    let leaf = Recipe::leaf("localhost").issued_by(ca);
    let chain = vec![CertificateDer::from(leaf.der().to_vec())];
    let key = PrivateKeyDer::try_from(leaf.key_der().to_vec()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .expect("a server");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that refuses the certificate ends the handshake: nothing to serve.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut byte = [0];
                while let Ok(1) = stream.read(&mut byte).await {
                    if stream.write_all(&byte).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    Target { host: "localhost".to_owned(), port }
}

async fn attempt(set: Arc<AnchorSet>, target: &Target) -> Outcome {
    let request = Request::new("localhost", Timestamp::now());
    connect(set, target, request, LIMIT).await.expect("a verdict")
}

/// Sends a byte and gets it back.
async fn alive(outcome: &mut Outcome) {
    let stream = outcome.stream.as_mut().expect("an accepted connection");
    stream.write_all(b"x").await.expect("written");
    stream.flush().await.expect("sent");
    let mut byte = [0];
    stream.read_exact(&mut byte).await.expect("answered");
    assert_eq!(&byte, b"x");
}

#[test]
fn a_new_generation_counts_from_the_next_connection_on() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (old_ca, new_ca) = (Recipe::ca("Old CA").self_signed(), Recipe::ca("New CA").self_signed());
        let target = echo_server(&old_ca).await;
        let (old, new) = (generation(&old_ca), generation(&new_ca));
        let mut standing = attempt(Arc::clone(&old), &target).await;
        alive(&mut standing).await;

        let switched = Arc::new(AtomicBool::new(false));
        let begun = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|_| {
                let (old, new, target) = (Arc::clone(&old), Arc::clone(&new), target.clone());
                let (switched, begun) = (Arc::clone(&switched), Arc::clone(&begun));
                tokio::spawn(async move {
                    let mut counts = [0; 2];
                    for _ in 0..CONNECTIONS {
                        let is_new = switched.load(Ordering::SeqCst);
                        begun.fetch_add(1, Ordering::SeqCst);
                        let set = if is_new { Arc::clone(&new) } else { Arc::clone(&old) };
                        let mut outcome = attempt(set, &target).await;
                        counts[usize::from(is_new)] += 1;
                        let verdict = &outcome.captured.verdict;
                        if is_new {
                            assert_eq!((verdict.accepted, verdict.code), (false, Code::NoIssuer));
                            assert!(outcome.stream.is_none());
                        } else {
                            assert_eq!(verdict.anchor, Some(0));
                            let session = outcome.stream.as_ref().expect("accepted").get_ref().1;
                            assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full), "never resumed");
                            alive(&mut outcome).await;
                        }
                    }
                    counts
                })
            })
            .collect();
        while begun.load(Ordering::SeqCst) < TASKS * CONNECTIONS / 2 {
            tokio::task::yield_now().await;
        }
        switched.store(true, Ordering::SeqCst);
        let mut totals = [0; 2];
        for task in tasks {
            let counts = task.await.expect("no task failed");
            totals = [totals[0] + counts[0], totals[1] + counts[1]];
        }
        assert_eq!(totals[0] + totals[1], TASKS * CONNECTIONS);
        assert!(totals[0] > 0 && totals[1] > 0, "both generations were in use: {totals:?}");
        // It began with the old generation, and goes on.
        alive(&mut standing).await;
    });
}
