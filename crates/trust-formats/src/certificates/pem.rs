//! Text to blocks: the lenient reader of RFC 7468 that accounts for every marker.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;

use super::der::{self, CONTEXT_0, SEQUENCE};
use super::{Encoding, Limits, Note, Reason, Scan, binary};

const DASHES: &[u8] = b"-----";
const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
/// Longer than any label that is in use; what is longer is prose with dashes.
const MAX_LABEL: usize = 64;

/// OpenSSL takes missing padding and stray bits after the last byte, so files with them are about.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// serverAuth, 1.3.6.1.5.5.7.3.1.
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
/// anyExtendedKeyUsage, 2.5.29.37.0.
const ANY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0x00];

/// Reads all blocks of a text.
pub(super) fn scan(text: &[u8], limits: &Limits, scan: &mut Scan) {
    let mut reader = Reader { text, at: 0, line: 1, counted: 0, base64: Vec::new(), der: Vec::new() };
    let mut any = false;
    while let Some(marker) = reader.next_marker() {
        reader.gap(marker.start, scan, any);
        any = true;
        let more = match marker.kind {
            Kind::Begin => reader.block(&marker, limits, scan),
            Kind::End => {
                let line = reader.line_at(marker.start);
                scan.reject(line, Reason::StrayEnd, "an END marker without a BEGIN marker before it: the block's beginning is missing");
                reader.at = marker.end;
                true
            }
        };
        if !more {
            return;
        }
    }
    if any {
        reader.tail(scan);
    } else {
        without_markers(text, limits, scan);
    }
}

struct Reader<'a> {
    text: &'a [u8],
    /// All before this is accounted for.
    at: usize,
    /// The line that `counted` is on.
    line: u32,
    counted: usize,
    /// Buffers that every block uses again.
    base64: Vec<u8>,
    der: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Kind {
    Begin,
    End,
}

struct Marker<'a> {
    kind: Kind,
    start: usize,
    /// Behind the closing dashes, or behind the opening ones where those are missing.
    end: usize,
    /// `None` where the closing dashes are missing.
    label: Option<&'a [u8]>,
}

