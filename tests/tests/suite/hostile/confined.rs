//! The daemon can write to its own directories and nowhere else, whatever it is told to write.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;
use test_support::endpoint::{Endpoint, program, replace, write};
use test_support::pki;
use test_support::poll;
use test_support::process::{Owned, command};
use test_support::tools;

use super::guest::codes;

/// An endpoint with a daemon that the kernel confines; `None` where it has no Landlock.
fn confined() -> Option<Endpoint> {
    let mut endpoint = Endpoint::new();
    write(&endpoint.bootstrap(), pki::roots("Confined", 1)[0].pem());
    endpoint.start_daemon();
    let sandbox = sandbox(&endpoint);
    if sandbox["state"] == "none" {
        let _left_out = tools::left_out("this kernel has no Landlock");
        return None;
    }
    assert_eq!(sandbox["state"], "full", "{sandbox}");
    Some(endpoint)
}

fn sandbox(endpoint: &Endpoint) -> Value {
    endpoint.json(&["status"])["daemon"]["sandbox"].clone()
}

/// What it says it may write below. All of it is the endpoint's.
fn writes(endpoint: &Endpoint) -> Vec<String> {
    let writes = sandbox(endpoint)["writes"].as_array().cloned().expect("directories");
    let writes: Vec<String> = writes.iter().filter_map(|path| path.as_str().map(str::to_owned)).collect();
    let own = [endpoint.path("run"), endpoint.path("var/lib")];
    let inside = |path: &String| own.iter().any(|own| Path::new(path).starts_with(own));
    assert!(writes.iter().all(inside), "{writes:?}");
    writes
}

#[test]
fn where_it_may_write_and_where_not() {
    let Some(mut endpoint) = confined() else { return };
    // Nobody starts this one again, so it may write beside as well.
    for place in ["run", "run/agentd", "var/lib", "var/lib/agentd"] {
        assert!(writes(&endpoint).contains(&endpoint.path(place).display().to_string()), "{place}");
    }
    // The state directory becomes a link that leads out: what it writes there goes nowhere.
    let (outside, state) = (endpoint.beside("outside"), endpoint.path("var/lib/agentd/state"));
    let lead_out = || {
        fs::create_dir(&outside).expect("a directory of ours");
        fs::rename(&state, state.with_file_name("away")).expect("a directory of ours");
        symlink(&outside, &state).expect("a place of ours");
    };
    let strangers = || fs::read_dir(&outside).expect("a directory of ours").count();
    lead_out();
    let new = pki::roots("New", 1);
    write(&endpoint.site(), new[0].pem());
    let _unwritable = endpoint.agentctl(&["regen"]);
    poll::until("it is said", || {
        (codes(&endpoint.json(&["status"]), "started again") == ["restart-needed"]).then_some(())
    });
    assert_eq!(strangers(), 0, "it wrote outside");
    assert!(endpoint.stop_daemon().success());
    // Who is not confined does write there.
    let _regenerated = endpoint.agentctl(&["regen", "--force"]).expect_code(0);
    assert_ne!(strangers(), 0, "the way was open");
}

#[test]
fn a_reload_that_moves_what_is_written_needs_a_restart() {
    let Some(mut endpoint) = confined() else { return };
    let moved = endpoint.path("srv/bundle/cainfo-merged.pem");
    fs::create_dir_all(moved.parent().expect("a directory")).expect("a directory of ours");
    write(&endpoint.config(), format!("[store]\nmerged = \"{}\"\n", moved.display()));
    endpoint.signal(Signal::HUP);
    poll::until("it is said", || endpoint.log().contains("restart agentd for it").then_some(()));
    let new = pki::roots("Moved", 1);
    write(&endpoint.site(), new[0].pem());
    poll::until("the configuration in force stays", || {
        endpoint.published().is_ok_and(|published| published.contains(&new[0].sha256())).then_some(())
    });
    assert!(!moved.exists());
    endpoint.stop_daemon();
    endpoint.start_daemon();
    poll::until("the restart takes it over", || moved.is_file().then_some(()));
    // Within its directories a reload moves what it likes.
    let beside = moved.with_file_name("other.pem");
    write(&endpoint.config(), format!("[store]\nmerged = \"{}\"\n", beside.display()));
    endpoint.signal(Signal::HUP);
    poll::until("the reload takes it over", || beside.is_file().then_some(()));
}

#[test]
fn a_directory_that_was_replaced_is_written_to_again() {
    let Some(mut endpoint) = confined() else { return };
    endpoint.stop_daemon();
    let place = endpoint.beside("notify");
    let manager = UnixDatagram::bind(&place).expect("a place of ours");
    manager.set_nonblocking(true).expect("a socket of ours");
    // Ten unread notices fill the socket's queue, and the daemon waits to say the next one.
    let listen = || while manager.recv(&mut [0; 4096]).is_ok() {};
    let start = |managed: bool| {
        let mut daemon = command(program("agentd"));
        daemon.arg("--root").arg(endpoint.root());
        if managed {
            daemon.env("NOTIFY_SOCKET", &place);
        }
        let daemon = Owned::start(&mut daemon, &endpoint.beside("agentd.log"));
        let id = u64::from(daemon.id());
        poll::until("the daemon answers", || {
            listen();
            let status = endpoint.agentctl(&["status", "--json"]);
            (status.code() == 0 && status.json()["daemon"]["pid"] == id).then_some(())
        });
        daemon
    };
    let replaced = || {
        let (directory, away) = (endpoint.path("var/lib/agentd"), endpoint.path("var/lib/away"));
        fs::rename(&directory, &away).and_then(|()| fs::create_dir(&directory)).expect("ours");
        for name in ["cainfo.pem", "cainfo-merged.pem", "policies"] {
            fs::rename(away.join(name), directory.join(name)).expect("ours");
        }
        fs::remove_dir_all(&away).expect("ours");
    };
    // Nobody would start it again: it goes on.
    let mut daemon = start(false);
    replaced();
    let new = pki::roots("Replaced", 2);
    replace(&endpoint.bootstrap(), new[0].pem());
    let _regenerated = endpoint.agentctl(&["regen"]);
    poll::until("it writes to the new one", || {
        (endpoint.published() == Ok(pki::fingerprints(&new[..1]))).then_some(())
    });
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    // With a service manager it ends, and the next one writes.
    let mut daemon = start(true);
    assert!(!writes(&endpoint).contains(&endpoint.path("var/lib").display().to_string()));
    replaced();
    replace(&endpoint.bootstrap(), new[1].pem());
    let _unwritable = endpoint.agentctl(&["regen"]);
    poll::until("the daemon ends", || {
        listen();
        (!daemon.is_running()).then_some(())
    });
    assert_eq!(daemon.wait().code(), Some(1), "{}", endpoint.log());
    let _daemon = start(true);
    poll::until("the next one writes", || {
        listen();
        (endpoint.published() == Ok(pki::fingerprints(&new[1..]))).then_some(())
    });
}
