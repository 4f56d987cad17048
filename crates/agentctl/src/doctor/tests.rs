//! Findings from values: each fact alone, and that a healthy endpoint has none.

use std::path::PathBuf;

use agent_control::wire::{Severity, StatusReport, StoreReport};

use super::*;

const SERVICE: User = User { uid: 990, gid: 980, groups: Vec::new() };

fn healthy() -> Facts {
    let store = StoreReport {
        path: "/s/merged.pem".to_owned(),
        generation: 3,
        sha256: Some("ab".to_owned()),
        anchors: 2,
        retained: Vec::new(),
        held: None,
        published_at: None,
        rollback: None,
        distrusted: Vec::new(),
    };
    Facts {
        places: Places {
            merged: "/s/merged.pem".into(),
            state: "/s/state".into(),
            socket: "/run/x.sock".into(),
            smp_layout: false,
        },
        status: Some(StatusReport::new(store)),
        sources_agree: true,
        daemon: Daemon { socket: Socket::Answers, lock_holder: Some(7), installed: true },
        service: Some(SERVICE),
        directories: vec![
            entry("/s/state", &SERVICE, 0o700, Kind::Private),
            entry("/s", &SERVICE, 0o755, Kind::Public),
        ],
        ways: vec![way_of(0o755, 0o644, None)],
        bundle: Bundle::AsPublished,
        leftovers: Vec::new(),
        strangers: Vec::new(),
        audit: None,
        put_aside: None,
        authorities: vec![named(1, 0, "k1", true), named(2, 1, "k2", false)],
        servers: vec![Server { url: "https://m/".to_owned(), problems: Vec::new(), ahead: Some(2) }],
        variables: vec![variable("/s/merged.pem", false), variable("", false)],
        watches: Some(Watches { most: 8192, used: 100, most_instances: 128, instances: 3 }),
        disks: vec![disk(1 << 30)],
        unit: Vec::new(),
        smp_agent: None,
    }
}

fn entry(path: &str, owner: &User, mode: u32, kind: Kind) -> Entry {
    Entry { path: path.into(), uid: owner.uid, gid: owner.gid, mode, acl: None, kind }
}

fn way_of(directory: u32, file: u32, who: Option<User>) -> Way {
    const ROOT: User = User { uid: 0, gid: 0, groups: Vec::new() };
    let entries = vec![
        entry("/", &ROOT, 0o755, Kind::Other),
        entry("/s", &ROOT, directory, Kind::Other),
        entry("/s/f", &ROOT, file, Kind::Other),
    ];
    Way { path: "/s/f".into(), entries, who }
}

fn named(number: usize, name: usize, key: &str, has_key_id: bool) -> Named {
    Named { number, subject: format!("CN=N{name}"), name, key: key.to_owned(), has_key_id }
}

fn variable(value: &str, of_service: bool) -> Variable {
    Variable {
        name: "SSL_CERT_FILE".to_owned(),
        value: value.to_owned(),
        place: "this shell".to_owned(),
        place_kind: if of_service { PlaceKind::Unit } else { PlaceKind::Shell },
        of_service,
    }
}

fn disk(free: u64) -> Disk {
    Disk { directory: "/s".into(), free, files: Some(10_000), read_only: false, needed: 2 << 20 }
}

fn unit(kind: UnitKind) -> UnitFile {
    UnitFile { path: "/etc/systemd/system/agentd.service.d/x.conf".into(), kind }
}

/// Code, severity and repair of each finding once `change` has been made to a healthy endpoint.
fn after(change: impl FnOnce(&mut Facts)) -> Vec<(String, Severity, Option<Repair>)> {
    let mut facts = healthy();
    change(&mut facts);
    let found = findings(&facts);
    for finding in &found {
        let problem = &finding.problem;
        assert!(!problem.title.is_empty() && !problem.why.is_empty(), "{problem:?}");
        assert!(!problem.fix.is_empty(), "what mends it? {problem:?}");
        let promised = include_str!("../../../../docs/INTERFACES.md");
        assert!(promised.contains(&format!("`{}`", problem.code)), "{} is not promised", problem.code);
        assert_eq!(finding.fixable, finding.repair.is_some());
        if let Some(repair) = &finding.repair {
            assert_eq!(problem.fix[0], repair.command());
        }
    }
    found
        .into_iter()
        .map(|finding| (finding.problem.code, finding.problem.severity, finding.repair))
        .collect()
}

#[track_caller]
fn one(code: &str, severity: Severity, change: impl FnOnce(&mut Facts)) -> Option<Repair> {
    let found = after(change);
    let [(found_code, found_severity, repair)] = &found[..] else { panic!("{code}: {found:?}") };
    assert_eq!((found_code.as_str(), *found_severity), (code, severity));
    repair.clone()
}

#[test]
fn a_healthy_endpoint_has_no_finding() {
    assert_eq!(after(|_| {}), []);
}

