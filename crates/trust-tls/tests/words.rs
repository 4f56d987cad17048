//! What an administrator reads in the middle of an outage: which certificate, what is wrong with it, what to do next.

use std::sync::Arc;

use jiff::{Timestamp, ToSpan as _};
use rcgen::{CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, KeyPair};
use test_support::pki::{Cert, Recipe};
use trust_core::Certificate;
use trust_tls::{AnchorSet, Code, NameRule, Pin, Presented, Request, Verdict, verify};

const HOST: &str = "server.example";

struct Case<'a> {
    chain: Vec<&'a [u8]>,
    anchors: Vec<&'a Cert>,
    request: Request,
}

impl<'a> Case<'a> {
    fn new(chain: &[&'a Cert], anchors: &[&'a Cert]) -> Self {
        let request = Request::new(HOST, Timestamp::now());
        Self { chain: chain.iter().map(|cert| cert.der()).collect(), anchors: anchors.to_vec(), request }
    }

    fn with(mut self, change: impl FnOnce(&mut Request)) -> Self {
        change(&mut self.request);
        self
    }

    fn verdict(&self) -> Verdict {
        let anchors =
            self.anchors.iter().map(|cert| Arc::new(Certificate::parse(cert.der()).expect("X.509")));
        verify(&AnchorSet::new(anchors), &Presented::new(&self.chain).expect("a leaf"), &self.request)
    }

    /// Refused for `code`, in words that have all of `parts` in this order.
    #[track_caller]
    fn says(&self, code: Code, parts: &[&str]) {
        let verdict = self.verdict();
        let detail = &verdict.detail;
        assert_eq!(verdict.code, code, "{detail}");
        let mut rest = detail.as_str();
        for part in parts {
            let at = rest.find(part);
            assert!(at.is_some(), "{part:?} is missing after the rest in: {detail}");
            rest = &rest[at.unwrap_or_default() + part.len()..];
        }
        assert!(detail.chars().count() < 700 && !detail.chars().any(char::is_control), "{detail}");
        assert!(!detail.contains("  ") && !detail.contains("\"\""), "{detail}");
    }
}

#[test]
fn no_issuer() {
    let root = Recipe::ca("Right Root").self_signed();
    let inter = Recipe::ca("Right Intermediate").issued_by(&root);
    let leaf = Recipe::leaf(HOST).issued_by(&inter);
    let own = Recipe::leaf(HOST).self_signed();
    let (other, another) = (Recipe::ca("Other").self_signed(), Recipe::ca("Another").self_signed());
    Case::new(&[&leaf], &[&other, &another]).says(
        Code::NoIssuer,
        &[
            "none of the 2 anchors",
            "CN=Right Intermediate",
            "sent no intermediate",
            "into a source",
            "whole chain",
        ],
    );
    Case::new(&[&leaf], &[&root])
        .says(Code::NoIssuer, &["one anchor", "CN=Right Intermediate", "no intermediate"]);
    Case::new(&[&leaf, &inter], &[&other]).says(Code::NoIssuer, &["CN=Right Root", "ends", "into a source"]);
    Case::new(&[&leaf, &inter, &root], &[&other])
        .says(Code::NoIssuer, &["CN=Right Root", "the root of the chain"]);
    Case::new(&[&own], &[&other]).says(Code::NoIssuer, &["signs itself", &own.sha256(), "into a source"]);
    Case::new(&[&own], &[]).says(Code::NoIssuer, &["the store is empty"]);
}

#[test]
fn same_name() {
    let old = Recipe::ca("Re-keyed CA").no_key_ids().self_signed();
    let new = Recipe::ca("Re-keyed CA").no_key_ids().self_signed();
    let leaf = Recipe::leaf(HOST).no_key_ids().issued_by(&new);
    Case::new(&[&leaf], &[&old]).says(
        Code::IssuerKeyDiffers,
        &["anchor 1 \"CN=Re-keyed CA\"", "another key", "re-issued", "missed the update", "into a source"],
    );
    let (first, second) = (Recipe::leaf(HOST).self_signed(), Recipe::leaf(HOST).self_signed());
    Case::new(&[&second], &[&first])
        .says(Code::IssuerKeyDiffers, &["signs itself", "replaced", &second.sha256(), "into a source"]);
    let renewed = Recipe::leaf(HOST).key(&first.key()).serial(7).self_signed();
    Case::new(&[&renewed], &[&first])
        .says(Code::SelfSignedRenewed, &["anchor 1", "name and key", "renewed", &renewed.sha256()]);
}

#[test]
fn validity() {
    let root = Recipe::ca("Root").self_signed();
    let leaf = Recipe::leaf(HOST).days(-30, -1).issued_by(&root);
    Case::new(&[&leaf], &[&root])
        .says(Code::Expired, &["the server's certificate expired at", "the clock says", "renewed"]);
    let early = Recipe::leaf(HOST).days(2, 30).issued_by(&root);
    Case::new(&[&early], &[&root])
        .says(Code::NotYetValid, &["the server's certificate is not valid before", "the clock says"]);
    let old_root = Recipe::ca("Old Root").days(-30, -1).self_signed();
    let below = Recipe::leaf(HOST).issued_by(&old_root);
    Case::new(&[&below], &[&old_root])
        .says(Code::Expired, &["anchor 1 \"CN=Old Root\" expired at", "the CA's renewed certificate"]);
    let inter = Recipe::ca("Old Intermediate").days(-30, -1).issued_by(&root);
    let low = Recipe::leaf(HOST).issued_by(&inter);
    Case::new(&[&low, &inter], &[&root])
        .says(Code::Expired, &["the intermediate \"CN=Old Intermediate\"", "expired at", "send the renewed"]);
    // A clock that starts in 1970: nothing is valid yet.
    let good = Recipe::leaf(HOST).issued_by(&root);
    Case::new(&[&good], &[&root, &inter, &Recipe::ca("Third").self_signed()])
        .with(|request| request.at = Timestamp::UNIX_EPOCH + 60.seconds())
        .says(Code::NotYetValid, &["the clock says 1970-01-01T00:01:00Z", "clock", "is wrong, set it first"]);
}

