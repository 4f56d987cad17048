//! Every shape of server and store as a live server, with curl, one anchor a connection in order, as the referee.
//!
//! `AGENTD_WRITE_DOCS=1` writes the table to `docs/VERIFICATION.md`; otherwise the table there has to agree with this run.
#![expect(clippy::panic, reason = "a test that cannot go on stops")]

mod chains;
mod keys;
mod kit;
mod names;
mod odd;
mod oracle;
mod own;
mod refused;
mod shape;
mod table;

use std::collections::BTreeSet;

use test_support::{time, tools};
use trust_tls::{Pin, Request};

use crate::kit::{Cert, Kit, Spec};
use crate::oracle::{Answer, judge, ours_with, request, serve};
use crate::shape::{HOST, Shape};

fn ready() -> bool {
    tools::require(&["openssl", "curl"]) && time::can_be_faked()
}

fn shapes(kit: &Kit) -> Vec<Shape> {
    let mut shapes = own::shapes(kit);
    shapes.extend(chains::shapes(kit));
    shapes.extend(names::shapes(kit));
    shapes.extend(keys::shapes(kit));
    shapes.extend(refused::shapes(kit));
    shapes.extend(odd::shapes(kit));
    shapes
}

#[test]
fn verdict_and_anchor_are_those_of_curl() {
    if !ready() {
        return;
    }
    let kit = Kit::new();
    let shapes = shapes(&kit);
    let names: BTreeSet<&str> = shapes.iter().map(|shape| &*shape.name).collect();
    assert_eq!(names.len(), shapes.len(), "every shape has a name of its own");
    let mut wrong = Vec::new();
    let mut rows = Vec::new();
    for shape in &shapes {
        let row = judge(&kit, shape);
        let agrees = row.curl == row.ours;
        if agrees == shape.differs.is_some() || row.code != shape.code {
            wrong.push(format!(
                "{}: curl {}, stock {}, ours {} ({}, expected {}): {}",
                shape.name,
                row.curl.words(),
                row.stock.words(),
                row.ours.words(),
                row.code,
                shape.code,
                row.detail
            ));
        }
        rows.push(row);
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), shapes.len(), wrong.join("\n"));
    table::check(&shapes, &rows);
}

#[test]
fn the_document_has_every_code() {
    table::check_codes();
}

#[test]
fn switches_and_pins_are_independent() {
    if !ready() {
        return;
    }
    let kit = Kit::new();
    let root = kit.root("Switches Root");
    let leaf = kit.by(&root, Spec::leaf(HOST));
    let foreign = kit.root("Foreign Root");
    let right = |anchor: &Cert, host: &str| Shape::new("switches", &leaf, &[], &[anchor], "ok").host(host);
    let sha256: Pin = Pin::parse(&test_support::pem::sha256_hex(&leaf.der())).unwrap().unwrap();
    let other = Pin::parse(&"0".repeat(64)).unwrap().unwrap();
    let cases = [(&root, HOST), (&root, "other.example"), (&foreign, HOST), (&foreign, "other.example")];
    for (anchor, host) in cases {
        let shape = right(anchor, host);
        let server = serve(&kit, &shape);
        for (peer, name) in [(true, true), (true, false), (false, true), (false, false)] {
            for pins in [vec![], vec![sha256.clone()], vec![other.clone()]] {
                let pinned = !pins.contains(&other);
                let trusted = std::ptr::eq(anchor, &raw const root) || !peer;
                let named = host == HOST || !name;
                let expected = match (trusted, named, pinned) {
                    (false, _, _) => "no-issuer",
                    (true, false, _) => "name-mismatch",
                    (true, true, false) => "pin-mismatch",
                    (true, true, true) => "ok",
                };
                let asked = Request { verify_peer: peer, verify_host: name, pins, ..request(&shape) };
                let (answer, code, detail, bytes) = ours_with(&shape, server.port, asked);
                assert_eq!(code, expected, "peer {peer}, name {name}, {host}: {detail}");
                assert_eq!(answer == Answer::Refused, expected != "ok");
                assert_eq!(bytes, leaf.der().len(), "the chain is kept whatever became of it");
            }
        }
    }
}
