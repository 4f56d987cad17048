//! Rare, and all the more annoying: long chains, extensions of other decades, names that two certificates share.

use crate::kit::{Cert, Kit, Spec};
use crate::shape::{HOST, Shape};

pub(crate) fn shapes(kit: &Kit) -> Vec<Shape> {
    let mut shapes = long(kit);
    shapes.extend(between(kit));
    shapes.extend(policies(kit));
    shapes.extend(purposes(kit));
    shapes.extend(one_name(kit));
    shapes
}

/// More intermediates than webpki takes.
fn long(kit: &Kit) -> Vec<Shape> {
    let chain = |name: &str, root: Spec, host: &str, code| {
        let root = kit.own(root);
        let mut path = vec![root.clone()];
        for number in 1..=8 {
            let above = path.last().expect("the root at least").clone();
            path.push(kit.by(&above, Spec::ca(&format!("Link {number}"))));
        }
        let leaf = kit.by(path.last().expect("the lowest"), Spec::leaf(HOST));
        let sent: Vec<&Cert> = path[1..].iter().rev().collect();
        Shape::new(&format!("eight intermediates{name}"), &leaf, &sent, &[&root], code).host(host)
    };
    let constrained =
        |list: &str| Spec::ca("Long Constrained Root").with(&format!("nameConstraints=critical,{list}"));
    vec![
        chain("", Spec::ca("Very Long Root"), HOST, "ok"),
        chain(
            ", path length 8",
            Spec::ca("Root 8").with("basicConstraints=critical,CA:TRUE,pathlen:8"),
            HOST,
            "ok",
        ),
        chain(
            ", path length 7",
            Spec::ca("Root 7").with("basicConstraints=critical,CA:TRUE,pathlen:7"),
            HOST,
            "path-too-long",
        ),
        chain(", root for this domain", constrained("permitted;DNS:example"), HOST, "ok"),
        chain(", root for another domain", constrained("permitted;DNS:other.test"), HOST, "name-constraint"),
        chain(", root for all but this domain", constrained("excluded;DNS:example"), HOST, "name-constraint"),
    ]
}

/// An intermediate whose name its own issue spells in another way.
fn between(kit: &Kit) -> Vec<Shape> {
    let spelled = |name: &str, root: Spec, code| {
        let root = kit.own(root);
        let sent = kit.by(&root, Spec::ca("x").subject("/O=Acme/CN=Acme Issuing CA"));
        let signer = kit
            .by(&root, Spec::ca("x").subject("/O=Acme/CN=ACME issuing ca").strings("MASK:0x2").key_of(&sent));
        let leaf = kit.by(&signer, Spec::leaf(HOST));
        Shape::new(&format!("spelling: of an intermediate{name}"), &leaf, &[&sent], &[&root], code)
    };
    let constrained =
        |list: &str| Spec::ca("Spelling Constrained").with(&format!("nameConstraints=critical,{list}"));
    vec![
        spelled("", Spec::ca("Spelling Root"), "ok"),
        spelled(", root for this domain", constrained("permitted;DNS:example"), "ok"),
        spelled(", root for another domain", constrained("permitted;DNS:other.test"), "name-constraint"),
    ]
}

