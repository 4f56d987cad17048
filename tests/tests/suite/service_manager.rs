//! What a service manager is told, word by word, over a socket of the test's own.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use test_support::endpoint::{Endpoint, program, replace, write};
use test_support::pki;
use test_support::poll::DEADLINE;
use test_support::process::{self, Owned};

#[test]
fn ready_status_reload_watchdog_and_stop() {
    let endpoint = Endpoint::new();
    let certs = pki::roots("Managed", 3);
    write(&endpoint.bootstrap(), pki::bundle(&certs[..1]));
    let mut manager = Manager::new(&endpoint);
    let mut daemon = Manager::start(&endpoint);

    manager.wait_for("it says what it does", "STATUS=looking at the sources");
    manager
        .wait_for_each("ready, and how it stands", &["READY=1", "STATUS=generation 1, 1 anchor, all well"]);
    assert!(endpoint.published().is_ok(), "READY, and no bundle");

    replace(&endpoint.bootstrap(), pki::bundle(&certs));
    manager.wait_for("the new one", "STATUS=generation 2, 3 anchors, all well");

    // Once at least in each half of the period, of its own accord.
    for _ in 0..3 {
        let begin = Instant::now();
        manager.wait_for("the watchdog is fed", "WATCHDOG=1");
        assert!(begin.elapsed() < Manager::WATCHDOG, "too late for the watchdog");
    }

    write(&endpoint.config(), "[distrust]\nfingerprint = []\n");
    daemon.signal(Signal::HUP);
    manager.wait_for("a reload begins", "RELOADING=1\nMONOTONIC_USEC=");
    manager.wait_for("it is over", "READY=1");
    manager.wait_for("the mistake is told", "; configuration not read again: ");

    write(&endpoint.config(), format!("[distrust]\nfingerprints = [\"{}\"]\n", certs[0].sha256()));
    daemon.signal(Signal::HUP);
    manager.wait_for("a reload begins", "RELOADING=1\nMONOTONIC_USEC=");
    manager.wait_for_each("over, and no word of the mistake", &["READY=1", "STATUS=generation 3, 2 anchors"]);
    assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs[1..])));

    fs::remove_file(endpoint.config()).expect("a file of the test");
    write(&endpoint.bootstrap(), pki::bundle(&certs) + "-----BEGIN CERTIFICATE-----\n");
    daemon.signal(Signal::HUP);
    manager.wait_for("a problem by its code", "1 problem: source-reject");

    daemon.signal(Signal::TERM);
    manager.wait_for("it stops", "STOPPING=1");
    assert!(daemon.wait().success());
}

/// A service manager's end of the conversation.
struct Manager {
    socket: UnixDatagram,
    said: Vec<String>,
}

impl Manager {
    const WATCHDOG: Duration = Duration::from_secs(2);

    fn new(endpoint: &Endpoint) -> Self {
        let socket = UnixDatagram::bind(endpoint.beside("notify")).expect("a place of the test");
        socket.set_read_timeout(Some(DEADLINE)).expect("a socket of ours");
        Self { socket, said: Vec::new() }
    }

    fn start(endpoint: &Endpoint) -> Owned {
        let mut command = process::command(program("agentd"));
        command.arg("--root").arg(endpoint.root());
        command.env("NOTIFY_SOCKET", endpoint.beside("notify"));
        command.env("WATCHDOG_USEC", Self::WATCHDOG.as_micros().to_string());
        Owned::start(&mut command, &endpoint.beside("agentd.log"))
    }

    /// Takes what is said until a message with these words.
    fn wait_for(&mut self, what: &str, words: &str) {
        self.wait_for_each(what, &[words]);
    }

    /// Until there was a message with each of these, in whatever order.
    fn wait_for_each(&mut self, what: &str, words: &[&str]) {
        let mut missing = words.to_vec();
        let mut buffer = [0; 4096];
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end {
            let Ok(length) = self.socket.recv(&mut buffer) else { break };
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            missing.retain(|words| !message.contains(words));
            self.said.push(message);
            if missing.is_empty() {
                return;
            }
        }
        panic!("{what}: nobody said {missing:?}, but {:#?}", self.said);
    }
}
