//! Any bytes as a server's index of policies: no panic, no name that leads out of its directory, within its bounds.
#![no_main]

use agent_management::index::Index;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match Index::parse(bytes) {
        Err(why) => assert!(!why.is_empty() && why.len() < 400, "{why}"),
        Ok(index) => {
            assert!(index.policies.len() <= 256);
            for entry in &index.policies {
                assert!(entry.file.name.to_ascii_lowercase().ends_with(".xml") && entry.anchors.len() <= 16);
                for document in entry.anchors.iter().chain([&entry.file]) {
                    let name = &document.name;
                    let plain = !name.is_empty() && name.len() <= 128 && !name.starts_with(['.', '-']);
                    assert!(plain && !name.contains(['/', '\\', '\0', '%', '?', '#']), "{name:?}");
                }
            }
        }
    }
});
