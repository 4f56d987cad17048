//! What a policy must be before it is taken.

use std::path::{Component, Path};

use trust_formats::policy::{self, Policy};
use url::Url;

use super::{Wish, anchors_path};
use crate::failure::Failure;
use crate::index::{Entry, Index};
use crate::redirect::shown;

fn refused(url: &Url, code: &'static str, why: String, remedy: &'static str) -> Failure {
    Failure::Content { url: shown(url), code, why, remedy }
}

const OLDER: &str =
    "raise the version on the server, or take it on purpose: agentctl refresh --allow-downgrade";

/// An index with a lower number than the last one is an old one: of a server that was not kept up, or played back.
pub(super) fn index_version(index: &Index, wish: &Wish<'_>, url: &Url) -> Result<(), Failure> {
    match (wish.known.version, index.version) {
        (Some(known), Some(offered)) if offered < known && !wish.allow_downgrade => {
            let why = format!("this index has the version {offered}, and the last one had {known}");
            Err(refused(url, "policy-older", why, OLDER))
        }
        (Some(known), None) if !wish.allow_downgrade => {
            let why = format!("this index has no version, and the last one had {known}");
            Err(refused(url, "policy-older", why, OLDER))
        }
        _ => Ok(()),
    }
}

/// A policy with a lower version than the one that was taken in this file, or that is there with its GUID from wherever.
pub(super) fn not_older(
    entry: &Entry,
    taken: Option<u64>,
    guid: Option<&str>,
    wish: &Wish<'_>,
    url: &Url,
) -> Result<(), Failure> {
    let present = wish.present.iter().filter(|(other, _)| Some(other.as_str()) == guid);
    let highest = present.map(|(_, version)| *version).chain(taken).max();
    match highest.filter(|highest| *highest > entry.version) {
        Some(highest) if !wish.allow_downgrade => {
            let why =
                format!("{} has the version {}, and here it has {highest}", entry.file.name, entry.version);
            Err(refused(url, "policy-older", why, OLDER))
        }
        _ => Ok(()),
    }
}

/// A policy that can be read, and is the one that the index speaks of.
pub(super) fn policy(
    bytes: &[u8],
    entry: &Entry,
    url: &Url,
    limits: &policy::Limits,
) -> Result<Policy, Failure> {
    let policy = policy::parse(bytes, limits).map_err(|error| {
        refused(url, "policy-unreadable", error.to_string(), "mend the policy where it is made")
    })?;
    match policy.version {
        Some(version) if version != entry.version => Err(refused(
            url,
            "policy-version",
            format!("it says version {version}, and the index says {}", entry.version),
            "make the index anew from the files that are there",
        )),
        _ => Ok(policy),
    }
}

/// Paths of `CAInfo`: absolute; and where one leads into our own directory, its content comes along.
pub(super) fn ca_info(policy: &Policy, entry: &Entry, directory: &Path, url: &Url) -> Result<(), Failure> {
    let named: Vec<&Path> = policy
        .curl_ssl
        .iter()
        .filter_map(|element| element.ca_info.as_ref())
        .map(|placed| Path::new(placed.value.trim()))
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    let brought = |path: &Path| entry.anchors.iter().any(|file| anchors_path(directory, &file.name) == path);
    for path in &named {
        if !path.is_absolute() {
            return Err(refused(
                url,
                "policy-path-relative",
                "its CAInfo is no absolute path, and relative to what it would be nobody knows".to_owned(),
                "write the whole path, from \"/\" on",
            ));
        }
        let ours = path.starts_with(directory) || path.components().any(|part| part == Component::ParentDir);
        if ours && !brought(path) {
            return Err(refused(
                url,
                "policy-path",
                format!(
                    "its CAInfo leads into {} or over \"..\", and the index brings no file for it",
                    directory.display()
                ),
                "list the file under \"anchors\" in the index, or name a path elsewhere",
            ));
        }
    }
    match entry.anchors.iter().find(|file| {
        let path = anchors_path(directory, &file.name);
        !named.iter().any(|named| *named == path)
    }) {
        Some(file) => Err(refused(
            url,
            "policy-path",
            format!(
                "the index brings {} with it, and no CAInfo of it names {}",
                file.name,
                anchors_path(directory, &file.name).display()
            ),
            "let the policy's CAInfo name that path: files are written nowhere else",
        )),
        None => Ok(()),
    }
}

