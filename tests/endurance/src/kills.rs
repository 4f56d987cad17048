//! SIGKILL for the running daemon, at any time, under changes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use test_support::endpoint::{Endpoint, write};
use test_support::{pem, poll};

use crate::figures::Figures;
use crate::random::Random;
use crate::sources::{Sources, pool};

/// The longest life in milliseconds: longer than a start and the regeneration after it.
const LONGEST_LIFE: usize = 80;

/// Every so many lives one is long enough to come to the end state.
const PER_REST: usize = 10;

/// Kills the daemon `kills` times.
///
/// # Panics
/// Where an end state is not the model's.
#[must_use]
pub fn kills(kills: usize) -> Figures {
    let mut figures = Figures::new("kills");
    let mut endpoint = Endpoint::new();
    let mut sources = Sources::new(&endpoint, &pool(), 9);
    write(&endpoint.config(), "[watch]\npoll-interval = \"1d\"\n[log]\nlevel = \"error\"\n");
    let mut chance = Random::new(10);
    let mut tally = Tally::default();
    rest(&mut endpoint, &sources);
    for kill in 1..=kills {
        let before = fingerprints(&read(&endpoint.merged()), &mut figures);
        let found = sources.expected();
        endpoint.launch_daemon(|agentd| agentd);
        pass(chance.below(LONGEST_LIFE / 2));
        sources.change_at_once();
        pass(chance.below(LONGEST_LIFE / 2));
        // Dropped by SIGKILL; one that has ended already has broken a promise.
        let running = endpoint.is_running();
        figures.expect(running, || format!("life {kill} ended by itself\n{}", endpoint.log()));
        endpoint.kill_daemon();

        let after = fingerprints(&read(&endpoint.merged()), &mut figures);
        tally.count(&before, &after, &sources.expected());
        // What the life found at its start, and what came while it lived.
        let now = sources.expected();
        let known = |anchor: &String| [&before, &found, &now].iter().any(|all| all.contains(anchor));
        figures.expect(after.iter().all(known), || format!("kill {kill}: an anchor that no source had"));
        let due = |anchor: &&String| found.contains(anchor) && now.contains(anchor);
        figures.expect(before.iter().filter(due).all(|anchor| after.contains(anchor)), || {
            format!("kill {kill}: an anchor is lost that was there and must be")
        });
        if kill % PER_REST == 0 {
            rest(&mut endpoint, &sources);
        }
    }
    rest(&mut endpoint, &sources);
    let left = leftovers(&endpoint.path("var/lib/agentd"));
    figures.expect(left.is_empty(), || format!("left over: {left:?}"));
    let Tally { old, new, between } = tally;
    figures.say(format_args!(
        "{kills} kills; bundle old {old}, new {new}, new with what leaves later {between}"
    ));
    // Else the kills came all too early or all too late.
    figures.expect(old > 0 && new + between > 0, || "not both contents were seen".to_owned());
    figures
}

#[derive(Default)]
struct Tally {
    old: usize,
    new: usize,
    /// What is new is there, and what is to leave is there still.
    between: usize,
}

impl Tally {
    fn count(&mut self, before: &[String], after: &[String], expected: &[String]) {
        if after == expected {
            self.new += 1;
        } else if after == before {
            self.old += 1;
        } else {
            self.between += 1;
        }
    }
}

/// A life that ends well: the bundle is the model's.
fn rest(endpoint: &mut Endpoint, sources: &Sources) {
    endpoint.start_daemon();
    let _regen = endpoint.json(&["regen"]);
    endpoint.wait_for("between the kills", &sources.expected());
    assert!(endpoint.stop_daemon().success(), "{}", endpoint.log());
}

fn pass(milliseconds: usize) {
    let life = Duration::from_millis(milliseconds.try_into().unwrap_or(0));
    poll::throughout(life, || ());
}

fn read(bundle: &Path) -> Vec<u8> {
    fs::read(bundle).expect("always a bundle")
}

/// In order; a bundle that is not whole is a broken promise.
fn fingerprints(bundle: &[u8], figures: &mut Figures) -> Vec<String> {
    match pem::strict_certificates(bundle) {
        Ok(certificates) => certificates.iter().map(|der| pem::sha256_hex(der)).collect(),
        Err(error) => {
            figures.bad(format_args!("not whole: {error}"));
            Vec::new()
        }
    }
}

/// Temporary files anywhere below.
fn leftovers(directory: &Path) -> Vec<String> {
    let mut left = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory of ours").filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            left.extend(leftovers(&path));
        } else if path.to_string_lossy().ends_with(".agentd-new") {
            left.push(path.display().to_string());
        }
    }
    left
}