/// Certificate policies, which RFC 5280 lets be critical, and some of which have to be.
fn policies(kit: &Kit) -> Vec<Shape> {
    let three = |name: &str, root: Spec, inter: Spec, leaf: Spec, code| {
        let root = kit.own(root);
        let inter = kit.by(&root, inter);
        let leaf = kit.by(&inter, leaf);
        Shape::new(&format!("policies: {name}"), &leaf, &[&inter], &[&root], code)
    };
    let (root, inter, leaf) =
        (|| Spec::ca("Policy Root"), || Spec::ca("Policy Intermediate"), || Spec::leaf(HOST));
    let constraints = "policyConstraints=critical,requireExplicitPolicy:3";
    vec![
        three("critical on a root", root().with(constraints), inter(), leaf(), "ok"),
        three("critical on an intermediate", root(), inter().with(constraints), leaf(), "ok"),
        three(
            "inhibitAnyPolicy on an intermediate",
            root(),
            inter().with("inhibitAnyPolicy=critical,0"),
            leaf(),
            "ok",
        ),
        three(
            "certificatePolicies critical on an intermediate",
            root(),
            inter().with("certificatePolicies=critical,1.2.3.4"),
            leaf(),
            "ok",
        ),
        three(
            "certificatePolicies critical on a leaf",
            root(),
            inter(),
            leaf().with("certificatePolicies=critical,1.2.3.4"),
            "ok",
        ),
        three(
            "not critical",
            root(),
            inter().with("certificatePolicies=1.2.3.4"),
            leaf().with("certificatePolicies=1.2.3.4"),
            "ok",
        ),
    ]
}

fn purposes(kit: &Kit) -> Vec<Shape> {
    let root = kit.root("Purpose Root");
    let below = |name: &str, spec: Spec, code| {
        let leaf = kit.by(&root, spec);
        Shape::new(&format!("purpose: {name}"), &leaf, &[], &[&root], code)
    };
    let own = |name: &str, spec: Spec, code| {
        let leaf = kit.own(spec);
        Shape::new(&format!("purpose: {name}"), &leaf, &[], &[&leaf], code)
    };
    let plain = || Spec::leaf(HOST).without(&["extendedKeyUsage", "keyUsage"]);
    let old =
        kit.own(Spec::ca("Netscape CA").without(&["basicConstraints", "keyUsage"]).with("nsCertType=sslCA"));
    let by_old = kit.by(&old, Spec::leaf(HOST));
    vec![
        below("Server Gated Cryptography of Microsoft", plain().with("extendedKeyUsage=msSGC"), "ok"),
        below("Server Gated Cryptography of Netscape, stored", plain().with("extendedKeyUsage=nsSGC"), "ok"),
        below(
            "any extended key usage alone",
            plain().with("extendedKeyUsage=anyExtendedKeyUsage"),
            "wrong-purpose",
        ),
        below("Netscape type for servers", plain().with("nsCertType=server"), "ok"),
        below("Netscape type for clients", plain().with("nsCertType=client"), "wrong-purpose"),
        own("self-signed, Netscape type for clients", plain().with("nsCertType=client"), "wrong-purpose"),
        own(
            "self-signed, for CRLs alone",
            Spec::leaf(HOST).with("keyUsage=critical,keyCertSign,cRLSign"),
            "wrong-purpose",
        ),
        Shape::new("purpose: CA by its Netscape type alone", &by_old, &[], &[&old], "ok"),
    ]
}

/// A server named like its CA, and a CA that certified its own new key.
fn one_name(kit: &Kit) -> Vec<Shape> {
    let mut shapes = Vec::new();
    for (with, key_ids) in [("with key identifiers", true), ("without key identifiers", false)] {
        let style = |spec: Spec| if key_ids { spec } else { spec.no_key_ids() };
        let subject = format!("/CN={HOST}");
        let ca = kit.own(style(Spec::ca("x").subject(&subject)));
        let leaf = kit.by(&ca, style(Spec::leaf(HOST)));
        let code = if key_ids { "ok" } else { "issuer-key-differs" };
        shapes.push(Shape::new(&format!("one name: server and CA, {with}"), &leaf, &[], &[&ca], code));
        let old = kit.own(style(Spec::ca("Self-issued CA")));
        let new = kit.own(style(Spec::ca("Self-issued CA")));
        let new_with_old = kit.by(&old, style(Spec::ca("Self-issued CA").key_of(&new)));
        let below = kit.by(&new, style(Spec::leaf(HOST)));
        let code = if key_ids { "ok" } else { "issuer-key-differs" };
        shapes.push(Shape::new(
            &format!("one name: old key certifies the new one, {with}"),
            &below,
            &[&new_with_old],
            &[&old],
            code,
        ));
    }
    shapes
}
