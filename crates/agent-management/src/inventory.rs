//! Basic inventory: what an endpoint says of itself, as one document. Its schema is in `docs/MANAGEMENT.md`.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;

mod xml;

/// Number of this document's form, in `v`.
pub const V: u32 = 1;

/// What an endpoint says of itself. No content of any file, no user and no secret is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inventory {
    /// Form of this document.
    pub v: u32,
    /// When it was made.
    pub at: Timestamp,
    /// Why: `enrolment`, `timer`, `operator`.
    pub reason: &'static str,
    /// The machine.
    pub host: Host,
    /// The agent.
    pub agent: Agent,
    /// The store.
    pub store: Store,
    /// The servers as they were last reached.
    pub servers: Vec<Server>,
    /// The verdict: `ok`, `degraded`, `failed`.
    pub health: String,
    /// Codes of what needs a hand, each once, sorted.
    pub problems: Vec<String>,
}

/// The machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Host {
    /// The same for the life of the installation; no serial number.
    pub id: String,
    /// Its own name.
    pub name: String,
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub os: String,
    /// Release of the kernel.
    pub kernel: String,
    /// `x86_64`, `aarch64`.
    pub architecture: String,
    /// When it was started.
    pub booted: Option<Timestamp>,
    /// Those with which it reaches its servers.
    pub addresses: Vec<IpAddr>,
}

/// The agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Agent {
    /// Its version.
    pub version: String,
    /// When the daemon started; null where none runs.
    pub started: Option<Timestamp>,
    /// When policies were last refreshed.
    pub refreshed: Option<Timestamp>,
}

/// The store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Store {
    /// Number of its last publication.
    pub generation: u64,
    /// SHA-256 of the bundle: the same on all endpoints that have the same anchors from the same sources.
    pub sha256: Option<String>,
    /// When it was published.
    pub published: Option<Timestamp>,
    /// Whether it is kept as it was against its sources.
    pub held: bool,
    /// Its anchors in order.
    pub anchors: Vec<Anchor>,
}

/// One anchor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Anchor {
    /// SHA-256 of the DER.
    pub fingerprint: String,
    /// Its subject.
    pub subject: String,
    /// Its end.
    pub not_after: Timestamp,
    /// Whether it is in the store for the servers' sake alone: no source has it any more.
    pub retained: bool,
}

/// A server as it was last reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Server {
    /// Its name in the configuration.
    pub name: String,
    /// `secure`, `attention`, `insecure`; null before the first connection.
    pub lock: Option<String>,
    /// When it was last verified.
    pub last_ok: Option<Timestamp>,
    /// Fingerprint of the anchor that verified it.
    pub anchor: Option<String>,
    /// Code of what is wrong.
    pub reason: Option<String>,
}

/// The form that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `application/json`.
    Json,
    /// `application/xml`.
    Xml,
}

impl Form {
    /// The type for `Content-Type`.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml => "application/xml",
        }
    }

    /// The end of a file's name.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Xml => "xml",
        }
    }
}

impl Inventory {
    /// The document.
    #[must_use]
    pub fn render(&self, form: Form) -> Vec<u8> {
        // These types have text keys and no failing conversion.
        let value = serde_json::to_value(self).unwrap_or_default();
        match form {
            Form::Json => format!("{value:#}\n").into_bytes(),
            Form::Xml => xml::document("inventory", &value).into_bytes(),
        }
    }
}

/// Which of the documents that wait are dropped, so that no more than `most` are left: the oldest. Their names sort by
/// age.
#[must_use]
pub fn to_drop(waiting: &[String], most: usize) -> Vec<String> {
    let mut sorted = waiting.to_vec();
    sorted.sort();
    sorted.truncate(waiting.len().saturating_sub(most));
    sorted
}

/// How many documents wait for a server at most: two weeks of daily ones.
pub const MOST_WAITING: usize = 14;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn sample() -> Inventory {
        let at: Timestamp = "2026-11-21T09:00:00Z".parse().unwrap();
        Inventory {
            v: V,
            at,
            reason: "timer",
            host: Host {
                id: "0123".to_owned(),
                name: "ws-1".to_owned(),
                os: "A <b> & \"c\" \u{1}".to_owned(),
                kernel: "6.1".to_owned(),
                architecture: "x86_64".to_owned(),
                booted: None,
                addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            },
            agent: Agent { version: "0.1.0".to_owned(), started: Some(at), refreshed: None },
            store: Store {
                generation: 42,
                sha256: Some("ab".to_owned()),
                published: Some(at),
                held: false,
                anchors: vec![Anchor {
                    fingerprint: "cd".to_owned(),
                    subject: "CN=Root".to_owned(),
                    not_after: at,
                    retained: true,
                }],
            },
            servers: Vec::new(),
            health: "ok".to_owned(),
            problems: vec!["anchor-expires".to_owned()],
        }
    }

    #[test]
    fn json_has_every_field_and_times_in_utc() {
        let value: Value = serde_json::from_slice(&sample().render(Form::Json)).unwrap();
        assert_eq!(value["v"], 1);
        assert_eq!(value["at"], "2026-11-21T09:00:00Z");
        assert_eq!(value["store"]["anchors"][0]["retained"], true);
        assert_eq!(value["host"]["booted"], Value::Null);
        assert_eq!(value["host"]["addresses"][1], "fd00::1");
        assert_eq!(value["problems"][0], "anchor-expires");
    }

    #[test]
    fn xml_says_the_same() {
        let text = String::from_utf8(sample().render(Form::Xml)).unwrap();
        assert!(
            text.starts_with("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<inventory>\n  <agent>\n"),
            "{text}"
        );
        assert!(text.contains("<os>A &lt;b&gt; &amp; \"c\" \u{fffd}</os>"), "{text}");
        assert!(text.contains("<addresses>\n      <item>10.0.0.1</item>"), "{text}");
        assert!(text.contains("<retained>true</retained>"), "{text}");
        assert!(!text.contains("<booted>"), "what is not known is left out: {text}");
        assert!(text.contains("<servers/>"), "{text}");
        // Well formed, by a reader of our own that expands nothing.
        trust_formats::policy::parse(text.as_bytes(), &trust_formats::policy::Limits::default()).unwrap();
    }

    #[test]
    fn the_oldest_are_dropped() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(to_drop(&names(&["3", "1", "2"]), 2), names(&["1"]));
        assert!(to_drop(&names(&["1"]), 2).is_empty());
        assert_eq!(to_drop(&names(&["1", "2"]), 0), names(&["1", "2"]));
    }
}
