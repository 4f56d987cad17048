//! The certificate factory: any shape that rcgen can make, in one readable line each.

use std::borrow::Borrow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber, date_time_ymd,
};

use crate::pem;

/// A certificate with its key.
#[derive(Clone)]
pub struct Cert {
    der: Vec<u8>,
    params: CertificateParams,
    key: Arc<KeyPair>,
}

impl Cert {
    /// Its DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// As a PEM block.
    #[must_use]
    pub fn pem(&self) -> String {
        pem::encode(pem::CERTIFICATE, &self.der)
    }

    /// Its fingerprint: lower-case SHA-256 hex of the DER.
    #[must_use]
    pub fn sha256(&self) -> String {
        pem::sha256_hex(&self.der)
    }

    /// Its private key as PKCS#8 PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        pem::encode("PRIVATE KEY", self.key.serialized_der())
    }

    /// Its private key as PKCS#8 DER.
    #[must_use]
    pub fn key_der(&self) -> &[u8] {
        self.key.serialized_der()
    }

    /// Its key, for another certificate of the same key.
    #[must_use]
    pub fn key(&self) -> Arc<KeyPair> {
        Arc::clone(&self.key)
    }
}

/// The PEM of certificates, one after another.
#[must_use]
pub fn bundle(certs: impl IntoIterator<Item = impl Borrow<Cert>>) -> String {
    certs.into_iter().map(|cert| cert.borrow().pem()).collect()
}

/// The fingerprints of certificates, in order.
#[must_use]
pub fn fingerprints(certs: impl IntoIterator<Item = impl Borrow<Cert>>) -> Vec<String> {
    certs.into_iter().map(|cert| cert.borrow().sha256()).collect()
}

/// `count` self-signed CAs named after `prefix`, each with a key of its own.
#[must_use]
pub fn roots(prefix: &str, count: usize) -> Vec<Cert> {
    (1..=count).map(|number| Recipe::ca(&format!("{prefix} {number}")).self_signed()).collect()
}

/// `count` self-signed CAs that differ in name and serial number and share one key: ten thousand in a second or two.
#[must_use]
pub fn many_roots(count: usize) -> Vec<Cert> {
    let key = new_key();
    (1..=count)
        .map(|number| {
            Recipe::ca(&format!("Generated Root {number:05}")).key(&key).serial(number).self_signed()
        })
        .collect()
}

/// A certificate to be.
pub struct Recipe {
    params: CertificateParams,
    key: Option<Arc<KeyPair>>,
    key_ids: bool,
}

impl Recipe {
    /// A certification authority.
    #[must_use]
    pub fn ca(common_name: &str) -> Self {
        let mut recipe = Self::new(common_name);
        recipe.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        recipe.params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        recipe
    }

    /// A server's certificate: its name as common name and alternative name; `localhost` has 127.0.0.1 too.
    #[must_use]
    pub fn leaf(host: &str) -> Self {
        let mut recipe = Self::new(host).san(host);
        if host == "localhost" {
            recipe = recipe.san("127.0.0.1");
        }
        recipe.params.is_ca = IsCa::ExplicitNoCa;
        recipe.params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        recipe.params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        recipe
    }

    /// Adds an alternative name, a DNS name or an address.
    #[must_use]
    pub fn san(mut self, name: &str) -> Self {
        self.params.subject_alt_names.push(match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.try_into().expect("an ASCII name")),
        });
        self
    }

    /// Without alternative names: the common name alone, as many a management server has it.
    #[must_use]
    pub fn cn_only(mut self) -> Self {
        self.params.subject_alt_names.clear();
        self
    }

    /// Valid from so many days before now (negative) or after it, to so many.
    #[must_use]
    pub fn days(mut self, from: i64, to: i64) -> Self {
        const DAY: u64 = 24 * 60 * 60;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_secs();
        let epoch = date_time_ymd(1970, 1, 1);
        let at = |days: i64| {
            let span = Duration::from_secs(days.unsigned_abs() * DAY);
            let now = epoch + Duration::from_secs(now);
            if days < 0 { now - span } else { now + span }
        };
        self.params.not_before = at(from);
        self.params.not_after = at(to);
        self
    }

    /// With this key instead of a new one.
    #[must_use]
    pub fn key(mut self, key: &Arc<KeyPair>) -> Self {
        self.key = Some(Arc::clone(key));
        self
    }

    /// With this serial number instead of one made of the key.
    #[must_use]
    pub fn serial(mut self, number: usize) -> Self {
        self.params.serial_number = Some(SerialNumber::from_slice(&number.to_be_bytes()));
        self
    }

    /// A CA with a path length.
    #[must_use]
    pub fn path_len(mut self, length: u8) -> Self {
        self.params.is_ca = IsCa::Ca(BasicConstraints::Constrained(length));
        self
    }

    /// Without BasicConstraints at all: an old version 3 root.
    #[must_use]
    pub fn no_basic_constraints(mut self) -> Self {
        self.params.is_ca = IsCa::NoCa;
        self
    }

    /// Without subject and authority key identifiers.
    #[must_use]
    pub fn no_key_ids(mut self) -> Self {
        self.key_ids = false;
        self
    }

    /// With these purposes in place of the usual.
    #[must_use]
    pub fn purposes(mut self, purposes: &[ExtendedKeyUsagePurpose]) -> Self {
        self.params.extended_key_usages = purposes.to_vec();
        self
    }

    /// Signs it with its own key.
    #[must_use]
    pub fn self_signed(self) -> Cert {
        let (params, key) = self.finish(false);
        let der = params.self_signed(&*key).expect("parameters that rcgen accepts").der().to_vec();
        Cert { der, params, key }
    }

    /// Has an authority sign it.
    #[must_use]
    pub fn issued_by(self, issuer: &Cert) -> Cert {
        let (params, key) = self.finish(true);
        let issuer = Issuer::from_params(&issuer.params, &*issuer.key);
        let der = params.signed_by(&*key, &issuer).expect("parameters that rcgen accepts").der().to_vec();
        Cert { der, params, key }
    }

    fn new(common_name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        Self { params, key: None, key_ids: true }.days(-30, 3650)
    }

    fn finish(mut self, issued: bool) -> (CertificateParams, Arc<KeyPair>) {
        self.params.use_authority_key_identifier_extension = issued && self.key_ids;
        if !self.key_ids {
            // rcgen writes a subject key identifier with every BasicConstraints of its own, so this one is ours.
            if let Some(content) = basic_constraints(self.params.is_ca) {
                let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 19], content);
                extension.set_criticality(true);
                self.params.custom_extensions.push(extension);
                self.params.is_ca = IsCa::NoCa;
            }
        }
        let key = self.key.unwrap_or_else(new_key);
        (self.params, key)
    }
}

/// The DER of the extension's value; `None` where it has none.
fn basic_constraints(is_ca: IsCa) -> Option<Vec<u8>> {
    match is_ca {
        IsCa::NoCa => None,
        IsCa::ExplicitNoCa => Some(vec![0x30, 0]),
        IsCa::Ca(BasicConstraints::Unconstrained) => Some(vec![0x30, 3, 1, 1, 0xff]),
        IsCa::Ca(BasicConstraints::Constrained(length)) => {
            assert!(length < 0x80, "a path length of one octet");
            Some(vec![0x30, 6, 1, 1, 0xff, 2, 1, length])
        }
    }
}

fn new_key() -> Arc<KeyPair> {
    Arc::new(KeyPair::generate().expect("a P-256 key"))
}
