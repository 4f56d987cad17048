//! Any bytes as a file of certificates: no panic, every place lies in the file, every BEGIN marker is accounted for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust_formats::certificates::{Limits, Reason, scan};

fuzz_target!(|bytes: &[u8]| {
    let lines = u32::try_from(bytes.len()).unwrap_or(u32::MAX).saturating_add(1);
    let limits = Limits::default();
    let found = scan(bytes, &limits);
    for (index, block) in found.blocks.iter().enumerate() {
        assert!((1..=lines).contains(&block.line), "line {}", block.line);
        assert_eq!(usize::try_from(block.position), Ok(index + 1));
        assert!(block.der.first() == Some(&0x30) && block.der.len() <= limits.max_certificate_bytes);
    }
    assert!(found.rejects.iter().all(|reject| (1..=lines).contains(&reject.line)));
    // A structure of PKCS#7 is one marker and many certificates, so there can be more answers than markers.
    let answers = found.rejects.iter().filter(|reject| reject.reason != Reason::StrayEnd).count();
    let begins = bytes.windows(11).filter(|window| window == b"-----BEGIN ").count();
    assert!(found.blocks.len() + answers >= begins, "{begins} markers");
});
