//! `agentctl` says and does the same with the daemon running and without it, and ends with the codes that are promised.

use std::fs;

use serde_json::{Value, json};
use test_support::endpoint::{Endpoint, write};
use test_support::pki::{self, Cert};

#[test]
fn the_same_answers() {
    let (certs, mut endpoint) = endpoint();
    let _first = endpoint.json(&["regen"]);
    let path = endpoint.site().display().to_string();
    let questions: &[&[&str]] = &[
        &["regen"],
        &["regen", "--dry-run"],
        &["sources"],
        &["status"],
        &["anchors", "list"],
        &["anchors", "show", "2"],
        &["lint", &path],
    ];
    let ask = |endpoint: &Endpoint| -> Vec<Value> {
        questions.iter().map(|question| settled(endpoint.json(question))).collect()
    };
    let without = ask(&endpoint);
    endpoint.start_daemon();
    let with = ask(&endpoint);
    for ((question, without), with) in questions.iter().zip(without).zip(with) {
        assert_eq!(with, without, "{question:?}");
    }
    assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs)));
}

#[test]
fn the_same_regeneration() {
    let (certs, mut alone) = endpoint();
    let (_, mut served) = endpoint();
    for endpoint in [&alone, &served] {
        write_all(endpoint, &certs);
    }
    let _first = (alone.json(&["regen"]), served.json(&["regen"]));
    served.start_daemon();
    let steps: &[fn(&Endpoint, &[Cert])] = &[
        |endpoint, certs| write(&endpoint.site(), pki::bundle(&certs[..2])),
        |endpoint, certs| write(&endpoint.site(), format!("{}junk\n{}", certs[3].key_pem(), certs[4].pem())),
        |endpoint, _| fs::remove_file(endpoint.site()).expect("a source"),
        |endpoint, certs| write(&endpoint.site(), certs[5].der()),
    ];
    for step in steps {
        step(&alone, &certs);
        step(&served, &certs);
        let _result = (alone.json(&["regen"]), served.json(&["regen"]));
        assert_eq!(bundle(&alone), bundle(&served));
        for question in [&["sources"][..], &["anchors", "list"]] {
            let (one, other) = (settled(alone.json(question)), settled(served.json(question)));
            assert_eq!(relative(&one, &alone), relative(&other, &served), "{question:?}");
        }
    }
    // The other way about: what the daemon left is what agentctl goes on with.
    assert!(served.stop_daemon().success());
    assert_eq!(served.json(&["regen"])["changed"], false);
    alone.start_daemon();
    assert_eq!(alone.json(&["regen"])["changed"], false);
}

#[test]
fn the_report_of_a_regeneration() {
    for with_daemon in [false, true] {
        let (certs, mut endpoint) = endpoint();
        let first = endpoint.json(&["regen"]);
        assert_eq!(first["changed"], true);
        assert_eq!(first["generation"], 1);
        assert_eq!(first["added"], json!(pki::fingerprints(&certs)));
        assert_eq!(first["removed"], json!([]));
        assert_eq!(first["bundle"]["path"], endpoint.merged().display().to_string());
        assert_eq!(first["bundle"]["anchors"], certs.len());
        let bytes = fs::read(endpoint.merged()).expect("a bundle");
        assert_eq!(first["bundle"]["sha256"], test_support::pem::sha256_hex(&bytes));
        if with_daemon {
            endpoint.start_daemon();
        }
        write(&endpoint.site(), certs[2].pem());
        let dry = endpoint.json(&["regen", "--dry-run"]);
        assert_eq!((&dry["changed"], &dry["dry_run"]), (&json!(true), &json!(true)));
        if !with_daemon {
            assert_eq!(fs::read(endpoint.merged()).expect("a bundle"), bytes, "a dry run writes nothing");
        }
        let _regen = endpoint.json(&["regen"]);
        let left = [&certs[..2], &certs[2..3], &certs[4..]].concat();
        assert_eq!(endpoint.published(), Ok(pki::fingerprints(&left)));
    }
}

