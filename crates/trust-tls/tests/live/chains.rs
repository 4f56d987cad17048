//! Servers below CAs: what is sent and what is stored, in every combination and order.

use crate::kit::{Kit, Spec};
use crate::shape::{HOST, Shape};

pub(crate) fn shapes(kit: &Kit) -> Vec<Shape> {
    let mut shapes = one_intermediate(kit);
    shapes.extend(two_intermediates(kit));
    shapes.extend(cross_signed(kit));
    shapes.extend(same_name(kit, true));
    shapes.extend(same_name(kit, false));
    shapes.extend(copies(kit));
    shapes
}

fn one_intermediate(kit: &Kit) -> Vec<Shape> {
    let root = kit.root("Chain Root");
    let inter = kit.by(&root, Spec::ca("Chain Intermediate"));
    let leaf = kit.by(&inter, Spec::leaf(HOST));
    let direct = kit.by(&root, Spec::leaf(HOST));
    let (junk, other) = (kit.root("Junk"), kit.root("Other"));
    vec![
        Shape::new("leaf below a root, the root stored", &direct, &[], &[&root], "ok"),
        Shape::new("leaf below a root, root sent and stored", &direct, &[&root], &[&root], "ok"),
        Shape::new("leaf alone stored, leaf sent", &leaf, &[], &[&leaf], "ok"),
        Shape::new("leaf alone stored, chain sent", &leaf, &[&inter, &root], &[&other, &leaf], "ok"),
        Shape::new("intermediate alone stored, leaf sent", &leaf, &[], &[&inter], "ok"),
        Shape::new(
            "intermediate alone stored, leaf and intermediate sent",
            &leaf,
            &[&inter],
            &[&inter],
            "ok",
        ),
        Shape::new("intermediate alone stored, everything sent", &leaf, &[&inter, &root], &[&inter], "ok"),
        Shape::new("root stored, intermediate sent", &leaf, &[&inter], &[&root], "ok"),
        Shape::new("root stored, everything sent", &leaf, &[&inter, &root], &[&root], "ok"),
        Shape::new("root and intermediate stored, leaf sent", &leaf, &[], &[&root, &inter], "ok"),
        Shape::new("intermediate and root stored, leaf sent", &leaf, &[], &[&inter, &root], "ok"),
        Shape::new("root and intermediate stored, chain sent", &leaf, &[&inter], &[&root, &inter], "ok"),
        Shape::new("leaf, intermediate and root stored", &leaf, &[&inter], &[&leaf, &inter, &root], "ok"),
        Shape::new("root, intermediate and leaf stored", &leaf, &[&inter], &[&root, &inter, &leaf], "ok"),
        Shape::new("root last of four", &leaf, &[&inter], &[&junk, &other, &direct, &root], "ok"),
        Shape::new("chain sent with junk", &leaf, &[&junk, &inter, &other], &[&root], "ok"),
        Shape::new("chain sent twice", &leaf, &[&leaf, &inter, &inter, &root, &root], &[&root], "ok"),
        Shape::new("root stored, intermediate not sent", &leaf, &[], &[&root], "no-issuer"),
        Shape::new("another leaf of the CA stored", &leaf, &[&inter], &[&direct], "no-issuer"),
        Shape::new("nothing of the chain stored", &leaf, &[&inter, &root], &[&other, &junk], "no-issuer"),
    ]
}

fn two_intermediates(kit: &Kit) -> Vec<Shape> {
    let root = kit.root("Long Root");
    let upper = kit.by(&root, Spec::ca("Long Upper"));
    let lower = kit.by(&upper, Spec::ca("Long Lower"));
    let leaf = kit.by(&lower, Spec::leaf(HOST));
    let junk = kit.root("Junk");
    vec![
        Shape::new("two intermediates, in order", &leaf, &[&lower, &upper], &[&root], "ok"),
        Shape::new("two intermediates, scrambled", &leaf, &[&root, &upper, &lower], &[&root], "ok"),
        Shape::new("scrambled with junk", &leaf, &[&upper, &junk, &root, &lower], &[&junk, &root], "ok"),
        Shape::new("upper intermediate stored", &leaf, &[&lower], &[&upper], "ok"),
        Shape::new("upper stored, lower not sent", &leaf, &[&upper], &[&upper], "no-issuer"),
        Shape::new("upper intermediate not sent", &leaf, &[&lower], &[&root], "no-issuer"),
        Shape::new(
            "all four stored from the top",
            &leaf,
            &[&lower, &upper],
            &[&root, &upper, &lower, &leaf],
            "ok",
        ),
    ]
}

