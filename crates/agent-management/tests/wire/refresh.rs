use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use agent_management::Failure;
use agent_management::dial::Dialer;
use agent_management::refresh::{Known, Refreshed, Same, Set, Wish, refresh};
use agent_management::session::Session;
use jiff::Timestamp;
use test_support::pki::{Cert, Recipe};
use trust_core::Fingerprint;

use crate::kit::{Server, answer, authority, ok, request, runtime, set, tls};

const GUID: &str = "5f0c2f4e-8d8b-4c8e-9d53-0a6c1f6b7a11";
const ANCHORS: &str = "/var/lib/agentd/anchors";

/// A server of files; a path that is not there is 404.
struct Files {
    root: Cert,
    server: Server,
    files: Arc<Mutex<HashMap<String, Vec<u8>>>>,
}

impl Files {
    /// With ETags, as nginx gives them, or without any validator.
    fn new(with_etags: bool) -> Self {
        let (root, leaf) = authority();
        let files: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
        let served = Arc::clone(&files);
        let server = tls(&leaf, move |head| {
            let path = head.split(' ').nth(1).unwrap_or_default();
            let Some(body) = served.lock().unwrap().get(path).cloned() else {
                return answer("404 Not Found", "", b"<html>not here</html>");
            };
            if body.starts_with(b"HTTP/") {
                return body;
            }
            let etag = format!("\"{}\"", Fingerprint::of(&body).short());
            if !with_etags {
                ok(&body)
            } else if head.contains(&etag) {
                answer("304 Not Modified", "", b"")
            } else {
                answer("200 OK", &format!("ETag: {etag}\r\n"), &body)
            }
        });
        Self { root, server, files }
    }

    fn put(&self, name: &str, body: impl Into<Vec<u8>>) {
        self.files.lock().unwrap().insert(format!("/policies/{name}"), body.into());
    }

    /// Publishes these policies, each with the anchors files that it brings.
    fn publish(&self, version: Option<u64>, policies: &[(&str, u64, &str, &[&str])]) {
        let hash = |name: &str| {
            Fingerprint::of(&self.files.lock().unwrap()[&format!("/policies/{name}")]).to_string()
        };
        let entries: Vec<String> = policies
            .iter()
            .map(|(name, version, text, anchors)| {
                self.put(name, *text);
                let anchors: Vec<String> = anchors
                    .iter()
                    .map(|file| format!("{{\"file\":\"{file}\",\"sha256\":\"{}\"}}", hash(file)))
                    .collect();
                format!(
                    "{{\"file\":\"{name}\",\"version\":{version},\"sha256\":\"{}\",\"anchors\":[{}]}}",
                    hash(name),
                    anchors.join(",")
                )
            })
            .collect();
        let version = version.map_or_else(String::new, |version| format!("\"version\":{version},"));
        self.put("index.json", format!("{{\"v\":1,{version}\"policies\":[{}]}}", entries.join(",")));
    }

    fn refresh(&self, known: &Known) -> Result<Refreshed, Failure> {
        self.refresh_as(known, |wish| wish)
    }

    fn refresh_as<'a>(
        &self,
        known: &'a Known,
        change: impl FnOnce(Wish<'a>) -> Wish<'a>,
    ) -> Result<Refreshed, Failure> {
        let dialer = Dialer::default();
        let wish = change(Wish {
            index: "/policies/index.json",
            anchors: Path::new(ANCHORS),
            known,
            intact: true,
            present: &[],
            allow_downgrade: false,
            now: Timestamp::now(),
        });
        runtime().block_on(async {
            let url = self.server.url();
            let mut session = Session::open(&dialer, set(&[&self.root]), &url, request()).await?;
            refresh(&mut session, &wish).await
        })
    }

