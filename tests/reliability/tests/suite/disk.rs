//! A real full disk, and a file system that becomes read-only and writable again, under a daemon that runs and under
//! `agentctl` alone.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use test_support::endpoint::{Endpoint, replace, write};
use test_support::pki::{self, Cert};
use test_support::process::{Run, command, run};
use test_support::{poll, tools};

/// Something that a disk can have, and how it passes.
struct Trouble {
    begin: fn(&Path),
    end: fn(&Path),
    /// What the system calls it.
    words: &'static str,
}

#[test]
fn a_full_disk_keeps_the_old_store_and_is_recovered_from_without_a_restart() {
    meet(&Trouble { begin: fill, end: free, words: "No space left on device" });
}

#[test]
fn a_read_only_disk_keeps_the_old_store_and_is_recovered_from_without_a_restart() {
    meet(&Trouble { begin: forbid, end: allow, words: "Read-only file system" });
}

fn meet(trouble: &Trouble) {
    let mut endpoint = Endpoint::new();
    let Some(disk) = Disk::mount(&endpoint.path("var/lib/agentd")) else { return };
    let certs = pki::roots("Disk", 4);
    write(&endpoint.config(), "[watch]\npoll-interval = \"1s\"\n");
    write(&endpoint.bootstrap(), certs[0].pem());
    // Not on that disk, so that it can change.
    write(&endpoint.ca_info(), certs[1].pem());
    endpoint.name_ca_info();
    endpoint.start_daemon();
    endpoint.wait_for("before", &fingerprints(&certs[..2]));
    let id = daemon_id(&endpoint);
    let before = contents(&disk);

    (trouble.begin)(&disk.0);
    replace(&endpoint.ca_info(), pki::bundle(&certs[1..3]));
    poll::until_ok("the status says why nothing is published", || {
        let status = endpoint.json(&["status"]);
        let problems = status["problems"].as_array().expect("a list");
        let named = problems.iter().any(|problem| {
            problem["code"] == "publication-failed" && problem.to_string().contains(trouble.words)
        });
        if named { Ok(()) } else { Err(status["problems"].to_string()) }
    });
    refuse(trouble, &endpoint.agentctl(&["regen"]));
    assert_eq!(contents(&disk), before, "with the daemon");
    (trouble.end)(&disk.0);
    endpoint.wait_for("the daemon recovers by itself", &fingerprints(&certs[..3]));
    assert_eq!(daemon_id(&endpoint), id, "it is the same daemon");
    let _ended = endpoint.stop_daemon();

    let before = contents(&disk);
    (trouble.begin)(&disk.0);
    replace(&endpoint.ca_info(), pki::bundle(&certs[1..]));
    refuse(trouble, &endpoint.agentctl(&["regen"]));
    assert_eq!(contents(&disk), before, "without a daemon");
    // One that starts meanwhile works as far as it can.
    endpoint.start_daemon();
    let id = daemon_id(&endpoint);
    (trouble.end)(&disk.0);
    endpoint.wait_for("the daemon publishes as soon as it can", &fingerprints(&certs));
    assert_eq!(daemon_id(&endpoint), id, "it is the same daemon");
    let regen = endpoint.agentctl(&["regen"]).expect_code(0);
    assert!(
        regen.out().contains("generation 3"),
        "all that was published is in the history: {}",
        regen.out()
    );
    assert_eq!(endpoint.json(&["history"])["generations"].as_array().map(Vec::len), Some(3));
    drop(endpoint);
}

#[track_caller]
fn refuse(trouble: &Trouble, regen: &Run) {
    assert_eq!(regen.code(), 1, "{}{}", regen.out(), regen.err());
    let said = regen.err();
    assert!(said.contains("error: ") && said.contains(trouble.words), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

fn daemon_id(endpoint: &Endpoint) -> u64 {
    endpoint.json(&["status"])["daemon"]["pid"].as_u64().expect("a daemon that runs")
}

fn fingerprints(certs: &[Cert]) -> Vec<String> {
    certs.iter().map(Cert::sha256).collect()
}

/// All files on the disk but those of the trouble and the lock, which says who has it.
fn contents(disk: &Disk) -> Vec<(PathBuf, Vec<u8>)> {
    let files = reliability::tree::list(&disk.0).into_iter().map(|path| disk.0.join(path));
    let ours =
        files.filter(|path| path.is_file() && !path.ends_with(FILLER) && !path.ends_with("state/lock"));
    ours.map(|path| (path.clone(), fs::read(&path).expect("a file of ours"))).collect()
}

const FILLER: &str = "filler";

fn fill(disk: &Path) {
    let mut file = fs::File::create(disk.join(FILLER)).expect("room for a name");
    while file.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
}

fn free(disk: &Path) {
    fs::remove_file(disk.join(FILLER)).expect("the filler");
}

fn forbid(disk: &Path) {
    remount(disk, "remount,ro");
}

fn allow(disk: &Path) {
    remount(disk, "remount,rw");
}

/// Fails where somebody holds a file open for writing.
fn remount(disk: &Path, how: &str) {
    let _done = run(command(tools::path("mount")).args(["-o", how]).arg(disk)).expect_code(0);
}

/// A small file system in memory, mounted as long as this lives.
struct Disk(PathBuf);

impl Disk {
    /// `None`, with a word, where nothing can be mounted.
    fn mount(at: &Path) -> Option<Self> {
        if !tools::require(&["mount", "umount"]) {
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            let _said = tools::left_out("mounting takes root");
            return None;
        }
        let mut mount = command(tools::path("mount"));
        let mounted = run(mount.args(["-t", "tmpfs", "-o", "size=256k,mode=755", "tmpfs"]).arg(at));
        if mounted.code() != 0 {
            let _said = tools::left_out(&format!("nothing can be mounted: {}", mounted.err().trim()));
            return None;
        }
        Some(Self(at.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // At once, whoever still has a file open there.
        let _gone = run(command(tools::path("umount")).arg("-l").arg(&self.0));
    }
}
