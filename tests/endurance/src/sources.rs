//! The three sources of an endpoint, changed at random in every way in which files are changed, and what must come of it.

use std::fs;
use std::path::{Path, PathBuf};

use test_support::endpoint::{Endpoint, replace, write};
use test_support::pki::{self, Cert};

use crate::random::Random;

/// The sources, and what is in them.
pub struct Sources {
    places: [PathBuf; 3],
    pool: Vec<(String, String)>,
    /// What each holds that a bundle must have: the numbers of certificates in the pool.
    held: [Vec<usize>; 3],
    /// Where chance comes from.
    pub random: Random,
}

/// A way to change a file.
#[derive(Debug, Clone, Copy)]
enum Way {
    InPlace,
    Rename,
    UnlinkAndCreate,
    /// Its directory is replaced by another one; of the policy's file alone, for the others lie in the store's own.
    SwapDirectory,
    /// Cut off inside its last block.
    Truncate,
    Garbage,
}

const WAYS: [Way; 6] =
    [Way::InPlace, Way::Rename, Way::UnlinkAndCreate, Way::SwapDirectory, Way::Truncate, Way::Garbage];

/// The place of the bootstrap anchors among the sources.
const BOOTSTRAP: usize = 0;

/// The place of the policy's file among the sources.
const POLICY: usize = 2;

impl Sources {
    /// Fills the sources of an endpoint, each with one certificate.
    ///
    /// # Panics
    /// Where they cannot be written.
    #[must_use]
    pub fn new(endpoint: &Endpoint, pool: &[Cert], seed: u64) -> Self {
        endpoint.name_ca_info();
        let mut sources = Self {
            places: [endpoint.bootstrap(), endpoint.site(), endpoint.ca_info()],
            pool: pool.iter().map(|cert| (cert.pem(), cert.sha256())).collect(),
            held: Default::default(),
            random: Random::new(seed),
        };
        for slot in 0..sources.places.len() {
            sources.put(slot, &[slot]);
        }
        sources
    }

    /// Changes one of them in one of the ways.
    ///
    /// # Panics
    /// Where that cannot be done.
    pub fn change(&mut self) {
        let slot = self.random.below(self.places.len());
        let numbers = self.some();
        match WAYS[self.random.below(WAYS.len())] {
            Way::InPlace => self.put(slot, &numbers),
            Way::Rename => self.put_by_rename(slot, &numbers),
            Way::UnlinkAndCreate => {
                // There may be none: the directory may have been swapped for one without.
                let _gone = fs::remove_file(&self.places[slot]);
                self.put(slot, &numbers);
            }
            Way::SwapDirectory if slot == POLICY => self.swap_directory(&numbers),
            Way::SwapDirectory => self.put_by_rename(slot, &numbers),
            Way::Truncate => self.put_cut_off(slot, &numbers),
            Way::Garbage => {
                let length = 1 + self.random.below(5_000);
                let garbage: Vec<u8> = (0..length).map(|_| self.random.below(256) as u8).collect();
                write(&self.places[slot], garbage);
                self.held[slot].clear();
            }
        }
    }

    /// Puts another content into one of the sources in one step, as a careful tool does.
    ///
    /// # Panics
    /// Where that cannot be done.
    pub fn change_at_once(&mut self) {
        let (slot, numbers) = (self.random.below(self.places.len()), self.some());
        self.put_by_rename(slot, &numbers);
    }

    /// Leaves a source that keeps the store from being empty, whatever the others hold.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn come_to_rest(&mut self) {
        let numbers = self.some();
        self.put(BOOTSTRAP, &numbers);
    }

    /// Writes two of the sources in turn, so that no two events are the same and none are joined.
    ///
    /// # Panics
    /// Where they cannot be written.
    pub fn write_in_turn(&mut self, times: usize) {
        for turn in 0..times {
            let slot = turn % 2;
            let number = self.random.below(self.pool.len());
            self.put(slot, &[number]);
        }
    }

    /// Puts another directory in the place of the one with the policy's file.
    ///
    /// # Panics
    /// Where that cannot be done.
    pub fn replace_directory(&mut self) {
        let numbers = self.some();
        self.swap_directory(&numbers);
    }

    /// The fingerprints that the bundle must have, in order.
    #[must_use]
    pub fn expected(&self) -> Vec<String> {
        let mut expected: Vec<String> = Vec::new();
        for number in self.held.iter().flatten() {
            let fingerprint = &self.pool[*number].1;
            if !expected.contains(fingerprint) {
                expected.push(fingerprint.clone());
            }
        }
        expected
    }

    /// One to four certificates of the pool.
    fn some(&mut self) -> Vec<usize> {
        let mut numbers: Vec<usize> =
            (0..=self.random.below(4)).map(|_| self.random.below(self.pool.len())).collect();
        let mut seen = Vec::new();
        numbers.retain(|number| {
            !seen.contains(number) && {
                seen.push(*number);
                true
            }
        });
        numbers
    }

    fn text(&self, numbers: &[usize]) -> String {
        numbers.iter().map(|number| self.pool[*number].0.as_str()).collect()
    }

    fn put(&mut self, slot: usize, numbers: &[usize]) {
        write(&self.places[slot], self.text(numbers));
        self.held[slot] = numbers.to_vec();
    }

    fn put_by_rename(&mut self, slot: usize, numbers: &[usize]) {
        replace(&self.places[slot], self.text(numbers));
        self.held[slot] = numbers.to_vec();
    }

    fn put_cut_off(&mut self, slot: usize, numbers: &[usize]) {
        const LESS: usize = 100;
        let text = self.text(numbers);
        write(&self.places[slot], &text);
        let file = fs::File::options().write(true).open(&self.places[slot]).expect("a file of ours");
        file.set_len((text.len() - LESS) as u64).expect("a file of ours");
        self.held[slot] = numbers[..numbers.len() - 1].to_vec();
    }

    fn swap_directory(&mut self, numbers: &[usize]) {
        let place = self.places[POLICY].clone();
        let directory = place.parent().expect("a file in a directory");
        let beside = |end: &str| PathBuf::from(format!("{}.{end}", directory.display()));
        let (next, last) = (beside("next"), beside("last"));
        let name = place.file_name().map(Path::new).expect("a file has a name");
        write(&next.join(name), self.text(numbers));
        fs::rename(directory, &last)
            .and_then(|()| fs::rename(&next, directory))
            .and_then(|()| fs::remove_dir_all(&last))
            .expect("directories of ours");
        self.held[POLICY] = numbers.to_vec();
    }
}

/// Certificates to fill sources with.
#[must_use]
pub fn pool() -> Vec<Cert> {
    pki::many_roots(40)
}
