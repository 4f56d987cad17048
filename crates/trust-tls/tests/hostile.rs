//! Whoever answers a connection chooses the chain: the answer is bounded, and never a panic. No test here measures time;
//! one that is without bound does not end.

use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, GeneralSubtree, IsCa, Issuer, KeyPair,
    NameConstraints,
};
use test_support::pki::{Cert, Recipe, many_roots, roots};
use trust_core::Certificate;
use trust_tls::{AnchorSet, Code, Match, Presented, Request, Verdict, verify};

const HOST: &str = "server.example";

fn judge(chain: &[&[u8]], anchors: &[&[u8]]) -> Verdict {
    let presented = Presented::new(chain).expect("a leaf");
    let set = AnchorSet::new(anchors.iter().filter_map(|der| Certificate::parse(der).ok()).map(Arc::new));
    verify(&set, &presented, &Request::new(HOST, Timestamp::now()))
}

fn ders(certs: &[Cert]) -> Vec<&[u8]> {
    certs.iter().map(Cert::der).collect()
}

#[test]
fn hundreds_of_junk_certificates() {
    let root = Recipe::ca("Root").self_signed();
    let inter = Recipe::ca("Intermediate").issued_by(&root);
    let leaf = Recipe::leaf(HOST).issued_by(&inter);
    let junk = many_roots(900);
    for (before, expected) in [(0, Code::Ok), (50, Code::Ok), (98, Code::Ok), (899, Code::NoIssuer)] {
        let mut chain = vec![leaf.der()];
        chain.extend(ders(&junk[..before]));
        chain.push(inter.der());
        chain.extend(ders(&junk[before..]));
        assert_eq!(judge(&chain, &[root.der()]).code, expected, "{before} before the intermediate");
    }
}

#[test]
fn thousands_of_anchors_of_one_name() {
    let same: Vec<Cert> = (0..5000).map(|_| Recipe::ca("Same Name").no_key_ids().self_signed()).collect();
    let right = |at: usize| Recipe::leaf(HOST).no_key_ids().issued_by(&same[at]);
    for at in [0, 149, 1500] {
        let verdict = judge(&[right(at).der()], &ders(&same));
        assert_eq!(
            (verdict.code, verdict.anchor, verdict.matched),
            (Code::Ok, Some(at), Some(Match::Issuer))
        );
        assert_eq!((verdict.tried.len(), verdict.candidates), (at + 1, 5000));
    }
    let stranger = Recipe::ca("Same Name").no_key_ids().self_signed();
    let verdict = judge(&[Recipe::leaf(HOST).no_key_ids().issued_by(&stranger).der()], &ders(&same));
    assert!([Code::IssuerKeyDiffers, Code::TooComplex].contains(&verdict.code), "{:?}", verdict.code);
    assert!(verdict.detail.len() < 2000, "words for people");
}

/// Every CA has signed every other one: the number of paths grows as a factorial.
#[test]
fn rings_of_cross_signed_authorities() {
    for same_name in [false, true] {
        let name = |at: usize| if same_name { "Ring".to_owned() } else { format!("Ring {at}") };
        let own: Vec<Cert> = (0..10).map(|at| Recipe::ca(&name(at)).no_key_ids().self_signed()).collect();
        let mut sent = Vec::new();
        for (at, one) in own.iter().enumerate() {
            for other in own.iter().filter(|other| other.der() != one.der()) {
                sent.push(Recipe::ca(&name(at)).no_key_ids().key(&one.key()).issued_by(other));
            }
        }
        let leaf = Recipe::leaf(HOST).no_key_ids().issued_by(&own[0]);
        let chain: Vec<&[u8]> = std::iter::once(leaf.der()).chain(ders(&sent)).collect();
        // Nobody's key, under the name of all of them: no path ends there.
        let strangers: Vec<Cert> = (0..30).map(|_| Recipe::ca(&name(1)).no_key_ids().self_signed()).collect();
        assert!(!judge(&chain, &ders(&strangers)).accepted);
        let expired = Recipe::ca(&name(1)).no_key_ids().key(&own[1].key()).days(-30, -2).self_signed();
        assert!(!judge(&chain, &[expired.der()]).accepted);
        assert_eq!(judge(&chain, &[own[0].der()]).code, Code::Ok);
    }
}

/// Two dozen intermediates in a row: deeper than any path that is built.
#[test]
fn a_chain_without_end() {
    let mut chain = vec![Recipe::ca("Depth 0").self_signed()];
    for depth in 1..60 {
        chain.push(Recipe::ca(&format!("Depth {depth}")).issued_by(&chain[depth - 1]));
    }
    let leaf = Recipe::leaf(HOST).issued_by(&chain[59]);
    let sent: Vec<&[u8]> = std::iter::once(leaf.der()).chain(ders(&chain)).collect();
    let verdict = judge(&sent, &[chain[0].der()]);
    assert!([Code::TooComplex, Code::NoIssuer].contains(&verdict.code), "{:?}", verdict.code);
    let near = judge(&sent, &[chain[57].der()]);
    assert_eq!(near.code, Code::Ok, "the other end of it is near");
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![HOST.to_owned()]).expect("a host name");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn own(params: &CertificateParams) -> Vec<u8> {
    params
        .self_signed(&KeyPair::generate().expect("a key"))
        .expect("parameters that rcgen knows")
        .der()
        .to_vec()
}

