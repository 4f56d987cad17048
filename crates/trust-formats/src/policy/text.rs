//! The file's bytes to text, by what the bytes are rather than by what the declaration says of them, and the lines of
//! that text.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::error::{Error, Guise};

/// The text of the file without a byte order mark: only characters that XML 1.0 allows, beginning (after white space)
/// with `<`.
///
/// UTF-16 is known by its bytes, with or without a mark (XML 1.0, appendix F.1); a declaration that says otherwise is
/// wrong, and common: programs write the declaration into a string first and choose the file's encoding later. The same
/// holds for a file of single bytes that claims UTF-16.
pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    let text = match bytes {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => {
            return Err(Error::UnsupportedEncoding { line: 1 });
        }
        [0xff, 0xfe, rest @ ..] => Cow::Owned(utf16(rest, u16::from_le_bytes)?),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(utf16(rest, u16::from_be_bytes)?),
        [first, 0, ..] if begins_xml(*first) => Cow::Owned(utf16(bytes, u16::from_le_bytes)?),
        [0, second, ..] if begins_xml(*second) => Cow::Owned(utf16(bytes, u16::from_be_bytes)?),
        [0xef, 0xbb, 0xbf, rest @ ..] => utf8(looks_like_xml(rest)?)?,
        _ => single_bytes(looks_like_xml(bytes)?)?,
    };
    looks_like_xml(text.as_bytes())?;
    match text.char_indices().find(|&(_, c)| !is_xml_char(c)) {
        Some((at, _)) => Err(Error::ControlCharacter { line: Lines::of(&text).at(at) }),
        None => Ok(text),
    }
}

/// Whether XML 1.0 allows the character at all (production 2).
pub(super) fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Where the lines of a text begin: LF, CRLF and CR alone end one.
pub(super) struct Lines<'t> {
    text: &'t str,
    /// Offset of the first byte of each line but the first.
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let bytes = text.as_bytes();
        let ends_line =
            |at: usize| bytes[at] == b'\n' || bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n');
        Self { text, starts: (0..bytes.len()).filter(|&at| ends_line(at)).map(|at| at + 1).collect() }
    }

    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// The line, from 1, of a byte offset.
    pub(super) fn at(&self, offset: usize) -> u32 {
        let before = self.starts.partition_point(|&start| start <= offset);
        u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// The line of a part that was borrowed from the text, found by its address: the XML events carry no offsets.
    pub(super) fn of_part(&self, part: &str) -> u32 {
        self.at(part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr()))
    }

    pub(super) fn last(&self) -> u32 {
        self.at(self.text.trim_end().len())
    }
}

/// First bytes of an XML document: markup, or white space that somebody left before it.
fn begins_xml(byte: u8) -> bool {
    byte == b'<' || byte.is_ascii_whitespace()
}

/// Refuses what cannot be XML before any byte is judged as text, so that a wrong file is called what it is.
fn looks_like_xml(bytes: &[u8]) -> Result<&[u8], Error> {
    let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace()).ok_or(Error::Empty)?;
    let guise = match &bytes[start..] {
        [b'<', ..] => return Ok(bytes),
        [b'{' | b'[', ..] => Guise::Json,
        rest if rest.starts_with(b"-----BEGIN") => Guise::Pem,
        rest if rest.iter().all(|&byte| byte == 0) => Guise::Zeros,
        _ => Guise::Other,
    };
    let before = std::str::from_utf8(&bytes[..start]).unwrap_or_default();
    Err(Error::NotXml { line: Lines::of(before).at(start), guise })
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Error> {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len());
    for c in char::decode_utf16(pairs.iter().copied().map(unit)) {
        match c {
            Ok(c) => text.push(c),
            Err(_) => {
                return Err(Error::BadEncoding { line: Lines::of(&text).at(text.len()), encoding: "UTF-16" });
            }
        }
    }
    if odd.is_empty() {
        Ok(text)
    } else {
        Err(Error::Truncated {
            line: Lines::of(&text).at(text.len()),
            what: "half a UTF-16 character at its end",
        })
    }
}

fn utf8(bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| {
        let good = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
        let line = Lines::of(good).at(good.len());
        match error.error_len() {
            Some(_) => Error::BadEncoding { line, encoding: "UTF-8" },
            None => Error::Truncated { line, what: "part of a UTF-8 character at its end" },
        }
    })
}

/// Text of one byte per ASCII character: UTF-8 unless the declaration names a Western code page.
///
/// Those two are decoded here because Windows editors write them; every other one is refused unless nothing but ASCII,
/// which all of its family share, is in the file.
fn single_bytes(bytes: &[u8]) -> Result<Cow<'_, str>, Error> {
    let Some(encoding) = declared_encoding(bytes) else { return utf8(bytes) };
    match encoding.to_ascii_lowercase().as_str() {
        "utf-8" | "utf8" | "us-ascii" | "ascii" => utf8(bytes),
        name if name.starts_with("utf-16") => utf8(bytes),
        "windows-1252" | "cp1252" | "iso-8859-1" | "latin1" => western(bytes).map(Cow::Owned),
        name if bytes.is_ascii() && (name.starts_with("iso-8859-") || name.starts_with("windows-125")) => {
            utf8(bytes)
        }
        _ => Err(Error::UnsupportedEncoding { line: 1 }),
    }
}

fn declared_encoding(bytes: &[u8]) -> Option<String> {
    let bytes = bytes.trim_ascii_start();
    let head = &bytes[..bytes.len().min(DECLARATION_BYTES)];
    let end = head.windows(2).position(|pair| pair == b"?>")? + 2;
    let declaration = std::str::from_utf8(&head[..end]).ok()?;
    match Reader::from_str(declaration).read_event() {
        Ok(Event::Decl(declaration)) => declaration.encoding()?.ok().map(Cow::into_owned),
        _ => None,
    }
}

/// Windows-1252, which contains what ISO-8859-1 has that XML allows and people need; files that say one mean the other.
fn western(bytes: &[u8]) -> Result<String, Error> {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        let c = match byte {
            0x80..=0x9f => WINDOWS_1252[usize::from(byte - 0x80)],
            _ => char::from(byte),
        };
        if c == '\0' && byte != 0 {
            return Err(Error::BadEncoding {
                line: Lines::of(&text).at(text.len()),
                encoding: "Windows-1252",
            });
        }
        text.push(c);
    }
    Ok(text)
}

/// Longest declaration that is looked at: version, encoding and standalone take under 100 bytes.
const DECLARATION_BYTES: usize = 512;

/// The bytes 0x80 to 0x9f in Windows-1252; `\0` where it has no character.
#[rustfmt::skip]
const WINDOWS_1252: [char; 32] = [
    '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0',
    '\0', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
];
