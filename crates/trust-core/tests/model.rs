//! Lives of an endpoint: random sequences of events against a plain model. After every step what is on disk is what
//! the model says.
//!
//! The disk, the clock and time are values here, so 10,000 lives take seconds. The model knows anchors as letters and
//! sources as lists of letters; it shares no code with the engine.

#![expect(clippy::unwrap_used, reason = "a helper of a test that cannot do its part ends the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use trust_core::bundle::{self, Bundle};
use trust_core::engine::{Action, Ask, Carried, Engine, Event, Now, Trigger};
use trust_core::guard::Guard;
use trust_core::plan::{Observation, Settings, StoreState};
use trust_core::policy::{self, PolicyReading, PolicyState};
use trust_core::source::{Failure, Reading, Snapshot, SourceId, SourceKind};
use trust_core::{Certificate, Fingerprint};
use trust_formats::certificates::{self, Limits};
use trust_formats::policy::{CurlSsl, Placed, Policy};

const QUIET: Duration = Duration::from_secs(3);
const LETTERS: usize = 6;

/// PEM of the certificate that each letter stands for.
static CERTIFICATES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate().unwrap();
    (0..LETTERS)
        .map(|letter| {
            let mut params = rcgen::CertificateParams::new(vec![format!("{letter}.example")]).unwrap();
            params.serial_number = Some(rcgen::SerialNumber::from(letter as u64 + 1));
            params.self_signed(&key).unwrap().pem()
        })
        .collect()
});

static FINGERPRINTS: LazyLock<Vec<Fingerprint>> = LazyLock::new(|| {
    let scan = |pem: &String| certificates::scan(pem.as_bytes(), &Limits::default()).blocks[0].der.clone();
    CERTIFICATES.iter().map(|pem| Certificate::parse(&scan(pem)).unwrap().fingerprint()).collect()
});

/// A file as somebody left it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum File {
    Missing,
    Good(Vec<usize>),
    /// Its last block is cut off: it is being written.
    Growing(Vec<usize>),
    Unreadable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Bootstrap,
    Site,
    PolicyA,
    PolicyB,
}

const PLACES: [Place; 4] = [Place::Bootstrap, Place::Site, Place::PolicyA, Place::PolicyB];