#[test]
fn giant_extensions() {
    let root = Recipe::ca("Root").self_signed();
    let leaf = Recipe::leaf(HOST).issued_by(&root);
    let mut opaque = params("opaque");
    opaque.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![4; 8 << 20])];
    let mut names = params("names");
    let many = (0..50_000)
        .map(|number| rcgen::SanType::DnsName(format!("n{number}.example").try_into().expect("ASCII")));
    names.subject_alt_names.splice(..0, many);
    let mut numerous = params("numerous");
    numerous.custom_extensions = (0..5000)
        .map(|number| CustomExtension::from_oid_content(&[1, 2, 3, 5, number], vec![5, 0]))
        .collect();
    let mut subject = params("subject");
    subject.distinguished_name.push(DnType::OrganizationName, "o".repeat(1 << 20));
    for params in [opaque, names, numerous, subject] {
        let giant = own(&params);
        let stored = judge(&[&giant], &[&giant]);
        assert!(stored.accepted || stored.code == Code::Malformed, "{:?}", stored.code);
        assert!(stored.detail.len() < 3 << 20);
        assert!(!judge(&[&giant], &[root.der()]).accepted);
        // Beside what is good it does no harm, wherever it stands.
        let beside = judge(&[leaf.der(), &giant, &giant], &[&giant, root.der()]);
        assert_eq!((beside.code, beside.anchor), (Code::Ok, Some(1)));
    }
}

#[test]
fn deep_name_constraints() {
    let key = KeyPair::generate().expect("a key");
    let mut ca = params("Constrained");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let subtrees =
        |count: u32| (0..count).map(|number| GeneralSubtree::DnsName(format!("d{number}.test"))).collect();
    ca.name_constraints =
        Some(NameConstraints { permitted_subtrees: vec![], excluded_subtrees: subtrees(1500) });
    let root = ca.self_signed(&key).expect("a CA");
    let issuer = Issuer::from_params(&ca, &key);
    let leaf_key = KeyPair::generate().expect("a key");
    for (names, expected) in [(1u32, &[Code::Ok][..]), (1500, &[Code::Ok, Code::TooComplex, Code::Malformed])]
    {
        let mut leaf = params("leaf");
        for number in 1..names {
            let name = format!("n{number}.a.b.c.d.e.f.g.h.i.j.example").try_into().expect("ASCII");
            leaf.subject_alt_names.push(rcgen::SanType::DnsName(name));
        }
        let leaf = leaf.signed_by(&leaf_key, &issuer).expect("a leaf");
        let verdict = judge(&[leaf.der()], &[root.der()]);
        assert!(expected.contains(&verdict.code), "{names} names: {:?}", verdict.code);
    }
}

#[test]
fn nothing_that_resembles_a_certificate() {
    let root = Recipe::ca("Root").self_signed();
    let nested: Vec<u8> = [0x30, 0x80].repeat(50_000);
    let claims = [0x30, 0x84, 0xff, 0xff, 0xff, 0xff];
    let leaf = Recipe::leaf(HOST).issued_by(&root);
    let cut = &leaf.der()[..leaf.der().len() - 1];
    for bad in [&[][..], &[0x30], &nested, &claims, cut] {
        assert_eq!(judge(&[bad], &[root.der()]).code, Code::Malformed);
        assert_eq!(
            judge(&[leaf.der(), bad, bad], &[root.der()]).code,
            Code::Ok,
            "junk besides is passed over"
        );
    }
    assert!(Presented::new(&[]).is_none());
    assert_eq!(judge(&[leaf.der()], &[]).code, Code::NoIssuer);
}

static SOUND: LazyLock<Vec<Cert>> = LazyLock::new(|| {
    let mut certs = roots("Mutated", 1);
    certs.push(Recipe::ca("Mutated Intermediate").path_len(0).issued_by(&certs[0]));
    certs.push(Recipe::leaf(HOST).issued_by(&certs[1]));
    certs
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// One octet of a chain changed: whatever it was, the chain below an untouched root is never accepted.
    #[test]
    fn a_changed_octet_is_never_trusted(which in 1usize..3, at in any::<prop::sample::Index>(), change in 1u8..) {
        let mut chain: Vec<Vec<u8>> = SOUND.iter().rev().map(|cert| cert.der().to_vec()).collect();
        let bytes = &mut chain[2 - which];
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        let verdict = judge(&chain[..2], &[SOUND[0].der()]);
        prop_assert!(!verdict.accepted, "octet {} of {}: {}", at, which, verdict.detail);
    }

    /// The same for the anchor, which is only ever our own: no panic.
    #[test]
    fn a_changed_anchor_is_judged(at in any::<prop::sample::Index>(), change in 1u8..) {
        let mut anchor = SOUND[0].der().to_vec();
        let at = at.index(anchor.len());
        anchor[at] ^= change;
        let verdict = judge(&[SOUND[2].der(), SOUND[1].der()], &[&anchor]);
        prop_assert_eq!(verdict.accepted, verdict.code == Code::Ok);
    }
}
