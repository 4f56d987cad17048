//! What a certificate says of itself, as far as verification and its screens need it (RFC 5280 §4).

use std::net::IpAddr;

use x509_parser::oid_registry;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{SubjectPublicKeyInfo, X509Name};

use crate::certificate::{Certificate, NotX509, display_name};
use crate::fingerprint::Fingerprint;

mod extensions;
mod name;

pub use name::CanonicalName;

/// The facts of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Version: 1, 2 or 3.
    pub version: u32,
    /// Serial number, big-endian as encoded.
    pub serial: Box<[u8]>,
    /// Subject, DER as in the certificate.
    pub subject_der: Box<[u8]>,
    /// Issuer, DER as in the certificate.
    pub issuer_der: Box<[u8]>,
    /// Subject in the form in which names are compared.
    pub subject_name: CanonicalName,
    /// Issuer in the form in which names are compared.
    pub issuer_name: CanonicalName,
    /// Issuer for people.
    pub issuer: Box<str>,
    /// The last common name of the subject.
    pub common_name: Option<Box<str>>,
    /// Subject key identifier (§4.2.1.2).
    pub subject_key_id: Option<Box<[u8]>>,
    /// Key identifier of the authority key identifier (§4.2.1.1).
    pub authority_key_id: Option<Box<[u8]>>,
    /// Issuer and serial number of the authority key identifier: which certificate of the issuer's it means.
    pub authority_certificate: Option<Box<AuthorityCertificate>>,
    /// Basic constraints (§4.2.1.9), where there are any.
    pub basic_constraints: Option<BasicConstraints>,
    /// Key usage bits (§4.2.1.3), where there are any.
    pub key_usage: Option<KeyUsage>,
    /// Extended key usage (§4.2.1.12), where there is one.
    pub extended_key_usage: Option<ExtendedKeyUsage>,
    /// Netscape's certificate type, the predecessor of extended key usage, where there is one.
    pub netscape_type: Option<NetscapeType>,
    /// DNS names of the subject alternative name (§4.2.1.6), as written.
    pub dns_names: Vec<Box<str>>,
    /// IP addresses of it.
    pub ip_addresses: Vec<IpAddr>,
    /// It has an alternative DNS name or address, readable or not: then the common name does not count.
    pub has_alternative_host: bool,
    /// How many alternative names it has of other kinds.
    pub other_names: u32,
    /// Name constraints (§4.2.1.10), where there are any.
    pub name_constraints: Option<NameConstraints>,
    /// Critical extensions that are not understood (§4.2), as dotted OIDs.
    pub unknown_critical: Vec<Box<str>>,
    /// An extension stands there twice (§4.2 forbids it), or one that matters cannot be read.
    pub malformed_extensions: bool,
    /// The key.
    pub key: Key,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub spki_sha256: Fingerprint,
    /// Object identifier of the signature's algorithm.
    signature_oid: Box<str>,
}

/// Basic constraints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasicConstraints {
    /// The certificate may issue others.
    pub ca: bool,
    /// How many intermediates may follow it.
    pub path_length: Option<u32>,
}

/// The bits of key usage that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUsage {
    /// digitalSignature.
    pub digital_signature: bool,
    /// keyEncipherment or keyAgreement.
    pub key_exchange: bool,
    /// keyCertSign.
    pub cert_sign: bool,
}

/// Extended key usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedKeyUsage {
    /// serverAuth is named, or one of its predecessors of the export control years, which old certificates have and
    /// OpenSSL takes.
    pub server_auth: bool,
    /// anyExtendedKeyUsage is named. It does not stand for serverAuth: neither OpenSSL nor webpki lets it.
    pub any: bool,
    /// All of them: by name where it is well known, else as a dotted OID.
    pub purposes: Box<[Box<str>]>,
}

/// Netscape's certificate type as far as TLS servers go. OpenSSL heeds it to this day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetscapeType {
    /// For TLS servers.
    pub server: bool,
    /// For a CA of TLS servers.
    pub ca: bool,
}

/// Name constraints. What they allow is judged by path building, on the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameConstraints {
    /// They limit DNS names or addresses.
    pub concern_hosts: bool,
    /// They limit names of another kind, such as those of certificates themselves.
    pub concern_others: bool,
}