#[test]
fn exit_codes() {
    for with_daemon in [false, true] {
        let (_, mut endpoint) = endpoint();
        if with_daemon {
            endpoint.start_daemon();
        }
        for (arguments, code) in [
            (&["regen"][..], 0),
            (&["status"], 0),
            (&["status", "--check"], 0),
            (&["no-such-command"], 2),
            (&["regen", "--no-such-option"], 2),
            (&[], 2),
            (&["anchors", "show", "1"], 0),
            (&["anchors", "show", "100000"], 5),
            (&["anchors", "show", "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"], 5),
            (&["lint", "/no/such/file"], 2),
            (&["--config", "/no/such/agentd.toml", "status"], 2),
            (&["--version"], 0),
            (&["--help"], 0),
            (&["completions", "bash"], 0),
        ] {
            let run = endpoint.agentctl(arguments).expect_code(code);
            assert_eq!(
                code != 0,
                !run.err().is_empty(),
                "{}: a failure says why, and only a failure",
                run.command
            );
        }
    }
}

#[test]
fn conflict_where_the_lock_is_held_and_nobody_answers() {
    let (_, mut endpoint) = endpoint();
    endpoint.start_daemon();
    fs::remove_file(endpoint.socket()).expect("a socket");
    let refused = endpoint.agentctl(&["regen"]).expect_code(7);
    assert!(refused.err().contains("lock"), "{}", refused.err());
    let _reading = endpoint.agentctl(&["lint", &endpoint.site().display().to_string()]).expect_code(0);
}

#[test]
fn permission_is_denied_to_others() {
    use std::os::unix::process::CommandExt as _;
    if !rustix::process::geteuid().is_root() {
        let _ = test_support::tools::left_out("only root can become somebody else");
        return;
    }
    const NOBODY: u32 = 65534;
    let (_, mut endpoint) = endpoint();
    let _first = endpoint.json(&["regen"]);
    let mut as_nobody = endpoint.agentctl_command(&["regen"]);
    let denied = test_support::process::run(as_nobody.uid(NOBODY).gid(NOBODY)).expect_code(4);
    assert!(!denied.err().is_empty());
    endpoint.start_daemon();
    let mut as_nobody = endpoint.agentctl_command(&["regen"]);
    let denied = test_support::process::run(as_nobody.uid(NOBODY).gid(NOBODY)).expect_code(4);
    assert!(!denied.err().is_empty());
}

#[test]
fn one_document_on_stdout_and_nothing_else() {
    let (_, mut endpoint) = endpoint();
    for with_daemon in [false, true] {
        if with_daemon {
            endpoint.start_daemon();
        }
        for question in
            [&["regen"][..], &["status"], &["sources"], &["anchors", "list"], &["anchors", "show", "1"]]
        {
            let run = endpoint.agentctl(&[question, &["--json"]].concat()).expect_code(0);
            let _document = run.json();
            assert_eq!(run.err(), "", "{question:?}");
            let text = endpoint.agentctl(question).expect_code(0).out();
            assert!(!text.is_empty() && !text.contains('\u{1b}'), "no colour without a terminal: {text:?}");
        }
    }
}

fn endpoint() -> (Vec<Cert>, Endpoint) {
    let certs = pki::roots("Answer", 6);
    let endpoint = Endpoint::new();
    write_all(&endpoint, &certs);
    (certs, endpoint)
}

fn write_all(endpoint: &Endpoint, certs: &[Cert]) {
    write(&endpoint.bootstrap(), pki::bundle(&certs[..2]));
    write(&endpoint.site(), pki::bundle(&certs[2..4]));
    write(&endpoint.ca_info(), pki::bundle(&certs[4..]));
    endpoint.name_ca_info();
}

/// An answer without what only a daemon knows, and without the time of day.
fn settled(mut answer: Value) -> Value {
    strip(
        &mut answer,
        &["daemon", "watched", "unwatched", "last_looked", "last_regeneration", "published_at"],
    );
    answer
}

fn strip(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !names.contains(&name.as_str()));
            fields.values_mut().for_each(|field| strip(field, names));
        }
        Value::Array(entries) => entries.iter_mut().for_each(|entry| strip(entry, names)),
        _ => {}
    }
}

/// The bundle without the endpoint's own path in its comments.
fn bundle(endpoint: &Endpoint) -> String {
    let text = fs::read_to_string(endpoint.merged()).expect("a bundle");
    text.replace(&endpoint.root().display().to_string(), "ROOT")
}

fn relative(answer: &Value, endpoint: &Endpoint) -> String {
    let text = answer.to_string().replace(&endpoint.root().display().to_string(), "ROOT");
    // The number of the generation is each endpoint's own.
    let mut answer: Value = serde_json::from_str(&text).expect("it was JSON before");
    strip(&mut answer, &["generation"]);
    answer.to_string()
}
