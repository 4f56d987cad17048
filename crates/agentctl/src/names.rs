//! Whose a fingerprint is, for people: by the comments of the store, which everybody may read and which cost no parsing of
//! certificates.

use std::borrow::Cow;
use std::cell::{Cell, LazyCell, OnceCell};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use agent_control::wire::SourceReport;
use rustix::fs::{Mode, OFlags};
use trust_core::bundle::subject_comment;
use trust_core::fingerprint::FingerprintMap;
use trust_core::plan::StoreState;
use trust_core::{Certificate, Fingerprint};

use crate::commands::lint;
use crate::context::Context;
use crate::out::{BAD, GOOD, HANG, Page, shorten_subject, styled};
use crate::words::short;

/// Subjects by fingerprint.
#[derive(Default)]
pub(crate) struct Names<'a> {
    known: Known,
    read: HashMap<String, String>,
    /// Where else there may be some, each read only when one is asked for that is not known by then.
    further: Vec<Further<'a>>,
}

type Further<'a> = LazyCell<HashMap<String, String>, Box<dyn FnOnce() -> HashMap<String, String> + 'a>>;

impl<'a> Names<'a> {
    /// Those of the store as it is now.
    pub(crate) fn of_store(context: &Context) -> Self {
        let mut names = Self::default();
        names.learn_store(context);
        names
    }

    /// Those of the certificates that a state speaks of.
    pub(crate) fn of_state(state: &StoreState) -> Self {
        Self { known: Known::of(state.certificates().cloned().collect()), ..Self::default() }
    }

    /// With those of the anchors that something has moved or kept: from the store as it is, as it was, and from the
    /// sources.
    pub(crate) fn and_of_changes(
        mut self,
        context: &'a Context,
        before: &'a Before,
        sources: &'a [SourceReport],
    ) -> Self {
        let of = |read: Box<dyn FnOnce() -> HashMap<String, String> + 'a>| LazyCell::new(read);
        self.further.push(of(Box::new(|| index(&context.settings.store.merged).into_iter().collect())));
        self.further.push(of(Box::new(|| {
            let index = before.0.as_ref().map(|store| read_index(store, CHUNK));
            index.unwrap_or_default().into_iter().collect()
        })));
        // They may come into the store, or be left out.
        self.further.push(of(Box::new(|| of_sources(sources, context.settings.sources.max_bytes))));
        self
    }

    /// Those of the store as it is now, besides those that are known.
    pub(crate) fn learn_store(&mut self, context: &Context) {
        self.read.extend(index(&context.settings.store.merged));
    }

    /// The subject as the comments of the store have it, or nothing.
    pub(crate) fn get(&self, fingerprint: &str) -> Cow<'_, str> {
        if let Some(certificate) = fingerprint.parse().ok().and_then(|digits| self.known.get(digits)) {
            return subject_comment(certificate);
        }
        let read = self.read.get(fingerprint);
        let found = read.or_else(|| self.further.iter().find_map(|further| further.get(fingerprint)));
        Cow::Borrowed(found.map_or("", String::as_str))
    }

    /// A line for each anchor that came and each that went.
    pub(crate) fn write_changes(
        &self,
        added: &[String],
        removed: &[String],
        page: &mut Page,
    ) -> io::Result<()> {
        let mut write = |sign: &str, fingerprint: &String| {
            let subject = self.get(fingerprint);
            // A person goes on with the first digits and the subject, a program with the whole of it.
            let id = match page.width() {
                Some(_) if !subject.is_empty() => short(fingerprint),
                _ => fingerprint,
            };
            let gap = if subject.is_empty() { "" } else { "  " };
            writeln!(
                page,
                "{sign} {HANG}{id}{gap}{}",
                shorten_subject(&subject, page.left_behind(id.len() + 4))
            )
        };
        let (came, went) = (styled(GOOD, "+"), styled(BAD, "-"));
        added.iter().try_for_each(|anchor| write(&came, anchor))?;
        removed.iter().try_for_each(|anchor| write(&went, anchor))
    }
}

/// Certificates that are at hand.
#[derive(Default)]
struct Known {
    list: Vec<Arc<Certificate>>,
    /// They are asked for in their own order, nearly always. As long as they are, the next one is looked for from here.
    next: Cell<usize>,
    /// From then on.
    places: OnceCell<FingerprintMap<usize>>,
}

impl Known {
    fn of(list: Vec<Arc<Certificate>>) -> Self {
        Self { list, ..Self::default() }
    }

    fn get(&self, fingerprint: Fingerprint) -> Option<&Arc<Certificate>> {
        let next = self.next.get();
        let ahead = self.list.get(next..)?.iter().position(|known| known.fingerprint() == fingerprint);
        // Whatever comes after one that is not ahead would be looked for among all of them.
        self.next.set(ahead.map_or(self.list.len(), |steps| next + steps + 1));
        if let Some(steps) = ahead {
            return self.list.get(next + steps);
        }
        let places =
            self.places.get_or_init(|| self.list.iter().map(|known| known.fingerprint()).zip(0..).collect());
        self.list.get(*places.get(&fingerprint)?)
    }
}

/// The store as it is before something changes it. It is replaced as a whole, so what is open stays as it was, and is
/// read only where it turns out that names are wanted.
#[derive(Debug)]
pub(crate) struct Before(Option<File>);

