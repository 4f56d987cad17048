//! A fleet's life: years of certificate switches, planned and not, policies late, early, wrong and empty, servers away,
//! impostors in the way, clocks off, crashes, against a plain model of the server. With the guard no endpoint is locked
//! out of a server whose anchor a source ever carried; without it the same lives count what it saves.

#![expect(clippy::unwrap_used, reason = "a helper of a test that cannot do its part ends the test")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use trust_core::engine::{Action, Ask, Carried, Engine, Event, Now, Order, Reached, Trigger};
use trust_core::guard::{Guard, Proof, Proofs};
use trust_core::plan::{Observation, Question, Settings, StoreState};
use trust_core::policy::Effective;
use trust_core::source::{Failure, Reading, Snapshot, SourceId, SourceKind};
use trust_core::state::Ban;
use trust_core::{Certificate, Fingerprint};
use trust_formats::certificates::{self, Limits};

const ENDPOINT_YEARS: u64 = 10_000;
const EVENTS_A_YEAR: u64 = 40;
const LETTERS: usize = 6;
const SERVER: &str = "ns1.example:443";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The authorities that ever sign for the server: PEM and certificate of each.
static AUTHORITIES: LazyLock<Vec<(String, Arc<Certificate>)>> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate().unwrap();
    let make = |letter: usize| {
        let mut params = rcgen::CertificateParams::new(vec![format!("ca-{letter}.example")]).unwrap();
        params.serial_number = Some(rcgen::SerialNumber::from(letter as u64 + 1));
        let pem = params.self_signed(&key).unwrap().pem();
        let der = certificates::scan(pem.as_bytes(), &Limits::default()).blocks[0].der.clone();
        (pem, Arc::new(Certificate::parse(&der).unwrap()))
    };
    (0..LETTERS).map(make).collect()
});

fn anchor(letter: usize) -> Fingerprint {
    AUTHORITIES[letter].1.fingerprint()
}

fn letter(fingerprint: Fingerprint) -> usize {
    (0..LETTERS).find(|letter| anchor(*letter) == fingerprint).unwrap()
}

/// SplitMix64: the same lives on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn letter(&mut self) -> usize {
        usize::try_from(self.roll(LETTERS as u64)).unwrap()
    }
}

#[derive(Clone, PartialEq)]
enum File {
    Missing,
    Good(Vec<usize>),
    Unreadable,
}

/// The server as it is, and the endpoint's disk.
struct World {
    /// Who signed what the server presents.
    signer: usize,
    /// Who will: announced, not yet switched to.
    next: usize,
    away: bool,
    /// Somebody in the way presents a certificate that no anchor verifies.
    impostor: bool,
    files: [File; 3],
    /// The bundle on disk: its hash and its anchors.
    bundle: Option<(Fingerprint, BTreeSet<usize>)>,
    state: Arc<StoreState>,
    die_in_publication: bool,
    steady: Duration,
    wall_error: SignedDuration,
}

impl World {
    fn now(&self) -> Now {
        let wall = Timestamp::from_second(1_800_000_000).unwrap() + self.steady;
        Now { wall: wall.checked_add(self.wall_error).unwrap(), steady: self.steady }
    }

    fn observe(&self) -> Observation {
        let kinds = [SourceKind::Bootstrap, SourceKind::Site, SourceKind::Policy];
        let sources = kinds.iter().zip(&self.files).map(|(kind, file)| {
            let id = SourceId { kind: *kind, path: PathBuf::from(format!("/{}.pem", kind.code())) };
            (id, reading(file))
        });
        Observation {
            policies: Vec::new(),
            effective: Effective::default(),
            sources: sources.collect(),
            bundle: self.bundle.as_ref().map(|(sha256, _)| *sha256),
            warnings: Vec::new(),
            watch_degraded: false,
        }
    }

