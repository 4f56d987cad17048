//! Text to blocks: the lenient reader of RFC 7468 that accounts for every marker.

use memchr::memmem;

use super::body::Decoder;
use super::marker::{self, Kind, Marker};
use super::sink::Sink;
use super::{Encoding, Note, Reason, binary, der, other, trusted};

/// Labels that say "certificate"; a BEGIN of one may meet the END of another.
const CERTIFICATES: [&[u8]; 3] = [b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"];
/// What writers put over PKCS#7 (RFC 7468 §8 and §9, and older ones).
const PKCS7: [&[u8]; 4] = [b"PKCS7", b"CMS", b"PKCS #7 SIGNED DATA", b"CERTIFICATE CHAIN"];

/// Reads all blocks of a text.
pub(super) fn scan(text: &[u8], sink: &mut Sink<'_>) {
    if marker::next(text, 0).is_none() {
        return other::scan(text, sink);
    }
    let has_cr = memchr::memchr(b'\r', text).is_some();
    let mut reader =
        Reader { text, at: 0, line: 1, counted: 0, after_end: false, has_cr, decoder: Decoder::default() };
    while let Some(marker) = marker::next(text, reader.at) {
        let more = reader.gap(marker.start, sink)
            && match marker.kind {
                Kind::Begin => reader.block(&marker, sink),
                Kind::End => reader.stray_end(&marker, sink),
            };
        if !more {
            return;
        }
    }
    reader.tail(sink);
}

struct Reader<'a> {
    text: &'a [u8],
    /// All before this is accounted for.
    at: usize,
    /// The line that `counted` is on.
    line: u32,
    counted: usize,
    /// An END marker is what `at` is behind.
    after_end: bool,
    has_cr: bool,
    decoder: Decoder,
}

impl<'a> Reader<'a> {
    /// The line of a place that is not before the last one asked for.
    fn line_at(&mut self, place: usize) -> u32 {
        let between = &self.text[self.counted..place];
        let mut ends = memchr::memchr_iter(b'\n', between).count();
        if self.has_cr {
            // CR LF is one end, counted at its LF; a CR alone is one as well.
            let lone = |at: &usize| self.text.get(self.counted + at + 1) != Some(&b'\n');
            ends += memchr::memchr_iter(b'\r', between).filter(lone).count();
        }
        self.line = self.line.saturating_add(u32::try_from(ends).unwrap_or(u32::MAX));
        self.counted = place;
        self.line
    }

    /// Accounts for what stands before the next marker, or behind the last. `false` to stop.
    fn gap(&mut self, end: usize, sink: &mut Sink<'_>) -> bool {
        let gap = &self.text[self.at..end];
        if self.after_end && end < self.text.len() && memchr::memchr2(b'\n', b'\r', gap).is_none() {
            sink.note(Note::GluedBlocks);
        }
        // A DER file that was concatenated with PEM.
        let start = gap.trim_ascii_start();
        if !der::looks_binary(start) {
            note_gap(gap, sink);
            return true;
        }
        let line = self.line_at(end - start.len());
        let Some(rest) = binary::scan(start, line, sink) else { return false };
        note_gap(rest, sink);
        true
    }

    /// What follows the last block.
    fn tail(&mut self, sink: &mut Sink<'_>) {
        let rest = &self.text[self.at..];
        if !self.gap(self.text.len(), sink) {
            return;
        }
        sink.scan.ends_inside_block |= marker::is_cut_in_opening(rest);
        let is_text = !der::looks_binary(rest.trim_ascii_start());
        let ended = matches!(self.text.last(), Some(b'\n' | b'\r'));
        if is_text && !ended && !sink.scan.ends_inside_block {
            sink.note(Note::NoFinalNewline);
        }
    }

    fn stray_end(&mut self, end: &Marker<'a>, sink: &mut Sink<'_>) -> bool {
        let line = self.line_at(end.start);
        self.at = end.end;
        self.after_end = true;
        let detail = "an END marker without a BEGIN marker before it: the beginning of its block is missing";
        sink.reject(line, Reason::StrayEnd, detail);
        true
    }

