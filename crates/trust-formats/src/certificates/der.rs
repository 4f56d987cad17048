//! As much of DER and BER (X.690) as it takes to find certificates: tags and lengths, indefinite ones too.

/// Universal tags (X.680 §8.6), constructed bit included where the type is.
pub(super) const INTEGER: u8 = 0x02;
/// OBJECT IDENTIFIER.
pub(super) const OID: u8 = 0x06;
/// SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;
/// Context-specific, constructed, number 0.
pub(super) const CONTEXT_0: u8 = 0xa0;

/// PKCS#7 as people send it nests five levels deep; what is deeper was made to hurt.
const MAX_DEPTH: u32 = 32;

/// One value: tag, content, and the number of bytes that it takes with both.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    pub(super) total: usize,
}

/// A text file can begin with the byte 0x30, a "0"; but then no length octet of the long form follows.
pub(super) fn looks_binary(bytes: &[u8]) -> bool {
    matches!(bytes, [SEQUENCE, 0x80..=0x84, ..])
}

/// Reads the value at the start of `bytes`; `None` where it is cut off, malformed or nested beyond sense.
pub(super) fn element(bytes: &[u8]) -> Option<Element<'_>> {
    element_within(bytes, MAX_DEPTH)
}

fn element_within(bytes: &[u8], depth: u32) -> Option<Element<'_>> {
    /// In the identifier octet: the tag number is in the octets that follow (X.690 §8.1.2.4). Nothing here has one.
    const LONG_TAG: u8 = 0x1f;
    let (&tag, rest) = bytes.split_first()?;
    let (&first, after) = rest.split_first()?;
    if tag & LONG_TAG == LONG_TAG {
        return None;
    }
    match first {
        0x80 => indefinite(tag, bytes, after, depth.checked_sub(1)?),
        0..0x80 => definite(tag, bytes, 2, usize::from(first)),
        0x81..=0x84 => {
            let count = usize::from(first & 0x7f);
            let octets = after.get(..count)?;
            let length = octets.iter().fold(0usize, |length, octet| length << 8 | usize::from(*octet));
            definite(tag, bytes, 2 + count, length)
        }
        _ => None,
    }
}

fn definite(tag: u8, bytes: &[u8], header: usize, length: usize) -> Option<Element<'_>> {
    let total = header.checked_add(length)?;
    Some(Element { tag, content: bytes.get(header..total)?, total })
}

/// Up to the end-of-contents octets (X.690 §8.1.5), whatever lies between.
fn indefinite<'a>(tag: u8, bytes: &'a [u8], content: &'a [u8], depth: u32) -> Option<Element<'a>> {
    let mut length = 0;
    loop {
        let rest = content.get(length..)?;
        if rest.starts_with(&[0, 0]) {
            return Some(Element { tag, content: &content[..length], total: bytes.len() - rest.len() + 2 });
        }
        length += element_within(rest, depth)?.total;
    }
}

/// The values that follow one another in `content`, up to the first that cannot be read.
pub(super) fn children(content: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let element = element(rest)?;
        rest = &rest[element.total..];
        Some(element)
    })
}

/// `Ok` where `bytes` are exactly one DER SEQUENCE, which is all that is judged of a certificate here.
pub(super) fn exact(bytes: &[u8]) -> Result<(), String> {
    if !matches!(bytes.first(), Some(&SEQUENCE)) {
        return Err("what is encoded here is not a certificate".to_owned());
    }
    match element(bytes) {
        _ if matches!(bytes, [_, 0x80, ..]) => {
            Err("the certificate has BER's indefinite length, which DER forbids".to_owned())
        }
        Some(element) if element.total == bytes.len() => Ok(()),
        Some(element) => Err(format!("{} bytes follow the certificate", bytes.len() - element.total)),
        None => Err("the certificate is cut off: its length says that more bytes belong to it".to_owned()),
    }
}