    /// What the endpoint would see of the server.
    fn presented(&self) -> Option<usize> {
        (!self.away && !self.impostor).then_some(self.signer)
    }

    fn prove(&self, question: &Question) -> Proofs {
        let has = |list: &[Arc<Certificate>], letter| list.iter().any(|c| c.fingerprint() == anchor(letter));
        let proof = match self.presented() {
            Some(letter) if has(&question.candidate, letter) => Proof::Verified(anchor(letter)),
            Some(letter) if has(&question.leaving, letter) => Proof::Needs(anchor(letter)),
            Some(_) => Proof::Open { why: "no anchor verifies it".into() },
            None => Proof::Open { why: "not reached".into() },
        };
        Proofs { question: question.id, servers: vec![(SERVER.into(), proof)] }
    }

    fn has(&self, letter: usize) -> bool {
        self.bundle.as_ref().is_some_and(|(_, letters)| letters.contains(&letter))
    }
}

fn reading(file: &File) -> Reading {
    match file {
        File::Missing => Reading::Missing,
        File::Unreadable => Reading::Failed(Failure {
            code: "denied".into(),
            message: "permission denied".into(),
            remedy: "chmod".into(),
        }),
        File::Good(letters) => {
            let text: String = letters.iter().map(|letter| AUTHORITIES[*letter].0.as_str()).collect();
            Reading::Read { snapshot: Snapshot::new(text.into_bytes(), Limits::default()), fresh: true }
        }
    }
}

/// One endpoint with its guard on or off.
struct Endpoint {
    world: World,
    engine: Engine,
    settings: Settings,
    /// The servers answer at once; else some seconds later.
    prompt: bool,
    /// Answers of the servers that are still on their way.
    answers: Vec<Proofs>,
    /// Asked and not yet answered.
    outstanding: BTreeSet<u64>,
    next_ask: u64,
    /// What some source ever carried while the endpoint looked, and nobody distrusted since.
    carried: BTreeSet<usize>,
    lockouts: u64,
    /// Publications after which a server that verified did not.
    worse: u64,
}

impl Endpoint {
    fn new(guard: bool, prompt: bool) -> Self {
        let settings = Settings {
            distrusted: BTreeSet::new(),
            limits: Limits::default(),
            quiet: Duration::from_secs(3),
            poll: Duration::from_secs(30),
            degraded_poll: Duration::from_secs(5),
            guard: Guard { enabled: guard, servers: vec![SERVER.into()], retain_for: None, archive: guard },
        };
        let world = World {
            signer: 0,
            next: 0,
            away: false,
            impostor: false,
            files: [File::Good(vec![0]), File::Missing, File::Missing],
            bundle: None,
            state: Arc::new(StoreState::default()),
            die_in_publication: false,
            steady: Duration::from_secs(1000),
            wall_error: SignedDuration::ZERO,
        };
        let engine = Engine::new(settings.clone(), Arc::clone(&world.state));
        let mut endpoint = Self {
            world,
            engine,
            settings,
            prompt,
            answers: Vec::new(),
            outstanding: BTreeSet::new(),
            next_ask: 0,
            carried: BTreeSet::new(),
            lockouts: 0,
            worse: 0,
        };
        endpoint.ask(Trigger::Start, None);
        endpoint
    }

    fn ask(&mut self, by: Trigger, order: Option<Order>) {
        self.next_ask += 1;
        self.outstanding.insert(self.next_ask);
        self.drive(Event::Ask(Ask { id: self.next_ask, force: false, dry_run: false, by, order }));
    }

