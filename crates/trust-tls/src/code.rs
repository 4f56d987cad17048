//! Why a chain is refused, as stable codes.

/// What became of an anchor, or of a whole chain. Of several anchors that fail, the one whose code comes last in this
/// order came furthest, and tells most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// It verifies.
    Ok,
    /// No anchor has the name of the issuer.
    NoIssuer,
    /// An anchor has the issuer's name and another key.
    IssuerKeyDiffers,
    /// The server signs itself, and the store has an older or newer certificate of the same name and key.
    SelfSignedRenewed,
    /// The chain holds something that cannot be read.
    Malformed,
    /// An algorithm that is not supported.
    UnsupportedAlgorithm,
    /// A certificate is signed with SHA-1 or MD5.
    WeakSignature,
    /// A key is too short.
    WeakKey,
    /// Too much work was asked for.
    TooComplex,
    /// The anchor is no CA, and is not the presented certificate itself.
    AnchorMayNotIssue,
    /// A presented intermediate is no CA.
    IntermediateMayNotIssue,
    /// The server's certificate is of version 1 and is not itself an anchor.
    Version1,
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
    /// All of them, for the manual and for tests.
    pub const ALL: [Self; 21] = [
        Self::Ok,
        Self::NoIssuer,
        Self::IssuerKeyDiffers,
        Self::SelfSignedRenewed,
        Self::Malformed,
        Self::UnsupportedAlgorithm,
        Self::WeakSignature,
        Self::WeakKey,
        Self::TooComplex,
        Self::AnchorMayNotIssue,
        Self::IntermediateMayNotIssue,
        Self::Version1,
        Self::CaAsLeaf,
        Self::UnknownCriticalExtension,
        Self::WrongPurpose,
        Self::PathTooLong,
        Self::NameConstraint,
        Self::NotYetValid,
        Self::Expired,
        Self::NameMismatch,
        Self::PinMismatch,
    ];

    /// The stable code that JSON, logs and metrics share.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.entry().0
    }

    /// What it means, without the particulars of a case.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.entry().1
    }

    /// What to do about it; empty where there is nothing to do.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        self.entry().2
    }

    fn entry(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Ok => ("ok", "an anchor verifies the chain", ""),
            Self::NoIssuer => (
                "no-issuer",
                "no anchor of the store issued any certificate of the chain",
                "Put the certificate of the issuer, or the server's own, into a source",
            ),
            Self::IssuerKeyDiffers => (
                "issuer-key-differs",
                "an anchor has the issuer's name, but another key",
                "The CA was re-issued, and this endpoint missed the update: put the new CA certificate into a source",
            ),
            Self::SelfSignedRenewed => (
                "self-signed-renewed",
                "the server signs itself, and the store has another certificate of the same name and key",
                "The server's certificate was renewed: put the new one into a source",
            ),
            Self::Malformed => (
                "malformed",
                "a certificate breaks the rules of X.509 and cannot be judged",
                "Have it issued anew",
            ),
            Self::UnsupportedAlgorithm => (
                "unsupported-algorithm",
                "a certificate uses an algorithm that agentd does not have",
                "Have it issued with RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519, and SHA-256 \
                 or longer",
            ),
            Self::WeakSignature => (
                "weak-signature",
                "a certificate is signed with SHA-1 or MD5, which can be forged",
                "Have it issued anew with SHA-256, or put the server's own certificate into a source: an anchor's own \
                 signature does not matter",
            ),
            Self::WeakKey => (
                "weak-key",
                "a key is shorter than RSA 2048",
                "Have the certificate issued anew with RSA 2048 or longer, or ECDSA P-256",
            ),
            Self::TooComplex => (
                "too-complex",
                "the chain needs more work than is allowed for one connection",
                "Look at what the server sends: a usual chain has two to four certificates",
            ),
            Self::AnchorMayNotIssue => (
                "anchor-may-not-issue",
                "the anchor has the issuer's name and key, but it is no CA certificate, so it verifies itself alone",
                "Put the CA's certificate, or the server's own, into a source",
            ),
            Self::IntermediateMayNotIssue => (
                "intermediate-may-not-issue",
                "an intermediate is no CA certificate",
                "Have the server send the right chain; if it is right, somebody may be in between",
            ),
            Self::Version1 => (
                "version-1",
                "the server's certificate is X.509 version 1, which only itself can verify",
                "Put this very certificate into a source, or have one of version 3 issued",
            ),
            Self::CaAsLeaf => (
                "ca-as-leaf",
                "the server's certificate is that of a CA which another CA issued",
                "Have a server certificate issued, or put this very certificate into a source",
            ),
            Self::UnknownCriticalExtension => (
                "unknown-critical-extension",
                "a certificate has a critical extension that agentd does not understand, so it has to be refused (RFC 5280 §4.2)",
                "Have it issued without that extension, or not marked as critical",
            ),
            Self::WrongPurpose => (
                "wrong-purpose",
                "a certificate is not meant for TLS servers, by its key usage or extended key usage",
                "Have it issued for server authentication",
            ),
            Self::PathTooLong => (
                "path-too-long",
                "a CA allows fewer intermediates below it than there are",
                "Have the server's certificate issued by a CA further up, or put the intermediate into a source",
            ),
            Self::NameConstraint => (
                "name-constraint",
                "a CA may not issue certificates for this name",
                "Have the certificate issued by a CA that may, with the host as an alternative name, or put the server's own \
                 certificate into a source",
            ),
            Self::NotYetValid => (
                "not-yet-valid",
                "a certificate is not valid yet",
                "Compare the clock of this endpoint with another",
            ),
            Self::Expired => (
                "expired",
                "a certificate has expired",
                "Have it renewed; and compare the clock of this endpoint with another",
            ),
            Self::NameMismatch => (
                "name-mismatch",
                "the certificate is not for this host",
                "Connect by a name that it has, or have it issued anew with this one",
            ),
            Self::PinMismatch => (
                "pin-mismatch",
                "the server's certificate is not the pinned one",
                "If the server's certificate was renewed, have the pin in the policy or the configuration renewed too; if \
                 not, somebody may be in between",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_stable_and_each_its_own() {
        let codes: BTreeSet<&str> = Code::ALL.iter().map(|code| code.code()).collect();
        assert_eq!(codes.len(), Code::ALL.len());
        assert!(Code::ALL.is_sorted());
        for code in Code::ALL {
            assert!(
                code.code()
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            );
            assert!(!code.meaning().is_empty());
            assert_eq!(code.remedy().is_empty(), code == Code::Ok);
        }
    }
}