/// A file of anchors without any would take the anchors away that it held before.
pub(super) fn anchors(found: usize, url: &Url) -> Result<(), Failure> {
    if found > 0 {
        return Ok(());
    }
    let why = "there is no certificate in it".to_owned();
    Err(refused(url, "no-certificate", why, "look at the file: agentctl lint FILE"))
}

#[cfg(test)]
mod tests {
    use trust_core::Fingerprint;

    use super::*;
    use crate::index::Document;

    fn entry(anchors: &[&str]) -> Entry {
        let document = |name: &str| Document { name: name.to_owned(), sha256: Fingerprint::of(b"") };
        Entry {
            file: document("a.xml"),
            version: 3,
            anchors: anchors.iter().map(|name| document(name)).collect(),
        }
    }

    #[test]
    fn where_ca_info_may_lead() {
        let url = Url::parse("https://smp.example/policies/a.xml").unwrap();
        let directory = Path::new("/var/lib/agentd/anchors");
        for (paths, anchors, expected) in [
            (&["/var/lib/agentd/anchors/ca.pem"][..], &["ca.pem"][..], None),
            (&["/opt/site/ca.pem"], &[], None),
            (&[""], &[], None),
            (&["ca.pem"], &[], Some("policy-path-relative")),
            (&["./ca.pem"], &["ca.pem"], Some("policy-path-relative")),
            (&["/var/lib/agentd/anchors/ca.pem"], &[], Some("policy-path")),
            (&["/var/lib/agentd/anchors/sub/ca.pem"], &["ca.pem"], Some("policy-path")),
            (&["/var/lib/agentd/anchors/../cainfo.pem"], &["ca.pem"], Some("policy-path")),
            (&["/opt/../var/lib/agentd/anchors/ca.pem"], &["ca.pem"], Some("policy-path")),
            (&["/opt/site/ca.pem"], &["ca.pem"], Some("policy-path")),
            (
                &["/var/lib/agentd/anchors/ca.pem", "/opt/b.pem"],
                &["ca.pem", "other.pem"],
                Some("policy-path"),
            ),
        ] {
            let elements: String = paths.iter().map(|path| format!("<CurlSSL CAInfo=\"{path}\"/>")).collect();
            let text = format!("<Policy version=\"3\">{elements}</Policy>");
            let limits = policy::Limits::default();
            let entry = entry(anchors);
            let read = policy(text.as_bytes(), &entry, &url, &limits).unwrap();
            let code = ca_info(&read, &entry, directory, &url).err().map(|failure| failure.code());
            assert_eq!(code, expected, "{paths:?} {anchors:?}");
        }
    }

    #[test]
    fn what_a_policy_must_be() {
        let url = Url::parse("https://smp.example/policies/a.xml").unwrap();
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\">]><Policy version=\"3\">&b;</Policy>";
        for (text, expected) in [
            ("<Policy version=\"3\"/>", None),
            ("<Policy/>", None),
            ("<Policy version=\"4\"/>", Some("policy-version")),
            ("<Policy version=\"3\">", Some("policy-unreadable")),
            ("", Some("policy-unreadable")),
            (bomb, Some("policy-unreadable")),
        ] {
            let limits = policy::Limits::default();
            let code =
                policy(text.as_bytes(), &entry(&[]), &url, &limits).err().map(|failure| failure.code());
            assert_eq!(code, expected, "{text}");
        }
    }
}
