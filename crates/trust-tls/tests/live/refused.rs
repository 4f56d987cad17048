//! What has to be refused, and what stands right beside it.

use crate::kit::{Kit, Spec};
use crate::own::UNKNOWN;
use crate::shape::{HOST, Shape};

pub(crate) fn shapes(kit: &Kit) -> Vec<Shape> {
    let mut shapes = time_and_purpose(kit);
    shapes.extend(authority(kit));
    shapes.extend(constraints(kit));
    shapes.extend(links(kit));
    shapes
}

/// Root, intermediate and leaf, each as given.
fn three(kit: &Kit, name: &str, root: Spec, inter: Spec, leaf: Spec, code: &'static str) -> Shape {
    let root = kit.own(root);
    let inter = kit.by(&root, inter);
    let leaf = kit.by(&inter, leaf);
    Shape::new(name, &leaf, &[&inter], &[&root], code)
}

fn time_and_purpose(kit: &Kit) -> Vec<Shape> {
    let three = |name: &str, root, inter, leaf, code| three(kit, name, root, inter, leaf, code);
    let (root, inter, leaf) =
        (|| Spec::ca("Refusing Root"), || Spec::ca("Refusing Intermediate"), || Spec::leaf(HOST));
    let client = "extendedKeyUsage=clientAuth";
    vec![
        three("leaf expired", root(), inter(), leaf().days(-30, -1), "expired"),
        three("leaf not valid yet", root(), inter(), leaf().days(2, 30), "not-yet-valid"),
        three("intermediate expired", root(), inter().days(-30, -1), leaf(), "expired"),
        three("intermediate not valid yet", root(), inter().days(2, 30), leaf(), "not-yet-valid"),
        three("root expired", root().days(-30, -1), inter(), leaf(), "expired"),
        three("root not valid yet", root().days(2, 30), inter(), leaf(), "not-yet-valid"),
        three("leaf for clients", root(), inter(), leaf().with(client), "wrong-purpose"),
        three("intermediate for clients", root(), inter().with(client), leaf(), "wrong-purpose"),
        three("root for clients", root().with(client), inter(), leaf(), "wrong-purpose"),
        three(
            "root and intermediate for servers",
            root().with("extendedKeyUsage=serverAuth"),
            inter().with("extendedKeyUsage=serverAuth"),
            leaf(),
            "ok",
        ),
        three(
            "leaf for signing CRLs",
            root(),
            inter(),
            leaf().with("keyUsage=critical,cRLSign"),
            "wrong-purpose",
        ),
        three("leaf for key agreement", root(), inter(), leaf().with("keyUsage=critical,keyAgreement"), "ok"),
        three("leaf for another name", root(), inter(), Spec::leaf("other.example"), "name-mismatch"),
        three(
            "leaf with an unknown critical extension",
            root(),
            inter(),
            leaf().with(UNKNOWN),
            "unknown-critical-extension",
        ),
        three(
            "intermediate with an unknown critical extension",
            root(),
            inter().with(UNKNOWN),
            leaf(),
            "unknown-critical-extension",
        ),
        three(
            "root with an unknown critical extension",
            root().with(UNKNOWN),
            inter(),
            leaf(),
            "unknown-critical-extension",
        ),
    ]
}