    /// Reads the block that `begin` opens. `false` to stop.
    fn block(&mut self, begin: &Marker<'a>, sink: &mut Sink<'_>) -> bool {
        sink.encoding(Encoding::Pem);
        let line = self.line_at(begin.start);
        self.at = begin.end;
        self.after_end = false;
        let Some(label) = begin.label else {
            sink.scan.ends_inside_block |= begin.cut;
            sink.reject(line, Reason::Truncated, "the BEGIN marker has no closing dashes");
            return true;
        };
        let next = marker::next(self.text, begin.end);
        if let Some(Marker { kind: Kind::End, start, end, label: Some(end_label), .. }) = next {
            self.at = end;
            self.after_end = true;
            if belong_together(label, end_label) {
                return self.whole(label, &self.text[begin.end..start], line, sink);
            }
            refuse_cut(label, end_label, "its END marker has another label", line, sink);
            return true;
        }
        let what = match next {
            Some(Marker { kind: Kind::Begin, start, .. }) => {
                self.at = start;
                "another block begins before its END marker"
            }
            Some(end) => {
                self.at = end.end;
                sink.scan.ends_inside_block |= end.cut;
                "its END marker is cut off"
            }
            None => {
                self.at = self.text.len();
                sink.scan.ends_inside_block = true;
                "the file ends before its END marker"
            }
        };
        refuse_cut(label, b"", what, line, sink);
        true
    }

    /// Takes a block that has both its markers.
    fn whole(&mut self, label: &[u8], body: &[u8], line: u32, sink: &mut Sink<'_>) -> bool {
        let is_pkcs7 = PKCS7.contains(&label);
        if is_key(label) {
            let what = format!("a private key ({})", printable(label));
            sink.reject(line, Reason::PrivateKey, binary::key_detail(&what));
            return true;
        }
        if !is_pkcs7 && !CERTIFICATES.contains(&label) {
            let detail = format!("a block {} is not a certificate and is passed over", printable(label));
            sink.reject(line, Reason::OtherLabel, detail);
            return true;
        }
        let bytes = match self.decoder.decode(body) {
            Ok(bytes) => bytes,
            Err(_) if is_commented_out(body) => {
                sink.reject(line, Reason::OtherLabel, "the block is commented out and is passed over");
                return true;
            }
            Err(detail) => {
                sink.reject(line, Reason::BadBase64, detail);
                return true;
            }
        };
        if is_pkcs7 {
            sink.scan.encoding = Encoding::Pkcs7;
            return binary::pkcs7(bytes, line, sink);
        }
        match label {
            b"TRUSTED CERTIFICATE" => {
                sink.note(Note::TrustedLabel);
                return trusted::take(bytes, line, sink);
            }
            b"X509 CERTIFICATE" => sink.note(Note::X509Label),
            _ => {}
        }
        // `certutil -encode` writes CERTIFICATE over whatever it is given.
        match binary::kind(bytes) {
            binary::Kind::Certificate | binary::Kind::Other => sink.take(bytes, line),
            binary::Kind::Pkcs7 => binary::pkcs7(bytes, line, sink),
            key => {
                binary::refuse_key(key, line, sink);
                true
            }
        }
    }
}

fn is_key(label: &[u8]) -> bool {
    memmem::find(label, b"PRIVATE KEY").is_some()
}

fn belong_together(begin: &[u8], end: &[u8]) -> bool {
    begin == end || [begin, end].iter().all(|label| CERTIFICATES.contains(label))
}

/// Refuses a block without its own end, which may still hold a key.
fn refuse_cut(begin: &[u8], end: &[u8], what: &str, line: u32, sink: &mut Sink<'_>) {
    let cut = format!("the block {} is cut off: {what}", printable(begin));
    if is_key(begin) || is_key(end) {
        let detail = format!(
            "{cut}. It has a private key or a part of one, which does not belong into a file of certificates; nothing of \
             it was kept. Remove it, and think about who could read it"
        );
        sink.reject(line, Reason::PrivateKey, detail);
    } else {
        sink.reject(line, Reason::Truncated, format!("{cut}. Copy the file again"));
    }
}

/// Whether the END marker stands behind a `#`: what is before it on its line is the end of the body.
fn is_commented_out(body: &[u8]) -> bool {
    let line = memchr::memrchr2(b'\n', b'\r', body).map_or(&[][..], |end| &body[end + 1..]);
    line.trim_ascii_start().starts_with(b"#")
}

/// Says what is in a gap that readers other than this one may stumble over.
fn note_gap(gap: &[u8], sink: &mut Sink<'_>) {
    let odd = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    if gap.iter().any(odd) {
        sink.note(Note::ControlBytes);
    }
    let prose = |line: &[u8]| {
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
        !line.is_empty() && line[0] != b'#' && line[0] != 0
    };
    if gap.split(|byte| matches!(byte, b'\n' | b'\r')).any(prose) {
        sink.note(Note::ProseBetweenBlocks);
    }
}

/// A label for a message: it is part of the file, so no more than a label's characters are repeated.
fn printable(label: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b' ' | b'#');
    if label.iter().all(plain) {
        String::from_utf8_lossy(label).into_owned()
    } else {
        "with an odd label".to_owned()
    }
}
