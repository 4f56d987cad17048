//! Names: of hosts, and of CAs in every spelling.

use crate::kit::{Kit, RSA, Spec};
use crate::shape::{HOST, Shape};

pub(crate) fn shapes(kit: &Kit) -> Vec<Shape> {
    let mut shapes = hosts(kit);
    shapes.extend(spellings(kit));
    shapes
}

fn hosts(kit: &Kit) -> Vec<Shape> {
    let root = kit.root("Names Root");
    let named = |name: &str, host: &str, spec: Spec, code| {
        let leaf = kit.by(&root, spec);
        Shape::new(&format!("name: {name}"), &leaf, &[], &[&root], code).host(host)
    };
    let san = |list: &str| Spec::nameless("unrelated").with(&format!("subjectAltName={list}"));
    let cn = |text: &str| Spec::nameless("x").subject(&format!("/CN={text}"));
    vec![
        named("wildcard", "a.wild.example", san("DNS:*.wild.example"), "ok"),
        named("wildcard as CN", "a.wild.example", cn("*.wild.example"), "ok"),
        named("wildcard, two labels", "a.b.wild.example", san("DNS:*.wild.example"), "name-mismatch"),
        named("wildcard, its parent", "wild.example", san("DNS:*.wild.example"), "name-mismatch"),
        named("wildcard of a top-level domain", "wild.example", san("DNS:*.example"), "name-mismatch"),
        named("wildcard in part of a label", "ab.wild.example", san("DNS:a*.wild.example"), "name-mismatch"),
        named("second of several", "b.example", san("DNS:a.example,DNS:b.example,IP:127.0.0.1"), "ok"),
        named("address in SAN", "127.0.0.1", san("IP:127.0.0.1"), "ok"),
        named("address as CN", "127.0.0.1", cn("127.0.0.1"), "ok"),
        named("address as DNS name in SAN", "127.0.0.1", san("DNS:127.0.0.1"), "name-mismatch"),
        named("another address in SAN", "127.0.0.1", san("IP:127.0.0.2"), "name-mismatch"),
        named("host in upper case", "SERVER.Example", san("DNS:server.example"), "ok"),
        named("certificate in upper case", HOST, san("DNS:SERVER.EXAMPLE"), "ok"),
        named("CN in upper case", HOST, cn("SERVER.EXAMPLE"), "ok"),
        named("underscore", "under_score.example", san("DNS:under_score.example"), "ok"),
        named("host with a trailing dot", "server.example.", san("DNS:server.example"), "ok"),
        named("certificate with a trailing dot", HOST, san("DNS:server.example."), "ok"),
        named("single label", "intranet", san("DNS:intranet"), "ok"),
        named("punycode", "xn--bcher-kva.example", san("DNS:xn--bcher-kva.example"), "ok"),
        named(
            "CN beside another DNS name",
            HOST,
            cn(HOST).with("subjectAltName=DNS:other.example"),
            "name-mismatch",
        ),
        named("CN beside an address", HOST, cn(HOST).with("subjectAltName=IP:127.0.0.1"), "name-mismatch"),
        named(
            "CN beside an e-mail address",
            HOST,
            cn(HOST).with("subjectAltName=email:a@server.example"),
            "ok",
        ),
        named("last of two CNs", HOST, cn("first.example/CN=server.example"), "ok"),
        named("first of two CNs", "first.example", cn("first.example/CN=server.example"), "name-mismatch"),
        named("CN as BMPString", HOST, cn(HOST).strings("MASK:0x800"), "ok"),
        named("CN as T61String", HOST, cn(HOST).strings("MASK:0x4"), "ok"),
        named("CN as UniversalString", HOST, cn(HOST).strings("MASK:0x100"), "ok"),
        named("CN as PrintableString", HOST, cn(HOST).strings("MASK:0x2"), "ok"),
        named("CN with blanks around", HOST, cn(" server.example "), "name-mismatch"),
        named("no name at all", HOST, Spec::nameless("x").subject("/O=Nobody"), "name-mismatch"),
    ]
}

/// A CA whose name is spelled one way in its certificate and another in what it issued.
fn spellings(kit: &Kit) -> Vec<Shape> {
    let key = kit.own(Spec::ca("Spelling key").algorithm(RSA));
    let ca = |subject: &str, mask| kit.own(Spec::ca("x").subject(subject).strings(mask).key_of(&key));
    let mut shapes = Vec::new();
    let mut pair = |name: &str, (stored, stored_as): (&str, _), (issuer, issuer_as): (&str, _), code| {
        let (anchor, signer) = (ca(stored, stored_as), ca(issuer, issuer_as));
        let leaf = kit.by(&signer, Spec::leaf(HOST));
        shapes.push(Shape::new(&format!("spelling: {name}"), &leaf, &[], &[&anchor], code));
        let inter = kit.by(&signer, Spec::ca("Spelling Intermediate"));
        let below = kit.by(&inter, Spec::leaf(HOST));
        shapes.push(Shape::new(
            &format!("spelling: {name}, with intermediate"),
            &below,
            &[&inter],
            &[&anchor],
            code,
        ));
    };
    let (utf8, printable, t61, bmp, universal) =
        ("utf8only", "MASK:0x2", "MASK:0x4", "MASK:0x800", "MASK:0x100");
    pair(
        "UTF8String, PrintableString",
        ("/O=Acme/CN=Acme Root", utf8),
        ("/O=Acme/CN=Acme Root", printable),
        "ok",
    );
    pair("letter case and blanks", ("/O=ACME/CN=Acme  Root", utf8), ("/O=acme/CN=acme root", utf8), "ok");
    pair("BMPString, UTF8String", ("/O=Acme/CN=Acme Root", bmp), ("/O=Acme/CN=Acme Root", utf8), "ok");
    pair("T61String, UTF8String", ("/O=Acme/CN=Acme Root", t61), ("/O=Acme/CN=Acme Root", utf8), "ok");
    pair("T61String, BMPString, umlaut", ("/CN=Zürich Root", t61), ("/CN=Zürich Root", bmp), "ok");
    pair("UniversalString, UTF8String", ("/CN=Acme Root", universal), ("/CN=Acme Root", utf8), "ok");
    pair(
        "other order of attributes",
        ("/CN=Acme Root/O=Acme", utf8),
        ("/O=Acme/CN=Acme Root", utf8),
        "no-issuer",
    );
    let (stored, issuer) = (ca("/CN=ZÜRICH ROOT", utf8), ca("/CN=zürich root", utf8));
    let leaf = kit.by(&issuer, Spec::leaf(HOST));
    shapes.push(Shape::new("spelling: umlaut in another case", &leaf, &[], &[&stored], "ok").differs(
        "RFC 5280 §7.1 compares letters of every alphabet without regard to case, OpenSSL those of ASCII alone; the signature \
         is the anchor's all the same",
    ));
    shapes
}