fn authority(kit: &Kit) -> Vec<Shape> {
    let three = |name: &str, root, inter, leaf, code| three(kit, name, root, inter, leaf, code);
    let (root, inter, leaf) =
        (|| Spec::ca("Authority Root"), || Spec::ca("Authority Intermediate"), || Spec::leaf(HOST));
    let (no_ca, no_sign) = ("basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature");
    let mut shapes = vec![
        three("anchor with CA:FALSE issues", root().with(no_ca), inter(), leaf(), "anchor-may-not-issue"),
        three("anchor whose key may not sign certificates", root().with(no_sign), inter(), leaf(), "anchor-may-not-issue"),
        three("anchor of version 3 without basic constraints", root().without(&["basicConstraints", "keyUsage"]), inter(), leaf(), "anchor-may-not-issue"),
        three("anchor without basic constraints whose key may sign certificates", root().without(&["basicConstraints"]), inter(), leaf(), "ok"),
        three("anchor without key usage", root().without(&["keyUsage"]), inter(), leaf(), "ok"),
        three("intermediate with CA:FALSE", root(), inter().with(no_ca), leaf(), "intermediate-may-not-issue"),
        three("intermediate whose key may not sign certificates", root(), inter().with(no_sign), leaf(), "intermediate-may-not-issue"),
        three("intermediate without basic constraints", root(), inter().without(&["basicConstraints", "keyUsage"]), leaf(), "intermediate-may-not-issue"),
        three("intermediate of version 1", root(), Spec::bare("/CN=Version 1"), leaf().no_key_ids(), "intermediate-may-not-issue"),
        three("root with path length 0 above an intermediate", root().with("basicConstraints=critical,CA:TRUE,pathlen:0"), inter(), leaf(), "path-too-long"),
        three("root with path length 1 above an intermediate", root().with("basicConstraints=critical,CA:TRUE,pathlen:1"), inter(), leaf(), "ok"),
        three("CA certificate as a server's", root(), inter(), leaf().with("basicConstraints=critical,CA:TRUE"), "ca-as-leaf").differs(
            "webpki takes no CA certificate for a server's, and a server that holds a CA's key is worth a word. It works as an \
             anchor itself",
        ),
    ];
    let root = kit.root("Path Root");
    let upper = kit.by(&root, Spec::ca("Path Upper").with("basicConstraints=critical,CA:TRUE,pathlen:0"));
    let lower = kit.by(&upper, Spec::ca("Path Lower"));
    let leaf = kit.by(&lower, Spec::leaf(HOST));
    shapes.extend([
        Shape::new(
            "intermediate with path length 0 above another",
            &leaf,
            &[&lower, &upper],
            &[&root],
            "path-too-long",
        ),
        Shape::new(
            "the same, the lower one stored besides",
            &leaf,
            &[&lower, &upper],
            &[&root, &lower],
            "ok",
        ),
    ]);
    shapes
}

fn constraints(kit: &Kit) -> Vec<Shape> {
    let under = |name: &str, constraint: &str, leaf: Spec, host: &str, code| {
        let root =
            kit.own(Spec::ca("Constrained Root").with(&format!("nameConstraints=critical,{constraint}")));
        let leaf = kit.by(&root, leaf);
        Shape::new(&format!("name constraint: {name}"), &leaf, &[], &[&root], code).host(host)
    };
    let common_name = "a common name is not held against constraints but refused below them: x509-limbo (bettertls) demands it of \
                       every name that a constrained CA cannot vouch for";
    let inter =
        Spec::ca("Constrained Intermediate").with("nameConstraints=critical,permitted;DNS:other.test");
    vec![
        under("inside", "permitted;DNS:example", Spec::leaf(HOST), HOST, "ok"),
        under("outside", "permitted;DNS:other.test", Spec::leaf(HOST), HOST, "name-constraint"),
        under("excluded", "excluded;DNS:server.example", Spec::leaf(HOST), HOST, "name-constraint"),
        under("another excluded", "excluded;DNS:other.test", Spec::leaf(HOST), HOST, "ok"),
        under("address inside", "permitted;IP:127.0.0.0/255.0.0.0", ip_leaf(), "127.0.0.1", "ok"),
        under(
            "address outside",
            "permitted;IP:10.0.0.0/255.0.0.0",
            ip_leaf(),
            "127.0.0.1",
            "name-constraint",
        ),
        under("CN outside", "permitted;DNS:other.test", Spec::nameless(HOST), HOST, "name-constraint"),
        under("CN inside", "permitted;DNS:example", Spec::nameless(HOST), HOST, "name-constraint")
            .differs(common_name),
        three(
            kit,
            "name constraint: of an intermediate",
            Spec::ca("Free Root"),
            inter,
            Spec::leaf(HOST),
            "name-constraint",
        ),
    ]
}

fn ip_leaf() -> Spec {
    Spec::nameless("address").with("subjectAltName=IP:127.0.0.1")
}

/// Where a certificate names another issuer's key than the one that signed it.
fn links(kit: &Kit) -> Vec<Shape> {
    let root = kit.root("Links Root");
    let inter = kit.by(&root, Spec::ca("Links Intermediate"));
    let renamed =
        kit.by(&root, Spec::ca("Links Intermediate").key_of(&inter).with("subjectKeyIdentifier=0102030405"));
    let leaf = kit.by(&renamed, Spec::leaf(HOST));
    vec![
        Shape::new(
            "intermediate with another key identifier than the leaf wants",
            &leaf,
            &[&inter],
            &[&root],
            "no-issuer",
        ),
        Shape::new("the same, stored", &leaf, &[], &[&inter], "issuer-key-differs"),
        Shape::new("both, the right one last", &leaf, &[&inter, &renamed], &[&root], "ok"),
        Shape::new("both stored, the right one last", &leaf, &[], &[&inter, &renamed], "ok"),
    ]
}
