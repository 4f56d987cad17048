//! One daemon at a time, and never none for the sake of a dead one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use rustix::process::Signal;
use test_support::endpoint::{CurlSsl, Endpoint, POLICY, program, replace, write};
use test_support::pki;
use test_support::poll;
use test_support::process::{Owned, command, run};
use test_support::tools;

/// A file system whose one file can be found and opened, and whose reads are never answered.
struct Hanging {
    // Ended before the directory is let go.
    server: Option<Owned>,
    directory: PathBuf,
}

impl Hanging {
    /// `None` where this machine cannot mount one.
    fn over(endpoint: &Endpoint) -> Option<Self> {
        if !tools::require(&["python3", "umount"]) {
            return None;
        }
        if !rustix::process::geteuid().is_root() || fs::metadata("/dev/fuse").is_err() {
            let _left_out = tools::left_out("no right to mount a file system of our own");
            return None;
        }
        let (directory, script) = (endpoint.path("mnt"), endpoint.beside("hanging.py"));
        fs::create_dir_all(&directory).expect("a directory of ours");
        write(&script, include_str!("alone/hanging.py"));
        let mut server = command("python3");
        server.arg(&script).arg(&directory);
        let server = Some(Owned::start(&mut server, &endpoint.beside("hanging.log")));
        let hanging = Self { server, directory };
        poll::until("the file system that hangs", || hanging.file().is_file().then_some(()));
        Some(hanging)
    }

    fn file(&self) -> PathBuf {
        self.directory.join("hang.pem")
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        // With its server gone, whoever waits is woken.
        drop(self.server.take());
        let _unmounted = run(command("umount").arg("-l").arg(&self.directory));
    }
}

#[test]
fn the_second_is_told_who_is_first_and_what_to_do() {
    let mut endpoint = Endpoint::new();
    write(&endpoint.bootstrap(), pki::bundle(pki::roots("First", 1)));
    for life in ["the first", "one after a crash"] {
        endpoint.start_daemon();
        let pid = endpoint.daemon_id().to_string();
        let said = endpoint.agentd(&[]).expect_code(7).err();
        for word in ["lock", &pid, "ps -fp"] {
            assert!(said.contains(word), "{life}: {said}");
        }
        assert!(endpoint.is_running());
        endpoint.kill_daemon();
    }
}

#[test]
fn a_reader_that_hangs_beyond_the_crash_keeps_nobody_out() {
    let mut endpoint = Endpoint::new();
    let certs = pki::roots("Reader", 2);
    write(&endpoint.bootstrap(), certs[0].pem());
    let Some(hanging) = Hanging::over(&endpoint) else { return };
    let named = hanging.file().display().to_string();
    endpoint.write_policy(POLICY, CurlSsl { ca_info: &named, ca_path: "" });
    endpoint.start_daemon();
    poll::until("its reader hangs", || {
        endpoint.json(&["status"])["problems"].to_string().contains("does not answer").then_some(())
    });
    endpoint.kill_daemon();
    endpoint.start_daemon();
    write(&endpoint.site(), certs[1].pem());
    endpoint.wait_for("after the crash", &pki::fingerprints(&certs));
    assert!(!endpoint.log().contains("taken over"), "the lock was free");
}

#[test]
fn a_corpse_that_hangs_in_the_kernel_keeps_nobody_out() {
    let mut endpoint = Endpoint::new();
    let certs = pki::roots("Corpse", 3);
    write(&endpoint.bootstrap(), certs[0].pem());
    // Let go after the file system is: nobody can wait for the end of who hangs.
    let mut first = None;
    let Some(hanging) = Hanging::over(&endpoint) else { return };
    let mut agentd = command(program("agentd"));
    let first: &mut Owned =
        first.insert(Owned::start(agentd.arg("--root").arg(endpoint.root()), &endpoint.beside("first.log")));
    endpoint.wait_for("the first life", &pki::fingerprints(&certs[..1]));

    // The store's own source, which it reads itself, leads to where nobody answers.
    let link = endpoint.beside("link");
    symlink(hanging.file(), &link).and_then(|()| fs::rename(&link, endpoint.bootstrap())).expect("a link");
    let log = endpoint.beside("hanging.log");
    poll::until("it reads there", || fs::read_to_string(&log).ok()?.contains("READ hangs").then_some(()));
    // Slow is not dead: nobody takes the lock of who may go on.
    let refused = endpoint.agentd(&[]).expect_code(7).err();
    assert!(refused.contains(&first.id().to_string()), "{refused}");
    first.signal(Signal::KILL);
    poll::until("all of it that can end has", || {
        let states = states(first.id());
        (states.contains(&'D') && states.iter().all(|state| matches!(state, 'D' | 'Z'))).then_some(())
    });
    replace(&endpoint.bootstrap(), certs[1].pem());

    endpoint.start_daemon();
    assert!(states(first.id()).contains(&'D'), "the corpse is still there");
    assert!(endpoint.log().contains("taken over"), "{}", endpoint.log());
    endpoint.wait_for("the second life", &pki::fingerprints(&certs[1..2]));
    let second = endpoint.daemon_id().to_string();
    let refused = |endpoint: &Endpoint| endpoint.agentd(&[]).expect_code(7).err();
    assert!(refused(&endpoint).contains(&second), "the lock is the second's");
    drop(hanging);
    let _status = first.wait();
    assert!(refused(&endpoint).contains(&second), "and stays so when the first is gone for good");
    write(&endpoint.site(), certs[2].pem());
    endpoint.wait_for("it goes on", &pki::fingerprints(&certs[1..]));
    assert!(endpoint.stop_daemon().success());
}

/// The states of the threads of a process, see `proc(5)`.
fn states(pid: u32) -> Vec<char> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let stats = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    stats.filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next()).collect()
}
