//! A store of thousands, whose generation is written beside its bundle, with something going wrong.

use std::collections::BTreeMap;

use rustix::io::Errno;
use test_support::poll;
use trust_core::bundle::push_pem;
use trust_core::engine::{Ask, Outcome, Trigger};

use super::*;
use crate::clock::SystemClock;
use crate::once::regenerate;
use crate::publish::faulty::{Fault, FaultyFs};
use crate::publish::is_temporary;

/// More than one thread is enough for.
const MANY: usize = 1_100;

struct Scratch {
    root: tempfile::TempDir,
    settings: agent_config::Settings,
}

type Files = BTreeMap<PathBuf, Vec<u8>>;

impl Scratch {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let settings = crate::config::load(None, Some(root.path())).expect("defaults");
        Self { root, settings }
    }

    fn endpoint(&self, files: Arc<dyn Fs>) -> Endpoint {
        Endpoint { files, ..Endpoint::new(&self.settings, Some(self.root.path())) }
    }

    fn regenerate(&self, files: Arc<dyn Fs>) -> Arc<Outcome> {
        let endpoint = self.endpoint(files);
        // A child that another test starts holds it too until it is another program.
        let lock = poll::until("the lock", || endpoint.open().ok());
        let by = Trigger::Operator { uid: 0, pid: None };
        let ask = Ask { id: 0, by, force: false, dry_run: false, order: None };
        regenerate(&endpoint, Some(&lock), &self.settings, &SystemClock::default(), ask).outcome
    }

    /// Everything but what tells of the process that was there.
    fn files(&self) -> Files {
        let mut files = BTreeMap::new();
        let mut directories = vec![self.root.path().to_owned()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).expect("ours").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    directories.push(path);
                } else if entry.file_name() != "lock" {
                    files.insert(path.clone(), fs::read(path).expect("ours"));
                }
            }
        }
        files
    }

    fn put_back(&self, files: &Files) {
        self.files().keys().filter(|path| !files.contains_key(*path)).for_each(|path| {
            fs::remove_file(path).expect("ours");
        });
        for (path, bytes) in files {
            fs::write(path, bytes).expect("ours");
        }
    }

    fn bundle(&self) -> Vec<u8> {
        fs::read(&self.settings.store.merged).expect("there is one")
    }
}

fn source() -> String {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut text = String::new();
    for number in 0..MANY {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("Root {number}"));
        push_pem(&mut text, params.self_signed(&key).expect("a certificate").der());
    }
    text
}

#[test]
fn a_long_bundle_is_the_old_one_or_the_new_one_whatever_fails_beside_it() {
    let scratch = Scratch::new();
    let real: Arc<dyn Fs> = Arc::new(RealFs);
    let text = source();
    let last = text.rfind("-----BEGIN").expect("many");
    fs::create_dir_all(scratch.settings.store.site.parent().expect("a directory")).expect("made");
    fs::write(&scratch.settings.store.site, &text[..last]).expect("written");
    assert!(scratch.regenerate(Arc::clone(&real)).changed);
    let old = scratch.bundle();
    fs::write(&scratch.settings.store.site, &text).expect("written");
    let before = scratch.files();
    let counting = Arc::new(FaultyFs::new(usize::MAX, Fault::Crash));
    assert!(scratch.regenerate(Arc::clone(&counting) as Arc<dyn Fs>).changed);
    let new = scratch.bundle();
    assert!(counting.count() > 25, "{} operations on three files", counting.count());

    for step in 0..counting.count() {
        for fault in [Fault::Once(Errno::NOSPC), Fault::From(Errno::IO), Fault::Crash] {
            scratch.put_back(&before);
            let faulty = Arc::new(FaultyFs::new(step, fault));
            let outcome = scratch.regenerate(Arc::clone(&faulty) as Arc<dyn Fs>);
            let bundle = scratch.bundle();
            assert!(bundle == old || bundle == new, "{step} {fault:?}: neither");
            if outcome.failure.is_none() {
                assert!(bundle == new, "{step} {fault:?}: said to be there");
            }
            let mended = scratch.regenerate(Arc::clone(&real));
            assert!(mended.failure.is_none(), "{step} {fault:?}: {:?}", mended.failure);
            assert!(scratch.bundle() == new, "{step} {fault:?}");
            let endpoint = scratch.endpoint(Arc::clone(&real));
            let state = endpoint.state().load().expect("whole").expect("there");
            let kept = endpoint.history().get(state.generation).expect("its generation");
            assert_eq!((kept.anchors.len(), state.generation), (MANY, 2), "{step} {fault:?}");
            let left = scratch.files().into_keys().find(|path| path.file_name().is_some_and(is_temporary));
            assert_eq!(left, None, "{step} {fault:?}");
        }
    }
}
