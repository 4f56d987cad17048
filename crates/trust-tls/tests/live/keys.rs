//! Keys, signatures, and what TLS itself has to have in common.

use crate::kit::{ED25519, Kit, P384, RSA, RSA_1024, Spec};
use crate::shape::{HOST, Shape};

pub(crate) fn shapes(kit: &Kit) -> Vec<Shape> {
    let mut shapes = signatures(kit);
    shapes.extend(versions_and_suites(kit));
    shapes
}

fn signatures(kit: &Kit) -> Vec<Shape> {
    let root = kit.own(Spec::ca("Keys Root").algorithm(RSA));
    let weak_root = kit.own(Spec::ca("Weak Root").algorithm(RSA_1024));
    let sha1_root = kit.own(Spec::ca("SHA-1 Root").algorithm(RSA).digest("sha1"));
    let v1_root = kit.own(Spec::bare("/CN=Version 1 Root").algorithm(RSA));
    let ed = kit.own(Spec::ca("Ed25519 Root").algorithm(ED25519));
    let p384 = kit.own(Spec::ca("P-384 Root").algorithm(P384).digest("sha384"));
    let below = |name: &str, ca: &crate::kit::Cert, spec: Spec, code| {
        let leaf = kit.by(ca, spec);
        Shape::new(&format!("keys: {name}"), &leaf, &[], &[ca], code)
    };
    let sha1_inter = kit.by(&root, Spec::ca("SHA-1 Intermediate").algorithm(RSA).digest("sha1"));
    let below_sha1 = kit.by(&sha1_inter, Spec::leaf(HOST));
    let weak_inter = kit.by(&root, Spec::ca("Weak Intermediate").algorithm(RSA_1024));
    let below_weak = kit.by(&weak_inter, Spec::leaf(HOST));
    let sha1_leaf = kit.by(&root, Spec::leaf(HOST).digest("sha1"));
    vec![
        below("Ed25519 CA", &ed, Spec::leaf(HOST), "ok"),
        below("P-384 CA", &p384, Spec::leaf(HOST).algorithm(RSA).digest("sha384"), "ok"),
        below("root with a SHA-1 self-signature", &sha1_root, Spec::leaf(HOST), "ok"),
        below("root of version 1", &v1_root, Spec::leaf(HOST).no_key_ids(), "ok"),
        below("leaf of RSA 1024", &root, Spec::leaf(HOST).algorithm(RSA_1024), "weak-key"),
        below("CA of RSA 1024", &weak_root, Spec::leaf(HOST), "weak-key"),
        below("leaf signed with SHA-1", &root, Spec::leaf(HOST).digest("sha1"), "weak-signature"),
        below("leaf signed with MD5", &root, Spec::leaf(HOST).digest("md5"), "weak-signature"),
        Shape::new("keys: leaf signed with SHA-1, itself stored", &sha1_leaf, &[], &[&sha1_leaf], "ok"),
        Shape::new("keys: intermediate signed with SHA-1", &below_sha1, &[&sha1_inter], &[&root], "weak-signature"),
        Shape::new("keys: intermediate signed with SHA-1, itself stored", &below_sha1, &[], &[&sha1_inter], "ok"),
        Shape::new("keys: intermediate of RSA 1024", &below_weak, &[&weak_inter], &[&root], "weak-key"),
        below("leaf of version 1 below a CA", &root, Spec::bare(&format!("/CN={HOST}")), "version-1").differs(
            "a certificate without extensions does not say what it is for; x509-limbo (`webpki::v1-cert`) demands the refusal. \
             It works as an anchor itself",
        ),
    ]
}

fn versions_and_suites(kit: &Kit) -> Vec<Shape> {
    let root = kit.own(Spec::ca("TLS Root").algorithm(RSA));
    let leaf = kit.by(&root, Spec::leaf(HOST).algorithm(RSA));
    let tls = |name: &str, arguments, code| {
        Shape::new(&format!("TLS: {name}"), &leaf, &[], &[&root], code).server(arguments)
    };
    let suites = "rustls has no such suite; the answer says so in these words, and blames no anchor";
    vec![
        tls("1.3 alone", &["-tls1_3"], "ok"),
        tls("1.2 alone, ECDHE and AES-GCM", &["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"], "ok"),
        tls("1.2 alone, ChaCha20", &["-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305"], "ok"),
        tls("1.1 alone", &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "tls-incompatible"),
        tls("1.0 alone", &["-tls1", "-cipher", "ALL:@SECLEVEL=0"], "tls-incompatible"),
        tls("1.2 with CBC alone", &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256"], "tls-incompatible").differs(suites),
        tls("1.2 with DHE alone", &["-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384"], "tls-incompatible").differs(suites),
        tls("1.2 with RSA key exchange alone", &["-tls1_2", "-cipher", "AES256-GCM-SHA384"], "tls-incompatible")
            .differs(suites),
        tls("group P-256 alone", &["-groups", "P-256"], "ok"),
        tls("group P-521 alone", &["-groups", "P-521"], "tls-incompatible")
            .differs("of the groups that aws-lc-rs has for rustls none is P-521; every server has P-256 or X25519 besides"),
    ]
}
