//! Names in the form in which they are compared (RFC 5280 §7.1, after RFC 4518's string preparation).

use x509_parser::asn1_rs::Tag;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Two names are equal where these are: string type, letter case, and white space at the ends and repeated inside do not
/// count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CanonicalName(Box<[u8]>);

impl CanonicalName {
    /// The canonical form of a name. An attribute that is no string counts by its bytes.
    #[must_use]
    pub fn of(name: &X509Name<'_>) -> Self {
        let mut canonical = Vec::with_capacity(name.as_raw().len());
        for rdn in name.iter_rdn() {
            // A set: its order is the encoder's.
            let mut attributes: Vec<Vec<u8>> = rdn
                .iter()
                .map(|attribute| {
                    let mut bytes = attribute.attr_type().as_bytes().to_vec();
                    match text_of(attribute) {
                        Some(text) => field(&mut bytes, b's', fold(&text).as_bytes()),
                        None => field(&mut bytes, b'b', attribute.as_slice()),
                    }
                    bytes
                })
                .collect();
            attributes.sort_unstable();
            field(&mut canonical, b'r', &attributes.concat());
        }
        Self(canonical.into())
    }

    /// An empty name, which names nobody: many certificates have it as their subject.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes, equal where the names are.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The text of an attribute of any of the string types of X.520; Windows CAs of the nineties wrote BMPString and
/// TeletexString.
pub(super) fn text_of(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let bytes = attribute.as_slice();
    match attribute.attr_value().tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            std::str::from_utf8(bytes).ok().map(str::to_owned)
        }
        // What is written as T.61 is Latin-1 in truth (RFC 5280 §7.1 leaves it to us; OpenSSL does the same).
        Tag::TeletexString => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        Tag::BmpString if bytes.len().is_multiple_of(2) => {
            let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        Tag::UniversalString if bytes.len().is_multiple_of(4) => bytes
            .chunks_exact(4)
            .map(|unit| char::from_u32(u32::from_be_bytes([unit[0], unit[1], unit[2], unit[3]])))
            .collect(),
        _ => None,
    }
}

/// Kind, length, value: so that no two lists of values look alike.
fn field(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    out.push(kind);
    out.extend(u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(value);
}

fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.extend(word.chars().flat_map(char::to_lowercase));
    }
    folded
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::FromDer as _;

    use super::*;

    const UTF8: u8 = 0x0c;
    const PRINTABLE: u8 = 0x13;
    const TELETEX: u8 = 0x14;
    const BMP: u8 = 0x1e;

    /// A name of common names, one RDN each.
    fn name(values: &[(u8, &[u8])]) -> Vec<u8> {
        let tlv = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
        let rdns: Vec<u8> = values
            .iter()
            .flat_map(|(tag, value)| {
                let attribute = [tlv(6, &[0x55, 4, 3]), tlv(*tag, value)].concat();
                tlv(0x31, &tlv(0x30, &attribute))
            })
            .collect();
        tlv(0x30, &rdns)
    }

    fn canonical(der: &[u8]) -> CanonicalName {
        CanonicalName::of(&X509Name::from_der(der).unwrap().1)
    }

    #[test]
    fn spelling_does_not_count() {
        let plain = canonical(&name(&[(UTF8, b"Example Root")]));
        let bmp: Vec<u8> = "Example ROOT".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for other in [
            name(&[(PRINTABLE, b"Example Root")]),
            name(&[(UTF8, b"EXAMPLE root")]),
            name(&[(UTF8, b"  Example \t  Root ")]),
            name(&[(TELETEX, b"example root")]),
            name(&[(BMP, &bmp)]),
        ] {
            assert_eq!(canonical(&other), plain, "{other:02x?}");
        }
    }

    #[test]
    fn what_differs_differs() {
        let all = [
            name(&[(UTF8, b"Example Root")]),
            name(&[(UTF8, b"ExampleRoot")]),
            name(&[(UTF8, b"Example"), (UTF8, b"Root")]),
            name(&[(UTF8, b"Root"), (UTF8, b"Example")]),
            name(&[(UTF8, b"Example Root"), (UTF8, b"")]),
            name(&[(0x04, b"Example Root")]),
            name(&[]),
        ];
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                assert_ne!(canonical(one), canonical(other));
            }
        }
        assert!(canonical(&name(&[])).is_empty());
    }
}
