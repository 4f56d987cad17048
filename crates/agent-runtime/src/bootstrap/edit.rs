//! What becomes of a source's text: a certificate is added behind what is there, which stays octet by octet.

use std::fmt::Write as _;

use jiff::Timestamp;
use trust_core::bundle::{push_comment, push_pem};
use trust_core::source::Content;
use trust_core::{Certificate, Fingerprint};
use trust_formats::certificates::{Encoding, Limits};

/// What is to be added.
#[derive(Debug, Clone, Copy)]
pub struct Addition<'a> {
    /// The certificate.
    pub certificate: &'a Certificate,
    /// Whom it was fetched from, for the comment.
    pub from: &'a str,
    /// When.
    pub at: Timestamp,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// Nothing: the file holds it already.
    Present {
        /// In this line.
        line: u32,
    },
    /// Another content.
    Change(Change),
}

/// Another content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Where the certificate is.
    pub line: u32,
    /// The certificates that are in it no more: fingerprint and subject, in the order of the old content.
    pub removed: Vec<(Fingerprint, String)>,
    /// What the file is, where other programs may not read it.
    pub encoding: Encoding,
}

/// Why a file cannot be added to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It ends inside a block.
    #[error("it ends inside the block of line {line}: it is being written, or it was cut off")]
    Cut {
        /// The block's line.
        line: u32,
    },
    /// It holds something, and no certificate.
    #[error("it is no file of certificates")]
    Foreign,
    /// It would be larger than a source may be.
    #[error("it would be larger than a source may be: {detail}")]
    TooLarge {
        /// Which limit.
        detail: String,
    },
    /// What is there and what is added cannot both be read from one file.
    #[error("what is in it and a block behind it cannot be read together")]
    WouldNotRead,
}

impl EditError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cut { .. } => "file-cut-off",
            Self::Foreign => "not-certificates",
            Self::TooLarge { .. } => "too-large",
            Self::WouldNotRead => "unreadable-together",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Cut { .. } => "wait for its writer, or mend the block: `agentctl lint` shows it",
            Self::Foreign => "name another file, or one that does not exist yet",
            Self::TooLarge { .. } => "take what is not needed out of it, or raise the limits in [sources]",
            Self::WouldNotRead => "convert it to PEM first, or begin it anew with --replace",
        }
    }
}

/// Adds a certificate at the end of a file, in the file's own kind of text. `existing` is `None` where there is none.
///
/// # Errors
/// [`EditError`] where the outcome would not hold exactly what is there and the new certificate behind it.
pub fn append(existing: Option<&[u8]>, addition: &Addition<'_>, limits: &Limits) -> Result<Edit, EditError> {
    let existing = existing.unwrap_or_default();
    let before = Content::parse(existing, limits);
    let sha256 = addition.certificate.fingerprint();
    if let Some(found) = before.found.iter().find(|found| found.certificate.fingerprint() == sha256) {
        return Ok(Edit::Present { line: found.line });
    }
    if before.incomplete {
        return Err(EditError::Cut { line: before.rejects.last().map_or(1, |reject| reject.line) });
    }
    if before.found.is_empty() && !before.rejects.is_empty() {
        return Err(EditError::Foreign);
    }
    let block = text(addition);
    let mut failure = EditError::WouldNotRead;
    for form in forms(existing) {
        let mut bytes = existing.to_vec();
        bytes.extend(form.encode(&block, existing));
        let after = Content::parse(&bytes, limits);
        if holds_both(&before, &after, sha256) {
            let line = after.found.last().map_or(1, |found| found.line);
            return Ok(Edit::Change(Change { bytes, line, removed: Vec::new(), encoding: before.encoding }));
        }
        let too = |reject: &&trust_formats::certificates::Reject| {
            matches!(reject.reason.code(), "too-large" | "too-many")
        };
        if let Some(reject) = after.rejects.iter().find(too) {
            failure = EditError::TooLarge { detail: reject.detail.clone() };
        }
    }
    Err(failure)
}

