//! What is not text: certificates in DER, one after another, and PKCS#7. What must not be here is told apart.

use super::der::{self, CONTEXT_0, Flaw, INTEGER, OCTET_STRING, OID, SEQUENCE};
use super::sink::Sink;
use super::{Encoding, Note, Reason, marker};

/// pkcs7-signedData, 1.2.840.113549.1.7.2 (RFC 2315 §14).
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];

/// What a value is, by its first two fields. Whether a certificate is one is judged by who parses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// RFC 5280 §4.1, and all that begins alike.
    Certificate,
    /// `ContentInfo` with `SignedData`.
    Pkcs7,
    /// `PFX` (RFC 7292 §4): version 3, then the safe.
    Pkcs12,
    /// Of PKCS#8, PKCS#1 or SEC 1: version 0 or 1, then more.
    PrivateKey,
    /// `EncryptedPrivateKeyInfo` (RFC 5958 §3): an algorithm, then an OCTET STRING.
    EncryptedKey,
    Other,
}

pub(super) fn kind(value: &[u8]) -> Kind {
    let Ok(value) = der::element(value) else { return Kind::Other };
    let mut fields = der::children(value.content);
    let first = fields.next().map(|field| (field.tag, field.content));
    let second = fields.next().map(|field| field.tag);
    match (first, second) {
        (Some((SEQUENCE, _)), Some(OCTET_STRING)) => Kind::EncryptedKey,
        (Some((SEQUENCE, _)), _) => Kind::Certificate,
        (Some((OID, SIGNED_DATA)), _) => Kind::Pkcs7,
        (Some((INTEGER, [3])), Some(SEQUENCE)) => Kind::Pkcs12,
        (Some((INTEGER, [0 | 1])), Some(SEQUENCE | OCTET_STRING | INTEGER)) => Kind::PrivateKey,
        _ => Kind::Other,
    }
}

/// Reads the values at the start of `bytes`, which stand at `line` of a text or are a whole file. Returns what follows
/// them, if it may be text; `None` to stop.
pub(super) fn scan<'a>(bytes: &'a [u8], line: u32, sink: &mut Sink<'_>) -> Option<&'a [u8]> {
    let mut rest = bytes;
    while der::looks_binary(rest) {
        let value = match der::element(rest) {
            // The length of a value that was cut off counts text that follows it in.
            Ok(value) if !marker::has_begin(&rest[..value.total]) => value,
            Ok(_) => return broken(rest, Flaw::Cut, line, sink),
            Err(flaw) => return broken(rest, flaw, line, sink),
        };
        let (this, after) = rest.split_at(value.total);
        if !one(this, line, sink) {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

/// A value without an end. Should blocks follow it, they are not its prey.
fn broken<'a>(rest: &'a [u8], flaw: Flaw, line: u32, sink: &mut Sink<'_>) -> Option<&'a [u8]> {
    let next = marker::next(rest, 0);
    if flaw == Flaw::Cut {
        sink.scan.ends_inside_block |= next.is_none();
        sink.reject(line, Reason::Truncated, "a DER value is cut off: copy the file again");
    } else {
        sink.reject(line, Reason::NotX509, "it begins like DER, but cannot be read as such");
    }
    Some(next.map_or(&[], |next| &rest[next.start..]))
}

fn one(value: &[u8], line: u32, sink: &mut Sink<'_>) -> bool {
    match kind(value) {
        Kind::Certificate => {
            sink.encoding(Encoding::Der);
            sink.note(Note::Der);
            sink.take(value, line)
        }
        Kind::Pkcs7 => {
            sink.encoding(Encoding::Pkcs7);
            pkcs7(value, line, sink)
        }
        Kind::Other => {
            sink.reject(line, Reason::NotX509, "what is encoded here is not a certificate");
            true
        }
        kind => {
            refuse_key(kind, line, sink);
            true
        }
    }
}

/// Refuses what holds a private key.
pub(super) fn refuse_key(kind: Kind, line: u32, sink: &mut Sink<'_>) {
    let what = match kind {
        Kind::Pkcs12 => "a PKCS#12 file, which may hold a private key; export the certificate alone, as PEM",
        Kind::EncryptedKey => "an encrypted private key",
        _ => "a private key without a password",
    };
    sink.reject(line, Reason::PrivateKey, key_detail(what));
}

/// What is said of a private key: which kind, and nothing of it.
pub(super) fn key_detail(what: &str) -> String {
    format!(
        "this is {what}: it does not belong into a file of certificates, and nothing of it was kept. Remove it from this \
         file, and think about who could read it"
    )
}

/// Takes the certificates of a `SignedData` (RFC 2315 §9.1), each as its own bytes.
pub(super) fn pkcs7(value: &[u8], line: u32, sink: &mut Sink<'_>) -> bool {
    sink.note(Note::Pkcs7);
    let Some(certificates) = certificates_of(value) else {
        let detail = "the PKCS#7 structure cannot be read, or holds no certificates: export it again, as PEM if possible";
        sink.reject(line, Reason::BadPkcs7, detail);
        return true;
    };
    let mut rest = certificates;
    while let Ok(entry) = der::element(rest) {
        let (bytes, after) = rest.split_at(entry.total);
        if entry.tag != SEQUENCE {
            // An attribute certificate or one of PKCS#6: nothing that a server presents.
            sink.reject(
                line,
                Reason::OtherLabel,
                "an entry of the PKCS#7 structure is not an X.509 certificate",
            );
        } else if !sink.take(bytes, line) {
            return false;
        }
        rest = after;
    }
    if !rest.is_empty() {
        sink.reject(line, Reason::BadPkcs7, "the certificates of the PKCS#7 structure are cut off");
    }
    true
}

/// The content of `certificates` in
/// `ContentInfo { type, [0] SignedData { version, digests, content, [0] certificates, … } }`.
fn certificates_of(value: &[u8]) -> Option<&[u8]> {
    let content_info = der::element(value).ok()?;
    let mut fields = der::children(content_info.content);
    let content_type = fields.next()?;
    let explicit = fields.next()?;
    if content_type.tag != OID || content_type.content != SIGNED_DATA || explicit.tag != CONTEXT_0 {
        return None;
    }
    let signed_data = der::element(explicit.content).ok()?;
    let certificates = der::children(signed_data.content).find(|field| field.tag == CONTEXT_0)?;
    (!certificates.content.is_empty()).then_some(certificates.content)
}