impl<'a> Reader<'a> {
    /// The next marker from `at` on, wherever in a line it stands.
    fn next_marker(&self) -> Option<Marker<'a>> {
        self.marker_from(self.at)
    }

    fn marker_from(&self, from: usize) -> Option<Marker<'a>> {
        let mut from = from;
        loop {
            let start = from + memmem::find(&self.text[from..], DASHES)?;
            let rest = &self.text[start..];
            let kind = if rest.starts_with(BEGIN) {
                Kind::Begin
            } else if rest.starts_with(END) {
                Kind::End
            } else {
                // One dash on: of a longer row the last five may open a marker.
                from = start + 1;
                continue;
            };
            let opening = match kind {
                Kind::Begin => BEGIN.len(),
                Kind::End => END.len(),
            };
            let window = &rest[opening..rest.len().min(opening + MAX_LABEL + DASHES.len())];
            let line_end = memchr::memchr2(b'\n', b'\r', window).unwrap_or(window.len());
            let label = memmem::find(&window[..line_end], DASHES).map(|length| &window[..length]);
            // Dashes that open the next marker close nothing; ten in a row do both.
            let closed = |label: &&[u8]| {
                let closing = &rest[opening + label.len()..];
                let row = closing.iter().take_while(|byte| **byte == b'-').count();
                let last = &closing[row - DASHES.len()..];
                let opens = last.starts_with(BEGIN) || last.starts_with(END);
                !label.is_empty() && (!opens || row >= 2 * DASHES.len())
            };
            let label = label.filter(closed);
            let end = start + opening + label.map_or(0, |label| label.len() + DASHES.len());
            return Some(Marker { kind, start, end, label });
        }
    }

    /// The line of a place that is not before the last one asked for.
    fn line_at(&mut self, place: usize) -> u32 {
        let between = &self.text[self.counted..place];
        let mut ends = 0;
        for at in memchr::memchr2_iter(b'\n', b'\r', between) {
            // CR LF is one end, counted at its LF; a CR alone is one as well.
            let next = self.text.get(self.counted + at + 1);
            if between[at] == b'\n' || next != Some(&b'\n') {
                ends += 1;
            }
        }
        self.line = self.line.saturating_add(ends);
        self.counted = place;
        self.line
    }

    /// Looks at what stands between two blocks.
    fn gap(&self, start: usize, scan: &mut Scan, after_block: bool) {
        let gap = &self.text[self.at..start];
        if after_block && !gap.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            scan.note(Note::GluedBlocks);
        }
        note_gap(gap, scan);
    }

    /// What follows the last block.
    fn tail(&self, scan: &mut Scan) {
        note_gap(&self.text[self.at..], scan);
        if !scan.ends_inside_block && !matches!(self.text.last(), Some(b'\n' | b'\r')) {
            scan.note(Note::NoFinalNewline);
        }
    }

    /// Reads the block that `begin` opens. `false` to stop.
    fn block(&mut self, begin: &Marker<'a>, limits: &Limits, scan: &mut Scan) -> bool {
        scan.encoding = if scan.encoding == Encoding::Unknown { Encoding::Pem } else { scan.encoding };
        let line = self.line_at(begin.start);
        self.at = begin.end;
        let Some(label) = begin.label else {
            let cut = self.text[begin.end..].iter().all(|byte| !matches!(byte, b'\n' | b'\r'));
            scan.ends_inside_block |= cut;
            scan.reject(line, Reason::Truncated, "the BEGIN marker has no closing dashes");
            return true;
        };
        let next = self.next_marker();
        let body_end = match &next {
            Some(Marker { kind: Kind::End, start, end, label: Some(_) }) => {
                self.at = *end;
                *start
            }
            // Another BEGIN, an END that is cut off, or the end of the file.
            other => {
                let what = match other {
                    Some(Marker { kind: Kind::Begin, .. }) => "another block begins before this one's END marker",
                    Some(_) => "its END marker is cut off",
                    None => "the file ends before its END marker",
                };
                if let Some(Marker { kind: Kind::End, end, .. }) = other {
                    self.at = *end;
                }
                if other.is_none() {
                    self.at = self.text.len();
                }
                let at_end = other.as_ref().is_none_or(|marker| matches!(marker.kind, Kind::End))
                    && self.marker_from(self.at).is_none();
                scan.ends_inside_block |= at_end;
                let is_key = memmem::find(label, b"PRIVATE KEY").is_some();
                let reason = if is_key { Reason::PrivateKey } else { Reason::Truncated };
                scan.reject(line, reason, truncated_detail(label, is_key, what));
                return true;
            }
        };
        let body = &self.text[begin.end..body_end];
        self.labelled(label, body, line, limits, scan)
    }

    fn labelled(&mut self, label: &[u8], body: &[u8], line: u32, limits: &Limits, scan: &mut Scan) -> bool {
        match label {
            b"CERTIFICATE" => {}
            b"X509 CERTIFICATE" => scan.note(Note::X509Label),
            b"TRUSTED CERTIFICATE" => scan.note(Note::TrustedLabel),
            b"PKCS7" | b"CMS" | b"PKCS #7 SIGNED DATA" | b"CERTIFICATE CHAIN" => {}
            _ if memmem::find(label, b"PRIVATE KEY").is_some() => {
                let what = format!("a private key ({})", printable(label));
                scan.reject(line, Reason::PrivateKey, binary::key_detail(&what));
                return true;
            }
            _ => {
                let detail = format!("a block {} is not a certificate and is passed over", printable(label));
                scan.reject(line, Reason::OtherLabel, detail);
                return true;
            }
        }
        if let Err(detail) = self.decode(body) {
            scan.reject(line, Reason::BadBase64, detail);
            return true;
        }
        match label {
            b"TRUSTED CERTIFICATE" => trusted(&self.der, line, limits, scan),
            b"CERTIFICATE" | b"X509 CERTIFICATE" => scan.take(&self.der, line, limits),
            _ => {
                scan.encoding = Encoding::Pkcs7;
                binary::pkcs7(&self.der, line, limits, scan)
            }
        }
    }

    /// The bytes that a body encodes, into `self.der`.
    fn decode(&mut self, body: &[u8]) -> Result<(), String> {
        self.base64.clear();
        for part in without_headers(body).split(|byte| byte.is_ascii_whitespace()) {
            self.base64.extend_from_slice(part);
        }
        self.der.clear();
        BASE64.decode_vec(&self.base64, &mut self.der).map_err(|error| {
            let what = match error {
                base64::DecodeError::InvalidByte(..) => "has a character that is not base64",
                base64::DecodeError::InvalidLength(_) => "has a character too few or too many",
                base64::DecodeError::InvalidLastSymbol(..) | base64::DecodeError::InvalidPadding => {
                    "ends wrongly"
                }
            };
            format!("the text between the markers {what}: it was damaged on the way; copy it again")
        })
    }
}

