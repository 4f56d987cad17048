//! OpenSSL's own form, `TRUSTED CERTIFICATE`: a certificate, then what its owner trusts it for.

use super::Reason;
use super::der::{self, CONTEXT_0, OID, SEQUENCE};
use super::sink::Sink;

/// serverAuth, 1.3.6.1.5.5.7.3.1.
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
/// anyExtendedKeyUsage, 2.5.29.37.0.
const ANY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];

/// Takes the certificate, unless its settings keep it from TLS servers. `false` to stop.
pub(super) fn take(bytes: &[u8], line: u32, sink: &mut Sink<'_>) -> bool {
    let Ok(certificate) = der::element(bytes) else { return sink.take(bytes, line) };
    let (der, settings) = bytes.split_at(certificate.total);
    match is_for_servers(settings) {
        Some(true) => return sink.take(der, line),
        Some(false) => sink.reject(
            line,
            Reason::Distrusted,
            "its owner's settings do not trust it for TLS servers (`openssl x509 -text` shows them under Trusted and \
             Rejected Uses); put it here as a plain CERTIFICATE if it should be",
        ),
        // They may have said no.
        None => sink.reject(line, Reason::NotX509, "the trust settings behind the certificate cannot be read"),
    }
    true
}

/// `CertAux ::= SEQUENCE { trust SEQUENCE OF OID OPTIONAL, reject [0] IMPLICIT SEQUENCE OF OID OPTIONAL, … }`, itself
/// optional. As OpenSSL judges: what is rejected is rejected, and a list of trusted uses is the whole list.
fn is_for_servers(settings: &[u8]) -> Option<bool> {
    if settings.is_empty() {
        return Some(true);
    }
    let auxiliary = der::element(settings).ok()?;
    if auxiliary.tag != SEQUENCE || auxiliary.total != settings.len() || !der::is_whole(auxiliary.content) {
        return None;
    }
    let mut trusted = true;
    for field in der::children(auxiliary.content) {
        let listed =
            || der::children(field.content).any(|use_| use_.tag == OID && is_server_use(use_.content));
        match field.tag {
            SEQUENCE | CONTEXT_0 if !der::is_whole(field.content) => return None,
            SEQUENCE => trusted &= listed(),
            CONTEXT_0 => trusted &= !listed(),
            // An alias, a key identifier, other settings.
            _ => {}
        }
    }
    Some(trusted)
}

fn is_server_use(oid: &[u8]) -> bool {
    oid == SERVER_AUTH || oid == ANY_USAGE
}