impl Before {
    /// Takes hold of it.
    pub(crate) fn now(context: &Context) -> Self {
        Self(open(&context.settings.store.merged))
    }
}

/// Fingerprint and subject of each anchor of a store, in order.
pub(crate) fn index(merged: &Path) -> Vec<(String, String)> {
    open(merged).map(|file| read_index(file, CHUNK)).unwrap_or_default()
}

/// Piece by piece, for a store may have megabytes, and somebody waits for a word to be completed.
fn read_index(mut store: impl io::Read, chunk: usize) -> Vec<(String, String)> {
    let mut index = Index::default();
    let mut held = Vec::new();
    loop {
        let begun = held.len();
        held.resize(begun + chunk, 0);
        let read = store.read(&mut held[begun..]).unwrap_or_default();
        held.truncate(begun + read);
        let whole = if read == 0 { held.len() } else { memchr::memrchr(b'\n', &held).map_or(0, |at| at + 1) };
        index.take(&held[..whole]);
        held.drain(..whole);
        if read == 0 {
            return index.anchors;
        }
    }
}

/// What the comments have told so far.
#[derive(Debug, Default)]
struct Index {
    subject: String,
    anchors: Vec<(String, String)>,
}

impl Index {
    /// Takes whole lines. Between the comments is base64, which is passed over at the speed of memory.
    fn take(&mut self, lines: &[u8]) {
        let mut rest = lines;
        if !rest.starts_with(MARK) {
            rest = next_comment(rest);
        }
        while let Some(comment) = rest.strip_prefix(MARK) {
            let end = memchr::memchr(b'\n', comment).unwrap_or(comment.len());
            if let Ok(line) = std::str::from_utf8(&comment[..end]) {
                self.line(line);
            }
            rest = next_comment(&comment[end..]);
        }
    }

    fn line(&mut self, line: &str) {
        if let Some(sha256) = line.strip_prefix("SHA-256: ") {
            self.anchors.push((sha256.to_owned(), std::mem::take(&mut self.subject)));
        } else if line.starts_with(|c: char| c.is_ascii_digit()) {
            self.subject = line.split_once(". ").map_or_else(String::new, |(_, subject)| subject.to_owned());
        }
    }
}

fn of_sources(sources: &[SourceReport], most_bytes: usize) -> HashMap<String, String> {
    // One that was not read just now may be one that nobody can read without waiting.
    let readable = sources.iter().filter(|source| source.state == "ok");
    let files = readable.filter_map(|source| read(Path::new(&source.path), most_bytes));
    let found = files.flat_map(|bytes| lint::read_all(&bytes));
    found.map(|found| (found.fingerprint().to_string(), found.subject().to_owned())).collect()
}

/// From the next line that is a comment on.
fn next_comment(lines: &[u8]) -> &[u8] {
    memchr::memmem::find(lines, b"\n# ").map_or(&[], |at| &lines[at + 1..])
}

const MARK: &[u8] = b"# ";
/// Stays in the processor's cache, and in pages that the process has already.
const CHUNK: usize = 32 * 1024;

fn read(path: &Path, most_bytes: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most_bytes as u64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A regular file that this user may read; nobody waits for the writer of a pipe.
fn open(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    is_file.then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_found_in_any_order() {
        let certificate = |number: u8| Arc::new(Certificate::known(vec![number]));
        // As sources have them: some twice.
        let list: Vec<_> = [1, 2, 3, 2, 3, 4, 5, 1].map(certificate).into();
        for order in [vec![1, 2, 3, 4, 5], vec![5, 4, 3, 2, 1], vec![2, 9, 3, 1, 9, 5], vec![1, 1, 2, 2]] {
            let known = Known::of(list.clone());
            for number in order {
                let wanted = certificate(number).fingerprint();
                let found = known.get(wanted).map(|found| found.fingerprint());
                assert_eq!(found, Some(wanted).filter(|_| number < 9), "{number}");
            }
        }
        assert!(Known::default().get(certificate(1).fingerprint()).is_none());
    }

    #[test]
    fn anchors_come_from_the_comments_of_the_store() {
        let text = "# head\n\n# 1. CN=One. Two\n# from: x\n# SHA-256: aaaaaaaaaaaa\n-----BEGIN CERTIFICATE-----\nMII\n\
                    -----END CERTIFICATE-----\n\n# 2. CN=Two\n# SHA-256: bbbbbbbbbbbb\n-----BEGIN CERTIFICATE-----\n";
        let expected = [("aaaaaaaaaaaa", "CN=One. Two"), ("bbbbbbbbbbbb", "CN=Two")];
        let expected = expected.map(|(id, subject)| (id.to_owned(), subject.to_owned()));
        // However it is cut into pieces.
        for chunk in 1..text.len() + 2 {
            assert_eq!(read_index(text.as_bytes(), chunk), expected, "{chunk}");
        }
        assert_eq!(read_index(text.trim_end().as_bytes(), CHUNK), expected);
        assert!(read_index(&b""[..], CHUNK).is_empty());
        assert!(index(Path::new("/nonexistent/cainfo-merged.pem")).is_empty());
        assert!(index(Path::new("/dev/null")).is_empty(), "only of a file");
    }
}
