//! The chain that a server presented.

use rustls_pki_types::CertificateDer;
use trust_core::Fingerprint;
use trust_core::facts::Facts;

/// More than any real chain has, scrambled and with junk in it; a TLS message has room for hundreds, and each costs a
/// look-up. OpenSSL looks at 100.
pub(crate) const MAX_CERTIFICATES: usize = 100;

/// One presented certificate.
#[derive(Debug, Clone)]
pub struct PresentedCertificate {
    /// As presented.
    pub der: CertificateDer<'static>,
    /// SHA-256 of that.
    pub sha256: Fingerprint,
    /// What it says; `None` where it cannot be read.
    pub facts: Option<Facts>,
}

/// A chain, the server's own certificate first.
#[derive(Debug, Clone)]
pub struct Presented {
    /// The server's certificate.
    pub leaf: PresentedCertificate,
    /// What came with it, in the order presented.
    pub others: Vec<PresentedCertificate>,
}

impl PresentedCertificate {
    fn new(der: &[u8]) -> Self {
        Self {
            sha256: Fingerprint::of(der),
            facts: Facts::parse(der).ok(),
            der: CertificateDer::from(der.to_vec()),
        }
    }
}

impl Presented {
    /// The chain as presented; `None` for an empty one. What comes after the hundredth certificate is not looked at.
    #[must_use]
    pub fn new(chain: &[&[u8]]) -> Option<Self> {
        let mut chain = chain.iter().take(MAX_CERTIFICATES).map(|der| PresentedCertificate::new(der));
        Some(Self { leaf: chain.next()?, others: chain.collect() })
    }

    /// All of it, the leaf first.
    pub fn all(&self) -> impl Iterator<Item = &PresentedCertificate> {
        std::iter::once(&self.leaf).chain(&self.others)
    }
}
