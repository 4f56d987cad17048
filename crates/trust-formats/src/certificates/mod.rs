//! A file of certificates, as people really have them.

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
    /// Line of the BEGIN marker, from 1.
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

impl Reason {
    /// The stable code that JSON, logs and metrics share.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::BadBase64 => "bad-base64",
            Self::NotX509 => "not-x509",
            Self::PrivateKey => "private-key",
            Self::OtherLabel => "other-label",
            Self::Distrusted => "distrusted",
            Self::StrayEnd => "stray-end",
            Self::TooLarge => "too-large",
            Self::TooMany => "too-many",
            Self::BadPkcs7 => "bad-pkcs7",
            Self::NoCertificate => "no-certificate",
        }
    }
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
