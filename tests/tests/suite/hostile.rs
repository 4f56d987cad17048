//! Sources that misbehave, and callers that do: the daemon goes on, for everybody else.

mod confined;
mod control;
mod guest;
mod limits;
mod names;
mod zoo;

use std::fs;
use std::time::{Duration, Instant};

use test_support::endpoint::{CurlSsl, Endpoint, POLICY, replace, write};
use test_support::pki;
use test_support::poll;

use zoo::Zoo;

#[test]
fn a_file_that_hangs_its_reader_takes_nobody_along() {
    let mut endpoint = Endpoint::new();
    let certs = pki::roots("Hang", 3);
    write(&endpoint.bootstrap(), certs[0].pem());
    let Some(zoo) = Zoo::open(&endpoint, &certs[2].pem()) else { return };
    let named = zoo.directory.join("hang.pem").display().to_string();
    endpoint.write_policy(POLICY, CurlSsl { ca_info: &named, ca_path: "" });
    endpoint.start_daemon();

    poll::until("status names what hangs", || names(&endpoint, "does not answer").then_some(()));
    assert_eq!(guest::codes(&endpoint.json(&["status"]), &named), ["source-hung"]);
    for round in 1..=2 {
        write(&endpoint.site(), certs[round].pem());
        let asked = Instant::now();
        let _regen = endpoint.json(&["regen"]);
        assert!(asked.elapsed() < Duration::from_secs(2), "the one that hangs is not waited for again");
        let expected = [&certs[0], &certs[round]].map(pki::Cert::sha256);
        assert_eq!(hanging_readers(&endpoint).len(), 1, "one reader hangs and no second is sent after it");
        endpoint.wait_for("the other sources", &expected);
    }

    let hung = hanging_readers(&endpoint);
    assert!(endpoint.stop_daemon().success(), "it ends while its reader hangs");
    endpoint.start_daemon();
    poll::until("status after the restart", || names(&endpoint, "does not answer").then_some(()));
    assert!(
        hung.iter().all(|pid| hangs(*pid)),
        "the reader of the first life hangs on beside the second daemon"
    );
    assert!(endpoint.is_running());
}

/// Whatever an event promised: the reader is there before it is known what there is to read.
#[test]
fn a_reader_ends_with_the_change_it_was_started_for() {
    let mut endpoint = Endpoint::new();
    let certs = pki::roots("Reader", 4);
    write(&endpoint.bootstrap(), certs[0].pem());
    let file = endpoint.ca_info();
    write(&file, certs[1].pem());
    endpoint.name_ca_info();
    endpoint.start_daemon();
    endpoint.wait_for("both sources", &pki::fingerprints(&certs[..2]));
    let daemon = daemon(&endpoint);
    let no_reader = |what: &str| poll::until(what, || children(daemon).is_empty().then_some(()));
    no_reader("after the start");
    replace(&file, certs[2].pem());
    endpoint.wait_for("a change", &[certs[0].sha256(), certs[2].sha256()]);
    no_reader("after a change");
    for _ in 0..3 {
        replace(&file, certs[2].pem());
        fs::File::options().append(true).open(&file).expect("a file of ours");
        let _regen = endpoint.json(&["regen"]);
        no_reader("after what changed nothing, and beside who asks");
    }
    // While the store is being written there is no look that a reader could be for.
    for round in 0..20 {
        replace(&file, certs[2 + round % 2].pem());
    }
    endpoint.wait_for("many changes", &[certs[0].sha256(), certs[3].sha256()]);
    no_reader("after many changes");
    assert!(endpoint.is_running());
}

fn names(endpoint: &Endpoint, words: &str) -> bool {
    endpoint.json(&["status"])["problems"].to_string().contains(words)
}

/// The daemon's children that sleep in the kernel and cannot be ended.
fn hanging_readers(endpoint: &Endpoint) -> Vec<u64> {
    children(daemon(endpoint)).into_iter().filter(|pid| hangs(*pid)).collect()
}

fn daemon(endpoint: &Endpoint) -> u64 {
    endpoint.json(&["status"])["daemon"]["pid"].as_u64().expect("a daemon")
}

/// Also those that ended and that it has not waited for.
fn children(parent: u64) -> Vec<u64> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok());
    pids.filter(|pid| field(*pid, 1) == Some(parent.to_string())).collect()
}

fn hangs(pid: u64) -> bool {
    field(pid, 0).as_deref() == Some("D")
}

/// A field of `/proc/PID/stat` after the name, from 0: the state, the parent.
fn field(pid: u64, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(number).map(str::to_owned)
}