/// A file with this certificate alone, and what is lost by it.
///
/// # Errors
/// None today; the same type as [`append`], so that they can stand for one another.
pub fn replace(existing: Option<&[u8]>, addition: &Addition<'_>, limits: &Limits) -> Result<Edit, EditError> {
    let before = Content::parse(existing.unwrap_or_default(), limits);
    let sha256 = addition.certificate.fingerprint();
    if let [only] = before.found.as_slice()
        && only.certificate.fingerprint() == sha256
        && before.rejects.is_empty()
    {
        return Ok(Edit::Present { line: only.line });
    }
    let bytes = text(addition).into_bytes();
    let line = Content::parse(&bytes, limits).found.first().map_or(1, |found| found.line);
    let lost =
        before.found.iter().map(|found| &found.certificate).filter(|lost| lost.fingerprint() != sha256);
    let removed = lost.map(|lost| (lost.fingerprint(), lost.subject().to_owned())).collect();
    Ok(Edit::Change(Change { bytes, line, removed, encoding: Encoding::Pem }))
}

/// Comments that say whence it came, and the block.
fn text(addition: &Addition<'_>) -> String {
    let certificate = addition.certificate;
    let mut text = String::from("# fetched from ");
    push_comment(&mut text, addition.from);
    // Writing to a String cannot fail.
    let _ = write!(text, " at {:.0}, SHA-256 {}\n# ", addition.at, certificate.fingerprint());
    push_comment(
        &mut text,
        if certificate.subject().is_empty() { "(no subject)" } else { certificate.subject() },
    );
    text.push('\n');
    push_pem(&mut text, certificate.der());
    text
}

fn holds_both(before: &Content, after: &Content, added: Fingerprint) -> bool {
    let before_and_new = before.found.iter().map(|found| found.certificate.fingerprint()).chain([added]);
    after.found.iter().map(|found| found.certificate.fingerprint()).eq(before_and_new)
        && after.rejects.len() == before.rejects.len()
        && !after.incomplete
}

/// How text is written into a file.
#[derive(Debug, Clone, Copy)]
enum Form {
    Ascii,
    Utf16(fn(u16) -> [u8; 2], fn([u8; 2]) -> u16),
}

/// The form that a file seems to have, and ASCII, which goes with most.
fn forms(existing: &[u8]) -> Vec<Form> {
    let little = Form::Utf16(u16::to_le_bytes, u16::from_le_bytes);
    let big = Form::Utf16(u16::to_be_bytes, u16::from_be_bytes);
    match existing {
        [0xff, 0xfe, ..] => vec![little, Form::Ascii],
        [0xfe, 0xff, ..] => vec![big, Form::Ascii],
        [a, 0, b, 0, ..] if *a != 0 && *b != 0 => vec![little, Form::Ascii],
        [0, a, 0, b, ..] if *a != 0 && *b != 0 => vec![big, Form::Ascii],
        _ => vec![Form::Ascii],
    }
}

impl Form {
    /// The block with the line ends that the file has, and one before it where the last line has none.
    fn encode(self, block: &str, existing: &[u8]) -> Vec<u8> {
        let count = |wanted: u8| existing.iter().filter(|byte| **byte == wanted).count();
        let end = if count(b'\r') * 2 > count(b'\n') { "\r\n" } else { "\n" };
        let mut text = String::new();
        if !existing.is_empty() && !self.ends_a_line(existing) {
            text.push_str(end);
        }
        for line in block.lines() {
            text.push_str(line);
            text.push_str(end);
        }
        match self {
            Self::Ascii => text.into_bytes(),
            Self::Utf16(to_bytes, _) => text.encode_utf16().flat_map(to_bytes).collect(),
        }
    }

    fn ends_a_line(self, existing: &[u8]) -> bool {
        let last = match self {
            Self::Ascii => existing.last().copied().map(u16::from),
            Self::Utf16(_, from_bytes) => existing.last_chunk().copied().map(from_bytes),
        };
        last.is_some_and(|last| last == u16::from(b'\n') || last == u16::from(b'\r'))
    }
}
