//! A policy refresh: what the server has now, as one set that is taken whole or not at all.
//!
//! One conditional request where nothing is new; else the index, and each file of it whose content is not on record.
//! Every file is held against the hash in the index before anything of it counts, and the index against the last one.
//! What comes of it is a value: [`Set`] says which files to write and which to remove, and what to remember.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trust_core::Fingerprint;
use trust_formats::{certificates, policy};
use url::Url;

use crate::failure::Failure;
use crate::http::{Ask, Reply};
use crate::index::{self, Document, Entry, Index};
use crate::redirect::shown;
use crate::session::Session;
use crate::validators::Validators;

mod check;

/// What was taken last, as it is remembered between two refreshes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Known {
    /// Where the index was found: its validators mean nothing anywhere else.
    pub url: Option<String>,
    /// What the server remembers it by.
    #[serde(default)]
    pub validators: Validators,
    /// SHA-256 of the index.
    pub sha256: Option<String>,
    /// Its number.
    pub version: Option<u64>,
    /// The policies that came from a server, by file name.
    #[serde(default)]
    pub policies: BTreeMap<String, Taken>,
    /// The anchors files that came with them.
    #[serde(default)]
    pub anchors: BTreeMap<String, Taken>,
}

/// A file that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// SHA-256 of its content.
    pub sha256: String,
    /// GUID of a policy that names one.
    pub guid: Option<String>,
    /// Version of a policy.
    pub version: Option<u64>,
}

/// What a refresh is to do.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// The path of the index on the server.
    pub index: &'a str,
    /// The directory that the contents of `CAInfo` files are written to, and no other.
    pub anchors: &'a Path,
    /// What is on record.
    pub known: &'a Known,
    /// Whether the files on record are on disk as they were taken: else they are fetched again.
    pub intact: bool,
    /// Policies that are there, from wherever: GUID and version.
    pub present: &'a [(String, u64)],
    /// Take a lower version than the one that is there.
    pub allow_downgrade: bool,
    /// The time.
    pub now: Timestamp,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refreshed {
    /// Nothing is new. What to remember may still differ in the validators.
    Unchanged {
        /// How that was seen.
        how: Same,
        /// What to remember.
        known: Known,
    },
    /// Something is.
    Changed(Set),
}

/// How it was seen that nothing is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Same {
    /// The server said 304.
    NotModified,
    /// The index has the same hash.
    SameContent,
}

impl Same {
    /// The word for JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotModified => "not-modified",
            Self::SameContent => "same-content",
        }
    }
}

/// What is to be on disk afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Set {
    /// Anchors files to write: before the policies that name them.
    pub anchors: Vec<Content>,
    /// Policies to write.
    pub policies: Vec<Content>,
    /// Policies that the server had before and has no more.
    pub remove_policies: Vec<String>,
    /// Anchors files of the same kind.
    pub remove_anchors: Vec<String>,
    /// What to remember.
    pub known: Known,
}

/// A file with its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its name, without any directory.
    pub name: String,
    /// The content, in base64 where it is kept.
    #[serde(with = "as_base64")]
    pub bytes: Vec<u8>,
}

/// Asks the server of a session for its policies.
///
/// # Errors
/// [`Failure`]; what is on disk stays as it is then.
pub async fn refresh(session: &mut Session<'_>, wish: &Wish<'_>) -> Result<Refreshed, Failure> {
    let url = session.base().join(wish.index).map_err(|_| Failure::Http {
        url: shown(session.base()),
        why: "the configured path of the index makes no address".to_owned(),
    })?;
    if !session.reached().verified {
        return Err(Failure::Content {
            url: shown(&url),
            code: "policy-not-verified",
            why: "policies are taken over connections alone whose certificate an anchor verifies and that is for the \
                  host; the policies in force switch that off for this one"
                .to_owned(),
            remedy: "have the server's certificate issued for the name that it is reached by, or pin it",
        });
    }
    let same_place = wish.known.url.as_deref() == Some(url.as_str());
    let mut ask = Ask::get(url.clone(), index::MOST_BYTES);
    if same_place && wish.intact {
        ask.unless = wish.known.validators.clone();
    }
    let (found_at, reply) = session.ask(ask, wish.now).await?;
    if reply.status == 304 && same_place && wish.intact {
        return Ok(Refreshed::Unchanged { how: Same::NotModified, known: wish.known.clone() });
    }
    let reply = usable(reply, &found_at, "an index of policies")?;
    let sha256 = Fingerprint::of(&reply.body).to_string();
    let known = Known {
        url: Some(url.to_string()),
        validators: reply.validators.clone(),
        sha256: Some(sha256.clone()),
        ..wish.known.clone()
    };
    if wish.intact && wish.known.sha256.as_ref() == Some(&sha256) {
        return Ok(Refreshed::Unchanged { how: Same::SameContent, known });
    }
    let index = Index::parse(&reply.body).map_err(|why| Failure::Content {
        url: shown(&found_at),
        code: "index-unreadable",
        why,
        remedy: "make it anew: docs/MANAGEMENT.md shows how",
    })?;
    check::index_version(&index, wish, &found_at)?;
    let set = fetch_all(session, &found_at, &index, wish, known).await?;
    Ok(Refreshed::Changed(set))
}

