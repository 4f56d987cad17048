//! Why a chain is refused, as stable codes.

/// What became of an anchor, or of a whole chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// It verifies.
    Ok,
    /// No anchor has the name of the issuer.
    NoIssuer,
    /// An anchor has the issuer's name and another key.
    IssuerKeyDiffers,
    /// The anchor is no CA, and is not the presented certificate itself.
    AnchorMayNotIssue,
    /// The chain holds something that cannot be read.
    Malformed,
    /// The server's certificate is of version 1 and is not itself an anchor.
    Version1,
    /// Too much work was asked for.
    TooComplex,
    /// An algorithm that is not supported.
    UnsupportedAlgorithm,
    /// A certificate is signed with SHA-1 or MD5.
    WeakSignature,
    /// A key is too short.
    WeakKey,
    /// A presented intermediate is no CA.
    IntermediateMayNotIssue,
    /// The server's certificate is a CA's and was issued by another.
    CaAsLeaf,
    /// A critical extension is not understood.
    UnknownCriticalExtension,
    /// Key usage or extended key usage exclude TLS servers.
    WrongPurpose,
    /// More intermediates than a CA allows.
    PathTooLong,
    /// A name is outside what a CA may name.
    NameConstraint,
    /// A certificate is not valid yet.
    NotYetValid,
    /// A certificate is past its end.
    Expired,
    /// The certificate is not for this host.
    NameMismatch,
    /// The certificate is not the one that was pinned.
    PinMismatch,
}

impl Code {
    /// The stable code that JSON, logs and metrics share.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NoIssuer => "no-issuer",
            Self::IssuerKeyDiffers => "issuer-key-differs",
            Self::AnchorMayNotIssue => "anchor-may-not-issue",
            Self::Malformed => "malformed",
            Self::Version1 => "version-1",
            Self::TooComplex => "too-complex",
            Self::UnsupportedAlgorithm => "unsupported-algorithm",
            Self::WeakSignature => "weak-signature",
            Self::WeakKey => "weak-key",
            Self::IntermediateMayNotIssue => "intermediate-may-not-issue",
            Self::CaAsLeaf => "ca-as-leaf",
            Self::UnknownCriticalExtension => "unknown-critical-extension",
            Self::WrongPurpose => "wrong-purpose",
            Self::PathTooLong => "path-too-long",
            Self::NameConstraint => "name-constraint",
            Self::NotYetValid => "not-yet-valid",
            Self::Expired => "expired",
            Self::NameMismatch => "name-mismatch",
            Self::PinMismatch => "pin-mismatch",
        }
    }
}
