//! The fuzz targets' corpora through the parsers, each seed as it is and damaged in a few hundred ways: a short run of
//! what the fuzzers do for long. The damage is the same in every run.

#![expect(clippy::disallowed_methods, reason = "the ban is for the crate: its tests read their seeds")]

use std::fs;
use std::path::PathBuf;

use trust_formats::{certificates, policy};

const DAMAGES: u64 = 300;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = fs::read_dir(&directory).expect("the corpus is part of the project");
    let seeds: Vec<_> =
        entries.flatten().map(|entry| fs::read(entry.path()).expect("a seed can be read")).collect();
    assert!(seeds.len() > 5, "{} has its seeds", directory.display());
    seeds
}

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

/// One to four changes: an octet replaced, a piece taken out, a piece doubled, the rest cut off.
fn damaged(seed: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=dice.roll(4) {
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

fn each(target: &str, mut parse: impl FnMut(&[u8])) {
    for seed in seeds(target) {
        parse(&seed);
        let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ seed.len() as u64);
        for _ in 0..DAMAGES {
            parse(&damaged(&seed, &mut dice));
        }
    }
}

#[test]
fn no_damage_to_a_file_of_certificates_goes_unanswered() {
    let limits = certificates::Limits::default();
    each("certificates", |bytes| {
        let scan = certificates::scan(bytes, &limits);
        assert_eq!(scan, certificates::scan(bytes, &limits), "the same answer twice");
    });
}

#[test]
fn no_damage_to_a_policy_goes_unanswered() {
    let limits = policy::Limits::default();
    each("policy", |bytes| {
        if let Err(error) = policy::parse(bytes, &limits) {
            assert!(!error.code().is_empty() && !error.to_string().is_empty());
        }
    });
}
