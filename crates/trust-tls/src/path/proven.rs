//! Signatures that are known to be good need no second check: half the time of a verdict.
//!
//! webpki asks for them all the same. It gets its answer by comparing key, message and signature octet by octet with what
//! was proven, so that a place where it reads a certificate otherwise than we do is a refusal, never a yes.

use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};

use super::raw::{Parts, split_spki};
use crate::chain::Node;

/// One proven link: who is signed, and by which key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link<'a> {
    signed: &'a [u8],
    signature: &'a [u8],
    key: &'a [u8],
}

/// The links of a path whose signatures were all checked, up to the issuer of its last.
pub(super) fn links<'a>(path: &[Node<'a>], issuer: Parts<'a>) -> Option<Vec<Link<'a>>> {
    let issuers = path[1..].iter().map(|node| node.parts).chain([issuer]);
    let link = |(node, issuer): (&Node<'a>, Parts<'a>)| {
        let (_, key) = split_spki(issuer.spki)?;
        Some(Link { signed: node.parts.signed, signature: node.parts.signature, key })
    };
    path.iter().zip(issuers).map(link).collect()
}

/// An algorithm that answers from the links.
#[derive(Debug)]
pub(super) struct Proven<'a> {
    pub(super) algorithm: &'static dyn SignatureVerificationAlgorithm,
    pub(super) links: &'a [Link<'a>],
}

impl SignatureVerificationAlgorithm for Proven<'_> {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let same = |link: &Link<'_>| link.key == key && link.signed == message && link.signature == signature;
        if self.links.iter().any(same) { Ok(()) } else { Err(InvalidSignature) }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verifier::algorithms;

    #[test]
    fn only_what_was_proven() {
        let links = [
            Link { signed: b"one", signature: b"first", key: b"a" },
            Link { signed: b"two", signature: b"second", key: b"b" },
        ];
        let proven = Proven { algorithm: algorithms().all[0], links: &links };
        let is_good = |key: &[u8], message: &[u8], signature: &[u8]| {
            proven.verify_signature(key, message, signature).is_ok()
        };
        assert!(is_good(b"a", b"one", b"first") && is_good(b"b", b"two", b"second"));
        for (key, message, signature) in [
            ("b", "one", "first"),
            ("a", "two", "first"),
            ("a", "one", "second"),
            ("a", "one", ""),
            ("", "", ""),
            ("a", "on", "first"),
        ] {
            assert!(
                !is_good(key.as_bytes(), message.as_bytes(), signature.as_bytes()),
                "{key} {message} {signature}"
            );
        }
    }
}
