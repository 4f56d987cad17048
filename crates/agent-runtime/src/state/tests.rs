//! What is written is what is read, and what cannot be read is said.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use trust_core::guard::{Archived, Retained, ServerMemory, Why};
use trust_core::plan::{Held, Published};
use trust_core::policy::PolicyState;
use trust_core::source::{Condition, Content, Failure, Found, SourceId, SourceKind, SourceState};
use trust_core::state::{Against, Ban, Rollback};
use trust_formats::certificates::{Encoding, Note, Reason, Reject};
use trust_formats::policy::{CurlSsl, Issue, Placed, Policy};

use super::*;
use crate::publish::RealFs;

fn certificate(name: &str) -> Arc<Certificate> {
    let key = rcgen::KeyPair::generate().expect("a key");
    let der =
        rcgen::CertificateParams::new(vec![name.to_owned()]).and_then(|params| params.self_signed(&key));
    Arc::new(Certificate::parse(der.expect("a certificate").der()).expect("X.509"))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("in range")
}

fn failure() -> Failure {
    Failure { code: "denied".into(), message: "may not be read".into(), remedy: "chmod a+r".into() }
}

/// A state with something in every field.
fn full() -> StoreState {
    let [a, b] = ["a.example", "b.example"].map(certificate);
    let found = |certificate: &Arc<Certificate>, line| Found {
        certificate: Arc::clone(certificate),
        line,
        position: 1,
    };
    let content = Content {
        found: vec![found(&a, 1), found(&b, 40)],
        encoding: Encoding::Pem,
        rejects: vec![Reject { line: 20, reason: Reason::PrivateKey, detail: "a private key".into() }],
        notes: vec![Note::Utf8Bom, Note::GluedBlocks],
        incomplete: true,
    };
    let source = |kind, condition| SourceState {
        id: SourceId { kind, path: PathBuf::from(format!("/{kind:?}.pem")) },
        sha256: Some(Fingerprint::of(b"file")),
        size: 12,
        condition,
        content: Arc::new(content.clone()),
        kept: vec![b.fingerprint()],
        named: kind != SourceKind::Policy,
    };
    let text = |value: &str| Some(Placed { value: value.to_owned(), line: 7 });
    let element = CurlSsl {
        line: 6,
        ca_info: text("/ca.pem"),
        ca_path: text(""),
        verify_peer: Some(Placed { value: true, line: 8 }),
        verify_host: Some(Placed { value: false, line: 9 }),
        fingerprint: text("ab"),
        minimum_tls: text("1.3"),
    };
    let policy = Policy {
        guid: Some("guid".into()),
        version: Some(3),
        curl_ssl: vec![element],
        distrusted: vec![Placed { value: "ab".into(), line: 3 }],
        issues: vec![Issue { line: 2, message: "odd".into() }],
    };
    StoreState {
        generation: 42,
        bundle: Some(Published {
            sha256: Fingerprint::of(b"bundle"),
            anchors: vec![a.fingerprint(), b.fingerprint()],
            at: Timestamp::from_second(1_800_000_000).expect("in range"),
            by: "watch".into(),
            causes: vec!["changed".into()],
        }),
        sources: vec![
            source(SourceKind::Bootstrap, Condition::Ok),
            source(SourceKind::Site, Condition::Stale(failure())),
            source(SourceKind::Policy, Condition::Missing),
        ],
        policies: vec![PolicyState {
            path: PathBuf::from("/p.xml"),
            sha256: Fingerprint::of(b"policy"),
            policy: Arc::new(policy),
            failure: Some(failure()),
        }],
        settings: Some(Fingerprint::of(b"settings")),
        held: Some(Held { reason: "no-anchors".into(), detail: "kept".into() }),
        bans: vec![Ban {
            fingerprint: Fingerprint::of(b"ban"),
            reason: "stolen".into(),
            by: "operator uid 0".into(),
            at: at(1),
        }],
        servers: vec![ServerMemory { server: "h:443".into(), anchor: a.fingerprint(), since: at(2) }],
        retained: vec![Retained {
            certificate: certificate("c.example"),
            why: Why::Unreachable,
            servers: vec!["h:443".into()],
            since: at(3),
        }],
        archive: vec![Archived { certificate: certificate("d.example"), at: at(4) }],
        rollback: Some(Rollback {
            generation: 41,
            anchors: vec![Arc::clone(&b), certificate("e.example")],
            until: Some(at(5)),
            against: Some(Against {
                sources: Fingerprint::of(b"sources"),
                left_out: BTreeSet::from([a.fingerprint()]),
            }),
        }),
    }
}

