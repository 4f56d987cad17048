//! As much of DER and BER (X.690) as it takes to find certificates: tags and lengths, indefinite ones too.
//!
//! Own code instead of the `der` and `cms` crates: Windows and old OpenSSL write PKCS#7 in BER with indefinite
//! lengths, which those refuse, and all that is wanted is where each certificate begins and ends.

/// Universal tags (X.680 §8.6), constructed bit included where the type is.
pub(super) const INTEGER: u8 = 0x02;
/// OCTET STRING.
pub(super) const OCTET_STRING: u8 = 0x04;
/// OBJECT IDENTIFIER.
pub(super) const OID: u8 = 0x06;
/// SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;
/// Context-specific, constructed, number 0.
pub(super) const CONTEXT_0: u8 = 0xa0;

/// Indefinite lengths in PKCS#7 as people send it nest five levels deep; what is deeper was made to hurt. Each level
/// is a call, so this bounds the stack.
const MAX_DEPTH: u32 = 32;

/// One value: tag, content, and the number of bytes that it takes with both.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    pub(super) total: usize,
}

/// Why there is no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// More bytes belong to it than there are.
    Cut,
    /// No more bytes would make a value of it.
    Malformed,
}

/// A text file can begin with the byte 0x30, a "0"; but then no length octet of the long form follows.
pub(super) fn looks_binary(bytes: &[u8]) -> bool {
    matches!(bytes, [SEQUENCE, 0x80..=0x84, ..])
}

/// Reads the value at the start of `bytes`.
pub(super) fn element(bytes: &[u8]) -> Result<Element<'_>, Flaw> {
    element_within(bytes, MAX_DEPTH)
}

/// The values that follow one another in `content`, up to the first that cannot be read.
pub(super) fn children(content: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let element = element(rest).ok()?;
        rest = &rest[element.total..];
        Some(element)
    })
}

/// Whether `content` is values from its first byte to its last.
pub(super) fn is_whole(content: &[u8]) -> bool {
    children(content).map(|child| child.total).sum::<usize>() == content.len()
}

/// `Ok` where `bytes` are exactly one DER SEQUENCE, which is all that is judged of a certificate here.
pub(super) fn exact(bytes: &[u8]) -> Result<(), String> {
    if bytes.first() != Some(&SEQUENCE) {
        return Err("what is encoded here is not a certificate".to_owned());
    }
    if !length_is_der(bytes) {
        return Err("the certificate's length is written in a form of BER that DER forbids".to_owned());
    }
    match element(bytes) {
        Ok(element) if element.total == bytes.len() => Ok(()),
        Ok(element) => Err(format!("{} bytes follow the certificate", bytes.len() - element.total)),
        Err(Flaw::Cut) => {
            Err("the certificate is cut off: its length says that more bytes belong to it".to_owned())
        }
        Err(Flaw::Malformed) => Err("the certificate's length cannot be read".to_owned()),
    }
}

fn element_within(bytes: &[u8], depth: u32) -> Result<Element<'_>, Flaw> {
    /// In the identifier octet: the tag number is in the octets that follow (X.690 §8.1.2.4). Nothing here has one.
    const LONG_TAG: u8 = 0x1f;
    let (&tag, rest) = bytes.split_first().ok_or(Flaw::Cut)?;
    if tag & LONG_TAG == LONG_TAG {
        return Err(Flaw::Malformed);
    }
    let (&first, after) = rest.split_first().ok_or(Flaw::Cut)?;
    match first {
        0x80 => indefinite(tag, bytes, after, depth.checked_sub(1).ok_or(Flaw::Malformed)?),
        0..0x80 => definite(tag, bytes, 2, usize::from(first)),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let octets = after.get(..count).ok_or(Flaw::Cut)?;
            let length = octets.iter().fold(0usize, |length, octet| length << 8 | usize::from(*octet));
            definite(tag, bytes, 2 + count, length)
        }
        _ => Err(Flaw::Malformed),
    }
}

fn definite(tag: u8, bytes: &[u8], header: usize, length: usize) -> Result<Element<'_>, Flaw> {
    let total = header.checked_add(length).ok_or(Flaw::Malformed)?;
    Ok(Element { tag, content: bytes.get(header..total).ok_or(Flaw::Cut)?, total })
}

/// Up to the end-of-contents octets (X.690 §8.1.5), whatever lies between.
fn indefinite<'a>(tag: u8, bytes: &'a [u8], content: &'a [u8], depth: u32) -> Result<Element<'a>, Flaw> {
    let mut length = 0;
    loop {
        let rest = content.get(length..).ok_or(Flaw::Cut)?;
        if rest.starts_with(&[0, 0]) {
            return Ok(Element { tag, content: &content[..length], total: bytes.len() - rest.len() + 2 });
        }
        length += element_within(rest, depth)?.total;
    }
}

/// X.690 §10.1: definite, and in as few octets as possible.
fn length_is_der(bytes: &[u8]) -> bool {
    match bytes {
        [_, 0x81, first, ..] => *first >= 0x80,
        [_, 0x80, ..] | [_, 0x82..=0x84, 0, ..] => false,
        _ => true,
    }
}
