//! The seeds of the fuzz target `verify`, each as it is and with single octets changed: a short run of what the fuzzer
//! does for long. The changes are the same in every run.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use trust_core::Certificate;
use trust_tls::{AnchorSet, Presented, Request, verify};

/// Between two certificates of a seed; twice between anchors and chain.
const BETWEEN: &[u8] = b"\x00\xff\x00";
/// An octet in so many is changed, one at a time.
const STRIDE: usize = 29;

#[test]
fn no_damage_to_a_chain_or_its_anchors_goes_unanswered() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/verify");
    let entries = fs::read_dir(&directory).expect("the corpus is part of the project");
    let mut seeds = 0;
    for entry in entries.flatten() {
        let seed = fs::read(entry.path()).expect("a seed can be read");
        judge(&seed);
        for at in (0..seed.len()).step_by(STRIDE) {
            let mut damaged = seed.clone();
            damaged[at] ^= 0x55;
            judge(&damaged);
        }
        seeds += 1;
    }
    assert!(seeds > 5, "{} has its seeds", directory.display());
}

fn judge(bytes: &[u8]) {
    let mut parts = split(bytes);
    let end = parts.iter().position(|part| part.is_empty()).unwrap_or(parts.len());
    let chain: Vec<&[u8]> = parts.split_off(end).into_iter().skip(1).collect();
    let Some(presented) = Presented::new(&chain) else { return };
    let set = AnchorSet::new(parts.iter().filter_map(|der| Certificate::parse(der).ok()).map(Arc::new));
    let request = Request::new("server.example", "2026-06-01T00:00:00Z".parse().expect("a time"));
    let verdict = verify(&set, &presented, &request);
    assert_eq!(verdict, verify(&set, &presented, &request), "the same answer twice");
    assert!(!verdict.detail.is_empty());
    if verdict.accepted {
        let anchor = verdict.anchor.and_then(|index| set.get(index)).expect("accepted by an anchor");
        assert_eq!(verdict.path.last(), Some(&anchor.fingerprint()));
    }
    assert!(
        !verify(&AnchorSet::new([]), &presented, &request).accepted,
        "nothing is accepted without anchors"
    );
}

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
