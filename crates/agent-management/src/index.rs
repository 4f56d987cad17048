//! The index: what a server has for its endpoints, as one JSON document. See `docs/MANAGEMENT.md`.

use serde::Deserialize;
use trust_core::Fingerprint;

/// What is on the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// The number of this index, where it has one: a lower one is not taken after a higher one.
    pub version: Option<u64>,
    /// The policies.
    pub policies: Vec<Entry>,
}

/// One policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The file, on the server beside the index, on the endpoint in the directory of the policies.
    pub file: Document,
    /// Its version, which the document has to have as well.
    pub version: u64,
    /// The contents of the `CAInfo` files that it names.
    pub anchors: Vec<Document>,
}

/// A file by its name and its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its name, without any directory.
    pub name: String,
    /// SHA-256 of its content.
    pub sha256: Fingerprint,
}

/// Most octets of an index: a thousand policies.
pub const MOST_BYTES: u64 = 1 << 20;
/// More than a console shows on one endpoint.
const MOST_POLICIES: usize = 256;
/// Each `CurlSSL` element can name one; more than a few make no sense.
const MOST_ANCHORS: usize = 16;
/// What every file system and every URL bears.
const LONGEST_NAME: usize = 128;

impl Index {
    /// Reads an index.
    ///
    /// # Errors
    /// In words that quote nothing of it but names that are good.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let raw: RawIndex = serde_json::from_slice(text).map_err(|error| {
            // serde_json's own words may quote values.
            format!("it is no index: line {}, column {}", error.line(), error.column())
        })?;
        if raw.v != 1 {
            return Err(format!("it is an index of the form {}, and this agentd reads form 1", raw.v));
        }
        if raw.policies.len() > MOST_POLICIES {
            return Err(format!("it lists {} policies, and may list {MOST_POLICIES}", raw.policies.len()));
        }
        let policies: Vec<Entry> =
            raw.policies.into_iter().enumerate().map(entry).collect::<Result<_, _>>()?;
        let index = Self { version: raw.version, policies };
        index.check_names()?;
        Ok(index)
    }

    /// No file twice; an anchors file may belong to several policies, as long as it is the same.
    fn check_names(&self) -> Result<(), String> {
        for (place, entry) in self.policies.iter().enumerate() {
            let same = |other: &Entry| other.file.name.eq_ignore_ascii_case(&entry.file.name);
            if self.policies[..place].iter().any(same) {
                return Err(format!("it lists {} twice", entry.file.name));
            }
        }
        let anchors: Vec<&Document> = self.policies.iter().flat_map(|entry| &entry.anchors).collect();
        for (place, document) in anchors.iter().enumerate() {
            let contradicts =
                |other: &&&Document| other.name.eq_ignore_ascii_case(&document.name) && **other != *document;
            if anchors[..place].iter().any(|other| contradicts(&other)) {
                return Err(format!("it lists {} with two different contents", document.name));
            }
        }
        Ok(())
    }
}

fn entry((place, raw): (usize, RawEntry)) -> Result<Entry, String> {
    let which = format!("policy {} of it", place + 1);
    if raw.anchors.len() > MOST_ANCHORS {
        return Err(format!(
            "{which} lists {} anchors files, and may list {MOST_ANCHORS}",
            raw.anchors.len()
        ));
    }
    let file = document(RawDocument { file: raw.file, sha256: raw.sha256 }, &which)?;
    if !file.name.to_ascii_lowercase().ends_with(".xml") {
        return Err(format!("{which} is named {}, and a policy's name ends with .xml", file.name));
    }
    let anchors = raw.anchors.into_iter().map(|raw| document(raw, &which)).collect::<Result<_, _>>()?;
    Ok(Entry { file, version: raw.version, anchors })
}

fn document(raw: RawDocument, which: &str) -> Result<Document, String> {
    if !is_plain_name(&raw.file) {
        return Err(format!(
            "{which} names a file with other than letters, digits, \".\", \"_\", \"-\", \"{{\" and \"}}\", or too long"
        ));
    }
    let sha256 = raw.sha256.parse().map_err(|error| format!("{which}: sha256: {error}"))?;
    Ok(Document { name: raw.file, sha256 })
}

/// A name that is a name alone on every file system and in every URL, and that no tool takes for a hidden or temporary
/// file.
fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'{' | b'}');
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with(['.', '-'])
}

// Unknown fields are passed over: a later server may say more.
#[derive(Deserialize)]
struct RawIndex {
    v: u64,
    version: Option<u64>,
    policies: Vec<RawEntry>,
}

#[derive(Deserialize)]
struct RawEntry {
    file: String,
    version: u64,
    sha256: String,
    #[serde(default)]
    anchors: Vec<RawDocument>,
}

#[derive(Deserialize)]
struct RawDocument {
    file: String,
    sha256: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn a_whole_one() {
        let text = format!(
            r#"{{"v":1,"version":7,"made":"by hand","policies":[
                {{"file":"{{a}}.xml","version":3,"sha256":"{HASH}","anchors":[{{"file":"ca.pem","sha256":"{HASH}"}}]}},
                {{"file":"b.XML","version":0,"sha256":"{HASH}"}}]}}"#
        );
        let index = Index::parse(text.as_bytes()).unwrap();
        assert_eq!(index.version, Some(7));
        assert_eq!(index.policies.len(), 2);
        assert_eq!(index.policies[0].anchors[0].name, "ca.pem");
        assert_eq!(index.policies[0].file.sha256.to_string(), HASH);
        assert_eq!(Index::parse(br#"{"v":1,"policies":[]}"#).unwrap().policies, []);
    }

    #[test]
    fn what_is_refused() {
        let policy =
            |file: &str, more: &str| format!(r#"{{"file":"{file}","version":1,"sha256":"{HASH}"{more}}}"#);
        let anchors =
            |file: &str, sha256: &str| format!(r#","anchors":[{{"file":"{file}","sha256":"{sha256}"}}]"#);
        let other = HASH.replace('e', "0");
        let index = |policies: &[String]| format!(r#"{{"v":1,"policies":[{}]}}"#, policies.join(","));
        for (text, words) in [
            (String::new(), "no index: line 1"),
            ("{}".to_owned(), "no index"),
            (r#"{"v":2,"policies":[]}"#.to_owned(), "form 2"),
            (index(&[policy("../a.xml", "")]), "names a file"),
            (index(&[policy("a/b.xml", "")]), "names a file"),
            (index(&[policy(".a.xml", "")]), "names a file"),
            (index(&[policy("", "")]), "names a file"),
            (index(&[policy(&format!("{}.xml", "a".repeat(200)), "")]), "names a file"),
            (index(&[policy("a.pem", "")]), "ends with .xml"),
            (index(&[policy("a.xml", ""), policy("A.xml", "")]), "twice"),
            (index(&[policy("a.xml", &anchors("../../etc/passwd", HASH))]), "names a file"),
            (index(&[policy("a.xml", &anchors("ca.pem", "12"))]), "sha256"),
            (
                index(&[
                    policy("a.xml", &anchors("ca.pem", HASH)),
                    policy("b.xml", &anchors("ca.pem", &other)),
                ]),
                "two different contents",
            ),
            (index(&vec![policy("a.xml", ""); 257]), "257 policies"),
        ] {
            let why = Index::parse(text.as_bytes()).expect_err(&text);
            assert!(why.contains(words), "{text}: {why}");
        }
    }

    proptest! {
        #[test]
        fn no_octets_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _read = Index::parse(&bytes);
        }
    }
}
