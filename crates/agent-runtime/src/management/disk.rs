//! What is kept between two conversations with the servers: `state/management.json`, and `state/inventory/` for what
//! could not be sent yet.
//!
//! A set of policies and anchors is many files and must be on disk whole or not at all. So all of it is first written
//! as one file, `state/management-pending.json`, durably; then each file is put in place, and the pending one removed.
//! A crash before the first step has changed nothing; after it the next start does the rest again, from the beginning.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use agent_management::inventory::{Form, MOST_WAITING, to_drop};
use agent_management::refresh::{Content, Known, Set, Taken};
use jiff::Timestamp;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use trust_core::Fingerprint;

use crate::directory;
use crate::publish::{BUNDLE_MODE, Fs, PublishError, Step, is_temporary, publish, remove_durably};

/// The places of one endpoint.
#[derive(Debug, Clone)]
pub struct Disk {
    state: PathBuf,
    policies: PathBuf,
    anchors: PathBuf,
}

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Record {
    /// Form of this file; whoever saves it sets it.
    #[serde(default)]
    pub(crate) v: u32,
    /// What was taken last.
    #[serde(default)]
    pub known: Known,
    /// When a refresh last came to an end that was good.
    pub refreshed_at: Option<Timestamp>,
    /// The server that it was asked of.
    pub refreshed_from: Option<String>,
    /// Why the last refresh failed; `None` where it did not.
    pub refresh_fault: Option<Fault>,
    /// When inventory was last sent.
    pub inventory_at: Option<Timestamp>,
    /// The server that took it.
    pub inventory_to: Option<String>,
    /// Why the last sending failed; `None` where it did not.
    pub inventory_fault: Option<Fault>,
    /// How many documents were dropped unsent since the last that was sent.
    #[serde(default)]
    pub inventory_dropped: u64,
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// When.
    pub at: Timestamp,
    /// Stable code.
    pub code: String,
    /// In words.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

#[derive(Serialize, Deserialize)]
struct Pending {
    set: Set,
    record: Record,
}

impl Disk {
    /// The places that the settings name. Touches nothing.
    #[must_use]
    pub fn new(settings: &agent_config::Settings) -> Self {
        Self {
            state: settings.store.state.clone(),
            policies: settings.store.policies.clone(),
            anchors: settings.refresh.anchors.clone(),
        }
    }

    /// The directory of the anchors that policies bring.
    #[must_use]
    pub fn anchors(&self) -> &Path {
        &self.anchors
    }

    /// What is remembered. Where it cannot be read nothing is: the servers are asked for everything again.
    #[must_use]
    pub fn load(&self) -> Record {
        let read = fs::read(self.record()).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        read.filter(|record: &Record| record.v <= VERSION).unwrap_or_default()
    }

    /// Remembers it.
    ///
    /// # Errors
    /// [`PublishError`]
    pub fn save(&self, files: &dyn Fs, record: &Record) -> Result<(), PublishError> {
        write_json(files, &self.record(), &Record { v: VERSION, ..record.clone() })
    }

    /// Whether all that was taken is on disk as it was taken.
    #[must_use]
    pub fn is_intact(&self, known: &Known) -> bool {
        let same = |directory: &Path, (name, taken): (&String, &Taken)| {
            fs::read(directory.join(name))
                .is_ok_and(|bytes| Fingerprint::of(&bytes).to_string() == taken.sha256)
        };
        known.policies.iter().all(|file| same(&self.policies, file))
            && known.anchors.iter().all(|file| same(&self.anchors, file))
    }

    /// Puts a set in place, whole or not at all, and remembers it. Nobody may look at the files meanwhile.
    ///
    /// # Errors
    /// [`PublishError`]; what is missing then is put in place by the next [`Disk::recover`].
    pub fn take(&self, files: &dyn Fs, set: &Set, record: &Record) -> Result<(), PublishError> {
        let pending = Pending { set: set.clone(), record: record.clone() };
        write_json(files, &self.pending(), &pending)?;
        self.put_in_place(files, &pending)
    }

    /// Does the rest of what a crash interrupted; true where there was something.
    ///
    /// # Errors
    /// [`PublishError`]
    pub fn recover(&self, files: &dyn Fs) -> Result<bool, PublishError> {
        let Ok(bytes) = fs::read(self.pending()) else { return Ok(false) };
        match serde_json::from_slice::<Pending>(&bytes) {
            Ok(pending) => self.put_in_place(files, &pending).map(|()| true),
            // Nobody but us writes it, and never in pieces: it is of another version, or damaged by the disk.
            Err(_) => remove_durably(files, &self.pending()).map(|()| false),
        }
    }

    fn put_in_place(&self, files: &dyn Fs, Pending { set, record }: &Pending) -> Result<(), PublishError> {
        if !set.anchors.is_empty() {
            make(&self.anchors, 0o755)?;
        }
        let write = |directory: &Path, content: &Content| {
            publish(files, &directory.join(&content.name), &content.bytes, BUNDLE_MODE)
        };
        // A policy comes after the file that it names, and goes before it.
        set.anchors.iter().try_for_each(|content| write(&self.anchors, content))?;
        set.policies.iter().try_for_each(|content| write(&self.policies, content))?;
        for name in &set.remove_policies {
            remove_durably(files, &self.policies.join(name))?;
        }
        for name in &set.remove_anchors {
            remove_durably(files, &self.anchors.join(name))?;
        }
        self.save(files, record)?;
        remove_durably(files, &self.pending())
    }

    /// Puts a document where those wait that are to be sent; says how many of the oldest were dropped for it.
    ///
    /// # Errors
    /// [`PublishError`]
    pub fn enqueue(
        &self,
        files: &dyn Fs,
        document: &[u8],
        form: Form,
        now: Timestamp,
    ) -> Result<usize, PublishError> {
        let directory = self.queue();
        make(&directory, 0o700)?;
        // Sorts by age, and two of one millisecond are the same news.
        let name = format!("{:015}.{}", now.as_millisecond().max(0), form.extension());
        publish(files, &directory.join(&name), document, 0o600)?;
        let dropped = to_drop(&self.waiting(), MOST_WAITING);
        for name in &dropped {
            remove_durably(files, &directory.join(name))?;
        }
        Ok(dropped.len())
    }

    /// The names of the documents that wait, the oldest first.
    #[must_use]
    pub fn waiting(&self) -> Vec<String> {
        let entries = fs::read_dir(self.queue()).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter(|entry| !is_temporary(&entry.file_name()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    /// One of them, and the form that it has.
    ///
    /// # Errors
    /// The system's.
    pub fn document(&self, name: &str) -> io::Result<(Vec<u8>, Form)> {
        let form = if name.ends_with(".xml") { Form::Xml } else { Form::Json };
        Ok((fs::read(self.queue().join(name))?, form))
    }

    /// It was sent.
    ///
    /// # Errors
    /// [`PublishError`]
    pub fn sent(&self, files: &dyn Fs, name: &str) -> Result<(), PublishError> {
        remove_durably(files, &self.queue().join(name))
    }

    fn record(&self) -> PathBuf {
        self.state.join("management.json")
    }

    fn pending(&self) -> PathBuf {
        self.state.join("management-pending.json")
    }

    fn queue(&self) -> PathBuf {
        self.state.join("inventory")
    }
}

fn write_json(files: &dyn Fs, path: &Path, value: &impl Serialize) -> Result<(), PublishError> {
    let mut json = serde_json::to_vec(value).map_err(|error| PublishError::content(path, &error))?;
    json.push(b'\n');
    publish(files, path, &json, 0o600)
}

/// The version this program writes.
const VERSION: u32 = 1;

fn make(path: &Path, mode: u32) -> Result<(), PublishError> {
    match directory::make(path, mode) {
        Ok(()) => Ok(()),
        Err(error) => Err(PublishError::Step {
            step: Step::OpenDirectory,
            path: path.to_owned(),
            errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::publish::RealFs;
    use crate::publish::faulty::{Fault as Broken, FaultyFs};

    fn disk(directory: &Path) -> Disk {
        let disk = Disk {
            state: directory.join("state"),
            policies: directory.join("policies"),
            anchors: directory.join("anchors"),
        };
        for path in [&disk.state, &disk.policies] {
            fs::create_dir_all(path).unwrap();
        }
        disk
    }

    fn content(name: &str, bytes: &str) -> Content {
        Content { name: name.to_owned(), bytes: bytes.as_bytes().to_vec() }
    }

    fn taken(bytes: &str) -> Taken {
        Taken { sha256: Fingerprint::of(bytes.as_bytes()).to_string(), guid: None, version: None }
    }

    fn set() -> (Set, Record) {
        let mut known = Known::default();
        known.policies.insert("a.xml".to_owned(), taken("new policy"));
        known.anchors.insert("ca.pem".to_owned(), taken("new anchors"));
        let set = Set {
            anchors: vec![content("ca.pem", "new anchors")],
            policies: vec![content("a.xml", "new policy")],
            remove_policies: vec!["old.xml".to_owned()],
            remove_anchors: vec!["old.pem".to_owned()],
            known: known.clone(),
        };
        (set, Record { known, refreshed_from: Some("smp".to_owned()), ..Record::default() })
    }

    /// Every file of the endpoint with its content.
    fn files_of(disk: &Disk) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for directory in [&disk.policies, &disk.anchors] {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = entry.file_name().into_string().unwrap();
                found.push((name, fs::read_to_string(entry.path()).unwrap()));
            }
        }
        found.sort();
        found
    }

    #[test]
    fn whatever_step_fails_the_next_start_does_the_rest() {
        let steps = AtomicUsize::new(0);
        for failing in 0.. {
            let directory = tempfile::tempdir().unwrap();
            let disk = disk(directory.path());
            fs::create_dir_all(&disk.anchors).unwrap();
            fs::write(disk.policies.join("old.xml"), "old").unwrap();
            fs::write(disk.anchors.join("old.pem"), "old").unwrap();
            let before = files_of(&disk);
            let (set, record) = set();
            let broken = FaultyFs::new(failing, Broken::Crash);
            let result = disk.take(&broken, &set, &record);
            if result.is_ok() {
                steps.store(failing, Ordering::SeqCst);
                break;
            }
            // A new life with a disk that works.
            let went_on = disk.recover(&RealFs).unwrap();
            let after = files_of(&disk);
            if went_on {
                let expected = [("a.xml", "new policy"), ("ca.pem", "new anchors")];
                assert_eq!(
                    after,
                    expected.map(|(name, text)| (name.to_owned(), text.to_owned())),
                    "{failing}"
                );
                assert_eq!(disk.load(), Record { v: VERSION, ..record.clone() });
                assert!(disk.is_intact(&disk.load().known));
            } else if disk.load() == Record::default() {
                assert_eq!(after, before, "nothing of it, {failing}");
            }
            assert!(!disk.recover(&RealFs).unwrap(), "and once only");
        }
        assert!(steps.load(Ordering::SeqCst) > 20, "every system call was made to fail once");
    }

    #[test]
    fn a_hand_edit_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let disk = disk(directory.path());
        let (set, record) = set();
        disk.take(&RealFs, &set, &record).unwrap();
        assert!(disk.is_intact(&set.known));
        fs::write(disk.policies.join("a.xml"), "edited").unwrap();
        assert!(!disk.is_intact(&set.known));
        fs::remove_file(disk.policies.join("a.xml")).unwrap();
        assert!(!disk.is_intact(&set.known));
    }

    #[test]
    fn the_queue_is_bounded_and_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let disk = disk(directory.path());
        let mut dropped = 0;
        for second in 0..20 {
            let at = Timestamp::from_second(1_700_000_000 + second).unwrap();
            let form = if second % 2 == 0 { Form::Json } else { Form::Xml };
            dropped += disk.enqueue(&RealFs, second.to_string().as_bytes(), form, at).unwrap();
        }
        let waiting = disk.waiting();
        assert_eq!((waiting.len(), dropped), (MOST_WAITING, 20 - MOST_WAITING));
        let (oldest, form) = disk.document(&waiting[0]).unwrap();
        assert_eq!((oldest.as_slice(), form), (&b"6"[..], Form::Json));
        disk.sent(&RealFs, &waiting[0]).unwrap();
        assert_eq!(disk.waiting().len(), MOST_WAITING - 1);
    }

    #[test]
    fn what_cannot_be_read_is_forgotten() {
        let directory = tempfile::tempdir().unwrap();
        let disk = disk(directory.path());
        assert_eq!(disk.load(), Record::default());
        for text in ["", "{", "{\"v\":9}"] {
            fs::write(disk.record(), text).unwrap();
            assert_eq!(disk.load(), Record::default(), "{text}");
            fs::write(disk.pending(), text).unwrap();
            assert!(!disk.recover(&RealFs).unwrap());
            assert!(!disk.pending().exists());
        }
    }
}