    fn drive(&mut self, event: Event) {
        let mut actions = self.engine.handle(self.world.now(), event);
        while !actions.is_empty() {
            let mut next = Vec::new();
            for action in actions {
                match action {
                    Action::Look => {
                        let banned = self.engine.state().banned(&self.settings.distrusted);
                        for file in &self.world.files {
                            let File::Good(letters) = file else { continue };
                            self.carried.extend(letters.iter().filter(|l| !banned.contains(&anchor(**l))));
                        }
                        let seen = self.world.observe();
                        next.extend(self.engine.handle(self.world.now(), Event::Looked(seen)));
                    }
                    Action::Carry { bundle, state, .. } => {
                        if let Some((bundle, true)) = bundle {
                            self.publish(bundle.parts.concat().as_bytes(), &state);
                        }
                        if std::mem::take(&mut self.world.die_in_publication) {
                            return self.restart();
                        }
                        self.world.state = Arc::clone(&state);
                        next.extend(self.engine.handle(self.world.now(), Event::Carried(Carried::Done)));
                    }
                    Action::Prove(question) if self.prompt => {
                        let proofs = self.world.prove(&question);
                        next.extend(self.engine.handle(self.world.now(), Event::Proven(proofs)));
                    }
                    Action::Prove(question) => self.answers.push(self.world.prove(&question)),
                    Action::Answer { id, .. } => {
                        assert!(self.outstanding.remove(&id), "one answer to each ask");
                    }
                    Action::Report(_) | Action::WakeIn(_) => {}
                }
            }
            actions = next;
        }
    }

    fn publish(&mut self, bytes: &[u8], state: &StoreState) {
        let verified = |world: &World| world.has(world.signer);
        let before = verified(&self.world);
        let scan = certificates::scan(bytes, &Limits::default());
        let letters = scan.blocks.iter().map(|block| letter(Fingerprint::of(&block.der))).collect();
        self.world.bundle = Some((Fingerprint::of(bytes), letters));
        let banned = state.banned(&self.settings.distrusted).contains(&anchor(self.world.signer));
        if before && !verified(&self.world) && !banned && self.world.presented().is_some() {
            self.worse += 1;
        }
    }

    fn restart(&mut self) {
        self.answers.clear();
        self.outstanding.clear();
        self.engine = Engine::new(self.settings.clone(), Arc::clone(&self.world.state));
        self.ask(Trigger::Start, None);
    }

    /// The servers' answers arrive; anchors that are quiet for long enough leave; the server is looked at.
    fn settle(&mut self) {
        for _ in 0..4 {
            for proofs in std::mem::take(&mut self.answers) {
                self.drive(Event::Proven(proofs));
            }
            self.world.steady += Duration::from_secs(4);
            self.drive(Event::Timer);
            self.connect();
        }
        assert!(self.outstanding.is_empty(), "everybody who asked has an answer: {:?}", self.outstanding);
    }

    /// The regular try of the server with the store.
    fn connect(&mut self) {
        let Some(letter) = self.world.presented() else { return };
        let in_store = self.world.has(letter);
        let archived =
            self.engine.state().archive.iter().any(|a| a.certificate.fingerprint() == anchor(letter));
        if in_store || archived {
            let anchor = Arc::clone(&AUTHORITIES[letter].1);
            self.drive(Event::Reached(Reached { server: SERVER.into(), anchor, archived: !in_store }));
        }
    }

