//! Nothing changed means nothing written: same inode, same modification time.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::time::SystemTime;

use rustix::process::Signal;
use test_support::endpoint::{Endpoint, replace, write};
use test_support::pki;
use test_support::poll;

/// What tells one writing of a file from another.
type Identity = (u64, i64, i64, i64, i64);

fn settled() -> Endpoint {
    let endpoint = Endpoint::new();
    let certs = pki::roots("Settled", 3);
    write(&endpoint.bootstrap(), certs[0].pem());
    write(&endpoint.site(), certs[1].pem());
    write(&endpoint.ca_info(), certs[2].pem());
    endpoint.name_ca_info();
    assert_eq!(endpoint.json(&["regen"])["changed"], true);
    assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs)));
    endpoint
}

#[test]
fn by_agentctl_alone() {
    let endpoint = settled();
    let before = (identity(&endpoint), generation(&endpoint));
    for _ in 0..3 {
        assert_eq!(endpoint.json(&["regen"])["changed"], false);
    }
    let _read =
        (endpoint.json(&["status"]), endpoint.json(&["sources"]), endpoint.json(&["regen", "--dry-run"]));
    touch(&endpoint);
    rewrite(&endpoint);
    assert_eq!(endpoint.json(&["regen"])["changed"], false);
    assert_eq!((identity(&endpoint), generation(&endpoint)), before);
}

#[test]
fn by_the_daemon() {
    let mut endpoint = settled();
    let before = (identity(&endpoint), generation(&endpoint));
    endpoint.start_daemon();
    let still = |endpoint: &Endpoint, what: &str| {
        // A regeneration that was asked for ends after everything that was under way.
        assert_eq!(endpoint.json(&["regen"])["changed"], false, "{what}");
        assert_eq!((identity(endpoint), generation(endpoint)), before, "{what}\n{}", endpoint.log());
    };
    still(&endpoint, "started");
    let looked = last_looked(&endpoint);
    endpoint.signal(Signal::USR1);
    poll::until("SIGUSR1 makes a look", || (last_looked(&endpoint) != looked).then_some(()));
    still(&endpoint, "SIGUSR1");
    touch(&endpoint);
    still(&endpoint, "touched");
    rewrite(&endpoint);
    still(&endpoint, "rewritten with the same bytes");
    assert!(endpoint.stop_daemon().success());
    endpoint.start_daemon();
    still(&endpoint, "started again");
    endpoint.kill_daemon();
    endpoint.start_daemon();
    still(&endpoint, "started after a crash");
}

#[test]
fn but_a_forced_one_writes() {
    let endpoint = settled();
    let before = identity(&endpoint);
    let _forced = endpoint.json(&["regen", "--force"]);
    assert_ne!(identity(&endpoint), before, "the check sees a write");
}

fn identity(endpoint: &Endpoint) -> Identity {
    let metadata = fs::metadata(endpoint.merged()).expect("a bundle");
    (metadata.ino(), metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec())
}

fn generation(endpoint: &Endpoint) -> Option<u64> {
    endpoint.json(&["status"])["store"]["generation"].as_u64()
}

fn last_looked(endpoint: &Endpoint) -> String {
    endpoint.json(&["sources"])["sources"][0]["last_looked"].to_string()
}

fn touch(endpoint: &Endpoint) {
    for path in [endpoint.bootstrap(), endpoint.site(), endpoint.ca_info()] {
        let file = fs::File::options().append(true).open(path).expect("a source");
        file.set_modified(SystemTime::now()).expect("a file of ours");
    }
}

fn rewrite(endpoint: &Endpoint) {
    write(&endpoint.site(), fs::read(endpoint.site()).expect("a source"));
    replace(&endpoint.ca_info(), fs::read(endpoint.ca_info()).expect("a source"));
    endpoint.name_ca_info();
}
