//! A generation is kept whole, told by its first line, and what the limits no longer let stay is removed.

use jiff::Timestamp;
use trust_core::bundle;
use trust_core::guard::Why;
use trust_core::history::SourceMark;
use trust_core::state::Ban;

use super::*;
use crate::publish::RealFs;

fn certificate(name: &str) -> Arc<Certificate> {
    let key = rcgen::KeyPair::generate().expect("a key");
    let der =
        rcgen::CertificateParams::new(vec![name.to_owned()]).and_then(|params| params.self_signed(&key));
    Arc::new(Certificate::parse(der.expect("a certificate").der()).expect("X.509"))
}

fn bundle_of(anchors: &[&Arc<Certificate>]) -> [String; 1] {
    let mut text = String::from("# a bundle\n");
    anchors.iter().for_each(|anchor| bundle::push_pem(&mut text, anchor.der()));
    [text]
}

fn generation(number: u64, day: i64, [bundle]: &[String; 1], anchor: &Certificate) -> Generation {
    Generation {
        number,
        at: Timestamp::from_second(1_800_000_000 + day * 86_400).expect("in range"),
        by: "operator uid 0".into(),
        causes: vec!["site /s.pem changed\n# not a line of its own".into()],
        sha256: Fingerprint::of(bundle.as_bytes()),
        anchors: 1,
        sources: vec![SourceMark {
            kind: "site".into(),
            path: "/s.pem".into(),
            sha256: Some(Fingerprint::of(b"s")),
            found: vec![(3, 1, anchor.fingerprint())],
            rejects: 2,
        }],
        added: vec![anchor.fingerprint()],
        removed: vec![Fingerprint::of(b"gone")],
        retained: vec![(Fingerprint::of(b"kept"), Why::Needed)],
        rollback_to: Some(3),
        asked: trust_core::history::Asked::default(),
        bans: vec![Ban {
            fingerprint: Fingerprint::of(b"ban"),
            reason: "stolen".into(),
            by: "operator uid 0".into(),
            at: Timestamp::from_second(1_800_000_000).expect("in range"),
        }],
    }
}

const KEEP: Keep = Keep { generations: 3, max_age: Duration::from_secs(30 * 86_400) };

fn history() -> (tempfile::TempDir, History) {
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir(directory.path().join(DIRECTORY)).expect("a directory");
    let history = History::new(directory.path());
    (directory, history)
}

#[test]
fn what_is_kept_comes_back() {
    let (_directory, history) = history();
    let anchor = certificate("a.example");
    let bundle = bundle_of(&[&anchor]);
    let kept = generation(7, 0, &bundle, &anchor);
    history.add(&RealFs, &kept, &bundle, KEEP, |_| false).expect("written");
    assert_eq!(history.list(), std::slice::from_ref(&kept));
    let read = history.get(7).expect("there");
    assert_eq!((read.generation, read.anchors), (kept, vec![Arc::clone(&anchor)]));
    let file = fs::read(history.path(7)).expect("there");
    let found = certificates::scan(&file, &Limits::default());
    assert_eq!((found.blocks.len(), found.rejects.len()), (1, 0), "any reader of the bundle reads it");
    let state = history.recover().expect("a state");
    assert_eq!((state.generation, state.sources.len(), state.bans.len()), (7, 1, 1));
    assert_eq!(state.sources[0].content.found[0].certificate, anchor);
}

#[test]
fn number_and_age_are_limited_and_two_always_stay() {
    let (_directory, history) = history();
    let anchor = certificate("a.example");
    let bundle = bundle_of(&[&anchor]);
    let add = |number, day| {
        history
            .add(&RealFs, &generation(number, day, &bundle, &anchor), &bundle, KEEP, |_| false)
            .expect("written");
        history.numbers()
    };
    assert_eq!(add(1, 0), [1]);
    assert_eq!(add(2, 1), [1, 2]);
    assert_eq!(add(3, 2), [1, 2, 3]);
    assert_eq!(add(4, 3), [2, 3, 4], "by number");
    assert_eq!(add(5, 100), [4, 5], "by age");
    fs::write(history.path(9), "left by a crash").expect("written");
    assert_eq!(add(6, 101), [5, 6], "what was never published goes");
}

#[test]
fn what_the_state_on_disk_needs_stays_whatever_the_limits_say() {
    let (_directory, history) = history();
    let anchor = certificate("a.example");
    let bundle = bundle_of(&[&anchor]);
    for number in 1..=6 {
        let needed = |other| other == 2;
        history
            .add(&RealFs, &generation(number, 0, &bundle, &anchor), &bundle, KEEP, needed)
            .expect("written");
    }
    assert_eq!(history.numbers(), [2, 4, 5, 6]);
}

#[test]
fn what_is_damaged_or_gone_is_named() {
    let (_directory, history) = history();
    let anchor = certificate("a.example");
    let bundle = bundle_of(&[&anchor]);
    for number in [1, 2] {
        history
            .add(&RealFs, &generation(number, 0, &bundle, &anchor), &bundle, KEEP, |_| false)
            .expect("written");
    }
    let path = history.path(2);
    let mut bytes = fs::read(&path).expect("there");
    bytes.truncate(bytes.len() - 30);
    fs::write(&path, &bytes).expect("written");
    assert!(matches!(history.get(2), Err(HistoryError::Damaged { .. })));
    assert_eq!(history.recover().expect("the one before").generation, 1);
    fs::write(&path, &bytes[..40]).expect("written");
    assert!(matches!(history.get(2), Err(HistoryError::Damaged { .. })));
    assert_eq!(history.list().len(), 1);
    let unknown = history.get(9).expect_err("none");
    assert_eq!(unknown.to_string(), "there is no generation 9: 1 to 2 are kept");
    let only = HistoryError::Unknown { number: 9, kept: Some((2, 2)) };
    assert_eq!(only.to_string(), "there is no generation 9: only 2 is kept");
}
