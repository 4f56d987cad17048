//! Sources that misbehave, and callers that do: the daemon goes on, for everybody else.

mod confined;
mod control;
mod guest;
mod limits;
mod names;
mod zoo;

use std::fs;
use std::time::{Duration, Instant};

use test_support::endpoint::{CurlSsl, Endpoint, POLICY, write};
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

fn names(endpoint: &Endpoint, words: &str) -> bool {
    endpoint.json(&["status"])["problems"].to_string().contains(words)
}

/// The daemon's children that sleep in the kernel and cannot be ended.
fn hanging_readers(endpoint: &Endpoint) -> Vec<u64> {
    let daemon = endpoint.json(&["status"])["daemon"]["pid"].as_u64().expect("a daemon");
    let entries = fs::read_dir("/proc").expect("/proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok());
    pids.filter(|pid| hangs(*pid) && field(*pid, 1) == Some(daemon.to_string())).collect()
}

fn hangs(pid: u64) -> bool {
    field(pid, 0).as_deref() == Some("D")
}

/// A field of `/proc/PID/stat` after the name, from 0: the state, the parent.
fn field(pid: u64, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(number).map(str::to_owned)
}
