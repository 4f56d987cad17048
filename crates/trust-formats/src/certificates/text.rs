//! Bytes to text in which markers can be found: byte order marks and UTF-16.

use std::borrow::Cow;

use memchr::memmem;

use super::sink::Sink;
use super::{Note, marker};

/// `-----BEGIN ` in UTF-16, big-endian with its first byte missing, and little-endian but for its last: so in both.
const WIDE_BEGIN: &[u8] = b"-\0-\0-\0-\0-\0B\0E\0G\0I\0N\0 ";
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// The text as bytes in which ASCII stands for itself. Only markers and base64 matter, and both are ASCII: everything
/// else may be any encoding, and no valid one is asked for.
pub(super) fn decode<'a>(bytes: &'a [u8], sink: &mut Sink<'_>) -> Cow<'a, [u8]> {
    let text = match form(bytes) {
        Form::Narrow => Cow::Borrowed(bytes),
        Form::Wide(unit) => Cow::Owned(decode_utf16(bytes, unit)),
        Form::Mixed => Cow::Owned(bytes.iter().copied().filter(|byte| *byte != 0).collect()),
    };
    if matches!(text, Cow::Owned(_)) {
        sink.note(Note::Utf16);
    }
    // Anywhere: files with a mark get concatenated.
    if memmem::find(&text, UTF8_MARK).is_some() {
        sink.note(Note::Utf8Bom);
    }
    if memchr::memchr(b'\r', &text).is_some() {
        sink.note(Note::ForeignLineEnds);
    }
    text
}

#[derive(Clone, Copy)]
enum Form {
    Narrow,
    Wide(fn([u8; 2]) -> u16),
    /// Blocks of both: `Get-Content a.pem >> b.pem` in Windows PowerShell, or `cat` of two files. ASCII in UTF-16 is
    /// ASCII with a NUL to each letter, so without NUL both are one text.
    Mixed,
}

fn form(bytes: &[u8]) -> Form {
    let wide = match bytes {
        [0xff, 0xfe, ..] => Form::Wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => Form::Wide(u16::from_be_bytes),
        [a, 0, b, 0, ..] if *a != 0 && *b != 0 => Form::Wide(u16::from_le_bytes),
        [0, a, 0, b, ..] if *a != 0 && *b != 0 => Form::Wide(u16::from_be_bytes),
        _ => Form::Narrow,
    };
    let has_wide = || memchr::memchr(0, bytes).is_some() && memmem::find(bytes, WIDE_BEGIN).is_some();
    match wide {
        Form::Wide(_) if marker::has_begin(bytes) => Form::Mixed,
        Form::Narrow if has_wide() => Form::Mixed,
        form => form,
    }
}

/// ASCII characters as they are, byte order marks dropped, every other unit as `?`. An odd byte at the end is half a
/// character and is dropped.
fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Vec<u8> {
    const MARK: u16 = 0xfeff;
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).filter(|unit| *unit != MARK);
    units.map(|unit| u8::try_from(unit).ok().filter(u8::is_ascii).unwrap_or(b'?')).collect()
}
