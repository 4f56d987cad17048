//! Any bytes as a chain and as anchors: no panic, the same answer twice, and nothing accepted that no anchor vouches for.
//!
//! The input is split at the marker octets `00 FF 00`: first the anchors, then after a doubled marker the chain.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use trust_core::Certificate;
use trust_tls::{AnchorSet, Presented, Request, verify};

const BETWEEN: &[u8] = b"\x00\xff\x00";

fuzz_target!(|bytes: &[u8]| {
    let mut parts = split(bytes);
    let end = parts.iter().position(|part| part.is_empty()).unwrap_or(parts.len());
    let chain = parts.split_off(end);
    let chain: Vec<&[u8]> = chain.into_iter().skip(1).collect();
    let Some(presented) = Presented::new(&chain) else { return };
    let set = AnchorSet::new(parts.iter().filter_map(|der| Certificate::parse(der).ok()).map(Arc::new));
    let at = "2026-06-01T00:00:00Z".parse().expect("a time");
    for host in ["server.example", "127.0.0.1"] {
        let request = Request::new(host, at);
        let verdict = verify(&set, &presented, &request);
        assert_eq!(verdict, verify(&set, &presented, &request));
        assert!(!verdict.detail.is_empty());
        if verdict.accepted {
            let anchor = set.get(verdict.anchor.expect("accepted by an anchor")).expect("a place in the set");
            assert_eq!(verdict.path.first(), Some(&presented.leaf.sha256));
            assert_eq!(verdict.path.last(), Some(&anchor.fingerprint()));
            assert_eq!(verdict.tried.last().map(|tried| tried.index), verdict.anchor);
        }
        // Without any anchor nothing is accepted.
        assert!(!verify(&AnchorSet::new([]), &presented, &request).accepted);
    }
});

fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        parts.push(&rest[..at]);
        rest = &rest[at + BETWEEN.len()..];
    }
    parts.push(rest);
    parts
}
