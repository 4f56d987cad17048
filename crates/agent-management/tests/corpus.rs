//! The seeds of the fuzz target for the index, each as it is and damaged in a few hundred ways: a short run of what the
//! fuzzer does for long. The damage is the same in every run.

use std::fs;
use std::path::PathBuf;

use agent_management::index::Index;

const DAMAGES: u64 = 300;

/// xorshift64*, so that no run differs from another.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap_or(0) % sides.max(1)
    }
}

/// An octet replaced, a piece taken out, a piece doubled, or the rest cut off.
fn damaged(seed: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=dice.roll(3) {
        let at = dice.roll(bytes.len());
        let end = (at + dice.roll(40)).min(bytes.len());
        match dice.roll(4) {
            0 if at < bytes.len() => bytes[at] = u8::try_from(dice.roll(256)).unwrap_or(0),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

/// What the fuzz target asserts.
fn judge(bytes: &[u8]) -> bool {
    match Index::parse(bytes) {
        Err(why) => {
            assert!(!why.is_empty() && why.len() < 400, "{why}");
            false
        }
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
            true
        }
    }
}

#[test]
fn no_damage_to_an_index_goes_unanswered() {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/index");
    let mut good = Vec::new();
    for seed in fs::read_dir(&directory).expect("the corpus is part of the project").flatten() {
        let bytes = fs::read(seed.path()).expect("a seed can be read");
        if judge(&bytes) {
            good.push(seed.file_name().into_string().expect("a plain name"));
        }
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ bytes.len() as u64);
        for _ in 0..DAMAGES {
            judge(&damaged(&bytes, &mut dice));
        }
    }
    good.sort();
    assert_eq!(good, ["bare.json", "braces.json", "mark.json", "shared.json", "unknown.json", "whole.json"]);
}
