//! What the pure part of a regeneration costs: the sizes of a real store, and of two that nobody has.
//!
//! `cargo bench -p trust-core --bench store`

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, SerialNumber};
use trust_core::bundle::{merge, push_pem, render};
use trust_core::engine::{Action, Carried, Engine, Event, Now};
use trust_core::guard::{Guard, Leaving, judge};
use trust_core::plan::{Observation, Settings, StoreState};
use trust_core::policy::Effective;
use trust_core::source::{Content, Reading, Snapshot, SourceId, SourceKind};
use trust_core::{Certificate, Fingerprint};
use trust_formats::certificates::Limits;

const SIZES: [usize; 3] = [148, 1_000, 10_000];

/// Three sources that overlap by a third, as files.
struct Scene {
    files: [Vec<u8>; 3],
}

impl Scene {
    fn new(ders: &[Vec<u8>]) -> Self {
        let length = ders.len() * 4 / 9;
        let files = [0, 1, 2].map(|third| {
            let mut text = String::new();
            for der in ders.iter().cycle().skip(ders.len() * third / 3).take(length) {
                push_pem(&mut text, der);
            }
            text.into_bytes()
        });
        Self { files }
    }

    fn id(third: usize) -> SourceId {
        let kind = [SourceKind::Bootstrap, SourceKind::Site, SourceKind::Policy][third];
        SourceId { kind, path: PathBuf::from(format!("/var/lib/agentd/{third}.pem")) }
    }

    /// All files as read anew.
    fn observation(&self, state: &StoreState) -> Observation {
        let read = |third: usize| {
            let snapshot = Snapshot::new(self.files[third].clone(), Limits::default());
            (Self::id(third), Reading::Read { snapshot, fresh: false })
        };
        observation([0, 1, 2].map(read).into(), state)
    }
}

fn observation(sources: Vec<(SourceId, Reading)>, state: &StoreState) -> Observation {
    Observation {
        policies: Vec::new(),
        effective: Effective { verify_peer: true, verify_host: true, ..Effective::default() },
        sources,
        bundle: state.bundle.as_ref().map(|bundle| bundle.sha256),
        warnings: Vec::new(),
        watch_degraded: false,
    }
}

fn settings() -> Settings {
    Settings {
        distrusted: BTreeSet::new(),
        limits: Limits::default(),
        quiet: Duration::from_secs(3),
        poll: Duration::from_secs(30),
        degraded_poll: Duration::from_secs(5),
        guard: Guard { enabled: true, servers: Vec::new(), retain_for: None, archive: true },
    }
}

fn now() -> Now {
    Now { wall: Timestamp::UNIX_EPOCH, steady: Duration::from_secs(1_000) }
}

/// Looks once, and carries out what comes of it in no time.
fn step(engine: &mut Engine, seen: impl FnOnce(&StoreState) -> Observation) {
    let mut actions = engine.handle(now(), Event::Hint);
    assert!(matches!(actions.as_slice(), [Action::Look]), "an engine at rest looks");
    let seen = seen(engine.state());
    actions = engine.handle(now(), Event::Looked(seen));
    if actions.iter().any(|action| matches!(action, Action::Carry { .. })) {
        black_box(engine.handle(now(), Event::Carried(Carried::Done)));
    }
}

fn regenerate(criterion: &mut Criterion) {
    let template = template();
    for count in SIZES {
        let ders: Vec<Vec<u8>> = (0..count).map(|number| numbered(&template, number)).collect();
        let scene = Scene::new(&ders);
        let mut engine = Engine::new(settings(), Arc::default());
        step(&mut engine, |state| scene.observation(state));
        let state = Arc::clone(engine.state());
        let merged = merge(&state.sources, &BTreeSet::new());
        assert_eq!((merged.anchors.len(), state.sources.len()), (count, 3));
        parts(criterion, count, &scene, &state);
        steps(criterion, count, &scene, &state);
    }
}

