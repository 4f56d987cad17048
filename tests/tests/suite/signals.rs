//! Starting, stopping, signals, and who may run.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

use rustix::process::Signal;
use test_support::endpoint::{Endpoint, write};
use test_support::pki;
use test_support::poll;

#[test]
fn term_and_int_stop_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut endpoint = endpoint();
        endpoint.start_daemon();
        assert!(fs::metadata(endpoint.socket()).is_ok_and(|metadata| metadata.file_type().is_socket()));
        endpoint.signal(signal);
        poll::until("it stops", || (!endpoint.is_running()).then_some(()));
        assert!(fs::symlink_metadata(endpoint.socket()).is_err(), "the socket is removed");
        // Whoever comes next finds the place free.
        endpoint.kill_daemon();
        endpoint.start_daemon();
        assert_eq!(endpoint.stop_daemon().code(), Some(0));
        assert!(fs::symlink_metadata(endpoint.socket()).is_err(), "the socket is removed");
    }
}

#[test]
fn crash_leaves_nothing_in_the_way() {
    let mut endpoint = endpoint();
    endpoint.start_daemon();
    endpoint.kill_daemon();
    let _without = endpoint.json(&["regen"]);
    endpoint.start_daemon();
    assert!(endpoint.stop_daemon().success());
}

#[test]
fn usr1_regenerates() {
    let mut endpoint = endpoint();
    endpoint.start_daemon();
    let looked = |endpoint: &Endpoint| endpoint.json(&["sources"])["sources"][0]["last_looked"].to_string();
    let before = looked(&endpoint);
    endpoint.signal(Signal::USR1);
    poll::until("it looks", || (looked(&endpoint) != before).then_some(()));
    assert!(endpoint.is_running());
}

#[test]
fn hup_reads_the_configuration_again() {
    let mut endpoint = endpoint();
    let certs = pki::roots("Reloaded", 2);
    write(&endpoint.bootstrap(), pki::bundle(&certs));
    endpoint.start_daemon();
    endpoint.wait_for("before", &pki::fingerprints(&certs));
    write(&endpoint.config(), format!("[distrust]\nfingerprints = [\"{}\"]\n", certs[0].sha256()));
    endpoint.signal(Signal::HUP);
    endpoint.wait_for("the distrusted one is gone", &pki::fingerprints(&certs[1..]));
    // A configuration that is wrong changes nothing.
    write(&endpoint.config(), "[distrust]\nfingerprint = []\n");
    endpoint.signal(Signal::HUP);
    poll::until("it says what is wrong", || endpoint.log().contains("did you mean").then_some(()));
    assert!(endpoint.is_running());
    assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs[1..])));
}

#[test]
fn second_daemon_is_refused() {
    let mut endpoint = endpoint();
    endpoint.start_daemon();
    let second = endpoint.agentd(&[]).expect_code(7);
    assert!(!second.err().is_empty(), "it says why");
    assert!(endpoint.is_running());
    // The first one's socket is still its own.
    let _status = endpoint.json(&["status"]);
    assert!(endpoint.stop_daemon().success());
}

#[test]
fn check_judges_the_configuration() {
    let endpoint = endpoint();
    let _default = endpoint.agentd(&["--check"]).expect_code(0);
    write(&endpoint.config(), "[watch]\npoll-interval = \"10s\"\n");
    let _good = endpoint.agentd(&["--check"]).expect_code(0);
    for (text, named) in [
        ("[watch]\npoll-intervall = \"10s\"\n", "poll-interval"),
        ("[watch]\npoll-interval = \"10 parsecs\"\n", "poll-interval"),
        ("[wotch]\n", "[watch]"),
        ("[watch\n", "agentd.toml:1"),
    ] {
        write(&endpoint.config(), text);
        let bad = endpoint.agentd(&["--check"]).expect_code(2);
        assert!(bad.err().contains(named) && bad.err().contains("agentd.toml"), "{}", bad.err());
        let _start = endpoint.agentd(&[]).expect_code(2);
        let _regen = endpoint.agentctl(&["regen"]).expect_code(2);
    }
    assert!(
        !endpoint.merged().exists() && !endpoint.path("var/lib/agentd/state").exists(),
        "a check writes nothing"
    );
}

#[test]
fn files_have_the_modes_that_are_promised() {
    let mut endpoint = endpoint();
    endpoint.start_daemon();
    let mode = |path: &str| {
        fs::metadata(endpoint.path(path))
            .map(|metadata| metadata.permissions().mode() & 0o7777)
            .map_err(|e| e.kind())
    };
    // It answers a moment before the first bundle stands.
    poll::until("the first bundle", || endpoint.merged().exists().then_some(()));
    assert_eq!(mode("var/lib/agentd/cainfo-merged.pem"), Ok(0o644));
    assert_eq!(mode("var/lib/agentd/state"), Ok(0o700));
    assert_eq!(mode("var/lib/agentd/policies"), Ok(0o755));
    assert_eq!(mode("run/agentd/control.sock"), Ok(0o660));
}

#[test]
fn logs_are_text_or_json() {
    let endpoint = endpoint();
    write(&endpoint.config(), "[log]\nlevel = \"verbose\"\n");
    let bad = endpoint.agentd(&["--check"]).expect_code(2);
    assert!(bad.err().contains("level"), "{}", bad.err());
}

fn endpoint() -> Endpoint {
    let endpoint = Endpoint::new();
    write(&endpoint.bootstrap(), pki::bundle(pki::roots("Signal", 1)));
    endpoint
}
