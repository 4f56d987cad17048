//! Servers that sign themselves: the certificate that a site most often stores.

use crate::kit::{ED25519, Kit, P384, P521, RSA, RSA_1024, RSA_3072, RSA_PSS, Spec};
use crate::shape::{HOST, Shape};

pub(crate) fn shapes(kit: &Kit) -> Vec<Shape> {
    let alone = |name: &str, spec: Spec, code| {
        let cert = kit.own(spec);
        Shape::new(&format!("self-signed: {name}"), &cert, &[], &[&cert], code)
    };
    let iis = || Spec::nameless(HOST).without(&["basicConstraints"]).no_key_ids();
    let req_x509 = || {
        Spec::bare(&format!("/CN={HOST}"))
            .with("basicConstraints=critical,CA:TRUE")
            .with("subjectKeyIdentifier=hash")
            .with("authorityKeyIdentifier=keyid")
    };
    let v1 = || Spec::bare(&format!("/CN={HOST}"));
    let mut shapes = vec![
        alone("IIS (CN only, no basic constraints)", iis().algorithm(RSA), "ok"),
        alone("New-SelfSignedCertificate", new_self_signed(), "ok"),
        alone("openssl req -x509 (CA:TRUE)", req_x509().with(&san()), "ok"),
        alone("openssl req -x509, CN only", req_x509(), "ok"),
        alone("CA:TRUE with path length 0", req_x509().with("basicConstraints=critical,CA:TRUE,pathlen:0"), "ok"),
        alone("CA:FALSE", Spec::leaf(HOST), "ok"),
        alone("version 1, RSA", v1().algorithm(RSA), "ok"),
        alone("version 1, ECDSA", v1(), "ok"),
        alone("SHA-1", iis().algorithm(RSA).digest("sha1"), "ok"),
        alone("MD5", iis().algorithm(RSA).digest("md5"), "ok"),
        alone("SHA-1 with ECDSA", Spec::leaf(HOST).digest("sha1"), "ok"),
        alone("SHA-512, RSA 3072", Spec::leaf(HOST).algorithm(RSA_3072).digest("sha512"), "ok"),
        alone("ECDSA P-384", Spec::leaf(HOST).algorithm(P384).digest("sha384"), "ok"),
        alone("ECDSA P-521", Spec::leaf(HOST).algorithm(P521).digest("sha512"), "ok"),
        alone("Ed25519", Spec::leaf(HOST).algorithm(ED25519).digest("sha256"), "ok"),
        alone("RSA-PSS key", Spec::leaf(HOST).algorithm(RSA_PSS), "tls-incompatible").differs(
            "rustls does not offer signatures by keys that are restricted to RSA-PSS, so the server has none to choose",
        ),
        alone("no key usage, no extended key usage", Spec::leaf(HOST).without(&["keyUsage", "extendedKeyUsage"]), "ok"),
        alone("anyExtendedKeyUsage", Spec::leaf(HOST).with("extendedKeyUsage=anyExtendedKeyUsage"), "wrong-purpose"),
        alone("client authentication only", Spec::leaf(HOST).with("extendedKeyUsage=clientAuth"), "wrong-purpose"),
        alone("key usage without signing", Spec::leaf(HOST).with("keyUsage=critical,keyCertSign"), "wrong-purpose"),
        alone("expired", Spec::leaf(HOST).days(-30, -1), "expired"),
        alone("not valid yet", Spec::leaf(HOST).days(2, 30), "not-yet-valid"),
        alone("RSA 1024", iis().algorithm(RSA_1024), "weak-key"),
        alone("unknown critical extension", Spec::leaf(HOST).with(UNKNOWN), "unknown-critical-extension"),
        alone("unknown extension, not critical", Spec::leaf(HOST).with("1.2.3.4.5.6=DER:0500"), "ok"),
        alone("for another name", Spec::leaf("other.example"), "name-mismatch"),
    ];
    let cert = kit.own(Spec::leaf(HOST));
    let (first, last) = (kit.root("Around, first"), kit.root("Around, last"));
    let twin = kit.own(Spec::leaf(HOST).serial(7));
    shapes.extend([
        Shape::new("self-signed: between other anchors", &cert, &[], &[&first, &cert, &last], "ok"),
        Shape::new("self-signed: twice in the store", &cert, &[], &[&first, &cert, &cert], "ok"),
        Shape::new("self-signed: sent with junk", &cert, &[&first, &last], &[&last, &cert], "ok"),
        Shape::new("self-signed: renewed with another key", &cert, &[], &[&twin], "issuer-key-differs"),
        Shape::new("self-signed: old and new in the store", &cert, &[], &[&twin, &cert], "ok"),
        Shape::new("self-signed: not in the store", &cert, &[], &[&first], "no-issuer"),
        Shape::new("self-signed: empty store", &cert, &[], &[], "no-issuer"),
    ]);
    let old = kit.own(req_x509().with(&san()).serial(1).algorithm(RSA));
    let renewed = kit.own(req_x509().with(&san()).serial(2).key_of(&old));
    shapes.push(Shape::new(
        "self-signed: CA:TRUE, renewed with the same key",
        &renewed,
        &[],
        &[&old],
        "self-signed-renewed",
    ));
    shapes
}

pub(crate) const UNKNOWN: &str = "1.2.3.4.5.6=critical,DER:0500";

fn san() -> String {
    format!("subjectAltName=DNS:{HOST}")
}

/// As PowerShell's cmdlet has it.
fn new_self_signed() -> Spec {
    Spec::leaf(HOST)
        .without(&["basicConstraints", "authorityKeyIdentifier"])
        .with("extendedKeyUsage=clientAuth,serverAuth")
        .algorithm(RSA)
}