fn store() -> (tempfile::TempDir, StateStore) {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["snapshots", "generations"] {
        fs::create_dir(directory.path().join(name)).expect("a directory");
    }
    let store = StateStore::new(directory.path().to_owned(), directory.path().join("cainfo-merged.pem"));
    (directory, store)
}

#[test]
fn every_field_comes_back() {
    let (directory, store) = store();
    assert_eq!(store.load().expect("no state yet"), None);
    let state = full();
    store.save(&RealFs, &state).expect("saved");
    assert_eq!(store.load().expect("loaded"), Some(state));
    let mode = fs::metadata(directory.path().join("state.json")).expect("there").mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_state_before_the_last_stays_with_its_certificates() {
    let (directory, store) = store();
    let snapshots = || fs::read_dir(directory.path().join("snapshots")).expect("there").count();
    let [first, second, third] = [full(), full(), full()];
    store.save(&RealFs, &first).expect("saved");
    assert_eq!((snapshots(), store.load_previous()), (1, None));
    store.save(&RealFs, &second).expect("saved");
    assert_eq!((snapshots(), store.load_previous()), (2, Some(first)));
    store.save(&RealFs, &third).expect("saved");
    assert_eq!((snapshots(), store.load_previous()), (2, Some(second)));
    fs::write(directory.path().join("state.json"), "{").expect("written");
    assert!(store.load().is_err());
    assert!(store.load_previous().is_some(), "the spare is a file of its own");
    let _aside = store.set_aside().expect("renamed");
    store.save(&RealFs, &full()).expect("saved");
    assert!(store.load_previous().is_some(), "what was put aside takes no spare with it");
}

#[test]
fn a_state_whose_certificates_are_lost_is_no_state() {
    let (directory, store) = store();
    let state = full();
    store.save(&RealFs, &state).expect("saved");
    let snapshot = fs::read_dir(directory.path().join("snapshots")).expect("there").flatten().next();
    let snapshot = snapshot.expect("one").path();
    fs::write(&snapshot, "").expect("written");
    assert!(matches!(store.load(), Err(StateError::Certificates { path }) if path == snapshot));
    store.save(&RealFs, &state).expect("saved");
    assert_eq!(store.load().expect("written anew"), Some(state));
    fs::remove_file(&snapshot).expect("removed");
    assert!(matches!(store.load(), Err(StateError::Certificates { .. })));
}

#[test]
fn another_certificate_in_its_place_or_order_is_seen() {
    let (directory, store) = store();
    let state = full();
    store.save(&RealFs, &state).expect("saved");
    let snapshot = fs::read_dir(directory.path().join("snapshots")).expect("there").flatten().next();
    let snapshot = snapshot.expect("one").path();
    let text = fs::read_to_string(&snapshot).expect("text");
    let mut blocks: Vec<&str> = text.split_inclusive("-----END CERTIFICATE-----\n").collect();
    let mut other = String::new();
    push_pem(&mut other, certificate("other.example").der());
    for change in [&|blocks: &mut Vec<&str>| blocks.swap(0, 1), &|blocks: &mut Vec<&str>| blocks.truncate(1)]
        as [&dyn Fn(&mut Vec<&str>); 2]
    {
        let mut changed = blocks.clone();
        change(&mut changed);
        fs::write(&snapshot, changed.concat()).expect("written");
        assert!(matches!(store.load(), Err(StateError::Certificates { .. })));
    }
    blocks[0] = &other;
    fs::write(&snapshot, blocks.concat()).expect("written");
    assert!(matches!(store.load(), Err(StateError::Certificates { .. })));
    fs::write(&snapshot, &text).expect("written");
    assert_eq!(store.load().expect("as it was"), Some(state));
}

#[test]
fn a_snapshot_that_is_named_by_its_text_is_read() {
    let (directory, store) = store();
    let state = full();
    store.save(&RealFs, &state).expect("saved");
    let snapshots = directory.path().join("snapshots");
    let snapshot = fs::read_dir(&snapshots).expect("there").flatten().next().expect("one").path();
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    let by_text = Fingerprint::of(&fs::read(&snapshot).expect("text")).to_string();
    fs::rename(&snapshot, snapshots.join(format!("{by_text}.pem"))).expect("renamed");
    let record = directory.path().join("state.json");
    let json = fs::read_to_string(&record).expect("text").replace(&name(&snapshot), &by_text);
    fs::write(&record, json).expect("written");
    assert_eq!(store.load().expect("read"), Some(state.clone()));
    store.save(&RealFs, &state).expect("saved");
    assert_eq!(store.load().expect("read"), Some(state));
}

/// The file of its generation, with the anchors of its bundle; `full` has both of them in its sources.
fn record_generation(directory: &Path, state: &StoreState) -> String {
    let bundle = state.bundle.as_ref().expect("published");
    let mut text =
        String::from("# agentd generation {\"causes\":[\"-----BEGIN CERTIFICATE-----\"]}\n# head\n");
    for anchor in &bundle.anchors {
        let found = state.certificates().find(|certificate| certificate.fingerprint() == *anchor);
        push_pem(&mut text, found.expect("in a source").der());
    }
    fs::write(directory.join(format!("generations/{}.pem", state.generation)), &text).expect("written");
    text
}

#[test]
fn what_the_generation_has_is_not_written_once_more() {
    let (directory, store) = store();
    let state = full();
    let text = record_generation(directory.path(), &state);
    store.save_draft(&RealFs, store.draft(&state, true)).expect("saved");
    let beside = fs::read_dir(directory.path().join("snapshots")).expect("there").flatten().next();
    let beside = fs::read_to_string(beside.expect("one").path()).expect("text");
    assert_eq!(beside.matches("BEGIN").count(), 3, "retained, archived, rolled back to");
    assert_eq!(store.load().expect("loaded").as_ref(), Some(&state));
    assert_eq!(store.needed_generation(), Some(42));
    // Looked for, where nobody says that it was just written.
    store.save(&RealFs, &state).expect("saved");
    assert_eq!(store.needed_generation(), Some(42));
    let plain = StoreState { retained: Vec::new(), archive: Vec::new(), rollback: None, ..state.clone() };
    store.save(&RealFs, &plain).expect("saved");
    store.save(&RealFs, &plain).expect("saved");
    assert_eq!(fs::read_dir(directory.path().join("snapshots")).expect("there").count(), 0);
    assert_eq!(store.load().expect("loaded"), Some(plain));

    let path = directory.path().join("generations/42.pem");
    for damage in ["", &text[..text.len() / 2], &text.replace("# agentd generation", "# other")] {
        fs::write(&path, damage).expect("written");
        assert!(matches!(store.load(), Err(StateError::Certificates { path: lost }) if lost == path));
    }
    // What the file has no more is written again beside it.
    store.save(&RealFs, &state).expect("saved");
    assert_eq!(store.needed_generation(), None);
    assert_eq!(store.load().expect("loaded"), Some(state));
}

#[test]
fn the_bundle_in_place_stands_in_for_a_generation_that_is_lost() {
    let (directory, store) = store();
    let state = full();
    let text = record_generation(directory.path(), &state);
    store.save_draft(&RealFs, store.draft(&state, true)).expect("saved");
    fs::remove_file(directory.path().join("generations/42.pem")).expect("removed");
    assert!(store.load().is_err());
    let merged = directory.path().join("cainfo-merged.pem");
    let (_, bundle) = text.split_once('\n').expect("a first line");
    let place = |content: &str| {
        fs::write(&merged, content).expect("written");
        fs::set_permissions(&merged, fs::Permissions::from_mode(0o644)).expect("ours");
        store.load()
    };
    assert!(place(&bundle.replacen("-----BEGIN", "-----BEG1N", 1)).is_err(), "another store");
    assert_eq!(place(bundle).expect("loaded"), Some(state));
}

#[test]
fn a_record_of_version_1_is_read() {
    let (directory, store) = store();
    let state = full();
    store.save(&RealFs, &state).expect("saved");
    let path = directory.path().join("state.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("there")).expect("JSON");
    let mut certificates: Vec<String> = Vec::new();
    for certificate in state.certificates().map(|certificate| certificate.fingerprint().to_string()) {
        if !certificates.contains(&certificate) {
            certificates.push(certificate);
        }
    }
    let name = |reference: &mut serde_json::Value| {
        let place = usize::try_from(reference.as_u64().expect("a place")).expect("small");
        *reference = certificates[place].as_str().into();
    };
    json["v"] = 1.into();
    json.as_object_mut().expect("an object").remove("published");
    json["bundle"]["anchors"].as_array_mut().expect("a list").iter_mut().for_each(name);
    json["rollback"]["anchors"].as_array_mut().expect("a list").iter_mut().for_each(name);
    for source in json["sources"].as_array_mut().expect("a list") {
        let anchors = source["anchors"].as_array_mut().expect("a list");
        anchors.iter_mut().for_each(|anchor| name(&mut anchor[2]));
    }
    fs::write(&path, json.to_string()).expect("written");
    assert_eq!(store.load().expect("read"), Some(state));
}

#[test]
fn more_than_is_written_at_once_comes_back() {
    let (_directory, store) = store();
    let key = rcgen::KeyPair::generate().expect("a key");
    let one = |number: usize| {
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        // A thousand octets each, so that all of them are more than a million.
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("{number:0>700}"));
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        let certificate = Arc::new(Certificate::parse(&der).expect("X.509"));
        Archived { certificate, at: at(5) }
    };
    let state = StoreState { archive: (0..1_000).map(one).collect(), ..full() };
    store.save(&RealFs, &state).expect("saved");
    assert_eq!(store.load().expect("loaded"), Some(state));
}

#[test]
fn a_state_that_cannot_be_read_is_not_written_over() {
    let (directory, store) = store();
    let path = directory.path().join("state.json");
    fs::create_dir(&path).expect("in its place");
    assert!(store.check_readable().is_err_and(|error| error.may_pass()));
    let error = store.save(&RealFs, &full()).expect_err("not written over");
    assert!(error.to_string().contains("state.json"), "{error}");
}

#[test]
fn what_cannot_be_used_is_named() {
    let (directory, store) = store();
    let path = directory.path().join("state.json");
    fs::write(&path, "{\n \"v\": 1,\n").expect("written");
    let error = store.load().expect_err("damaged");
    assert!(matches!(error, StateError::Damaged { line: 3, .. }), "{error}");
    fs::write(&path, "{\"v\": 3, \"something\": \"new\"}").expect("written");
    assert!(matches!(store.load(), Err(StateError::Newer { found: 3, .. })));
    let aside = store.set_aside().expect("renamed");
    assert!(aside.exists() && !path.exists());
}

#[test]
fn what_was_put_aside_is_kept_once_and_no_longer_than_its_time() {
    let (directory, store) = store();
    let put_aside = |content: &str| {
        fs::write(directory.path().join("state.json"), content).expect("written");
        store.set_aside().expect("renamed")
    };
    let _older = put_aside("{");
    let aside = put_aside("[");
    assert_eq!(fs::read_to_string(&aside).expect("there"), "[");
    let (now, day) = (SystemTime::now(), Duration::from_secs(86_400));
    for (when, stays) in [(now, true), (now - 2 * day, true), (now + 2 * day, false), (now, false)] {
        store.remove_aside(when, day);
        assert_eq!(aside.exists(), stays);
    }
}