    #[track_caller]
    fn changed(&self, known: &Known) -> Set {
        match self.refresh(known) {
            Ok(Refreshed::Changed(set)) => set,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn refused(&self, known: &Known) -> &'static str {
        match self.refresh(known) {
            Err(failure) => {
                assert!(!failure.remedy().is_empty() && !failure.to_string().is_empty());
                failure.code()
            }
            other => panic!("{other:?}"),
        }
    }
}

fn policy(version: u64, path: &str) -> String {
    format!(
        "<Policy guid=\"{{5F0C2F4E-8D8B-4C8E-9D53-0A6C1F6B7A11}}\" version=\"{version}\"><CurlSSL CAInfo=\"{path}\"/></Policy>"
    )
}

#[test]
fn taken_then_unchanged_in_one_request() {
    for (with_etags, same, requests) in [(true, Same::NotModified, 1), (false, Same::SameContent, 1)] {
        let files = Files::new(with_etags);
        files.put("ca.pem", Recipe::ca("New").self_signed().pem());
        let text = policy(3, "/var/lib/agentd/anchors/ca.pem");
        files.publish(Some(1), &[("a.xml", 3, &text, &["ca.pem"]), ("b.xml", 1, "<Policy/>", &[])]);
        let set = files.changed(&Known::default());
        assert_eq!(set.policies.len(), 2);
        assert_eq!(set.policies[0].bytes, text.as_bytes());
        assert_eq!(set.anchors[0].name, "ca.pem");
        assert_eq!(set.known.policies["a.xml"].guid.as_deref(), Some(GUID));
        assert!(set.remove_policies.is_empty());
        let before = (files.server.connections(), files.server.requests().len());
        match files.refresh(&set.known) {
            Ok(Refreshed::Unchanged { how, known }) => {
                assert_eq!(how, same);
                assert_eq!(known.policies, set.known.policies);
            }
            other => panic!("{other:?}"),
        }
        let after = (files.server.connections(), files.server.requests().len());
        assert_eq!((after.0 - before.0, after.1 - before.1), (1, requests));
    }
}

#[test]
fn only_what_is_new_is_fetched_and_what_is_gone_is_removed() {
    let files = Files::new(true);
    files.publish(None, &[("a.xml", 1, "<Policy/>", &[]), ("b.xml", 1, "<Policy/>", &[])]);
    let first = files.changed(&Known::default());
    files.publish(None, &[("b.xml", 1, "<Policy/>", &[]), ("c.xml", 1, "<Policy version=\"1\"/>", &[])]);
    let before = files.server.requests().len();
    let second = files.changed(&first.known);
    assert_eq!(second.policies.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), ["c.xml"]);
    assert_eq!(second.remove_policies, ["a.xml"]);
    assert_eq!(second.known.policies.keys().collect::<Vec<_>>(), ["b.xml", "c.xml"]);
    assert_eq!(files.server.requests().len() - before, 2, "the index and the new one");
}

#[test]
fn what_was_damaged_on_disk_is_fetched_again() {
    let files = Files::new(true);
    files.publish(None, &[("a.xml", 1, "<Policy/>", &[])]);
    let first = files.changed(&Known::default());
    match files.refresh_as(&first.known, |wish| Wish { intact: false, ..wish }) {
        Ok(Refreshed::Changed(set)) => assert_eq!(set.policies.len(), 1),
        other => panic!("{other:?}"),
    }
}

#[test]
fn older_is_refused_unless_told() {
    let files = Files::new(true);
    files.publish(Some(5), &[("a.xml", 3, &policy(3, ""), &[])]);
    let first = files.changed(&Known::default());
    for (index, version) in [(Some(6), 2), (Some(4), 3), (None, 3)] {
        files.publish(index, &[("a.xml", version, &policy(version, ""), &[])]);
        assert_eq!(files.refused(&first.known), "policy-older", "{index:?} {version}");
        let told = files.refresh_as(&first.known, |wish| Wish { allow_downgrade: true, ..wish });
        assert!(matches!(told, Ok(Refreshed::Changed(_))), "{told:?}");
    }
    // From elsewhere a higher version has come meanwhile, or before.
    files.publish(Some(6), &[("a.xml", 4, &policy(4, ""), &[])]);
    let present = [(GUID.to_owned(), 9)];
    for known in [&first.known, &Known::default()] {
        let result = files.refresh_as(known, |wish| Wish { present: &present, ..wish });
        assert_eq!(result.unwrap_err().code(), "policy-older");
    }
}

