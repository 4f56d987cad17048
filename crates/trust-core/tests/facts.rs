//! What certificates say of themselves, read from certificates that rcgen made.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType, SerialNumber,
};
use trust_core::facts::{Facts, Key};

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn own(params: &CertificateParams) -> Facts {
    let key = KeyPair::generate().unwrap();
    Facts::parse(params.self_signed(&key).unwrap().der()).unwrap()
}

#[test]
fn a_server_certificate() {
    let mut params = params("server.example");
    params.serial_number = Some(SerialNumber::from_slice(&[0x0a, 0xbc]));
    params.subject_alt_names = vec![
        SanType::DnsName("server.example".try_into().unwrap()),
        SanType::IpAddress("192.0.2.1".parse().unwrap()),
        SanType::IpAddress("2001:db8::1".parse().unwrap()),
        SanType::Rfc822Name("a@server.example".try_into().unwrap()),
    ];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let facts = own(&params);
    assert_eq!((facts.version, facts.serial_hex().as_str()), (3, "0abc"));
    assert_eq!(facts.alternative_names(), ["server.example", "192.0.2.1", "2001:db8::1"]);
    assert_eq!((facts.other_names, facts.has_alternative_host), (1, true));
    assert_eq!(facts.common_name.as_deref(), Some("server.example"));
    assert_eq!(&*facts.issuer, "CN=server.example");
    assert!(
        facts
            .key_usage
            .is_some_and(|usage| usage.digital_signature && !usage.key_exchange && !usage.cert_sign)
    );
    let purposes = facts.extended_key_usage.clone().unwrap();
    assert!(purposes.server_auth && !purposes.any);
    assert_eq!(*purposes.purposes, ["serverAuth".into(), "clientAuth".into()]);
    assert_eq!((facts.key.clone(), facts.key_description().as_str()), (Key::Ec("P-256"), "ECDSA P-256"));
    assert_eq!((facts.signature_algorithm(), facts.has_weak_digest()), ("ecdsa-with-SHA256", false));
    assert!(facts.names_itself() && !facts.is_ca() && !facts.may_issue() && !facts.malformed_extensions);
}

#[test]
fn who_may_issue() {
    let ca = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = params("CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(2));
        change(&mut params);
        own(&params)
    };
    let plain = ca(&|_| {});
    assert!(plain.may_issue() && plain.is_ca());
    assert_eq!(plain.basic_constraints.unwrap().path_length, Some(2));
    assert!(!ca(&|params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature]).may_issue());
    assert!(ca(&|params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]).may_issue());
    assert!(!ca(&|params| params.is_ca = IsCa::ExplicitNoCa).may_issue());
    assert!(!ca(&|params| params.is_ca = IsCa::NoCa).may_issue());
    let old = ca(&|params| {
        params.is_ca = IsCa::NoCa;
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    });
    assert!(old.may_issue() && !old.is_ca(), "older than basic constraints");
}

#[test]
fn critical_extensions() {
    let with = |oid: &[u64], content: Vec<u8>, critical| {
        let mut params = params("Extended");
        let mut extension = CustomExtension::from_oid_content(oid, content);
        extension.set_criticality(critical);
        params.custom_extensions.push(extension);
        own(&params)
    };
    let private = [1, 3, 6, 1, 4, 1, 99999, 1];
    assert_eq!(*with(&private, vec![5, 0], true).unknown_critical, ["1.3.6.1.4.1.99999.1".into()]);
    assert!(with(&private, vec![5, 0], false).unknown_critical.is_empty());
    let policy_constraints = vec![0x30, 3, 0x80, 1, 0];
    assert!(with(&[2, 5, 29, 36], policy_constraints, true).unknown_critical.is_empty());
    assert!(
        with(&[2, 5, 29, 15], vec![0xff, 0xff], false).malformed_extensions,
        "key usage that cannot be read"
    );
    assert!(
        !with(&[2, 5, 29, 32], vec![0xff, 0xff], false).malformed_extensions,
        "policies that cannot be read"
    );
}

#[test]
fn name_constraints_and_key_identifiers() {
    let mut ca = params("Issuing CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("example".to_owned())],
        excluded_subtrees: vec![],
    });
    let (ca_key, other_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let read = |key: &KeyPair| Facts::parse(ca.self_signed(key).unwrap().der()).unwrap();
    let (issuer, renamed) = (read(&ca_key), read(&other_key));
    let mut leaf = params("server.example");
    leaf.use_authority_key_identifier_extension = true;
    let leaf = leaf.signed_by(&other_key, &Issuer::from_params(&ca, &ca_key)).unwrap();
    let leaf = Facts::parse(leaf.der()).unwrap();
    assert!(issuer.name_constraints.is_some_and(|constraints| constraints.concern_hosts));
    assert!(leaf.name_constraints.is_none());
    assert_eq!(leaf.issuer_name, issuer.subject_name);
    assert_eq!(leaf.authority_key_id, issuer.subject_key_id);
    assert!(!leaf.rules_out(&issuer));
    assert!(leaf.rules_out(&renamed), "the same name, another key");
    assert!(!leaf.names_itself());
}

/// A store of 10,000 anchors keeps them all.
#[test]
fn facts_are_small() {
    let mut ca = params("A Root Certificate of an Organisation with a Name of Usual Length");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let facts = own(&ca);
    let heap = facts.subject_der.len()
        + facts.issuer_der.len()
        + facts.subject_name.as_bytes().len()
        + facts.issuer_name.as_bytes().len()
        + facts.issuer.len()
        + facts.common_name.as_ref().map_or(0, |name| name.len())
        + facts.subject_key_id.as_ref().map_or(0, |id| id.len())
        + facts.serial.len();
    let total = size_of::<Facts>() + heap;
    assert!(total < 1024, "{total} bytes");
}
