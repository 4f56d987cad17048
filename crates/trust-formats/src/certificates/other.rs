//! Text without a marker: nothing at all, base64 without its markers, or another kind of file.

use memchr::memmem;

use super::body::Decoder;
use super::sink::Sink;
use super::{Reason, binary, der, marker};

/// Accounts for such a text.
pub(super) fn scan(text: &[u8], sink: &mut Sink<'_>) {
    if is_silent(text) {
        return;
    }
    sink.scan.ends_inside_block |= marker::is_cut_in_opening(text);
    // Windows shows a certificate's base64 without markers; people save that.
    let mut decoder = Decoder::default();
    if let Ok(bytes) = decoder.decode(text)
        && der::element(bytes).is_ok_and(|value| value.total == bytes.len())
    {
        binary::scan(bytes, 1, sink);
        return;
    }
    sink.reject(1, Reason::NoCertificate, format!("there is no certificate in it: {}", guess(text)));
}

/// Nothing but empty lines and comments: an owner who wants no anchors may say so.
fn is_silent(text: &[u8]) -> bool {
    text.split(|byte| matches!(byte, b'\n' | b'\r')).all(|line| {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
        line.is_empty() || line[0] == b'#'
    })
}

/// What a file looks like, for its owner to recognise. Nothing of it is repeated.
fn guess(text: &[u8]) -> &'static str {
    const ENOUGH: usize = 1024;
    if text.iter().all(|byte| *byte == 0) {
        return "it has only NUL bytes, as after a crash; put it there again";
    }
    for (start, what) in STARTS {
        if text.starts_with(start) {
            return what;
        }
    }
    let start = text[..text.len().min(ENOUGH)].to_ascii_lowercase();
    for (word, what) in WORDS {
        if memmem::find(&start, word).is_some() {
            return what;
        }
    }
    if start.trim_ascii_start().starts_with(b"{") {
        return "it looks like JSON";
    }
    "it is neither PEM, DER nor PKCS#7"
}

/// Files that begin with bytes of their own.
const STARTS: [(&[u8], &str); 6] = [
    (b"\xfe\xed\xfe\xed", "it looks like a Java keystore; export the certificates as PEM"),
    (b"\xce\xce\xce\xce", "it looks like a Java keystore; export the certificates as PEM"),
    (b"PK\x03\x04", "it looks like a ZIP archive; unpack it"),
    (b"\x1f\x8b", "it looks like a gzip archive; unpack it"),
    (b"%PDF", "it looks like a PDF document"),
    (b"PuTTY-User-Key-File", "it looks like a PuTTY private key, which does not belong here"),
];

/// Words within the first lines, in lower case; the first that is found counts.
const WORDS: [(&[u8], &str); 8] = [
    (b"<html", "it looks like an HTML page, perhaps an error page that was saved in place of the file"),
    (
        b"<!doctype html",
        "it looks like an HTML page, perhaps an error page that was saved in place of the file",
    ),
    (b"<?xml", "it looks like XML"),
    (
        b"begin certificate",
        "its BEGIN marker is not written as -----BEGIN CERTIFICATE-----, with five dashes on each side",
    ),
    (b"begin ssh2", "it looks like an SSH key"),
    (b"ssh-rsa ", "it looks like an SSH key"),
    (b"ssh-ed25519 ", "it looks like an SSH key"),
    (b"ecdsa-sha2-", "it looks like an SSH key"),
];