#[test]
fn who_may_not() {
    let root = Recipe::ca("Root").self_signed();
    let no_ca = Recipe::leaf("not-a-ca.example").self_signed();
    let below = Recipe::leaf(HOST).issued_by(&no_ca);
    Case::new(&[&below], &[&no_ca]).says(
        Code::AnchorMayNotIssue,
        &["anchor 1 \"CN=not-a-ca.example\"", "no CA certificate", "into a source"],
    );
    let inter = Recipe::leaf("not-a-ca.example").issued_by(&root);
    let low = Recipe::leaf(HOST).issued_by(&inter);
    Case::new(&[&low, &inter], &[&root]).says(
        Code::IntermediateMayNotIssue,
        &["the intermediate \"CN=not-a-ca.example\"", "no CA certificate"],
    );
    let short = Recipe::ca("Short").path_len(0).self_signed();
    let inter = Recipe::ca("Between").issued_by(&short);
    let low = Recipe::leaf(HOST).issued_by(&inter);
    Case::new(&[&low, &inter], &[&short])
        .says(Code::PathTooLong, &["anchor 1 \"CN=Short\"", "fewer intermediates", "path length"]);
    let client = Recipe::leaf(HOST).purposes(&[ExtendedKeyUsagePurpose::ClientAuth]).issued_by(&root);
    Case::new(&[&client], &[&root]).says(
        Code::WrongPurpose,
        &["the server's certificate", "extended key usage is clientAuth", "server authentication"],
    );
}

#[test]
fn unknown_critical_extension() {
    let mut params = CertificateParams::new(vec![HOST.to_owned()]).expect("a name");
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 7], vec![5, 0]);
    extension.set_criticality(true);
    params.custom_extensions.push(extension);
    let der = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate").der().to_vec();
    let anchor = Arc::new(Certificate::parse(&der).expect("X.509"));
    let set = AnchorSet::new([anchor]);
    let verdict =
        verify(&set, &Presented::new(&[&der]).expect("a leaf"), &Request::new(HOST, Timestamp::now()));
    assert_eq!(verdict.code, Code::UnknownCriticalExtension);
    assert!(verdict.detail.contains("1.3.6.1.4.1.99999.7"), "{}", verdict.detail);
    assert!(set.unusable()[0].reason.contains("1.3.6.1.4.1.99999.7"));
}

#[test]
fn names_and_pins() {
    let root = Recipe::ca("Root").self_signed();
    let leaf = Recipe::leaf("one.example").san("two.example").san("192.0.2.7").issued_by(&root);
    Case::new(&[&leaf], &[&root]).says(
        Code::NameMismatch,
        &[
            "anchor 1 \"CN=Root\" verifies the chain, but",
            HOST,
            "one.example, two.example, 192.0.2.7",
            "Connect by a name",
        ],
    );
    let cn_only = Recipe::leaf(HOST).cn_only().issued_by(&root);
    Case::new(&[&cn_only], &[&root])
        .with(|request| request.names = NameRule::Strict)
        .says(Code::NameMismatch, &["CN=server.example", "names = \"strict\"", "names = \"compat\""]);
    let many = (0..1000)
        .fold(Recipe::leaf("first.example"), |recipe, number| recipe.san(&format!("n{number}.example")));
    Case::new(&[&many.issued_by(&root)], &[&root])
        .says(Code::NameMismatch, &["first.example, n0.example", "989 more"]);
    let right = Recipe::leaf(HOST).issued_by(&root);
    Case::new(&[&right], &[&root])
        .with(|request| request.pins.extend(Pin::parse(&"ab".repeat(32)).expect("a pin")))
        .says(
            Code::PinMismatch,
            &["not the pinned one", &right.sha256(), "pin in the policy", "somebody may be in between"],
        );
}

#[test]
fn what_is_switched_off_is_said() {
    let own = Recipe::leaf("other.example").self_signed();
    let stranger = Recipe::ca("Stranger").self_signed();
    let case = Case::new(&[&own], &[&stranger]).with(|request| {
        request.verify_peer = false;
        request.verify_host = false;
    });
    case.says(
        Code::Ok,
        &["NOT verified by any anchor", "switched off", "host name was not looked at", "switched off"],
    );
}

/// A host is text from outside as well.
#[test]
fn nothing_escapes_into_a_terminal() {
    let own = Recipe::leaf("other.example").self_signed();
    Case::new(&[&own], &[&own])
        .with(|request| request.host = "evil\u{1b}[2J\n.example".to_owned())
        .says(Code::NameMismatch, &["evil\u{fffd}[2J\u{fffd}.example"]);
}
