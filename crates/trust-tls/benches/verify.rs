//! What a verdict costs by the number of anchors, what a connection costs with it, and what a stranger can make it cost.
//!
//! `cargo bench -p trust-tls --bench verify`. Connections with each number of anchors are made in turn with a bare handshake of
//! rustls, for the ratio of the two.

use std::borrow::Borrow;
use std::hint::black_box;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use test_support::pki::{Cert, Recipe, many_roots};
use trust_core::Certificate;
use trust_tls::{AnchorSet, ChainVerifier, Code, Presented, Request, client_config, verify};

const HOST: &str = "server.example";

const SIZES: [usize; 5] = [1, 10, 148, 1_000, 10_000];

/// Set by `cargo xtask bench`: where the figures of connections made in turn go.
const DIRECTORY: &str = "AGENTD_CRITERION_DIR";

struct Scene {
    root: Cert,
    inter: Cert,
    leaf: Cert,
    others: Vec<Cert>,
}

impl Scene {
    fn new() -> Self {
        let root = Recipe::ca("Right Root").self_signed();
        let inter = Recipe::ca("Right Intermediate").issued_by(&root);
        let leaf = Recipe::leaf(HOST).issued_by(&inter);
        Self { root, inter, leaf, others: many_roots(10_000) }
    }

    /// So many anchors, the right one last or not at all.
    fn set(&self, count: usize, matches: bool) -> Arc<AnchorSet> {
        let others = if matches { count - 1 } else { count };
        let anchors = self.others[..others].iter().chain(matches.then_some(&self.root));
        Arc::new(set_of(anchors))
    }

    fn presented(&self) -> Presented {
        presented(&[&self.leaf, &self.inter])
    }
}

fn set_of(certs: impl IntoIterator<Item = impl Borrow<Cert>>) -> AnchorSet {
    AnchorSet::new(
        certs.into_iter().map(|cert| Arc::new(Certificate::parse(cert.borrow().der()).expect("X.509"))),
    )
}

fn presented(chain: &[&Cert]) -> Presented {
    let chain: Vec<&[u8]> = chain.iter().map(|cert| cert.der()).collect();
    Presented::new(&chain).expect("a leaf")
}

fn request() -> Request {
    Request::new(HOST, Timestamp::now())
}

fn anchor_sets(criterion: &mut Criterion) {
    let others: Vec<Arc<Certificate>> = many_roots(10_000)
        .iter()
        .map(|cert| Arc::new(Certificate::parse(cert.der()).expect("X.509")))
        .collect();
    let mut group = criterion.benchmark_group("anchor set");
    for count in [148, 1_000, 10_000] {
        group.bench_function(BenchmarkId::new("index", count), |bencher| {
            bencher.iter(|| AnchorSet::new(black_box(&others[..count]).iter().map(Arc::clone)));
        });
    }
    group.finish();
}

fn verdicts(criterion: &mut Criterion) {
    let scene = Scene::new();
    let (presented, request) = (scene.presented(), request());
    let mut group = criterion.benchmark_group("verdict");
    for count in SIZES {
        for (name, matches, code) in [("match-last", true, Code::Ok), ("no-match", false, Code::NoIssuer)] {
            let set = scene.set(count, matches);
            assert_eq!(verify(&set, &presented, &request).code, code);
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| verify(black_box(&set), black_box(&presented), black_box(&request)));
            });
        }
    }
    group.finish();
}

/// A server in a thread of its own, which ends with the process.
fn serve(scene: &Scene) -> u16 {
    let chain = [&scene.leaf, &scene.inter].map(|cert| CertificateDer::from(cert.der().to_vec()));
    let key = PrivateKeyDer::try_from(scene.leaf.key_der().to_vec()).expect("PKCS#8");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("a provider with suites")
        .with_no_client_auth()
        .with_single_cert(chain.to_vec(), key)
        .expect("a key that fits");
    let config = Arc::new(config);
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback");
    let port = listener.local_addr().expect("a bound listener").port();
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let mut connection = ServerConnection::new(Arc::clone(&config)).expect("a configuration");
            // A client that refuses goes away in the midst of it.
            let _gone = socket.set_nodelay(true).and_then(|()| connection.complete_io(&mut socket));
        }
    });
    port
}

/// TCP and TLS up to the client's last flight; whether it was accepted.
fn connect(port: u16, config: ClientConfig) -> bool {
    let name = ServerName::try_from(HOST).expect("a host name");
    let mut connection = ClientConnection::new(Arc::new(config), name).expect("a configuration");
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
    socket.set_nodelay(true).expect("an open socket");
    connection.complete_io(&mut socket).is_ok()
}

