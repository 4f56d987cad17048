//! Certification authorities of the playground, and the server certificates that they issue.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use trust_core::Fingerprint;

use crate::failure::Failure;

/// A certification authority with its key.
pub(super) struct Authority {
    name: String,
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// The authority of a letter.
    pub(super) fn new(letter: char) -> Result<Self, Failure> {
        let name = format!("CA {letter}");
        let mut params = params(&format!("Playground {name}"), 10 * YEAR);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(cannot_issue)?;
        let certificate = params.self_signed(&key).map_err(cannot_issue)?;
        Ok(Self { name, certificate, issuer: Issuer::new(params, key) })
    }

    /// `CA A`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of its certificate: what the server's console shows.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.certificate.der())
    }

    pub(super) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for the server on loopback, with the chain that it presents.
    pub(super) fn server_certificate(&self) -> Result<CertifiedKey, Failure> {
        let mut params = params("localhost", YEAR);
        params.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into().map_err(cannot_issue)?),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ];
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().map_err(cannot_issue)?;
        let leaf = params.signed_by(&key, &self.issuer).map_err(cannot_issue)?;
        // The authority's certificate goes with it, so that an endpoint without any trust can fetch it by fingerprint.
        let chain: Vec<CertificateDer<'static>> = vec![leaf.into(), self.certificate.der().clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        CertifiedKey::from_der(chain, key, &default_provider()).map_err(cannot_issue)
    }
}

fn params(common_name: &str, lifetime: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let now = SystemTime::now();
    // A day back, for clocks that are not quite right.
    params.not_before = (now - DAY).into();
    params.not_after = (now + lifetime).into();
    params
}

fn cannot_issue(error: impl std::fmt::Display) -> Failure {
    Failure::new(Failure::FAILED, format_args!("cannot make a certificate: {error}"))
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
