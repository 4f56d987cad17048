//! The control socket against its callers: who they are, how many, how much they say, and how slowly.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use test_support::endpoint::{replace, write};
use test_support::pki;
use test_support::poll;
use test_support::process::{Owned, command, run};
use test_support::tools;

use super::guest::{Guest, USER};

/// Somebody else; in the service's group or not.
const OTHER: u32 = USER + 1;

/// So that there is something to be asked for. Nobody answers there.
const MANAGED: &str = r#"
[refresh]
index = "/policies/index.json"
[inventory]
path = "/inventory"
[[server]]
url = "https://127.0.0.1:9/"
"#;

const CROWD: &str = include_str!("crowd.py");

fn started() -> Option<Guest> {
    let mut guest = Guest::new()?;
    write(&guest.endpoint.bootstrap(), pki::roots("Asked", 1)[0].pem());
    write(&guest.endpoint.config(), MANAGED);
    guest.start();
    poll::until("a store", || guest.endpoint.published().is_ok().then_some(()));
    // The bundle is in place before its generation is, and that before the state that says it is the present one.
    let _current = poll::until("the state is saved", || {
        guest.endpoint.json(&["history"])["current"].as_u64().filter(|current| *current > 0)
    });
    Some(guest)
}

fn connected(guest: &Guest) -> UnixStream {
    let stream = UnixStream::connect(guest.endpoint.socket()).expect("the daemon listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket of ours");
    stream
}

#[test]
fn who_is_in_the_group_may_look_and_change_nothing() {
    let Some(guest) = started() else { return };
    let before = (fs::read(guest.endpoint.merged()).ok(), guest.endpoint.json(&["history"]));
    let anchor = guest.endpoint.published().expect("a store").remove(0);
    let ask = |group: u32, arguments: &[&str]| {
        let mut asked = command(tools::path("setpriv"));
        asked.args([format!("--reuid={OTHER}"), format!("--regid={group}")]).args(["--clear-groups", "--"]);
        asked.arg(guest.endpoint.beside("agentctl")).arg("--root").arg(guest.endpoint.root()).args(arguments);
        run(asked.current_dir("/"))
    };
    for arguments in [&["status"][..], &["sources"], &["anchors", "list"], &["history"]] {
        let _told = ask(USER, arguments).expect_code(0);
    }
    for arguments in [
        &["regen"][..],
        &["regen", "--force"],
        &["rollback"],
        &["distrust", &anchor, "--reason", "because"],
        &["trust", &anchor],
        &["refresh"],
        &["inventory"],
    ] {
        let refused = ask(USER, arguments);
        assert_eq!(refused.code(), 4, "{arguments:?}: {}{}", refused.out(), refused.err());
    }
    // Outside of the group there is no connection at all, and the state is closed to them.
    let refused = ask(OTHER, &["regen"]);
    assert!([3, 4].contains(&refused.code()), "{}{}", refused.out(), refused.err());
    assert_eq!(before, (fs::read(guest.endpoint.merged()).ok(), guest.endpoint.json(&["history"])));
}

#[test]
fn ten_thousand_connections_and_the_operator_gets_in() {
    if !tools::require(&["python3"]) {
        return;
    }
    let Some(mut guest) = started() else { return };
    let script = guest.endpoint.beside("crowd.py");
    write(&script, CROWD);
    let mut crowd = command(tools::path("setpriv"));
    crowd.args([format!("--reuid={OTHER}"), format!("--regid={USER}")]).args(["--clear-groups", "--"]);
    crowd.arg(tools::path("python3")).arg(&script).arg(guest.endpoint.socket()).current_dir("/");
    let log = guest.endpoint.beside("crowd.log");
    let mut crowd = Owned::start(&mut crowd, &log);
    let mut asked = 0;
    while crowd.is_running() {
        asked += 1;
        let new = &pki::roots(&format!("Crowded {asked}"), 1)[0];
        replace(&guest.endpoint.site(), new.pem());
        let _regenerated = guest.endpoint.agentctl(&["regen"]).expect_code(0);
        assert!(guest.endpoint.published().expect("a store").contains(&new.sha256()));
    }
    let said = fs::read_to_string(&log).unwrap_or_default();
    assert!(crowd.wait().success() && said.contains("10000"), "{said}");
    assert!(asked > 0, "the operator asked meanwhile");
    assert!(guest.is_running());
    let descriptors = format!("/proc/{}/fd", guest.daemon().id());
    poll::until("what the crowd held is given back", || {
        (fs::read_dir(&descriptors).ok()?.count() < 40).then_some(())
    });
    let log = guest.endpoint.log();
    assert!(log.lines().count() < 1_000, "the crowd fills no log: {} lines", log.lines().count());
}

#[test]
fn slow_callers_and_long_requests() {
    let Some(guest) = started() else { return };
    // Half a request and then nothing: it is given up, and the others do not notice.
    let mut slow = connected(&guest);
    slow.write_all(b"{\"method\":\"io.agentd").expect("it listens");
    let asked = Instant::now();
    let _status = guest.endpoint.json(&["status"]);
    let mut answer = Vec::new();
    let _end = slow.read_to_end(&mut answer);
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    assert!(asked.elapsed() >= Duration::from_secs(1), "it was waited for");

    // A request without an end is not read to its end.
    let mut long = connected(&guest);
    let chunk = [b' '; 4096];
    let sent = (0..10_000).take_while(|_| long.write_all(&chunk).is_ok()).count();
    assert!(sent < 1_000, "{sent} pieces of four kilobytes were taken");

    // What is no request at all is refused, and said.
    for nonsense in
        [&b"\0"[..], b"{}\0", b"[1,2,3]\0", b"{\"method\":7}\0", b"\xff\xfe\0", b"{\"method\":\"x\"}\0"]
    {
        let mut caller = connected(&guest);
        caller.write_all(nonsense).expect("it listens");
        let mut answer = Vec::new();
        let _end = caller.take(65_536).read_to_end(&mut answer);
        assert!(!String::from_utf8_lossy(&answer).contains("panicked"));
    }
    let _status = guest.endpoint.json(&["status"]);
}

#[test]
fn many_wishes_at_once_are_one_piece_of_work() {
    let Some(guest) = started() else { return };
    let asked: Vec<_> = (0..12).map(|_| guest.endpoint.agentctl_command(&["regen", "--json"])).collect();
    std::thread::scope(|scope| {
        let running: Vec<_> = asked.into_iter().map(|mut ask| scope.spawn(move || run(&mut ask))).collect();
        for ended in running {
            let run = ended.join().expect("no panic");
            // One too many at a time is told to come again.
            assert!([0, 3, 7].contains(&run.code()), "{}{}", run.out(), run.err());
        }
    });
    assert_eq!(
        guest.endpoint.json(&["status"])["store"]["generation"],
        1,
        "nothing changed, nothing is written"
    );
}