    fn live(&mut self, event: u64, dice: &mut Dice) {
        let world = &mut self.world;
        match event {
            // Announced first: the next authority is sent out beside the present one.
            0..8 => {
                world.next = dice.letter();
                world.files[2] = File::Good(vec![world.next, world.signer]);
            }
            // The switch, announced or not.
            8..14 => world.signer = world.next,
            14..16 => world.signer = dice.letter(),
            // The old one is taken out, in time or too early.
            16..21 => world.files[2] = File::Good(vec![world.next]),
            // What goes wrong with policies and files.
            21..24 => world.files[2] = File::Good(vec![dice.letter()]),
            24 => world.files[2] = File::Good(Vec::new()),
            25 => world.files[usize::try_from(dice.roll(3)).unwrap()] = File::Missing,
            26 => world.files[usize::try_from(dice.roll(3)).unwrap()] = File::Unreadable,
            27 => world.files[0] = File::Good(vec![dice.letter()]),
            28 => world.files[1] = File::Good(vec![dice.letter(), dice.letter()]),
            29..32 => world.away = !world.away,
            32 => world.impostor = !world.impostor,
            33 => {
                world.wall_error =
                    SignedDuration::from_hours(24 * 365 * (i64::try_from(dice.roll(9)).unwrap() - 4));
            }
            34 => world.die_in_publication = true,
            35 => return self.restart(),
            36 => return self.distrust(dice.letter()),
            37 => {
                let fingerprint = anchor(dice.letter());
                return self.ask(Trigger::Operator { uid: 0, pid: None }, Some(Order::Trust(fingerprint)));
            }
            38 => return self.ask(Trigger::Operator { uid: 0, pid: None }, None),
            // A month in which nothing is heard.
            _ => world.steady += 30 * DAY,
        }
        self.drive(Event::Hint);
    }

    fn distrust(&mut self, letter: usize) {
        let ban = Ban {
            fingerprint: anchor(letter),
            reason: String::new(),
            by: "operator".into(),
            at: self.world.now().wall,
        };
        let banned = |endpoint: &Self| endpoint.engine.state().bans.contains(&ban);
        while !banned(self) {
            // A process that died under the order has not answered it: the operator repeats it.
            self.ask(Trigger::Operator { uid: 0, pid: None }, Some(Order::Distrust(ban.clone())));
        }
        self.carried.remove(&letter);
        let gone = !self.world.has(letter);
        assert!(gone, "a distrusted anchor is gone at the next regeneration");
    }

    /// After each event: is the server, if it is there, verified by what was ever carried?
    fn check(&mut self) {
        let banned = self.engine.state().banned(&self.settings.distrusted);
        let trusted = (0..LETTERS).filter(|letter| self.world.has(*letter));
        for letter in trusted {
            assert!(!banned.contains(&anchor(letter)), "a distrusted anchor is in the store");
        }
        let Some(letter) = self.world.presented() else { return };
        if self.carried.contains(&letter) && !self.world.has(letter) {
            self.lockouts += 1;
        }
    }
}

/// Lives all years with the guard on or off: lock-outs, endpoints that had one, publications for the worse.
fn fleet(guard: bool) -> (u64, u64, u64) {
    let (mut lockouts, mut endpoints, mut worse) = (0, 0, 0);
    for seed in 0..ENDPOINT_YEARS {
        let mut dice = Dice(seed);
        let mut endpoint = Endpoint::new(guard, seed % 2 == 0);
        endpoint.settle();
        for _ in 0..EVENTS_A_YEAR {
            let event = dice.roll(40);
            endpoint.live(event, &mut dice);
            endpoint.settle();
            endpoint.check();
            endpoint.world.steady += DAY * u32::try_from(1 + dice.roll(16)).unwrap();
        }
        lockouts += endpoint.lockouts;
        endpoints += u64::from(endpoint.lockouts > 0);
        worse += endpoint.worse;
    }
    (lockouts, endpoints, worse)
}

#[test]
fn the_guard_locks_nobody_out_in_ten_thousand_endpoint_years() {
    let guarded = std::thread::scope(|scope| {
        let unguarded = scope.spawn(|| fleet(false));
        let guarded = fleet(true);
        let (lockouts, endpoints, worse) = unguarded.join().unwrap();
        println!(
            "{ENDPOINT_YEARS} endpoint-years of {EVENTS_A_YEAR} events: guard on {} lock-outs on {} endpoints, {} \
             publications for the worse; guard off {lockouts} on {endpoints}, {worse}",
            guarded.0, guarded.1, guarded.2
        );
        assert!(endpoints > ENDPOINT_YEARS / 20, "the lives are too easy to prove anything: {endpoints}");
        assert!(worse > 0);
        guarded
    });
    assert_eq!(guarded, (0, 0, 0));
}
