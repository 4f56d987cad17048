//! What the guard decides over each anchor that is to leave, case by case.

#![expect(clippy::unwrap_used, reason = "a helper of a test that cannot do its part ends the test")]

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use trust_core::guard::{
    ARCHIVE_LIMIT, Archived, Guard, Leaving, Proof, Proofs, Retained, Ruling, ServerMemory, Why, archive,
    is_needed, judge, question,
};
use trust_core::{Certificate, Fingerprint};

const A: &str = "a.example:443";
const B: &str = "b.example:443";

fn certificates(count: usize) -> Vec<Arc<Certificate>> {
    let key = rcgen::KeyPair::generate().unwrap();
    let make = |number: usize| {
        let mut params = rcgen::CertificateParams::new(vec![format!("{number}.example")]).unwrap();
        params.serial_number = Some(rcgen::SerialNumber::from(number as u64 + 1));
        Arc::new(Certificate::parse(params.self_signed(&key).unwrap().der()).unwrap())
    };
    (0..count).map(make).collect()
}

fn at(day: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap() + SignedDuration::from_hours(24 * day)
}

fn guard() -> Guard {
    Guard { enabled: true, servers: vec![A.into(), B.into()], retain_for: None, archive: true }
}

fn leaving(certificate: &Arc<Certificate>) -> Vec<Leaving> {
    vec![Leaving { certificate: Arc::clone(certificate), retained: None }]
}

fn retained(certificate: &Arc<Certificate>, why: Why, day: i64) -> Retained {
    Retained { certificate: Arc::clone(certificate), why, servers: vec![A.into()], since: at(day) }
}

fn proofs(a: Proof, b: Proof) -> Proofs {
    Proofs { question: Fingerprint::of(b"asked"), servers: vec![(A.into(), a), (B.into(), b)] }
}

fn memory(server: &str, certificate: &Certificate) -> ServerMemory {
    ServerMemory { server: server.into(), anchor: certificate.fingerprint(), since: at(0) }
}

fn open() -> Proof {
    Proof::Open { why: "not reached".into() }
}

#[test]
fn nobody_leaves_before_the_servers_have_answered() {
    let one = &certificates(1)[0];
    let ruling = judge(leaving(one), &guard(), None, &[], at(1));
    assert!(ruling.ask && ruling.released.is_empty());
    assert_eq!((ruling.retained[0].why, ruling.retained[0].since), (Why::Pending, at(1)));
    // One that stays already goes on staying for the reason it has.
    let known = vec![Leaving { certificate: Arc::clone(one), retained: Some(retained(one, Why::Needed, 0)) }];
    let ruling = judge(known, &guard(), None, &[], at(1));
    assert_eq!((ruling.retained[0].why, ruling.retained[0].since), (Why::Needed, at(0)));
}