/// The certificate that an authority key identifier means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityCertificate {
    /// Its issuer, where it is said.
    pub issuer: Option<CanonicalName>,
    /// Its serial number, where it is said.
    pub serial: Option<Box<[u8]>>,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// RSA, with the modulus' size in bits.
    Rsa(usize),
    /// An elliptic curve by its name.
    Ec(&'static str),
    /// Ed25519.
    Ed25519,
    /// DSA, with the size in bits.
    Dsa(usize),
    /// Anything else, by its OID.
    Other(Box<str>),
}

impl Facts {
    /// Reads the facts of a DER certificate.
    ///
    /// # Errors
    /// [`NotX509`] where the bytes are not exactly one certificate.
    pub fn parse(der: &[u8]) -> Result<Self, NotX509> {
        let (rest, parsed) = X509Certificate::from_der(der).map_err(|_| NotX509::Structure)?;
        if !rest.is_empty() {
            return Err(NotX509::TrailingBytes(rest.len()));
        }
        Ok(Self::of(&parsed))
    }

    /// The facts of a certificate.
    ///
    /// # Panics
    /// Never: a [`Certificate`] exists only where the same parser has read the same bytes.
    #[must_use]
    pub fn of_certificate(certificate: &Certificate) -> Self {
        Self::parse(certificate.der()).expect("a Certificate was read by this parser")
    }

    fn of(parsed: &X509Certificate<'_>) -> Self {
        let subject = parsed.subject();
        let issuer = parsed.issuer();
        let mut facts = Self {
            version: parsed.version().0.saturating_add(1),
            serial: parsed.raw_serial().into(),
            subject_der: subject.as_raw().into(),
            issuer_der: issuer.as_raw().into(),
            subject_name: CanonicalName::of(subject),
            issuer_name: CanonicalName::of(issuer),
            issuer: display_name(issuer).into(),
            common_name: last_common_name(subject),
            subject_key_id: None,
            authority_key_id: None,
            authority_certificate: None,
            basic_constraints: None,
            key_usage: None,
            extended_key_usage: None,
            netscape_type: None,
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            has_alternative_host: false,
            other_names: 0,
            name_constraints: None,
            unknown_critical: Vec::new(),
            malformed_extensions: false,
            key: key(parsed.public_key()),
            spki_sha256: Fingerprint::of(parsed.public_key().raw),
            signature_oid: parsed.signature_algorithm.algorithm.to_id_string().into(),
        };
        let extensions = parsed.extensions();
        for (index, extension) in extensions.iter().enumerate() {
            let twice = extensions[..index].iter().any(|earlier| earlier.oid == extension.oid);
            facts.malformed_extensions |= twice;
            facts.take_in(extension);
        }
        facts
    }

    /// Whether the authority key identifier says that `issuer` is not who signed it (§4.2.1.1): another key, or another
    /// certificate of the same name. OpenSSL holds an issuer against all three parts.
    #[must_use]
    pub fn rules_out(&self, issuer: &Self) -> bool {
        let key = match (&self.authority_key_id, &issuer.subject_key_id) {
            (Some(wanted), Some(has)) => wanted != has,
            _ => false,
        };
        key || self.authority_certificate.as_ref().is_some_and(|wanted| {
            wanted.serial.as_ref().is_some_and(|serial| !same_number(serial, &issuer.serial))
                || wanted.issuer.as_ref().is_some_and(|name| *name != issuer.issuer_name)
        })
    }

    /// Subject and issuer are the same name, and no key identifier says otherwise.
    #[must_use]
    pub fn names_itself(&self) -> bool {
        self.subject_name == self.issuer_name && !self.rules_out(self)
    }

