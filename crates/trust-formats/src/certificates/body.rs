//! What stands between two markers: headers, and base64 in whatever lines.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memmem;

/// Padding is cut off before; bits left over after the last byte are in files that are about, and OpenSSL takes them.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Decodes bodies, one after another, in buffers that each uses again.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    base64: Vec<u8>,
    bytes: Vec<u8>,
}

impl Decoder {
    /// The bytes that a body encodes, or what is wrong with it.
    pub(super) fn decode(&mut self, body: &[u8]) -> Result<&[u8], &'static str> {
        let body = without_headers(body);
        self.base64.clear();
        strip_even_lines(body, &mut self.base64);
        if self.decode_stripped().is_err() {
            // Lines of uneven length, or damage: now each byte is looked at.
            self.base64.clear();
            self.base64.extend(body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()));
            self.decode_stripped().map_err(|error| explain(body, &error))?;
        }
        Ok(&self.bytes)
    }

    fn decode_stripped(&mut self) -> Result<(), base64::DecodeError> {
        while self.base64.last() == Some(&b'=') {
            self.base64.pop();
        }
        self.bytes.clear();
        // Many letters at once, and no word about what is wrong; bits left over are wrong to it.
        if base64_simd::STANDARD_NO_PAD.decode_append(&self.base64, &mut self.bytes).is_ok() {
            return Ok(());
        }
        self.bytes.clear();
        BASE64.decode_vec(&self.base64, &mut self.bytes)
    }
}

/// Drops the line ends of lines that are all as long as the first, as nearly all files have them: a copy a line, and no
/// look at a byte. What else is in the lines is left for the decoder to refuse.
fn strip_even_lines(body: &[u8], out: &mut Vec<u8>) {
    let mut rest = body.trim_ascii();
    if let Some(width) = memchr::memchr(b'\n', rest) {
        let letters = if rest[..width].ends_with(b"\r") { width - 1 } else { width };
        while rest.get(width) == Some(&b'\n') && (letters == width || rest[letters] == b'\r') {
            out.extend_from_slice(&rest[..letters]);
            rest = &rest[width + 1..];
        }
    }
    out.extend_from_slice(rest);
}

/// Drops the headers of RFC 1421 §4.6 (`Proc-Type: …`) with their continuation lines. Base64 has no colon.
fn without_headers(body: &[u8]) -> &[u8] {
    if memchr::memchr(b':', body).is_none() {
        return body;
    }
    let mut rest = body.trim_ascii_start();
    let mut in_header = false;
    loop {
        let end = memchr::memchr2(b'\n', b'\r', rest).map_or(rest.len(), |end| end + 1);
        let line = &rest[..end];
        let continues =
            in_header && matches!(line.first(), Some(b' ' | b'\t')) && !line.trim_ascii().is_empty();
        if !continues && memchr::memchr(b':', line).is_none() {
            return rest;
        }
        in_header = true;
        rest = &rest[end..];
        // The other half of a CR LF is no line of its own.
        if line.ends_with(b"\r") {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
    }
}

fn explain(body: &[u8], error: &base64::DecodeError) -> &'static str {
    use base64::DecodeError::{InvalidByte, InvalidLastSymbol, InvalidLength, InvalidPadding};
    if memmem::find(body, b"\\n").is_some() {
        return "its line ends are written as \\n, a backslash and a letter, as in JSON or a variable: put real line \
                ends in their place";
    }
    match error {
        InvalidByte(..) => {
            "a character between the markers is not base64: it was damaged on the way; copy it again"
        }
        InvalidLength(_) | InvalidLastSymbol(..) | InvalidPadding => {
            "the base64 between the markers has a character too few or too many: it was damaged on the way; copy it \
             again"
        }
    }
}