#[test]
fn what_a_server_needs_stays_and_nothing_else() {
    let all = certificates(3);
    let [one, other, third] = [&all[0], &all[1], &all[2]];
    let verified = || Proof::Verified(other.fingerprint());
    for (answers, remembered, expected) in [
        (proofs(verified(), verified()), vec![], None),
        (proofs(Proof::Needs(one.fingerprint()), verified()), vec![], Some((Why::Needed, vec![A]))),
        (proofs(Proof::Needs(third.fingerprint()), verified()), vec![memory(A, one)], None),
        (proofs(open(), verified()), vec![memory(A, one)], Some((Why::Unreachable, vec![A]))),
        (proofs(open(), verified()), vec![memory(A, other)], None),
        (proofs(open(), verified()), vec![memory(B, one)], None),
        (proofs(open(), open()), vec![memory(A, one), memory(B, one)], Some((Why::Unreachable, vec![A, B]))),
        (
            proofs(open(), Proof::Needs(one.fingerprint())),
            vec![memory(A, one)],
            Some((Why::Needed, vec![A, B])),
        ),
    ] {
        let ruling = judge(leaving(one), &guard(), Some(&answers), &remembered, at(1));
        assert!(!ruling.ask);
        let kept = ruling
            .retained
            .first()
            .map(|kept| (kept.why, kept.servers.iter().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(kept, expected, "{answers:?} {remembered:?}");
        assert_eq!(ruling.released.is_empty(), expected.is_some());
    }
}

#[test]
fn switched_off_or_without_servers_it_lets_go() {
    let one = &certificates(1)[0];
    let released = Ruling { released: vec![Arc::clone(one)], ..Ruling::default() };
    for guard in [Guard { enabled: false, ..guard() }, Guard { servers: Vec::new(), ..guard() }] {
        assert_eq!(judge(leaving(one), &guard, None, &[memory(A, one)], at(1)), released);
    }
}

#[test]
fn an_end_ends_and_a_clock_that_goes_back_ends_nothing() {
    let one = &certificates(1)[0];
    let guard = Guard { retain_for: Some(Duration::from_secs(10 * 86_400)), ..guard() };
    let needed = proofs(Proof::Needs(one.fingerprint()), open());
    for (day, stays) in [(9, true), (10, false), (-400, true)] {
        let known =
            vec![Leaving { certificate: Arc::clone(one), retained: Some(retained(one, Why::Needed, 0)) }];
        let ruling = judge(known, &guard, Some(&needed), &[], at(day));
        assert_eq!(ruling.retained.len() == 1, stays, "day {day}");
    }
}

#[test]
fn what_came_from_the_archive_says_so_for_as_long_as_it_stays() {
    let one = &certificates(1)[0];
    let known =
        vec![Leaving { certificate: Arc::clone(one), retained: Some(retained(one, Why::Archived, 0)) }];
    let needed = proofs(Proof::Needs(one.fingerprint()), open());
    assert_eq!(judge(known, &guard(), Some(&needed), &[], at(1)).retained[0].why, Why::Archived);
}

#[test]
fn a_retained_anchor_is_needed_while_its_server_was_last_verified_by_it() {
    let all = certificates(2);
    let kept = retained(&all[0], Why::Needed, 0);
    assert!(is_needed(&kept, &[memory(A, &all[0])]));
    assert!(!is_needed(&kept, &[memory(A, &all[1])]), "another has proven itself");
    assert!(!is_needed(&kept, &[memory(B, &all[0])]), "for another server");
    assert!(!is_needed(&retained(&all[0], Why::Pending, 0), &[memory(A, &all[0])]), "the question is open");
}

#[test]
fn the_archive_has_what_left_once_and_forgets_the_oldest() {
    let all = certificates(3);
    let archived = |index: usize| Archived { certificate: Arc::clone(&all[index]), at: at(0) };
    let fingerprints = |indexes: &[usize]| -> HashSet<Fingerprint> {
        indexes.iter().map(|index| all[*index].fingerprint()).collect()
    };
    let none = BTreeSet::new();
    let grown = archive(&[archived(0), archived(1)], &[Arc::clone(&all[0])], |_| false, &none, at(1));
    let order: Vec<_> = grown.iter().map(|one| (one.certificate.fingerprint(), one.at)).collect();
    assert_eq!(order, [(all[1].fingerprint(), at(0)), (all[0].fingerprint(), at(1))], "the latest last");
    assert_eq!(
        archive(&grown, &[], |anchor| fingerprints(&[0]).contains(anchor), &none, at(2)).len(),
        1,
        "back in the store"
    );
    let banned: BTreeSet<Fingerprint> = fingerprints(&[1]).into_iter().collect();
    assert_eq!(archive(&grown, &[], |_| false, &banned, at(2)).len(), 1, "distrust reaches it");
    let many = vec![archived(2); ARCHIVE_LIMIT];
    let full = archive(&many, &[Arc::clone(&all[0])], |_| false, &none, at(3));
    assert_eq!((full.len(), full.last().unwrap().at), (ARCHIVE_LIMIT, at(3)));
}

#[test]
fn another_store_or_another_loss_is_another_question() {
    let all = certificates(3);
    let ask = |store: &[usize], lost: &[usize]| {
        let list = |indexes: &[usize]| -> Vec<Fingerprint> {
            indexes.iter().map(|index| all[*index].fingerprint()).collect()
        };
        question(list(store).into_iter(), list(lost).into_iter())
    };
    assert_eq!(ask(&[0, 1], &[2]), ask(&[0, 1], &[2]));
    let questions: HashSet<_> =
        [ask(&[0, 1], &[2]), ask(&[0], &[1, 2]), ask(&[1, 0], &[2]), ask(&[0, 1, 2], &[])].into();
    assert_eq!(questions.len(), 4);
}
