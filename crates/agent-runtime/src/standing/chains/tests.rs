//! What is remembered, and what follows from it.

use std::sync::Arc;

use jiff::ToSpan as _;
use test_support::pki::{Cert, Recipe};
use trust_core::Certificate;
use trust_tls::{AnchorSet, Pin, Request};

use super::*;
use crate::publish::RealFs;
use crate::standing::foresight::{Cause, Forecast, foresee};

fn presented(chain: &[&Cert]) -> Presented {
    let ders: Vec<&[u8]> = chain.iter().map(|cert| cert.der()).collect();
    Presented::new(&ders).unwrap()
}

fn set(anchors: &[&Cert]) -> AnchorSet {
    AnchorSet::new(anchors.iter().map(|cert| Arc::new(Certificate::parse(cert.der()).unwrap())))
}

fn remembered(chain: &[&Cert]) -> Remembered {
    let mut chains = Chains::default();
    assert!(chains.take_in("localhost:443", &presented(chain), Timestamp::now()));
    chains.get("localhost:443").unwrap().clone()
}

fn forecast(chain: &[&Cert], anchors: &[&Cert]) -> Forecast {
    foresee(&remembered(chain), &set(anchors), &Request::new("localhost", Timestamp::now()))
}

/// In how many days it breaks, and of what.
fn breaks(forecast: &Forecast) -> Option<(i64, Cause)> {
    let end = forecast.breaks.as_ref()?;
    let days = (end.at.as_second() - Timestamp::now().as_second() + 43_200) / 86_400;
    Some((days, end.cause.clone()))
}

fn leaf_cause(successor_trusted: bool) -> Cause {
    Cause::Leaf { successor_trusted, pinned: false }
}

#[test]
fn what_ends_first_is_named() {
    let root = Recipe::ca("Root").days(-10, 400).self_signed();
    let issuer = Recipe::ca("Issuer").days(-10, 200).issued_by(&root);
    let leaf = Recipe::leaf("localhost").days(-10, 90).issued_by(&issuer);
    let long = Recipe::leaf("localhost").days(-10, 1000).issued_by(&issuer);
    let alone = Recipe::leaf("localhost").days(-10, 30).self_signed();
    let anchor = |cert: &Cert, subject: &str| Cause::Anchor {
        fingerprint: cert.sha256().parse().unwrap(),
        subject: subject.to_owned(),
    };
    let intermediate = Cause::Intermediate { subject: "CN=Issuer".to_owned() };
    for (chain, anchors, expected) in [
        (vec![&leaf, &issuer], vec![&root], Some((90, leaf_cause(true)))),
        (vec![&leaf, &issuer], vec![&leaf], Some((90, leaf_cause(false)))),
        (vec![&leaf, &issuer], vec![&leaf, &root], Some((90, leaf_cause(true)))),
        (vec![&alone], vec![&alone], Some((30, leaf_cause(false)))),
        (vec![&long, &issuer], vec![&root], Some((200, intermediate))),
        (vec![&long, &issuer], vec![&issuer], Some((200, anchor(&issuer, "CN=Issuer")))),
        (vec![&long, &issuer], vec![], None),
        // Exactly known, it outlives its issuer; what that one's successor issues leads to the root.
        (vec![&long, &issuer], vec![&root, &long], Some((1000, leaf_cause(true)))),
    ] {
        assert_eq!(breaks(&forecast(&chain, &anchors)), expected);
    }
}

#[test]
fn an_anchor_that_takes_over_is_seen() {
    let key = Recipe::ca("Root").self_signed().key();
    let old = Recipe::ca("Root").key(&key).days(-300, 20).self_signed();
    let new = Recipe::ca("Root").key(&key).days(-3, 900).self_signed();
    let coming = Recipe::ca("Root").key(&key).days(10, 900).self_signed();
    let late = Recipe::ca("Root").key(&key).days(60, 900).self_signed();
    let leaf = Recipe::leaf("localhost").days(-10, 500).issued_by(&old);
    let of = |anchors: &[&Cert]| breaks(&forecast(&[&leaf], anchors)).unwrap();
    assert_eq!(of(&[&old]).0, 20);
    assert_eq!(of(&[&old, &new]), (500, leaf_cause(true)));
    assert_eq!(of(&[&new, &old]), (500, leaf_cause(true)));
    assert_eq!(of(&[&old, &coming]), (500, leaf_cause(true)), "one that is valid by then");
    assert_eq!(of(&[&old, &late]).0, 20, "one that is not");
}

