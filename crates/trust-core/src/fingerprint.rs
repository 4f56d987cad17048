//! The SHA-256 of a certificate's DER, or of any other bytes.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use foldhash::fast::RandomState;
use sha2::{Digest as _, Sha256};

/// A SHA-256. Of a certificate's DER it is the certificate's identity; of a file's bytes, the file's.
///
/// Written as 64 lower-case hex digits. Read in any spelling that people paste: see [`Fingerprint::from_str`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

/// What is known by fingerprint. A merge of 10,000 looks up tens of thousands, and a digest needs no second one: what it
/// is folded with is drawn anew for each map, so nobody can tell beforehand where in it a
/// certificate comes.
pub type FingerprintMap<T> = HashMap<Fingerprint, T, RandomState>;

/// Fingerprints without order.
pub type FingerprintSet = HashSet<Fingerprint, RandomState>;

/// By half of it, which nobody can make equal for two certificates on purpose.
impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write(&self.0[..16]);
    }
}

impl Fingerprint {
    /// The SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hex digits, in ASCII: a text without an allocation, where there are tens of thousands of them.
    #[must_use]
    pub fn digits(&self) -> [u8; 64] {
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&PAIRS[usize::from(byte)]);
        }
        digits
    }

    /// The first 8 hex digits, for tables; enough to tell the anchors of one store apart.
    #[must_use]
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

/// The SHA-256 of bytes that come one part after another.
#[derive(Debug, Clone, Default)]
pub struct Parts(Sha256);

impl Parts {
    /// The next part.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The SHA-256 of all of them.
    #[must_use]
    pub fn finish(self) -> Fingerprint {
        Fingerprint(self.0.finalize().into())
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a SHA-256 fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Something other than hex digits and separators.
    #[error("a fingerprint is hex digits, with or without colons and spaces: {0:?} is neither")]
    NotHex(char),
    /// Not 64 hex digits.
    #[error("a SHA-256 fingerprint has 64 hex digits, this has {0}")]
    Length(usize),
}

impl FromStr for Fingerprint {
    type Err = ParseError;

    /// Accepts either case, colons, blanks, a `sha256:` prefix, and the invisible U+200E that a Windows console
    /// copies along.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Some(plain) = plain(text) {
            return Ok(plain);
        }
        let digits = hex_digits(text)?;
        let bytes: [u8; 32] = digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect::<Vec<u8>>()
            .try_into()
            .map_err(|_| ParseError::Length(digits.len()))?;
        if digits.len() == 64 { Ok(Self(bytes)) } else { Err(ParseError::Length(digits.len())) }
    }
}

/// As we write it: a state has tens of thousands of these. No branch depends on a digit, for none can be foreseen: a
/// processor that guesses whether the next one is a letter is wrong half of the time.
fn plain(text: &str) -> Option<Fingerprint> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    let mut seen = 0;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]);
        seen |= high | low;
        *byte = high << 4 | low & 15;
    }
    (seen != NO_DIGIT).then_some(Fingerprint(bytes))
}

/// The values of the hex digits of a pasted fingerprint of any length, separators and prefix dropped.
///
/// # Errors
/// [`ParseError::NotHex`] names the first character that is neither a digit nor a separator.
pub fn hex_digits(text: &str) -> Result<Vec<u8>, ParseError> {
    let text = text.trim();
    let bare = ["sha256:", "SHA256:", "sha-256:", "SHA-256:", "sha1:", "SHA1:"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix))
        .unwrap_or(text);
    bare.chars()
        .filter(|c| !(c.is_whitespace() || matches!(c, ':' | '-' | '\u{200e}' | '\u{200f}' | '\u{feff}')))
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()).ok_or(ParseError::NotHex(c)))
        .collect()
}

/// The two digits of each byte, to be looked up: a merge of 10,000 prints tens of thousands of fingerprints.
const PAIRS: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// The value of each lower-case digit.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut byte = 0;
    while byte < PAIRS.len() {
        values[PAIRS[byte][1] as usize] = byte as u8 & 15;
        byte += 1;
    }
    values
};

/// Has bits that no value has.
const NO_DIGIT: u8 = 0xff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_paste() {
        let plain = Fingerprint::of(b"agentd").to_string();
        let colons = plain
            .as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair).to_uppercase())
            .collect::<Vec<_>>()
            .join(":");
        let windows = format!("\u{200e}{}", colons.replace(':', " "));
        for spelling in [plain.clone(), colons, windows, format!("sha256:{plain}"), format!("  {plain}\n")] {
            assert_eq!(
                spelling.parse::<Fingerprint>().map(|f| f.to_string()),
                Ok(plain.clone()),
                "{spelling}"
            );
        }
    }

    #[test]
    fn parts_are_the_whole() {
        let mut parts = Parts::default();
        for part in [b"age".as_slice(), b"", b"ntd"] {
            parts.push(part);
        }
        assert_eq!(parts.finish(), Fingerprint::of(b"agentd"));
    }

    #[test]
    fn each_digit_has_its_value_and_nothing_else_has_one() {
        let plainly = |text: &str| u8::from_str_radix(text.get(..2)?, 16).ok();
        for c in (0..=u8::MAX).map(char::from) {
            for pair in [format!("{c}0"), format!("0{c}"), format!("{c}f"), format!("f{c}")] {
                let text = format!("{pair}{}", "a".repeat(64 - pair.len()));
                let expected = plainly(&pair).filter(|_| !c.is_ascii_uppercase() && c != '+');
                assert_eq!(plain(&text).map(|read| read.0[0]), expected, "{text}");
            }
        }
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!("".parse::<Fingerprint>(), Err(ParseError::Length(0)));
        assert_eq!("ab:cd".parse::<Fingerprint>(), Err(ParseError::Length(4)));
        assert_eq!("xyz".parse::<Fingerprint>(), Err(ParseError::NotHex('x')));
        assert_eq!("a".repeat(65).parse::<Fingerprint>(), Err(ParseError::Length(65)));
    }
}
