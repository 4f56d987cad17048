//! A file of certificates, as people really have them.
//!
//! Libraries lose certificates in silence: a byte order mark loses the first, glued blocks lose one, a label that is not
//! known is skipped, a block that is cut off vanishes with the one after it. Here every BEGIN marker is accounted for, as
//! a block or as a reject with its line and the reason, and one bad block never costs a good one.

mod binary;
mod body;
mod der;
mod marker;
mod other;
mod pem;
mod sink;
mod text;
mod trusted;

use sink::Sink;

/// What a file may hold before it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Size of the whole file in bytes.
    pub max_bytes: usize,
    /// Number of certificates in one file.
    pub max_certificates: usize,
    /// Size of one certificate's DER in bytes.
    pub max_certificate_bytes: usize,
}

/// What the bytes turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// No certificate and no block was found: empty, or only other text.
    Unknown,
    /// RFC 7468 textual encoding, as lenient as the field needs.
    Pem,
    /// One or more bare DER certificates.
    Der,
    /// A PKCS#7 `SignedData` in DER or BER.
    Pkcs7,
}

/// A certificate's bytes as found: only its outermost DER length has been judged, not its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The certificate's DER.
    pub der: Vec<u8>,
    /// Line of the BEGIN marker, from 1; 1 for a file without lines.
    pub line: u32,
    /// Position among the certificates of the file, from 1 (what tells PKCS#7 and DER certificates apart).
    pub position: u32,
}

/// Something that is not an anchor, with its place and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Line of the BEGIN marker, from 1; 1 for a file without lines.
    pub line: u32,
    /// The reason as a stable code.
    pub reason: Reason,
    /// One sentence with the facts: never any content of the file.
    pub detail: String,
}

/// Why a block was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The file ends, or another block begins, before the END marker.
    Truncated,
    /// The text between the markers is not base64.
    BadBase64,
    /// The bytes are not one DER value, or not an X.509 certificate.
    NotX509,
    /// A private key: it has no business in a file of certificates.
    PrivateKey,
    /// A block with another label (a CRL, a request, parameters).
    OtherLabel,
    /// A `TRUSTED CERTIFICATE` whose settings reject, or do not include, TLS server authentication.
    Distrusted,
    /// An END marker without a BEGIN marker.
    StrayEnd,
    /// A limit was reached.
    TooLarge,
    /// More certificates than the limit.
    TooMany,
    /// A PKCS#7 structure that could not be read.
    BadPkcs7,
    /// The file holds text, but no certificate at all (an error page, say).
    NoCertificate,
}

/// What a file was converted from, for a hint to its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// A UTF-8 byte order mark was skipped.
    Utf8Bom,
    /// UTF-16 text was decoded.
    Utf16,
    /// CRLF or CR line ends.
    ForeignLineEnds,
    /// The label `X509 CERTIFICATE`.
    X509Label,
    /// The label `TRUSTED CERTIFICATE`: its auxiliary settings were read and dropped.
    TrustedLabel,
    /// PKCS#7 instead of PEM certificates.
    Pkcs7,
    /// DER instead of PEM.
    Der,
    /// Two markers on one line.
    GluedBlocks,
    /// No line end after the last marker.
    NoFinalNewline,
    /// Text other than comments between blocks.
    ProseBetweenBlocks,
    /// Bytes such as NUL that do not belong in text.
    ControlBytes,
}

/// All that a file of certificates holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// What the bytes turned out to be.
    pub encoding: Encoding,
    /// The certificates, in the order of the file.
    pub blocks: Vec<Block>,
    /// Everything else that claims to be something, in the order of the file.
    pub rejects: Vec<Reject>,
    /// What was converted, each once, sorted.
    pub notes: Vec<Note>,
    /// True if the last block is cut off at the end of the file: it may still be being written.
    pub ends_inside_block: bool,
}

impl Default for Limits {
    /// 16 MiB and 20,000 certificates: twice the largest store that is measured (10,000 certificates in 7 MB). 64 KiB a
    /// certificate: the largest seen in public logs is a few KiB; one with thousands of names still fits.
    fn default() -> Self {
        Self { max_bytes: 16 << 20, max_certificates: 20_000, max_certificate_bytes: 64 << 10 }
    }
}

/// Reads a file of certificates.
///
/// Takes time linear in `bytes`, whatever they are.
#[must_use]
pub fn scan(bytes: &[u8], limits: &Limits) -> Scan {
    let mut sink = Sink::new(limits);
    if bytes.len() > limits.max_bytes {
        let detail = format!(
            "the file has {} bytes, the limit is {}: split it, or raise max-bytes in [sources]",
            bytes.len(),
            limits.max_bytes
        );
        sink.reject(1, Reason::TooLarge, detail);
    } else if !der::looks_binary(bytes) {
        pem::scan(&text::decode(bytes, &mut sink), &mut sink);
    } else if let Some(rest) = binary::scan(bytes, 1, &mut sink) {
        after_der(rest, &mut sink);
    }
    sink.finish()
}

/// What follows the DER values of a file: nothing, PEM that was appended, or what nobody can name.
fn after_der(rest: &[u8], sink: &mut Sink<'_>) {
    let text = text::decode(rest, sink);
    if marker::next(&text, 0).is_some() {
        pem::scan(&text, sink);
    } else if !rest.trim_ascii().is_empty() {
        let detail = format!("{} bytes follow the last certificate", rest.len());
        sink.reject(1, Reason::NotX509, detail);
    }
}

/// Gives an enum its stable codes, both ways, from one table.
macro_rules! codes {
    ($name:ident { $($variant:ident => $code:literal),+ $(,)? }) => {
        impl $name {
            /// The stable code that JSON, logs and metrics share.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),+ }
            }

            /// The variant with this code.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

codes!(Encoding { Unknown => "unknown", Pem => "pem", Der => "der", Pkcs7 => "pkcs7" });

codes!(Reason {
    Truncated => "truncated",
    BadBase64 => "bad-base64",
    NotX509 => "not-x509",
    PrivateKey => "private-key",
    OtherLabel => "other-label",
    Distrusted => "distrusted",
    StrayEnd => "stray-end",
    TooLarge => "too-large",
    TooMany => "too-many",
    BadPkcs7 => "bad-pkcs7",
    NoCertificate => "no-certificate",
});

codes!(Note {
    Utf8Bom => "utf8-bom",
    Utf16 => "utf16",
    ForeignLineEnds => "foreign-line-ends",
    X509Label => "x509-label",
    TrustedLabel => "trusted-label",
    Pkcs7 => "pkcs7",
    Der => "der",
    GluedBlocks => "glued-blocks",
    NoFinalNewline => "no-final-newline",
    ProseBetweenBlocks => "prose-between-blocks",
    ControlBytes => "control-bytes",
});

#[cfg(test)]
mod tests;