#[test]
fn all_or_nothing() {
    let good = "<Policy/>";
    for (name, broken, code) in [
        ("b.xml", b"<Policy>".to_vec(), "policy-unreadable"),
        ("b.xml", b"<!DOCTYPE html><html><body>Error</body></html>".to_vec(), "web-page"),
        ("b.xml", vec![b' '; 2 << 20], "too-large"),
        ("b.xml", b"<Policy version=\"9\"/>".to_vec(), "policy-version"),
        ("b.xml", policy(1, "relative.pem").into_bytes(), "policy-path-relative"),
        ("b.xml", policy(1, "/var/lib/agentd/anchors/none.pem").into_bytes(), "policy-path"),
        ("index.json", b"<html>login</html>".to_vec(), "web-page"),
        ("index.json", b"not json".to_vec(), "index-unreadable"),
        ("index.json", answer("503 Busy", "Retry-After: 77\r\n", b""), "server-busy"),
        ("index.json", answer("401 No", "", b""), "server-denies"),
        ("index.json", answer("304 Not Modified", "", b""), "unexpected-status"),
        ("index.json", answer("204 No Content", "", b""), "unexpected-status"),
    ] {
        let files = Files::new(true);
        files.put("b.xml", "");
        let text = String::from_utf8_lossy(&broken).into_owned();
        files.publish(None, &[("a.xml", 1, good, &[]), ("b.xml", 1, &text, &[])]);
        files.put(name, broken);
        assert_eq!(files.refused(&Known::default()), code, "{text:.60}");
    }
    // Announced and not there, or changed since.
    let files = Files::new(true);
    files.publish(None, &[("a.xml", 1, good, &[])]);
    files.put("a.xml", "<Policy version=\"1\"/>");
    assert_eq!(files.refused(&Known::default()), "hash-differs");
    files.files.lock().unwrap().remove("/policies/a.xml");
    assert_eq!(files.refused(&Known::default()), "not-on-server");
    files.files.lock().unwrap().remove("/policies/index.json");
    assert_eq!(files.refused(&Known::default()), "not-on-server");
    // A file of anchors without any.
    let files = Files::new(true);
    files.put("ca.pem", "no certificate\n");
    files.publish(None, &[("a.xml", 1, &policy(1, "/var/lib/agentd/anchors/ca.pem"), &["ca.pem"])]);
    assert_eq!(files.refused(&Known::default()), "no-certificate");
}

#[test]
fn never_over_an_unverified_connection() {
    let files = Files::new(true);
    files.publish(None, &[("a.xml", 1, "<Policy/>", &[])]);
    let dialer = Dialer::default();
    let known = Known::default();
    let wish = Wish {
        index: "/policies/index.json",
        anchors: Path::new(ANCHORS),
        known: &known,
        intact: true,
        present: &[],
        allow_downgrade: false,
        now: Timestamp::now(),
    };
    for (verify_peer, verify_host) in [(false, true), (true, false), (false, false)] {
        let request = trust_tls::Request { verify_peer, verify_host, ..request() };
        let result = runtime().block_on(async {
            let url = files.server.url();
            let mut session = Session::open(&dialer, set(&[&files.root]), &url, request).await?;
            refresh(&mut session, &wish).await
        });
        assert_eq!(result.unwrap_err().code(), "policy-not-verified");
    }
    assert!(files.server.requests().is_empty(), "nothing is even asked");
}