async fn fetch_all(
    session: &mut Session<'_>,
    index_url: &Url,
    index: &Index,
    wish: &Wish<'_>,
    mut known: Known,
) -> Result<Set, Failure> {
    let before = std::mem::take(&mut known.policies);
    let anchors_before = std::mem::take(&mut known.anchors);
    known.version = index.version;
    let mut set = Set {
        anchors: Vec::new(),
        policies: Vec::new(),
        remove_policies: Vec::new(),
        remove_anchors: Vec::new(),
        known: Known::default(),
    };
    let mut budget = MOST_OF_ALL;
    for entry in &index.policies {
        let earlier = before.get(&entry.file.name);
        let guid = earlier.and_then(|taken| taken.guid.as_deref());
        check::not_older(entry, earlier.and_then(|taken| taken.version), guid, wish, index_url)?;
        let kept = earlier.filter(|taken| wish.intact && is_same(taken, &entry.file));
        let anchors_kept = entry.anchors.iter().all(|document| {
            wish.intact && anchors_before.get(&document.name).is_some_and(|taken| is_same(taken, document))
        });
        let taken = match kept {
            Some(taken) if anchors_kept => {
                for document in &entry.anchors {
                    known.anchors.insert(document.name.clone(), of_anchors(document));
                }
                taken.clone()
            }
            _ => {
                let (policy, contents) = fetch(session, index_url, entry, wish, &mut budget).await?;
                let taken = Taken {
                    sha256: entry.file.sha256.to_string(),
                    guid: policy.guid,
                    version: Some(entry.version),
                };
                for (document, bytes) in entry.anchors.iter().zip(contents.anchors) {
                    if known.anchors.insert(document.name.clone(), of_anchors(document)).is_none() {
                        set.anchors.push(Content { name: document.name.clone(), bytes });
                    }
                }
                set.policies.push(Content { name: entry.file.name.clone(), bytes: contents.policy });
                taken
            }
        };
        known.policies.insert(entry.file.name.clone(), taken);
    }
    set.remove_policies = gone(&before, &known.policies);
    set.remove_anchors = gone(&anchors_before, &known.anchors);
    set.known = known;
    Ok(set)
}

fn is_same(taken: &Taken, document: &Document) -> bool {
    taken.sha256 == document.sha256.to_string()
}

fn of_anchors(document: &Document) -> Taken {
    Taken { sha256: document.sha256.to_string(), guid: None, version: None }
}

fn gone(before: &BTreeMap<String, Taken>, now: &BTreeMap<String, Taken>) -> Vec<String> {
    before.keys().filter(|name| !now.contains_key(*name)).cloned().collect()
}

struct Contents {
    policy: Vec<u8>,
    anchors: Vec<Vec<u8>>,
}

/// A policy and all that comes with it, checked.
async fn fetch(
    session: &mut Session<'_>,
    index_url: &Url,
    entry: &Entry,
    wish: &Wish<'_>,
    budget: &mut u64,
) -> Result<(policy::Policy, Contents), Failure> {
    let limits = policy::Limits::default();
    let (url, bytes) =
        document(session, index_url, &entry.file, (limits.bytes as u64, "a policy"), wish, budget).await?;
    let policy = check::policy(&bytes, entry, &url, &limits)?;
    check::not_older(entry, None, policy.guid.as_deref(), wish, &url)?;
    check::ca_info(&policy, entry, wish.anchors, &url)?;
    let mut anchors = Vec::new();
    for file in &entry.anchors {
        let limit = (MOST_ANCHORS_BYTES, "a file of certificates");
        let (url, bytes) = document(session, index_url, file, limit, wish, budget).await?;
        let content = trust_core::source::Content::parse(&bytes, &certificates::Limits::default());
        check::anchors(content.found.len(), &url)?;
        anchors.push(bytes);
    }
    Ok((policy, Contents { policy: bytes, anchors }))
}

/// One file beside the index, with the content that the index announces.
async fn document(
    session: &mut Session<'_>,
    index_url: &Url,
    wanted: &Document,
    (limit, expected): (u64, &'static str),
    wish: &Wish<'_>,
    budget: &mut u64,
) -> Result<(Url, Vec<u8>), Failure> {
    // A plain name, so that it cannot lead elsewhere; "{" and "}" are escaped by the URL's rules.
    let url = index_url.join(&wanted.name).map_err(|_| Failure::Http {
        url: shown(index_url),
        why: format!("{} makes no address", wanted.name),
    })?;
    let (url, reply) = session.ask(Ask::get(url, limit.min(*budget)), wish.now).await?;
    let reply = usable(reply, &url, expected)?;
    *budget -= reply.body.len() as u64;
    if Fingerprint::of(&reply.body) != wanted.sha256 {
        return Err(Failure::Content {
            url: shown(&url),
            code: "hash-differs",
            why: "its SHA-256 is not the one in the index: it is being changed, or the index was forgotten"
                .to_owned(),
            remedy: "put the index in place last, with the hashes of the files that are there",
        });
    }
    Ok((url, reply.body))
}

/// An answer with content of the right kind.
fn usable(reply: Reply, url: &Url, expected: &'static str) -> Result<Reply, Failure> {
    if reply.status != 200 {
        let Reply { status, retry_after, .. } = reply;
        return Err(Failure::Status { url: shown(url), status, retry_after });
    }
    if reply.is_page() {
        return Err(Failure::Page { url: shown(url), expected });
    }
    Ok(reply)
}

/// The path of an anchors file on the endpoint.
#[must_use]
pub fn anchors_path(directory: &Path, name: &str) -> PathBuf {
    directory.join(name)
}

/// Several times Mozilla's roots with all their comments.
const MOST_ANCHORS_BYTES: u64 = 4 << 20;
/// All files of one refresh: what is held in memory until the last of them is there.
const MOST_OF_ALL: u64 = 32 << 20;

/// Octets as text, for what is kept in JSON.
mod as_base64 {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(|_| de::Error::custom("not base64"))
    }
}
