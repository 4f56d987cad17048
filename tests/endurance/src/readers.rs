//! Readers of the bundle while it is replaced: each reads the whole of one publication, at every time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use test_support::endpoint::{Endpoint, write};
use test_support::pki::{self, Cert};
use test_support::{pem, poll};

use crate::figures::Figures;
use crate::sources::pool;

/// What readers found, counted by content; what was not there at all is under its error.
type Found = BTreeMap<Result<Vec<u8>, String>, usize>;

/// At least `reads` of the bundle while the daemon regenerates without end, at least `least` times.
///
/// # Panics
/// Where the daemon does not do its part.
#[must_use]
pub fn readers(reads: usize, least: usize) -> Figures {
    let mut figures = Figures::new("readers");
    let mut endpoint = Endpoint::new();
    write(&endpoint.config(), "[history]\ngenerations = 1000\n");
    let certs = pool();
    write(&endpoint.bootstrap(), pki::bundle(&certs));
    endpoint.start_daemon();
    endpoint.wait_for("before the readers", &pki::fingerprints(&certs));
    let mut published = Published::default();
    let mut turn = 0;
    let (merged, generations) = (endpoint.merged(), endpoint.path("var/lib/agentd/state/generations"));
    let found = read_while(&merged, reads, || {
        // Now more than before, now less, so that a mixture of two shows.
        let fewer: &[Cert] = &certs[turn % (certs.len() - 1)..];
        write(&endpoint.bootstrap(), pki::bundle(fewer));
        // What agentctl asks for is done once a second at most.
        endpoint.signal(Signal::USR1);
        endpoint.wait_for("while it is read", &pki::fingerprints(fewer));
        published.take(&generations);
        turn += 7;
        published.seen.len() > least
    });
    published.take(&generations);
    judge(&mut figures, &found, &published.bundles);
    figures.expect(endpoint.stop_daemon().success(), || "it did not end well".to_owned());
    figures
}

/// The control: a writer that writes in place is found torn by the same readers.
///
/// # Panics
/// Where its files cannot be written.
#[must_use]
pub fn control(reads: usize) -> Figures {
    let mut figures = Figures::new("control: a writer in place");
    let endpoint = Endpoint::new();
    let certs = pool();
    let contents = [&certs[..], &certs[5..]].map(|certs| pki::bundle(certs).into_bytes());
    write(&endpoint.merged(), &contents[0]);
    let mut turn = 0;
    let found = read_while(&endpoint.merged(), reads, || {
        turn += 1;
        write(&endpoint.merged(), &contents[turn % 2]);
        true
    });
    let whole = contents.iter().map(|bytes| pem::sha256_hex(bytes)).collect();
    judge(&mut figures, &found, &whole);
    figures
}

/// Two readers read so many times together; meanwhile `work` is called over and over, until it says that it has done
/// its part.
fn read_while(path: &Path, reads: usize, mut work: impl FnMut() -> bool) -> Found {
    const READERS: usize = 2;
    let done = AtomicUsize::new(0);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let read = || {
            let mut found = Found::new();
            while !stop.load(Ordering::Relaxed) {
                let content = fs::read(path).map_err(|error| error.to_string());
                *found.entry(content).or_default() += 1;
                done.fetch_add(1, Ordering::Relaxed);
                // Reading without end would leave nothing to those who write.
                thread::sleep(Duration::from_micros(10));
            }
            found
        };
        let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read)).collect();
        while !work() || done.load(Ordering::Relaxed) < reads {}
        stop.store(true, Ordering::Relaxed);
        let mut all = Found::new();
        for reader in readers {
            for (content, count) in reader.join().expect("a reader does not panic") {
                *all.entry(content).or_default() += count;
            }
        }
        all
    })
}

fn judge(figures: &mut Figures, found: &Found, whole: &BTreeSet<String>) {
    let reads: usize = found.values().sum();
    figures.say(format_args!(
        "{reads} reads, {} different bundles, {} contents read",
        whole.len(),
        found.len()
    ));
    for (content, count) in found {
        match content {
            Ok(bytes) if whole.contains(&pem::sha256_hex(bytes)) => {}
            Ok(bytes) => figures.bad(format_args!("torn: {} bytes, read {count} times", bytes.len())),
            Err(error) => figures.bad(format_args!("not readable: {error}, {count} times")),
        }
    }
}

/// The bundles that were published, by the generations that the daemon keeps.
#[derive(Default)]
struct Published {
    seen: BTreeSet<PathBuf>,
    bundles: BTreeSet<String>,
}

impl Published {
    fn take(&mut self, directory: &Path) {
        let entries = poll::until("the generations", || fs::read_dir(directory).ok());
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.extension().is_none_or(|end| end != "pem") || !self.seen.insert(path.clone()) {
                continue;
            }
            let bytes = fs::read(&path).expect("a generation");
            let head = bytes.iter().position(|byte| *byte == b'\n').expect("a line before the bundle");
            self.bundles.insert(pem::sha256_hex(&bytes[head + 1..]));
        }
    }
}
