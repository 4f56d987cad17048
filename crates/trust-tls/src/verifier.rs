//! The walk as rustls' certificate verifier: one for each connection, so that no session of an older generation is ever
//! resumed (rustls binds tickets to the verifier).

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, NamedGroup, PeerMisbehaved,
    SignatureScheme, SupportedProtocolVersion, version,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::anchors::AnchorSet;
use crate::code::Code;
use crate::path::raw::{Parts, split_spki};
use crate::presented::Presented;
use crate::verdict::{Request, TlsVersion, Verdict};
use crate::walk::verify;

/// What one handshake showed.
#[derive(Debug, Clone)]
pub struct Captured {
    /// The chain that the server presented.
    pub presented: Presented,
    /// What it was judged to be.
    pub verdict: Verdict,
}

/// Judges the chain of one connection, and keeps what it saw.
#[derive(Debug)]
pub struct ChainVerifier {
    set: Arc<AnchorSet>,
    request: Request,
    algorithms: WebPkiSupportedAlgorithms,
    captured: Mutex<Option<Captured>>,
}

impl ChainVerifier {
    /// A verifier for one connection.
    #[must_use]
    pub fn new(set: Arc<AnchorSet>, request: Request) -> Self {
        Self { set, request, algorithms: algorithms(), captured: Mutex::new(None) }
    }

    /// What the handshake showed; `None` where it did not come to a certificate.
    #[must_use]
    pub fn captured(&self) -> Option<Captured> {
        self.captured.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The handshake's signature by the leaf's raw key: for certificates that webpki does not read, as those of version
    /// 1, and that are trusted for being an anchor themselves.
    fn by_raw_key(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        curve_is_fixed: bool,
    ) -> Result<HandshakeSignatureValid, Error> {
        let bad = || Error::InvalidCertificate(CertificateError::BadEncoding);
        let parts = Parts::of(certificate).ok_or_else(bad)?;
        let (key_algorithm, key) = split_spki(parts.spki).ok_or_else(bad)?;
        let algorithms = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
        let (_, algorithms) = algorithms.ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        let some = if curve_is_fixed { 1 } else { algorithms.len() };
        algorithms
            .iter()
            .take(some)
            .filter(|algorithm| algorithm.public_key_alg_id().as_ref() == key_algorithm)
            .find_map(|algorithm| algorithm.verify_signature(key, message, signed.signature()).ok())
            .map(|()| HandshakeSignatureValid::assertion())
            .ok_or(Error::InvalidCertificate(CertificateError::BadSignature))
    }
}

fn webpki_reads(certificate: &CertificateDer<'_>) -> bool {
    webpki::EndEntityCert::try_from(certificate).is_ok()
}

impl ServerCertVerifier for ChainVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<&[u8]> = std::iter::once(end_entity).chain(intermediates).map(AsRef::as_ref).collect();
        let presented = Presented::new(&chain).ok_or(Error::NoCertificatesPresented)?;
        let verdict = verify(&self.set, &presented, &self.request);
        let result =
            if verdict.accepted { Ok(ServerCertVerified::assertion()) } else { Err(alert(verdict.code)) };
        *self.captured.lock().unwrap_or_else(PoisonError::into_inner) = Some(Captured { presented, verdict });
        result
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !webpki_reads(certificate) {
            return self.by_raw_key(message, certificate, signed, false);
        }
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !webpki_reads(certificate) {
            // RSA PKCS#1 is for TLS 1.2 alone, and a scheme of ECDSA is for one curve (RFC 8446 §4.2.3).
            let pkcs1 = [
                SignatureScheme::RSA_PKCS1_SHA256,
                SignatureScheme::RSA_PKCS1_SHA384,
                SignatureScheme::RSA_PKCS1_SHA512,
            ];
            if pkcs1.contains(&signed.scheme) {
                return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
            }
            return self.by_raw_key(message, certificate, signed, true);
        }
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The error that makes rustls send the right alert to the server, whose administrator reads it in a log.
fn alert(code: Code) -> Error {
    Error::InvalidCertificate(match code {
        Code::Expired => CertificateError::Expired,
        Code::NotYetValid => CertificateError::NotValidYet,
        Code::NameMismatch => CertificateError::NotValidForName,
        Code::WrongPurpose | Code::IntermediateMayNotIssue | Code::CaAsLeaf => {
            CertificateError::InvalidPurpose
        }
        Code::UnknownCriticalExtension => CertificateError::UnhandledCriticalExtension,
        Code::Malformed | Code::Version1 => CertificateError::BadEncoding,
        Code::WeakKey | Code::WeakSignature | Code::UnsupportedAlgorithm => CertificateError::BadSignature,
        Code::PinMismatch => CertificateError::ApplicationVerificationFailure,
        Code::NoIssuer
        | Code::IssuerKeyDiffers
        | Code::SelfSignedRenewed
        | Code::AnchorMayNotIssue
        | Code::PathTooLong
        | Code::NameConstraint
        | Code::TooComplex
        | Code::Ok => CertificateError::UnknownIssuer,
    })
}

/// TLS 1.2 and 1.3, or 1.3 alone where that is asked, with this verifier, and no session kept.
///
/// # Errors
/// Where the provider has no suite for these versions, which would be a build without any.
pub fn client_config(verifier: Arc<ChainVerifier>) -> Result<ClientConfig, Error> {
    let versions: &[&SupportedProtocolVersion] = match verifier.request.minimum_tls {
        TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
        TlsVersion::V1_3 => &[&version::TLS13],
    };
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(versions)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The signature algorithms of the provider, for certificates and handshakes alike.
pub(crate) fn algorithms() -> WebPkiSupportedAlgorithms {
    static ALGORITHMS: LazyLock<WebPkiSupportedAlgorithms> =
        LazyLock::new(|| rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms);
    *ALGORITHMS
}

/// aws-lc-rs without post-quantum groups: their key share makes the first flight larger than one packet, and old IIS
/// servers drop it.
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups.retain(|group| {
        matches!(group.name(), NamedGroup::X25519 | NamedGroup::secp256r1 | NamedGroup::secp384r1)
    });
    provider
}