fn ours(set: &Arc<AnchorSet>) -> ClientConfig {
    client_config(Arc::new(ChainVerifier::new(Arc::clone(set), request()))).expect("a provider with suites")
}

/// rustls with its own verifier and the one root, with the same groups: a bare handshake.
fn bare(root: &Cert) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(root.der().to_vec())).expect("a root");
    let unused = Arc::new(AnchorSet::new([]));
    let provider = Arc::clone(ours(&unused).crypto_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config =
        builder.expect("a provider with suites").with_root_certificates(roots).with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config
}

fn handshakes(criterion: &mut Criterion) {
    let scene = Scene::new();
    let port = serve(&scene);
    let mut group = criterion.benchmark_group("connection");
    group.bench_function("bare rustls", |bencher| {
        bencher.iter(|| assert!(connect(port, bare(&scene.root))));
    });
    for count in SIZES {
        for (name, matches) in [("match-last", true), ("no-match", false)] {
            let set = scene.set(count, matches);
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter(|| assert_eq!(connect(port, ours(&set)), matches));
            });
        }
    }
    group.finish();
    in_turn(&scene, port);
}

/// A bare handshake and each number of anchors in turn, so that whatever else the machine does hits all of them.
fn in_turn(scene: &Scene, port: u16) {
    const ROUNDS: usize = 500;
    let sets = SIZES.map(|count| scene.set(count, true));
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); SIZES.len() + 1];
    for _ in 0..ROUNDS {
        let configs = std::iter::once(bare(&scene.root)).chain(sets.iter().map(ours));
        for (config, times) in configs.zip(&mut times) {
            let started = Instant::now();
            assert!(connect(port, config));
            times.push(started.elapsed());
        }
    }
    let medians: Vec<f64> = times
        .into_iter()
        .map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64() * 1e6
        })
        .collect();
    let named = SIZES.iter().zip(&medians[1..]);
    let told: Vec<String> = named.map(|(count, median)| format!("[{count},{median:.1}]")).collect();
    let json = format!("{{\"bare\":{:.1},\"anchors\":[{}]}}", medians[0], told.join(","));
    let mut out = std::io::stdout();
    // Nobody may listen.
    let _closed = writeln!(out, "connections in turn, medians in µs: {json}");
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        std::fs::write(std::path::Path::new(&directory).join("in-turn.json"), json).expect("a directory");
    }
}

fn worst_cases(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("worst");
    group.sample_size(10).measurement_time(Duration::from_secs(4));
    let request = request();
    let mut bench = |name: &str, set: &AnchorSet, presented: &Presented| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| verify(black_box(set), black_box(presented), black_box(&request)));
        });
    };
    let scene = Scene::new();

    let mut chain = vec![&scene.leaf];
    chain.extend(&scene.others[..900]);
    bench("900 junk certificates", &set_of([&scene.root]), &presented(&chain));

    let same: Vec<Cert> = (0..5000).map(|_| Recipe::ca("Same").no_key_ids().self_signed()).collect();
    let stranger = Recipe::ca("Same").no_key_ids().self_signed();
    let leaf = Recipe::leaf(HOST).no_key_ids().issued_by(&stranger);
    bench("5,000 anchors of one name", &set_of(&same), &presented(&[&leaf]));
    bench("148 anchors of one name", &set_of(&same[..148]), &presented(&[&leaf]));

    for (shape, name) in [("ring of 10", false), ("ring of 10 of one name", true)] {
        let (leaf, sent, anchors) = ring(name);
        let chain: Vec<&Cert> = std::iter::once(&leaf).chain(&sent).collect();
        bench(shape, &set_of(&anchors), &presented(&chain));
    }
    group.finish();
}

/// Ten CAs that signed one another, and anchors of their names that signed none.
fn ring(same_name: bool) -> (Cert, Vec<Cert>, Vec<Cert>) {
    let name = |at: usize| if same_name { "Ring".to_owned() } else { format!("Ring {at}") };
    let own: Vec<Cert> = (0..10).map(|at| Recipe::ca(&name(at)).no_key_ids().self_signed()).collect();
    let mut sent = Vec::new();
    for (at, one) in own.iter().enumerate() {
        for (_, other) in own.iter().enumerate().filter(|(other, _)| *other != at) {
            sent.push(Recipe::ca(&name(at)).no_key_ids().key(&one.key()).issued_by(other));
        }
    }
    let leaf = Recipe::leaf(HOST).no_key_ids().issued_by(&own[0]);
    let anchors = (0..30).map(|_| Recipe::ca(&name(1)).no_key_ids().self_signed()).collect();
    (leaf, sent, anchors)
}

criterion_group!(benches, anchor_sets, verdicts, handshakes, worst_cases);
criterion_main!(benches);