/// Drops the headers of RFC 1421 §4.6 (`Proc-Type: …`), which end at the first empty line.
fn without_headers(body: &[u8]) -> &[u8] {
    if memchr::memchr(b':', body).is_none() {
        return body;
    }
    let ends = [b"\n\n".as_slice(), b"\r\n\r\n", b"\r\r"];
    let end = ends.iter().filter_map(|end| memmem::find(body, end).map(|at| at + end.len())).min();
    end.map_or(body, |end| &body[end..])
}

/// Takes OpenSSL's own form: a certificate, then
/// `CertAux { trust SEQUENCE OF OID OPTIONAL, reject [0] IMPLICIT SEQUENCE OF OID OPTIONAL, … } OPTIONAL`. What it was
/// not meant for is respected.
fn trusted(bytes: &[u8], line: u32, limits: &Limits, scan: &mut Scan) -> bool {
    let Some(certificate) = der::element(bytes) else { return scan.take(bytes, line, limits) };
    let (der, auxiliary) = bytes.split_at(certificate.total);
    let settings = der::element(auxiliary).map(|settings| settings.content).unwrap_or_default();
    let mut refused = false;
    for (index, field) in der::children(settings).enumerate() {
        let meant = || der::children(field.content).any(|oid| oid.content == SERVER_AUTH || oid.content == ANY_USAGE);
        match field.tag {
            SEQUENCE if index == 0 => refused |= !meant(),
            CONTEXT_0 => refused |= meant(),
            _ => {}
        }
    }
    if refused {
        let detail = "its owner's settings do not trust it for TLS servers (`openssl x509 -text` shows them under Trusted and \
                      Rejected Uses); put it here as a plain CERTIFICATE if it should be";
        scan.reject(line, Reason::Distrusted, detail);
        return true;
    }
    scan.take(der, line, limits)
}

/// A text without a marker: nothing at all, the base64 of something without its markers, or something else.
fn without_markers(text: &[u8], limits: &Limits, scan: &mut Scan) {
    let meaning = |byte: &u8| !byte.is_ascii_whitespace() && *byte != 0;
    let mut lines = text.split(|byte| matches!(byte, b'\n' | b'\r'));
    if lines.all(|line| line.iter().find(|byte| meaning(byte)).is_none_or(|first| *first == b'#')) {
        return;
    }
    let bare: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if let Ok(bytes) = BASE64.decode(&bare)
        && der::element(&bytes).is_some_and(|value| value.tag == SEQUENCE)
    {
        binary::scan(&bytes, 1, limits, scan);
        return;
    }
    scan.reject(1, Reason::NoCertificate, format!("there is no certificate in it: {}", guess(text)));
}

/// What a text looks like, for its owner to recognise. Nothing of it is repeated.
fn guess(text: &[u8]) -> &'static str {
    const ENOUGH: usize = 1024;
    let start: Vec<u8> = text[..text.len().min(ENOUGH)].to_ascii_lowercase();
    let has = |needle: &[u8]| memmem::find(&start, needle).is_some();
    if has(b"<html") || has(b"<!doctype html") {
        "it looks like an HTML page, perhaps an error page that was saved in place of the file"
    } else if has(b"<?xml") {
        "it looks like XML"
    } else if start.trim_ascii_start().starts_with(b"{") {
        "it looks like JSON"
    } else if has(b"ssh-rsa ") || has(b"ssh-ed25519 ") || has(b"ecdsa-sha2-") {
        "it looks like an SSH key"
    } else {
        "it is neither PEM, DER nor PKCS#7"
    }
}

fn note_gap(gap: &[u8], scan: &mut Scan) {
    let odd = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    if !scan.notes.contains(&Note::ControlBytes) && gap.iter().any(odd) {
        scan.note(Note::ControlBytes);
    }
    if !scan.notes.contains(&Note::ProseBetweenBlocks) {
        let mut lines = gap.split(|byte| matches!(byte, b'\n' | b'\r'));
        let prose = |line: &[u8]| {
            let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
            !line.is_empty() && line[0] != b'#' && line[0] != 0
        };
        if lines.any(prose) {
            scan.note(Note::ProseBetweenBlocks);
        }
    }
}

fn truncated_detail(label: &[u8], is_key: bool, what: &str) -> String {
    let key = if is_key {
        "; it is a private key, which does not belong here, and nothing of it was kept"
    } else {
        ""
    };
    format!("the block {} is cut off: {what}{key}. Copy the file again", printable(label))
}

/// A label for a message: it is part of the file, so no more than a label's characters are repeated.
fn printable(label: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b' ' | b'#');
    if label.iter().all(plain) { String::from_utf8_lossy(label).into_owned() } else { "with an odd label".to_owned() }
}
