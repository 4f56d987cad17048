//! Any bytes as a policy: no panic, and every place that is named lies in the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trust_formats::policy::{Limits, parse};

fuzz_target!(|bytes: &[u8]| {
    let lines = u32::try_from(bytes.len()).unwrap_or(u32::MAX).saturating_add(1);
    let inside = |line: u32| assert!((1..=lines).contains(&line), "line {line} of at most {lines}");
    match parse(bytes, &Limits::default()) {
        Err(error) => error.line().into_iter().for_each(inside),
        Ok(policy) => {
            policy.issues.iter().for_each(|issue| inside(issue.line));
            for found in policy.curl_ssl {
                inside(found.line);
                [found.ca_info, found.ca_path, found.fingerprint]
                    .iter()
                    .flatten()
                    .for_each(|text| inside(text.line));
                [found.verify_peer, found.verify_host]
                    .iter()
                    .flatten()
                    .for_each(|switch| inside(switch.line));
            }
        }
    }
});
