//! A daemon of an endpoint, started as a service manager starts it.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use test_support::endpoint::{Endpoint, program};
use test_support::process::{self, Owned};

/// A running daemon; dropping it ends it.
pub(crate) struct Daemon {
    process: Owned,
    /// From the start of the process to its READY.
    pub(crate) ready_after: Duration,
}

impl Daemon {
    /// Starts it and waits for its READY.
    pub(crate) fn start(endpoint: &Endpoint) -> Self {
        let address = endpoint.beside("notify");
        let _none_yet = std::fs::remove_file(&address);
        let socket = UnixDatagram::bind(&address).expect("a socket in a scratch directory");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket of ours");
        let mut command = process::command(program("agentd"));
        command.arg("--root").arg(endpoint.root()).env("NOTIFY_SOCKET", &address);
        let start = Instant::now();
        let process = Owned::start(&mut command, &endpoint.beside("agentd.log"));
        let mut message = [0; 4096];
        loop {
            let length = socket.recv(&mut message).expect("READY from the daemon");
            let text = String::from_utf8_lossy(&message[..length]);
            if text.lines().any(|line| line == "READY=1") {
                return Self { process, ready_after: start.elapsed() };
            }
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Has it look at all sources.
    pub(crate) fn look(&self) {
        self.process.signal(Signal::USR1);
    }

    /// Ends it in order.
    pub(crate) fn stop(mut self) {
        self.process.signal(Signal::TERM);
        let _status = self.process.wait();
    }
}