#[test]
fn a_pin_breaks_with_the_certificate() {
    let root = Recipe::ca("Root").self_signed();
    let leaf = Recipe::leaf("localhost").days(-10, 90).issued_by(&root);
    let mut request = Request::new("localhost", Timestamp::now());
    request.pins = Pin::parse(&leaf.sha256()).unwrap().into_iter().collect();
    let forecast = foresee(&remembered(&[&leaf]), &set(&[&root]), &request);
    assert_eq!(breaks(&forecast).unwrap().1, Cause::Leaf { successor_trusted: true, pinned: true });
}

#[test]
fn an_intermediate_that_only_the_store_supplies_is_named() {
    let root = Recipe::ca("Root").self_signed();
    let issuer = Recipe::ca("Issuer").issued_by(&root);
    let leaf = Recipe::leaf("localhost").issued_by(&issuer);
    let not_sent = |chain: &[&Cert], anchors: &[&Cert]| forecast(chain, anchors).not_sent;
    assert_eq!(not_sent(&[&leaf], &[&issuer]).as_deref(), Some("CN=Issuer"));
    assert_eq!(not_sent(&[&leaf, &issuer], &[&issuer]), None);
    assert_eq!(not_sent(&[&leaf, &issuer], &[&root]), None);
    assert_eq!(not_sent(&[&leaf], &[&leaf]), None);
    let direct = Recipe::leaf("localhost").issued_by(&root);
    assert_eq!(not_sent(&[&direct], &[&root]), None, "roots need not be sent");
}

#[test]
fn a_new_issuer_is_remembered_until_the_next_certificate() {
    let now = Timestamp::now();
    let [old, new] = ["Old CA", "New CA"].map(|name| Recipe::ca(name).self_signed());
    let [a, b] = [(); 2].map(|()| Recipe::leaf("localhost").issued_by(&old));
    let [c, d] = [(); 2].map(|()| Recipe::leaf("localhost").issued_by(&new));
    let mut chains = Chains::default();
    let mut at = now;
    let mut take_in = |chain: &[&Cert]| {
        at += 1.hour();
        let written = chains.take_in("s:443", &presented(chain), at);
        let known = chains.get("s:443").unwrap().clone();
        (written, known.issuer_before.is_some(), known.since == at)
    };
    assert_eq!(take_in(&[&a]), (true, false, true));
    assert_eq!(take_in(&[&a]), (false, false, false));
    assert_eq!(take_in(&[&b]), (true, false, true), "renewed by the same");
    assert_eq!(take_in(&[&c]), (true, true, true));
    assert_eq!(take_in(&[&c, &new]), (true, true, false), "the same certificate, sent with its issuer");
    assert_eq!(take_in(&[&d]), (true, false, true));
    let known = chains.get("s:443").unwrap().clone();
    let request = Request::new("localhost", now);
    assert_eq!(foresee(&known, &set(&[&new]), &request).new_issuer, None);
    chains.take_in("s:443", &presented(&[&a]), now);
    let seen = foresee(chains.get("s:443").unwrap(), &set(&[&old]), &request).new_issuer.unwrap();
    assert_eq!((seen.issuer.as_str(), seen.before.as_str(), seen.since), ("CN=Old CA", "CN=New CA", now));
}

#[test]
fn it_is_written_once_a_day_and_read_back() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(Chains::load(directory.path()).unwrap(), Chains::default());
    let leaf = Recipe::leaf("localhost").self_signed();
    let now = Timestamp::now();
    let mut chains = Chains::default();
    chains.take_in("a:443", &presented(&[&leaf]), now);
    assert!(!chains.take_in("a:443", &presented(&[&leaf]), now + 1.hour()));
    assert!(chains.take_in("a:443", &presented(&[&leaf]), now + 25.hours()));
    chains.take_in("b:443", &presented(&[&leaf]), now);
    chains.save(&RealFs, directory.path()).unwrap();
    assert_eq!(Chains::load(directory.path()).unwrap(), chains);
    assert!(chains.keep(&["b:443".to_owned()]) && !chains.keep(&["b:443".to_owned()]));
    assert!(chains.get("a:443").is_none());
    for damaged in [&b"{"[..], b"[]", b"{\"v\":1}"] {
        fs::write(directory.path().join("chains.json"), damaged).unwrap();
        assert!(Chains::load(directory.path()).is_err());
    }
    let odd = br#"{"v":1,"servers":{"a:443":{"chain":["!"],"since":"2026-01-01T00:00:00Z","seen":"2026-01-01T00:00:00Z","issuer_before":null}}}"#;
    fs::write(directory.path().join("chains.json"), odd).unwrap();
    assert_eq!(Chains::load(directory.path()).unwrap(), Chains::default());
}
