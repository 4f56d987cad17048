//! A settings policy: the XML file `policies/<guid>.xml`, whose `CurlSSL` elements say how to verify the management
//! server.

/// A value with the line it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value, entities resolved, white space as in the file.
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