fn parts(criterion: &mut Criterion, count: usize, scene: &Scene, state: &StoreState) {
    let mut group = criterion.benchmark_group("core");
    let id = |name: &str| BenchmarkId::new(name, count);
    group.bench_function(id("hash of a source"), |bencher| bencher.iter(|| Fingerprint::of(&scene.files[0])));
    group.bench_function(id("parse of a source"), |bencher| {
        bencher.iter(|| Content::parse(&scene.files[0], &Limits::default()));
    });
    group.bench_function(id("merge"), |bencher| bencher.iter(|| merge(&state.sources, &BTreeSet::new())));
    let merged = merge(&state.sources, &BTreeSet::new());
    group.bench_function(id("render and hash"), |bencher| bencher.iter(|| render(&merged.anchors)));
    let leaving = || -> Vec<Leaving> {
        let one = |anchor: &trust_core::bundle::Anchor| Leaving {
            certificate: Arc::clone(&anchor.certificate),
            retained: None,
        };
        merged.anchors.iter().map(one).collect()
    };
    let guard = Guard { servers: vec!["server.example:443".to_owned()], ..settings().guard };
    group.bench_function(id("guard, all leave"), |bencher| {
        bencher.iter_batched(
            leaving,
            |leaving| judge(leaving, &guard, None, &[], Timestamp::UNIX_EPOCH),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn steps(criterion: &mut Criterion, count: usize, scene: &Scene, state: &Arc<StoreState>) {
    let mut group = criterion.benchmark_group("engine");
    let id = |name: &str| BenchmarkId::new(name, count);
    let mut engine = Engine::new(settings(), Arc::clone(state));
    group.bench_function(id("nothing changed, nothing read"), |bencher| {
        bencher.iter(|| {
            step(&mut engine, |state| {
                let known = state.sources.iter().filter_map(|source| {
                    let snapshot = Snapshot::known(source.sha256?, source.size, Arc::clone(&source.content));
                    Some((source.id.clone(), Reading::Read { snapshot, fresh: false }))
                });
                observation(known.collect(), state)
            });
        });
    });
    group.bench_function(id("nothing changed, all read"), |bencher| {
        bencher.iter(|| step(&mut engine, |state| scene.observation(state)));
    });
    group.bench_function(id("one of three changed"), |bencher| {
        bencher.iter_batched(
            || Engine::new(settings(), Arc::clone(state)),
            |mut engine| {
                step(&mut engine, |state| {
                    let mut seen = scene.observation(state);
                    let bytes = [b"# changed\n".as_slice(), &scene.files[2]].concat();
                    let snapshot = Snapshot::new(bytes, Limits::default());
                    seen.sources[2].1 = Reading::Read { snapshot, fresh: false };
                    seen
                });
                engine
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function(id("from no state"), |bencher| {
        bencher.iter_batched(
            || Engine::new(settings(), Arc::default()),
            |mut engine| {
                step(&mut engine, |state| scene.observation(state));
                engine
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// Certificates differ in their serial number alone; signing ten thousand would take longer than all else.
const MARK: [u8; 16] = [0x5a; 16];

/// A root whose PEM has the 700 bytes that are usual with elliptic curves.
fn template() -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.serial_number = Some(SerialNumber::from_slice(&MARK));
    params.distinguished_name.push(DnType::OrganizationName, "An Organisation with a Name of Usual Length");
    params.distinguished_name.push(DnType::CommonName, "A Root Certificate of that Organisation");
    let key = KeyPair::generate().expect("randomness");
    let der = params.self_signed(&key).expect("parameters that rcgen knows").der().to_vec();
    assert!(Certificate::parse(&der).is_ok(), "a certificate");
    der
}

fn numbered(template: &[u8], number: usize) -> Vec<u8> {
    let mut der = template.to_vec();
    let at = der.windows(MARK.len()).position(|window| window == MARK).expect("the serial number");
    der[at + 8..at + 16].copy_from_slice(&(number as u64).to_be_bytes());
    der
}

criterion_group!(benches, regenerate);
criterion_main!(benches);
