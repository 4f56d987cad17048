//! Files without text: certificates in DER, one after another, and PKCS#7. What must not be here is told apart.

use super::der::{self, CONTEXT_0, INTEGER, OID, SEQUENCE};
use super::{Encoding, Limits, Note, Reason, Scan};

/// pkcs7-signedData, 1.2.840.113549.1.7.2 (RFC 2315 §14).
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

/// Reads a file of DER values; `line` is where they stand in a text, 1 for a binary file.
pub(super) fn scan(bytes: &[u8], line: u32, limits: &Limits, scan: &mut Scan) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some(value) = der::element(rest) else {
            if rest.len() == bytes.len() || rest.first() == Some(&SEQUENCE) {
                scan.ends_inside_block = true;
                scan.reject(line, Reason::Truncated, "the file ends inside a DER value: copy it again");
            } else {
                let detail = format!("{} bytes follow the last certificate", rest.len());
                scan.reject(line, Reason::NotX509, detail);
            }
            return;
        };
        let (this, after) = rest.split_at(value.total);
        if !one(this, value.content, line, limits, scan) {
            return;
        }
        rest = after;
    }
}

/// Takes one value. A certificate begins with a SEQUENCE (RFC 5280 §4.1), PKCS#7 with its content type, PKCS#12 and
/// private keys with a version. `false` to stop.
fn one(value: &[u8], content: &[u8], line: u32, limits: &Limits, scan: &mut Scan) -> bool {
    match der::element(content).map(|first| (first.tag, first.content)) {
        Some((SEQUENCE, _)) => {
            scan.encoding = Encoding::Der;
            scan.note(Note::Der);
            scan.take(value, line, limits)
        }
        Some((OID, SIGNED_DATA)) => {
            scan.encoding = Encoding::Pkcs7;
            pkcs7(value, line, limits, scan)
        }
        Some((INTEGER, [3])) => {
            let detail = "this is a PKCS#12 file, which holds a private key; nothing of it was read. Export the \
                          certificate alone, as PEM";
            scan.reject(line, Reason::PrivateKey, detail);
            true
        }
        Some((INTEGER, _)) => {
            scan.reject(line, Reason::PrivateKey, key_detail("a private key in DER"));
            true
        }
        _ => {
            scan.reject(line, Reason::NotX509, "what is encoded here is not a certificate");
            true
        }
    }
}

/// What is said of a private key: that it is one, and nothing of it.
pub(super) fn key_detail(what: &str) -> String {
    format!(
        "this is {what}: it does not belong into a file of certificates, and nothing of it was kept. Remove it from this \
         file, and think about who could read it"
    )
}

/// Takes the certificates of a `SignedData` (RFC 2315 §9.1; BER, as Windows and old OpenSSL write it):
/// `ContentInfo { type, [0] SignedData { version, digests, content, [0] certificates, … } }`.
pub(super) fn pkcs7(value: &[u8], line: u32, limits: &Limits, scan: &mut Scan) -> bool {
    scan.note(Note::Pkcs7);
    let Some(certificates) = certificates_of(value) else {
        let detail = "the PKCS#7 structure cannot be read, or holds no certificates: export it again, as PEM if possible";
        scan.reject(line, Reason::BadPkcs7, detail);
        return true;
    };
    let mut length = 0;
    for certificate in der::children(certificates) {
        let bytes = &certificates[length..length + certificate.total];
        length += certificate.total;
        if certificate.tag != SEQUENCE {
            // An attribute certificate or one of PKCS#6: nothing that a server presents.
            scan.reject(line, Reason::OtherLabel, "an entry of the PKCS#7 structure is not an X.509 certificate");
        } else if !scan.take(bytes, line, limits) {
            return false;
        }
    }
    if length < certificates.len() {
        scan.reject(line, Reason::BadPkcs7, "the certificates of the PKCS#7 structure are cut off");
    }
    true
}

fn certificates_of(value: &[u8]) -> Option<&[u8]> {
    let content_info = der::element(value)?;
    let mut fields = der::children(content_info.content);
    let content_type = fields.next()?;
    let explicit = fields.next()?;
    if content_type.content != SIGNED_DATA || explicit.tag != CONTEXT_0 {
        return None;
    }
    let signed_data = der::element(explicit.content)?;
    let certificates = der::children(signed_data.content).find(|field| field.tag == CONTEXT_0)?;
    (!certificates.content.is_empty()).then_some(certificates.content)
}
