//! The chain that a server presented.

use rustls_pki_types::CertificateDer;
use trust_core::facts::Facts;
use trust_core::{Certificate, Fingerprint};

/// More than any real chain has, scrambled and with junk in it; a TLS message has room for hundreds, and each costs a
/// look-up. OpenSSL looks at 100.
const MAX_CERTIFICATES: usize = 100;

/// What webpki reads at most, and forty times a usual certificate: one with a giant extension is not read at all.
const MAX_CERTIFICATE_BYTES: usize = 0xffff;

/// One presented certificate.
#[derive(Debug, Clone)]
pub struct PresentedCertificate {
    /// As presented.
    pub der: CertificateDer<'static>,
    /// SHA-256 of that.
    pub sha256: Fingerprint,
    /// What it says; `None` where it cannot be read.
    pub facts: Option<Facts>,
    /// Its subject and validity; `None` where it cannot be read.
    pub certificate: Option<Certificate>,
}

/// A chain, the server's own certificate first.
///
/// One that cannot be read has no facts. Only the leaf has to have them: junk besides is passed over.
#[derive(Debug, Clone)]
pub struct Presented {
    /// The server's certificate.
    pub leaf: PresentedCertificate,
    /// What came with it, in the order presented.
    pub others: Vec<PresentedCertificate>,
    /// Certificates beyond the hundredth, which are not looked at.
    pub ignored: usize,
}

impl PresentedCertificate {
    fn new(der: &[u8]) -> Self {
        let readable = der.len() <= MAX_CERTIFICATE_BYTES;
        Self {
            sha256: Fingerprint::of(der),
            facts: readable.then(|| Facts::parse(der).ok()).flatten(),
            certificate: readable.then(|| Certificate::parse(der).ok()).flatten(),
            der: CertificateDer::from(der.to_vec()),
        }
    }

    /// Its subject for people; empty where it cannot be read or names nobody.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.certificate.as_ref().map_or("", Certificate::subject)
    }
}

impl Presented {
    /// The chain as presented; `None` for an empty one.
    #[must_use]
    pub fn new(chain: &[&[u8]]) -> Option<Self> {
        let looked_at = &chain[..chain.len().min(MAX_CERTIFICATES)];
        let mut read = looked_at.iter().map(|der| PresentedCertificate::new(der));
        Some(Self { leaf: read.next()?, others: read.collect(), ignored: chain.len() - looked_at.len() })
    }

    /// All of it, the leaf first.
    pub fn all(&self) -> impl Iterator<Item = &PresentedCertificate> {
        std::iter::once(&self.leaf).chain(&self.others)
    }
}
