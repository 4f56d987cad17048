//! Whose a fingerprint is, for people: by the comments of the store, which everybody may read and which cost no parsing of
//! certificates.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use agent_control::wire::SourceReport;
use anstyle::Style;
use rustix::fs::{Mode, OFlags};

use crate::commands::lint;
use crate::context::Context;
use crate::out::{BAD, GOOD, HANG, Page, shorten_subject, styled};

/// Subjects by fingerprint.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<String, String>);

impl Names {
    /// Those of the store as it is now.
    pub(crate) fn of_store(context: &Context) -> Self {
        let mut names = Self::default();
        names.learn_store(context);
        names
    }

    /// Those of the store as it is now, besides those that are known.
    pub(crate) fn learn_store(&mut self, context: &Context) {
        self.0.extend(index(&context.settings.store.merged));
    }

    /// Where one of these is not known, those that the sources hold: they may come into the store, or be left out.
    pub(crate) fn learn_sources(&mut self, wanted: &[String], sources: &[SourceReport]) {
        if wanted.iter().all(|fingerprint| self.0.contains_key(fingerprint)) {
            return;
        }
        // One that was not read just now may be one that nobody can read without waiting.
        let readable = sources.iter().filter(|source| source.state == "ok");
        for bytes in readable.filter_map(|source| read(Path::new(&source.path))) {
            let found = lint::read_all(&bytes);
            self.0.extend(
                found.iter().map(|found| (found.fingerprint().to_string(), found.subject().to_owned())),
            );
        }
    }

    /// The subject, or nothing.
    pub(crate) fn get(&self, fingerprint: &str) -> &str {
        self.0.get(fingerprint).map_or("", String::as_str)
    }

    /// A line for each anchor that came and each that went.
    pub(crate) fn write_changes(
        &self,
        added: &[String],
        removed: &[String],
        page: &mut Page,
    ) -> io::Result<()> {
        let mut write = |sign: &str, style: Style, fingerprint: &String| {
            let subject = self.get(fingerprint);
            // A person goes on with the first digits and the subject, a program with the whole of it.
            let id = match page.width() {
                Some(_) if !subject.is_empty() => fingerprint.get(..8).unwrap_or(fingerprint),
                _ => fingerprint,
            };
            let line = format!("{id}  {}", shorten_subject(subject, page.left_behind(id.len() + 4)));
            writeln!(page, "{} {HANG}{}", styled(style, sign), line.trim_end())
        };
        added.iter().try_for_each(|anchor| write("+", GOOD, anchor))?;
        removed.iter().try_for_each(|anchor| write("-", BAD, anchor))
    }
}

/// Fingerprint and subject of each anchor of a store, in order.
pub(crate) fn index(merged: &Path) -> Vec<(String, String)> {
    let Some(bytes) = read(merged) else { return Vec::new() };
    let mut anchors = Vec::new();
    let mut subject = "";
    // Between the comments are megabytes of base64, which are passed over at the speed of memory.
    for at in memchr::memmem::find_iter(&bytes, b"\n# ") {
        let rest = &bytes[at + 3..];
        let line = &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())];
        let Ok(line) = std::str::from_utf8(line) else { continue };
        if let Some(sha256) = line.strip_prefix("SHA-256: ") {
            anchors.push((sha256.to_owned(), subject.to_owned()));
        } else if line.starts_with(|c: char| c.is_ascii_digit()) {
            subject = line.split_once(". ").map_or("", |(_, subject)| subject);
        }
    }
    anchors
}

/// A regular file that this user may read; nobody waits for the writer of a pipe.
fn read(path: &Path) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_come_from_the_comments_of_the_store() {
        let file = std::env::temp_dir().join(format!("agentctl-names-{}", std::process::id()));
        std::fs::write(
            &file,
            "# head\n\n# 1. CN=One. Two\n# from: x\n# SHA-256: aaaaaaaaaaaa\n-----BEGIN CERTIFICATE-----\nMII\n\
             -----END CERTIFICATE-----\n\n# 2. CN=Two\n# SHA-256: bbbbbbbbbbbb\n",
        )
        .unwrap();
        let found = index(&file);
        std::fs::remove_file(&file).unwrap();
        let expected = [("aaaaaaaaaaaa", "CN=One. Two"), ("bbbbbbbbbbbb", "CN=Two")];
        assert_eq!(found, expected.map(|(id, subject)| (id.to_owned(), subject.to_owned())));
        assert!(index(Path::new("/nonexistent/cainfo-merged.pem")).is_empty());
    }
}
