//! A settings policy: the XML file `policies/<guid>.xml`, whose `CurlSSL` elements say how to verify the management
//! server.
//!
//! ```text
//!  bytes ──► text ──► document ──► elements ──► Policy
//! ```
//! A file is understood as a whole or not at all: where it is no well-formed XML, has a DOCTYPE, or goes beyond a limit,
//! [`parse`] says so with the line. A single value that makes no sense is an [`Issue`], and its strict reading is taken.

mod document;
mod elements;
mod error;
mod text;

#[cfg(test)]
mod tests;

pub use error::{Error, Guise};

/// Reads a policy file.
///
/// Any encoding that its bytes prove (UTF-8 or UTF-16, with or without a byte order mark) is read, whatever its
/// declaration says; Windows-1252 and ISO-8859-1 where they are declared.
///
/// # Errors
/// The whole file is refused for the reasons that [`Error`] lists, each with its line and none with any content.
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Policy, Error> {
    if bytes.len() > limits.bytes {
        return Err(Error::TooLarge { limit: limits.bytes });
    }
    document::read(&text::decode(bytes)?, limits)
}

/// What a policy file may hold before it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Size of the file in bytes.
    pub bytes: usize,
    /// Elements inside one another.
    pub depth: usize,
    /// Elements in the file.
    pub elements: usize,
    /// Attributes on one element.
    pub attributes: usize,
    /// `CurlSSL` elements in the file.
    pub curl_ssl: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A settings policy has some kilobytes, the largest with embedded scripts some hundred.
            bytes: 1 << 20,
            // Settings are five to ten levels deep; nobody writes 64 by hand or on purpose.
            depth: 64,
            // As many as fit at 16 bytes each: fewer make no sense within the size, more are not settings.
            elements: 1 << 16,
            // Several times what the richest element of a policy has.
            attributes: 256,
            // One is usual. Each can name a file and a directory that are read at every look at the sources.
            curl_ssl: 64,
        }
    }
}

/// A value with the line it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value, references resolved; a line end or tab inside it is a blank, as XML 1.0 (3.3.3) has it.
    pub value: T,
    /// Line in the file, from 1.
    pub line: u32,
}

/// One `CurlSSL` element. An attribute that is absent is `None`; an empty one is an empty string.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CurlSsl {
    /// Line of the element, from 1.
    pub line: u32,
    /// `CAInfo`: absolute path of a file of certificates.
    pub ca_info: Option<Placed<String>>,
    /// `CAPath`: absolute path of a directory of certificate files.
    pub ca_path: Option<Placed<String>>,
    /// `SSLVerifyPeer`.
    pub verify_peer: Option<Placed<bool>>,
    /// `SSLVerifyHost`.
    pub verify_host: Option<Placed<bool>>,
    /// `SSLNSPublicHttpsCertFingerprint`, as written.
    pub fingerprint: Option<Placed<String>>,
    /// `MinimumTLS`, as written: an attribute of our own.
    pub minimum_tls: Option<Placed<String>>,
}

/// What a policy file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The GUID that the root element names, lower case without braces; `None` where it names none.
    pub guid: Option<String>,
    /// The version that the root element names; `None` where it names none.
    pub version: Option<u64>,
    /// The `CurlSSL` elements at any depth, in document order.
    pub curl_ssl: Vec<CurlSsl>,
    /// `SHA256` of each `DistrustCertificate` element at any depth, in document order, as written.
    pub distrusted: Vec<Placed<String>>,
    /// Attribute values that were not understood, in document order.
    pub issues: Vec<Issue>,
}

/// A value that was not understood and what was done instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Line in the file, from 1.
    pub line: u32,
    /// One sentence: names the attribute, never shows text from elsewhere in the file.
    pub message: String,
}