impl Place {
    fn id(self) -> SourceId {
        let (kind, path) = match self {
            Self::Bootstrap => (SourceKind::Bootstrap, "/store/cainfo.pem"),
            Self::Site => (SourceKind::Site, "/store/cainfo-ss.pem"),
            Self::PolicyA => (SourceKind::Policy, "/policy/a.pem"),
            Self::PolicyB => (SourceKind::Policy, "/policy/b.pem"),
        };
        SourceId { kind, path: PathBuf::from(path) }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write(Place, File),
    /// The policy names A, B, both or none.
    Name(bool, bool),
    PolicyBroken(bool),
    Hint,
    Wait(Duration),
    Ask {
        force: bool,
        dry_run: bool,
    },
    Distrust(usize, bool),
    EditBundle,
    DeleteBundle,
    DiskFull(bool),
    /// The state alone cannot be written.
    StateFails(bool),
    Crash,
    /// The process dies between the bundle and the state of the next publication.
    CrashInPublication,
    /// A change arrives while a look or a publication is under way.
    HintMeanwhile,
}

fn file() -> impl Strategy<Value = File> {
    let letters = || prop::collection::vec(0..LETTERS, 0..4);
    prop_oneof![
        1 => Just(File::Missing),
        5 => letters().prop_map(File::Good),
        1 => letters().prop_map(File::Growing),
        1 => Just(File::Unreadable),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let place = prop::sample::select(PLACES.to_vec());
    prop_oneof![
        6 => (place, file()).prop_map(|(place, file)| Step::Write(place, file)),
        2 => any::<(bool, bool)>().prop_map(|(a, b)| Step::Name(a, b)),
        1 => any::<bool>().prop_map(Step::PolicyBroken),
        4 => Just(Step::Hint),
        3 => (0u64..8).prop_map(|seconds| Step::Wait(Duration::from_secs(seconds))),
        3 => any::<(bool, bool)>().prop_map(|(force, dry_run)| Step::Ask { force: force && dry_run, dry_run }),
        1 => (0..LETTERS, any::<bool>()).prop_map(|(letter, on)| Step::Distrust(letter, on)),
        1 => Just(Step::EditBundle),
        1 => Just(Step::DeleteBundle),
        1 => any::<bool>().prop_map(Step::DiskFull),
        1 => any::<bool>().prop_map(Step::StateFails),
        1 => Just(Step::Crash),
        1 => Just(Step::CrashInPublication),
        1 => Just(Step::HintMeanwhile),
    ]
}

/// The world: what is on disk, and what goes wrong.
struct World {
    files: BTreeMap<Place, File>,
    names: (bool, bool),
    policy_broken: bool,
    bundle: Option<Vec<u8>>,
    state: Arc<StoreState>,
    full: bool,
    state_fails: bool,
    die_in_publication: bool,
    distrusted: BTreeSet<Fingerprint>,
    steady: Duration,
}

impl World {
    fn new() -> Self {
        Self {
            files: PLACES.iter().map(|place| (*place, File::Missing)).collect(),
            names: (false, false),
            policy_broken: false,
            bundle: None,
            state: Arc::new(StoreState::default()),
            full: false,
            state_fails: false,
            die_in_publication: false,
            distrusted: BTreeSet::new(),
            steady: Duration::from_secs(1000),
        }
    }

    fn now(&self) -> Now {
        let wall = Timestamp::from_second(1_800_000_000).unwrap() + self.steady;
        Now { wall, steady: self.steady }
    }

    fn settings(&self) -> Settings {
        Settings {
            distrusted: self.distrusted.clone(),
            limits: Limits::default(),
            quiet: QUIET,
            poll: Duration::from_secs(30),
            degraded_poll: Duration::from_secs(5),
            guard: Guard { enabled: true, servers: Vec::new(), retain_for: None, archive: true },
        }
    }

    fn reading(&self, place: Place) -> Reading {
        let text = |letters: &[usize]| letters.iter().map(|l| CERTIFICATES[*l].as_str()).collect::<String>();
        let read = |text: String| Reading::Read {
            snapshot: Snapshot::new(text.into_bytes(), Limits::default()),
            fresh: true,
        };
        match &self.files[&place] {
            File::Missing => Reading::Missing,
            File::Good(letters) => read(text(letters)),
            File::Growing(letters) => read(text(letters) + "-----BEGIN CERTIFICATE-----\nMIIB"),
            File::Unreadable => Reading::Failed(Failure {
                code: "denied".into(),
                message: "permission denied".into(),
                remedy: "chmod".into(),
            }),
        }
    }

    fn observe(&self, known: &[PolicyState]) -> Observation {
        let path = PathBuf::from("/policies/p.xml");
        let element = |path: &str| CurlSsl {
            ca_info: Some(Placed { value: path.into(), line: 1 }),
            ..CurlSsl::default()
        };
        let outcome = if self.policy_broken {
            Err(Failure { code: "xml".into(), message: "cut off".into(), remedy: "send".into() })
        } else {
            let mut elements = Vec::new();
            elements.extend(self.names.0.then(|| element("/policy/a.pem")));
            elements.extend(self.names.1.then(|| element("/policy/b.pem")));
            let sha256 = Fingerprint::of(format!("{:?}", self.names).as_bytes());
            Ok((sha256, Arc::new(Policy { curl_ssl: elements, ..Policy::default() })))
        };
        let (policies, warnings) = policy::settle(known, vec![PolicyReading { path, outcome }]);
        let effective = policy::combine(&policies);
        let mut sources = vec![
            (Place::Bootstrap.id(), self.reading(Place::Bootstrap)),
            (Place::Site.id(), self.reading(Place::Site)),
        ];
        for named in &effective.named {
            let place = if named.path.ends_with("a.pem") { Place::PolicyA } else { Place::PolicyB };
            sources.push((place.id(), self.reading(place)));
        }
        let bundle = self.bundle.as_deref().map(Fingerprint::of);
        Observation { policies, effective, sources, bundle, warnings, watch_degraded: false }
    }

    /// `None`: the process died on the way.
    fn carry(&mut self, bundle: Option<(Bundle, bool)>, state: &Arc<StoreState>) -> Option<Carried> {
        let failure = || Failure { code: "full".into(), message: "no space".into(), remedy: "free".into() };
        if let Some((bundle, true)) = bundle {
            if self.full {
                return Some(Carried::Failed(failure()));
            }
            let bytes = bundle.parts.concat().into_bytes();
            assert_eq!(Fingerprint::of(&bytes), bundle.sha256);
            self.bundle = Some(bytes);
        }
        if std::mem::take(&mut self.die_in_publication) {
            return None;
        }
        if self.full || self.state_fails {
            return Some(Carried::StateFailed(failure()));
        }
        self.state = Arc::clone(state);
        Some(Carried::Done)
    }

    /// The letters of the bundle on disk.
    fn letters(&self) -> Option<Vec<usize>> {
        let bytes = self.bundle.as_deref()?;
        let scan = certificates::scan(bytes, &Limits::default());
        assert!(scan.rejects.is_empty(), "{:?}", scan.rejects);
        let letter = |fingerprint| FINGERPRINTS.iter().position(|known| *known == fingerprint).unwrap();
        Some(scan.blocks.iter().map(|block| letter(Fingerprint::of(&block.der))).collect())
    }
}

/// What the store should be, told in letters.
#[derive(Debug, Clone, Default)]
struct Model {
    /// Of each source what is in use.
    in_use: BTreeMap<Place, Vec<usize>>,
    /// Sources in use that are not named any more.
    leaving: Vec<Place>,
    /// When each became what it is.
    since: BTreeMap<Place, (File, Duration)>,
    names: (bool, bool),
    /// The anchors published, and whether the disk has them.
    published: Option<Vec<usize>>,
    /// As it was when the state was last saved: what a restart knows.
    saved: Option<Box<Model>>,
}

impl Model {
    /// One look. `asked`: somebody says that the sources are as they should be.
    fn look(&mut self, world: &World, asked: bool, force: bool) {
        if !world.policy_broken {
            self.names = world.names;
        }
        let named: Vec<Place> = PLACES
            .into_iter()
            .filter(|place| match place {
                Place::Bootstrap | Place::Site => true,
                Place::PolicyA => self.names.0,
                Place::PolicyB => self.names.1,
            })
            .collect();
        let current =
            |place: Place| if named.contains(&place) { &world.files[&place] } else { &File::Missing };
        let known: BTreeSet<Place> = named.iter().chain(self.in_use.keys()).copied().collect();
        self.since.retain(|place, _| known.contains(place));
        for place in &known {
            let file = current(*place).clone();
            match self.since.get(place) {
                Some((before, _)) if *before == file => {}
                _ => {
                    self.since.insert(*place, (file, world.steady));
                }
            }
        }
        let before = self.clone();
        self.take_in(world, &named, |model, place| {
            let growing = matches!(current(place), File::Growing(_));
            if asked { !growing } else { world.steady - model.since[&place].1 >= QUIET }
        });
        let banned = |letter: &usize| world.distrusted.contains(&FINGERPRINTS[*letter]);
        let had = before.published.as_ref().is_some_and(|letters| !letters.is_empty());
        if self.merged(&named, banned).is_empty() && had && !force {
            let mut keeping = before.clone();
            keeping.since = self.since.clone();
            keeping.names = self.names;
            keeping.take_in(world, &named, |_, _| false);
            if !keeping.merged(&named, banned).is_empty() {
                *self = keeping;
            }
        }
        let merged = self.merged(&named, banned);
        if !merged.is_empty() || self.published.is_some() || force {
            self.published = Some(merged);
        }
    }

    fn take_in(&mut self, world: &World, named: &[Place], quiet: impl Fn(&Self, Place) -> bool) {
        let mut next = BTreeMap::new();
        for place in named {
            let old = self.in_use.get(place).cloned().unwrap_or_default();
            let own = match &world.files[place] {
                File::Unreadable => {
                    next.insert(*place, old);
                    continue;
                }
                File::Missing => Vec::new(),
                File::Good(letters) | File::Growing(letters) => letters.clone(),
            };
            let lost: Vec<usize> = old.iter().filter(|letter| !own.contains(letter)).copied().collect();
            let gained = own.iter().any(|letter| !old.contains(letter));
            let used = match (quiet(self, *place) || lost.is_empty(), gained) {
                (true, _) => own,
                (false, true) => own.into_iter().chain(lost).collect(),
                (false, false) => old,
            };
            next.insert(*place, used);
        }
        let before: Vec<Place> = self.in_use.keys().copied().collect();
        // In the order in which they were: those named before, then those that were already leaving.
        let order = before.iter().filter(|p| !self.leaving.contains(p)).chain(&self.leaving);
        let mut leaving = Vec::new();
        for place in order {
            let letters = &self.in_use[place];
            if !named.contains(place) && !letters.is_empty() && !quiet(self, *place) {
                leaving.push(*place);
                next.insert(*place, letters.clone());
            }
        }
        self.in_use = next;
        self.leaving = leaving;
    }

    fn merged(&self, named: &[Place], banned: impl Fn(&usize) -> bool) -> Vec<usize> {
        let mut merged = Vec::new();
        for place in named.iter().chain(&self.leaving) {
            for letter in &self.in_use[place] {
                if !merged.contains(letter) && !banned(letter) {
                    merged.push(*letter);
                }
            }
        }
        merged
    }
}

struct Life {
    world: World,
    engine: Engine,
    model: Model,
    next_ask: u64,
    /// A hint to send while the next job is under way.
    meanwhile: bool,
}

impl Life {
    fn new() -> Self {
        let world = World::new();
        let engine = Engine::new(world.settings(), Arc::new(StoreState::default()));
        let mut life = Self { world, engine, model: Model::default(), next_ask: 0, meanwhile: false };
        life.start();
        life
    }

    fn start(&mut self) {
        let ask = Ask { id: 0, force: false, dry_run: false, by: Trigger::Start, order: None };
        self.drive(Event::Ask(ask), false, false);
    }

    /// Sends an event and carries out all that follows, the model looking whenever the engine does.
    fn drive(&mut self, event: Event, asked: bool, force: bool) {
        let mut actions = self.engine.handle(self.world.now(), event);
        let mut asked = asked;
        let mut force = force;
        let mut before = self.model.clone();
        while !actions.is_empty() {
            let mut next = Vec::new();
            for action in actions {
                if std::mem::take(&mut self.meanwhile) {
                    let nothing = self.engine.handle(self.world.now(), Event::Hint);
                    assert!(
                        nothing.iter().all(|action| matches!(action, Action::Look)),
                        "one job at a time: {nothing:?}"
                    );
                    next.extend(nothing);
                }
                match action {
                    Action::Look => {
                        let seen = self.world.observe(&self.engine.state().policies);
                        before = self.model.clone();
                        self.model.look(&self.world, asked, force);
                        (asked, force) = (false, false);
                        next.extend(self.engine.handle(self.world.now(), Event::Looked(seen)));
                    }
                    Action::Carry { bundle, state, .. } => match self.world.carry(bundle, &state) {
                        Some(carried) => {
                            if carried == Carried::Done {
                                let saved = Model { saved: None, ..self.model.clone() };
                                self.model.saved = Some(Box::new(saved));
                            }
                            if matches!(carried, Carried::Failed(_)) {
                                // Seen, and not put into force.
                                before.since = self.model.since.clone();
                                self.model = before.clone();
                            }
                            next.extend(self.engine.handle(self.world.now(), Event::Carried(carried)));
                        }
                        None => return self.restart(),
                    },
                    Action::Answer { .. } | Action::Report(_) | Action::WakeIn(_) => {}
                    Action::Prove(question) => {
                        unreachable!("no server is configured, and {question:?} is asked")
                    }
                }
            }
            actions = next;
        }
    }

    fn restart(&mut self) {
        let saved = self.model.saved.clone().map_or_else(Model::default, |saved| *saved);
        self.model = Model { since: BTreeMap::new(), saved: Some(Box::new(saved.clone())), ..saved };
        self.engine = Engine::new(self.world.settings(), Arc::clone(&self.world.state));
        self.start();
    }

    fn ask(&mut self, force: bool, dry_run: bool) {
        self.next_ask += 1;
        let ask = Ask {
            id: self.next_ask,
            force,
            dry_run,
            by: Trigger::Operator { uid: 0, pid: None },
            order: None,
        };
        if dry_run {
            self.meanwhile = false;
            let before = (self.world.bundle.clone(), Arc::clone(&self.world.state));
            // The engine notes what it sees, and so does the model; nothing else moves.
            let mut model = self.model.clone();
            self.drive(Event::Ask(ask), true, force);
            model.since = std::mem::take(&mut self.model.since);
            self.model = model;
            assert_eq!(before.0, self.world.bundle, "a dry run writes nothing");
            assert!(Arc::ptr_eq(&before.1, &self.world.state));
        } else {
            self.drive(Event::Ask(ask), true, force);
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Write(place, file) => {
                self.world.files.insert(*place, file.clone());
            }
            Step::Name(a, b) => self.world.names = (*a, *b),
            Step::PolicyBroken(broken) => self.world.policy_broken = *broken,
            Step::Hint => self.drive(Event::Hint, false, false),
            Step::Wait(time) => {
                self.world.steady += *time;
                self.drive(Event::Timer, false, false);
            }
            Step::Ask { force, dry_run } => self.ask(*force, *dry_run),
            Step::Distrust(letter, on) => {
                let fingerprint = FINGERPRINTS[*letter];
                if *on {
                    self.world.distrusted.insert(fingerprint);
                } else {
                    self.world.distrusted.remove(&fingerprint);
                }
                let settings = self.world.settings();
                self.drive(Event::Settings(settings), false, false);
            }
            Step::EditBundle => {
                if let Some(bundle) = &mut self.world.bundle {
                    bundle.extend_from_slice(b"# edited\n");
                }
            }
            Step::DeleteBundle => self.world.bundle = None,
            Step::DiskFull(full) => self.world.full = *full,
            Step::StateFails(fails) => self.world.state_fails = *fails,
            Step::Crash => self.restart(),
            Step::CrashInPublication => self.world.die_in_publication = true,
            Step::HintMeanwhile => self.meanwhile = true,
        }
    }

    /// Wherever the disk takes writes, a look ends with exactly the model's bundle on it.
    fn check(&mut self) {
        self.drive(Event::Hint, false, false);
        if self.world.full {
            return;
        }
        // A bundle of a life whose state was never written stays while no source holds an anchor.
        if self.model.published.is_some() {
            assert_eq!(self.world.letters(), self.model.published, "{:#?}", self.model);
            let state = self.engine.state();
            let published = state.bundle.as_ref().unwrap();
            assert_eq!(Some(published.sha256), self.world.bundle.as_deref().map(Fingerprint::of));
            let merged = state.merged(&self.world.distrusted);
            assert_eq!(bundle::render(&merged.anchors).sha256, published.sha256, "same inputs, same bytes");
        }
        let before = (self.world.bundle.clone(), Arc::clone(&self.world.state));
        self.drive(Event::Timer, false, false);
        assert_eq!(before.0, self.world.bundle, "a second look changes nothing");
    }
}

fn lives(count: u32, steps: std::ops::Range<usize>) {
    let config =
        Config { cases: count, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, b"agentd: the store is what it is.");
    TestRunner::new_with_rng(config, rng)
        .run(&prop::collection::vec(step(), steps), |steps| {
            let mut life = Life::new();
            for step in &steps {
                life.step(step);
                if !matches!(step, Step::CrashInPublication | Step::HintMeanwhile) {
                    life.check();
                }
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn ten_thousand_lives_end_as_the_model_says() {
    lives(10_000, 1..12);
}

#[test]
fn long_lives_end_as_the_model_says() {
    lives(100, 100..200);
}
