//! Bytes to text in which markers can be found: byte order marks and UTF-16.

use std::borrow::Cow;

use super::{Note, Scan};

/// The text as bytes in which ASCII stands for itself. Only markers and base64 matter, and both are ASCII: everything
/// else may be any encoding, and no valid one is asked for.
pub(super) fn decode<'a>(bytes: &'a [u8], scan: &mut Scan) -> Cow<'a, [u8]> {
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => Cow::Owned(utf16(rest, u16::from_le_bytes, scan)),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(utf16(rest, u16::from_be_bytes, scan)),
        [a, 0, b, 0, ..] if *a != 0 && *b != 0 => Cow::Owned(utf16(bytes, u16::from_le_bytes, scan)),
        [0, a, 0, b, ..] if *a != 0 && *b != 0 => Cow::Owned(utf16(bytes, u16::from_be_bytes, scan)),
        _ => Cow::Borrowed(bytes),
    };
    // Anywhere: files with a mark get concatenated.
    if memchr::memmem::find(&text, b"\xef\xbb\xbf").is_some() {
        scan.note(Note::Utf8Bom);
    }
    if memchr::memchr(b'\r', &text).is_some() {
        scan.note(Note::ForeignLineEnds);
    }
    text
}

/// ASCII characters as they are, every other one as `?`. An odd byte at the end is half a character and is dropped.
fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16, scan: &mut Scan) -> Vec<u8> {
    scan.note(Note::Utf16);
    bytes
        .chunks_exact(2)
        .map(|pair| u8::try_from(unit([pair[0], pair[1]])).ok().filter(u8::is_ascii).unwrap_or(b'?'))
        .collect()
}
