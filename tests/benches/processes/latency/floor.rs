//! The least that a change costs: event, read, hash, merge by text, write, fsync, rename, fsync of the directory.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::inotify;
use test_support::pem;

use super::changes::rename_over;
use super::{Seen, repeat};
use crate::corpus;

/// The same change to the same sources as the daemon gets, by rename.
pub(super) fn run(base: &[String], fresh: &[String]) -> Seen {
    let endpoint = corpus::endpoint(base);
    let sources = corpus::paths(&endpoint);
    let bundle = endpoint.merged();
    let directory = endpoint.ca_info().parent().map(Path::to_owned).expect("a file in a directory");
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC).expect("inotify");
    let events = inotify::WatchFlags::MOVED_TO | inotify::WatchFlags::CLOSE_WRITE;
    inotify::add_watch(&watch, &directory, events).expect("a directory of ours");
    let own = fs::read_to_string(endpoint.ca_info()).expect("a source of ours");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut reader = inotify::Reader::new(&watch, &mut buffer);
            while !done.load(Ordering::SeqCst) {
                let event = reader.next().expect("an event");
                if event.events().contains(inotify::ReadFlags::MOVED_TO) {
                    publish(&sources, &bundle).expect("a place of ours");
                }
            }
        });
        let seen = repeat(&bundle, fresh, |number| {
            rename_over(&endpoint.ca_info(), &(own.clone() + &fresh[..=number].concat()))
        });
        done.store(true, Ordering::SeqCst);
        // One more event, so that the loop sees it.
        rename_over(&endpoint.ca_info(), &own);
        seen
    })
}

fn publish(sources: &[PathBuf; 3], bundle: &Path) -> io::Result<()> {
    const END: &str = "-----END CERTIFICATE-----\n";
    let mut texts = Vec::new();
    for source in sources {
        texts.push(fs::read_to_string(source)?);
    }
    let digests: Vec<String> = texts.iter().map(|text| pem::sha256_hex(text.as_bytes())).collect();
    std::hint::black_box(&digests);
    let mut seen = HashSet::new();
    let blocks = texts.iter().flat_map(|text| text.split_inclusive(END)).filter(|block| seen.insert(*block));
    let merged: String = blocks.collect();
    let beside = bundle.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(merged.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, bundle)?;
    bundle.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