fn cross_signed(kit: &Kit) -> Vec<Shape> {
    let old = kit.root("Cross Old");
    let expired = kit.own(Spec::ca("Cross Expired").days(-900, -10));
    let new = kit.root("Cross New");
    let cross = kit.by(&old, Spec::ca("Cross New").key_of(&new));
    let cross_expired = kit.by(&expired, Spec::ca("Cross New").key_of(&new).days(-800, -20));
    let inter = kit.by(&new, Spec::ca("Cross Intermediate"));
    let leaf = kit.by(&inter, Spec::leaf(HOST));
    let back = kit.by(&new, Spec::ca("Cross Old").key_of(&old));
    vec![
        Shape::new(
            "expired cross-certificate sent, new root stored",
            &leaf,
            &[&inter, &cross_expired],
            &[&new],
            "ok",
        ),
        Shape::new(
            "expired cross-certificate sent, expired and new root stored",
            &leaf,
            &[&inter, &cross_expired],
            &[&expired, &new],
            "ok",
        ),
        Shape::new(
            "expired cross-certificate sent, expired root stored",
            &leaf,
            &[&inter, &cross_expired],
            &[&expired],
            "expired",
        ),
        Shape::new("cross-certificate sent, old root stored", &leaf, &[&inter, &cross], &[&old], "ok"),
        Shape::new("cross-certificate sent, new root stored", &leaf, &[&inter, &cross], &[&new], "ok"),
        Shape::new(
            "cross-certificate sent, old and new root stored",
            &leaf,
            &[&inter, &cross],
            &[&old, &new],
            "ok",
        ),
        Shape::new("cross-certificate itself stored", &leaf, &[&inter], &[&cross], "ok"),
        Shape::new(
            "a ring of cross-certificates, one root stored",
            &leaf,
            &[&inter, &cross, &back],
            &[&old],
            "ok",
        ),
    ]
}

/// A CA that got a new key and kept its name.
fn same_name(kit: &Kit, key_ids: bool) -> Vec<Shape> {
    let style = |spec: Spec| if key_ids { spec } else { spec.no_key_ids() };
    let with = if key_ids { "with key identifiers" } else { "without key identifiers" };
    let old = kit.own(style(Spec::ca("Re-keyed CA")));
    let new = kit.own(style(Spec::ca("Re-keyed CA")));
    let leaf = kit.by(&new, style(Spec::leaf(HOST)));
    vec![
        Shape::new(&format!("re-keyed CA, old and new, {with}"), &leaf, &[], &[&old, &new], "ok"),
        Shape::new(&format!("re-keyed CA, new and old, {with}"), &leaf, &[], &[&new, &old], "ok"),
        Shape::new(
            &format!("re-keyed CA, only the old one, {with}"),
            &leaf,
            &[],
            &[&old],
            "issuer-key-differs",
        ),
        Shape::new(
            &format!("re-keyed CA, only the old one, the new one sent, {with}"),
            &leaf,
            &[&new],
            &[&old],
            "issuer-key-differs",
        ),
    ]
}

/// One key, several certificates.
fn copies(kit: &Kit) -> Vec<Shape> {
    let valid = kit.root("Renewed CA");
    let expired = kit.own(Spec::ca("Renewed CA").key_of(&valid).days(-900, -10));
    let early = kit.own(Spec::ca("Renewed CA").key_of(&valid).days(10, 900));
    let leaf = kit.by(&valid, Spec::leaf(HOST));
    let serials = Spec::ca("Serial CA").with("authorityKeyIdentifier=keyid:always,issuer:always");
    let first = kit.own(serials.clone().serial(11));
    let second = kit.own(serials.key_of(&first).serial(12));
    let by_first = kit.by(&first, Spec::leaf(HOST).with("authorityKeyIdentifier=keyid:always,issuer:always"));
    vec![
        Shape::new("expired and valid copy of a CA", &leaf, &[], &[&expired, &valid], "ok"),
        Shape::new("valid and expired copy of a CA", &leaf, &[], &[&valid, &expired], "ok"),
        Shape::new("copy not valid yet, then a valid one", &leaf, &[], &[&early, &valid], "ok"),
        Shape::new("expired copy of a CA only", &leaf, &[], &[&expired], "expired"),
        Shape::new("expired copy sent, valid one stored", &leaf, &[&expired], &[&valid], "ok"),
        Shape::new("valid copy sent, expired one stored", &leaf, &[&valid], &[&expired], "expired"),
        Shape::new("key identifier with issuer and serial number", &by_first, &[], &[&first], "ok"),
        Shape::new(
            "issuer's serial number is another copy's",
            &by_first,
            &[],
            &[&second],
            "issuer-key-differs",
        ),
        Shape::new("issuer's serial number is the second copy's", &by_first, &[], &[&second, &first], "ok"),
    ]
}