    /// Basic constraints say that it is a CA.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.basic_constraints.is_some_and(|basic| basic.ca)
    }

    /// It may verify others: a CA whose key usage allows it. What is older than basic constraints is taken as OpenSSL
    /// takes it: a self-signed certificate of version 1, which has no way to say so, and one of version 3 that has no
    /// basic constraints but a key usage for signing certificates, or else Netscape's type of a CA.
    #[must_use]
    pub fn may_issue(&self) -> bool {
        let allowed = self.key_usage.is_none_or(|usage| usage.cert_sign);
        match self.basic_constraints {
            Some(basic) => basic.ca && allowed,
            None if self.version == 1 => self.names_itself(),
            None if self.key_usage.is_some() => allowed,
            None => self.netscape_type.is_some_and(|netscape| netscape.ca),
        }
    }

    /// Serial number, lower-case hex.
    #[must_use]
    pub fn serial_hex(&self) -> String {
        self.serial.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Alternative names as people write them.
    #[must_use]
    pub fn alternative_names(&self) -> Vec<String> {
        let dns = self.dns_names.iter().map(|name| name.escape_debug().to_string());
        dns.chain(self.ip_addresses.iter().map(ToString::to_string)).collect()
    }

    /// Algorithm and size of the key, as in `RSA 2048`.
    #[must_use]
    pub fn key_description(&self) -> String {
        match &self.key {
            Key::Rsa(bits) => format!("RSA {bits}"),
            Key::Ec(curve) => format!("ECDSA {curve}"),
            Key::Ed25519 => "Ed25519".to_owned(),
            Key::Dsa(bits) => format!("DSA {bits}"),
            Key::Other(oid) => format!("unknown ({oid})"),
        }
    }

    /// The signature's algorithm by the name that OpenSSL gives it, else its OID.
    #[must_use]
    pub fn signature_algorithm(&self) -> &str {
        match &*self.signature_oid {
            "1.2.840.113549.1.1.2" => "md2WithRSAEncryption",
            "1.2.840.113549.1.1.4" => "md5WithRSAEncryption",
            "1.2.840.113549.1.1.5" => "sha1WithRSAEncryption",
            "1.2.840.113549.1.1.10" => "rsassaPss",
            "1.2.840.113549.1.1.11" => "sha256WithRSAEncryption",
            "1.2.840.113549.1.1.12" => "sha384WithRSAEncryption",
            "1.2.840.113549.1.1.13" => "sha512WithRSAEncryption",
            "1.2.840.10045.4.1" => "ecdsa-with-SHA1",
            "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
            "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
            "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
            "1.3.101.112" => "ED25519",
            oid => oid,
        }
    }

    /// Signed with a digest that is broken (MD2, MD5, SHA-1).
    #[must_use]
    pub fn has_weak_digest(&self) -> bool {
        matches!(
            &*self.signature_oid,
            "1.2.840.113549.1.1.2" | "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1"
        )
    }
}

fn key(spki: &SubjectPublicKeyInfo<'_>) -> Key {
    let algorithm = &spki.algorithm;
    match spki.parsed() {
        Ok(PublicKey::RSA(rsa)) => Key::Rsa(bits(rsa.modulus)),
        Ok(PublicKey::DSA(y)) => Key::Dsa(bits(y)),
        Ok(PublicKey::EC(_)) => Key::Ec(curve(spki)),
        _ if algorithm.algorithm == oid_registry::OID_SIG_ED25519 => Key::Ed25519,
        _ => Key::Other(algorithm.algorithm.to_id_string().into()),
    }
}

/// The size of a big-endian number in bits.
fn bits(number: &[u8]) -> usize {
    let significant = &number[number.iter().take_while(|byte| **byte == 0).count()..];
    significant.first().map_or(0, |first| significant.len() * 8 - first.leading_zeros() as usize)
}

fn curve(spki: &SubjectPublicKeyInfo<'_>) -> &'static str {
    let named = spki.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
    match named.map(|oid| oid.to_id_string()).as_deref() {
        Some("1.2.840.10045.3.1.7") => "P-256",
        Some("1.3.132.0.34") => "P-384",
        Some("1.3.132.0.35") => "P-521",
        Some("1.3.132.0.10") => "secp256k1",
        _ => "(unnamed curve)",
    }
}

/// Whether two big-endian integers are the same number; some encoders drop or add the leading zero.
fn same_number(one: &[u8], other: &[u8]) -> bool {
    let significant = |number: &[u8]| number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    one[significant(one)..] == other[significant(other)..]
}

fn last_common_name(name: &X509Name<'_>) -> Option<Box<str>> {
    name::text_of(name.iter_common_name().last()?).map(Into::into)
}
