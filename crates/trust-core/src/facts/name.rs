//! Names in the form in which they are compared (RFC 5280 §7.1, after RFC 4518's string preparation).

use x509_parser::x509::X509Name;

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
                    match attribute.as_str() {
                        Ok(text) => field(&mut bytes, b's', fold(text).as_bytes()),
                        Err(_) => field(&mut bytes, b'b', attribute.as_slice()),
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