#[test]
fn the_daemon_and_its_lock() {
    let state = |socket: Socket, lock_holder: Option<u32>, installed: bool| {
        move |facts: &mut Facts| facts.daemon = Daemon { socket, lock_holder, installed }
    };
    let _repair = one("daemon-not-running", Severity::Warning, state(Socket::Missing, None, true));
    let _repair = one("daemon-not-running", Severity::Info, state(Socket::Missing, None, false));
    let _repair = one("control-dead", Severity::Warning, state(Socket::Dead, None, true));
    let _repair = one("control-denied", Severity::Warning, state(Socket::Denied, Some(7), true));
    let _repair = one("lock-held", Severity::Error, state(Socket::Dead, Some(7), true));
    let _repair = one("lock-held", Severity::Error, state(Socket::Missing, Some(0), false));
    let codes: Vec<String> = after(state(Socket::Silent("it hangs".to_owned()), Some(7), true))
        .into_iter()
        .map(|(code, ..)| code)
        .collect();
    assert_eq!(codes, ["control-dead", "lock-held"]);
}

#[test]
fn an_edited_store_is_made_again_unless_that_would_change_trust() {
    for bundle in [
        Bundle::Gone,
        Bundle::OddFile("has mode 0600 instead of 0644".to_owned()),
        Bundle::Edited { more: 1, less: 0 },
        Bundle::Edited { more: 0, less: 0 },
    ] {
        let with = bundle.clone();
        let repair = one("store-edited", Severity::Error, |facts| facts.bundle = with);
        assert_eq!(repair, Some(Repair::Regenerate));
        let repair = one("store-edited", Severity::Error, |facts| {
            facts.bundle = bundle;
            facts.sources_agree = false;
        });
        assert_eq!(repair, None, "what the sources say now is another matter");
    }
    let _repair = one("file-in-the-way", Severity::Warning, |facts| {
        facts.bundle = Bundle::InTheWay("is a directory".to_owned());
    });
    assert_eq!(after(|facts| facts.bundle = Bundle::Unknown), []);
}

#[test]
fn directories_and_ways() {
    for (mode, kind, left) in [
        (0o750, Kind::Private, 0o700),
        (0o777, Kind::Public, 0o755),
        (0o2775, Kind::Public, 0o755),
        (0o1777, Kind::Private, 0o700),
    ] {
        let repair = one("directory-open", Severity::Error, |facts| {
            facts.directories = vec![entry("/s", &SERVICE, mode, kind)];
        });
        assert_eq!(repair, Some(Repair::Close { directory: "/s".into(), mode: left }), "{mode:o}");
    }
    assert_eq!(after(|facts| facts.directories = vec![entry("/s", &SERVICE, 0o777, Kind::Other)]), []);
    let other = User { uid: 0, gid: 0, groups: Vec::new() };
    for owner in [other.clone(), User { uid: 1, ..SERVICE }] {
        let _repair = one("directory-unwritable", Severity::Error, |facts| {
            facts.directories = vec![entry("/s", &owner, 0o755, Kind::Public)];
        });
    }
    assert_eq!(
        after(|facts| {
            facts.service = Some(other);
            facts.directories = vec![entry("/s", &SERVICE, 0o755, Kind::Public)];
        }),
        [],
        "root writes everywhere"
    );
    let _repair = one("store-closed", Severity::Error, |facts| facts.ways = vec![way_of(0o750, 0o644, None)]);
    let _repair = one("store-closed", Severity::Error, |facts| facts.ways = vec![way_of(0o755, 0o640, None)]);
    let _repair =
        one("path-closed", Severity::Error, |facts| facts.ways = vec![way_of(0o700, 0o644, Some(SERVICE))]);
    let _repair =
        one("path-closed", Severity::Error, |facts| facts.ways = vec![way_of(0o755, 0o600, Some(SERVICE))]);
    assert_eq!(after(|facts| facts.ways = vec![way_of(0o711, 0o644, Some(SERVICE))]), []);
    let member = User { groups: vec![0], ..SERVICE };
    assert_eq!(after(|facts| facts.ways = vec![way_of(0o750, 0o640, Some(member.clone()))]), []);
}

#[test]
fn what_lies_about() {
    let leftover = |age| Leftover { path: "/s/.f.agentd-new".into(), age };
    let repair =
        one("leftover-file", Severity::Info, |facts| facts.leftovers = vec![leftover(61), leftover(59)]);
    assert_eq!(repair, Some(Repair::Remove { file: "/s/.f.agentd-new".into() }), "one may be under way");
    let _repair =
        one("foreign-file", Severity::Info, |facts| facts.strangers = vec!["/s/state/notes".into()]);
    let _repair = one("audit-broken", Severity::Error, |facts| facts.audit = Some("line 3".to_owned()));
    let _repair =
        one("state-put-aside", Severity::Warning, |facts| facts.put_aside = Some(PathBuf::from("/s/u")));
    for smp_layout in [true, false] {
        let _repair = one("other-agent", Severity::Info, |facts| {
            facts.smp_agent = Some("/opt/bin".into());
            facts.places.smp_layout = smp_layout;
        });
    }
}

#[test]
fn one_name_with_several_keys_needs_identifiers() {
    let found = |authorities: Vec<Named>| after(|facts| facts.authorities = authorities).len();
    assert_eq!(found(vec![named(1, 0, "a", false), named(2, 0, "b", false)]), 1);
    assert_eq!(found(vec![named(1, 0, "a", true), named(2, 0, "b", false)]), 1);
    assert_eq!(found(vec![named(1, 0, "a", true), named(2, 0, "b", true)]), 0);
    assert_eq!(found(vec![named(1, 0, "a", false), named(2, 0, "a", false)]), 0, "one key, made again");
    let _repair = one("same-name-keys", Severity::Warning, |facts| {
        facts.authorities = vec![named(1, 0, "a", false), named(2, 0, "b", false), named(3, 0, "c", true)];
    });
}

#[test]
fn variables_clocks_limits_and_disks() {
    let _repair = one("environment-overrides", Severity::Warning, |facts| {
        facts.variables = vec![variable("/x", false)];
    });
    let _repair =
        one("environment-overrides", Severity::Info, |facts| facts.variables = vec![variable("/x", true)]);
    for (ahead, severity) in [(30, Severity::Warning), (-94, Severity::Warning), (300, Severity::Error)] {
        let _repair = one("clock-skew", severity, |facts| facts.servers[0].ahead = Some(ahead));
    }
    assert_eq!(after(|facts| facts.servers[0].ahead = Some(-29)), []);
    for change in [
        |watches: &mut Watches| watches.used = 8150,
        |watches: &mut Watches| watches.instances = 127,
        |watches: &mut Watches| watches.most = 10,
    ] {
        let _repair = one("watch-limit", Severity::Warning, |facts| change(facts.watches.as_mut().unwrap()));
    }
    let _repair = one("disk-space", Severity::Warning, |facts| facts.disks = vec![disk(15 << 20)]);
    let _repair = one("disk-space", Severity::Error, |facts| facts.disks = vec![disk(1 << 20)]);
    let _repair = one("disk-space", Severity::Warning, |facts| facts.disks[0].files = Some(100));
    let _repair = one("disk-space", Severity::Error, |facts| facts.disks[0].files = Some(3));
    let _repair = one("disk-read-only", Severity::Error, |facts| facts.disks[0].read_only = true);
    assert_eq!(after(|facts| facts.disks[0].files = None), []);
}

#[test]
fn a_changed_unit() {
    let _repair = one("unit-overridden", Severity::Error, |facts| facts.unit = vec![unit(UnitKind::Masked)]);
    let _repair =
        one("unit-overridden", Severity::Warning, |facts| facts.unit = vec![unit(UnitKind::Replaced)]);
    let drop_in = |key: &str| unit(UnitKind::DropIn(vec![key.to_owned()]));
    let _repair = one("unit-overridden", Severity::Warning, |facts| facts.unit = vec![drop_in("ExecStart")]);
    let _repair =
        one("unit-overridden", Severity::Info, |facts| facts.unit = vec![drop_in("ReadWritePaths")]);
}

#[test]
fn problems_of_the_status_come_once_and_what_was_just_tried_counts_more() {
    let told = |code: &str, title: &str| {
        problem(code, Severity::Warning, title.to_owned(), "why".into(), vec!["fix".into()])
    };
    let codes = |problems: Vec<Problem>, servers: Vec<Server>| -> Vec<String> {
        after(|facts| {
            facts.status.as_mut().unwrap().problems = problems;
            facts.servers = servers;
        })
        .into_iter()
        .map(|(code, ..)| code)
        .collect()
    };
    let unreachable = told("server-unreachable", "https://m/ could not be reached");
    let server = |problems| Server { url: "https://m/".to_owned(), problems, ahead: None };
    let expires = told("anchor-expires", "anchor 1 expires");
    assert_eq!(codes(vec![expires.clone()], Vec::new()), ["anchor-expires"]);
    assert_eq!(codes(vec![unreachable.clone()], Vec::new()), ["server-unreachable"]);
    assert_eq!(codes(vec![unreachable.clone()], vec![server(Vec::new())]), [""; 0], "it answers now");
    assert_eq!(codes(vec![unreachable.clone()], vec![server(vec![unreachable])]), ["server-unreachable"]);
    let foreseen = told("server-certificate-expires", "https://m/ ends");
    assert_eq!(codes(vec![foreseen.clone()], vec![server(vec![foreseen])]).len(), 1);
}
