//! Files that misbehave while they are read: errors, no end, another end, a byte a second, another file meanwhile, no
//! answer at all.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use test_support::endpoint::{CurlSsl, Endpoint, POLICY, program, replace, write};
use test_support::pki;
use test_support::poll;
use test_support::process::{Owned, command, run};
use test_support::tools;

use super::guest::{codes, source};

const SERVER: &str = include_str!("zoo.py");

/// A file system of our own. Its files are those that the script names.
pub(super) struct Zoo {
    // Ended before the directory is let go.
    server: Option<Owned>,
    pub(super) directory: PathBuf,
}

impl Zoo {
    /// `None` where this machine cannot mount one. `content` is what its good files hold.
    pub(super) fn open(endpoint: &Endpoint, content: &str) -> Option<Self> {
        if !tools::require(&["python3", "umount"]) {
            return None;
        }
        if !rustix::process::geteuid().is_root() || fs::metadata("/dev/fuse").is_err() {
            let _left_out = tools::left_out("no right to mount a file system of our own");
            return None;
        }
        let (directory, script) = (endpoint.path("mnt"), endpoint.beside("zoo.py"));
        fs::create_dir_all(&directory).expect("a directory of ours");
        write(&script, SERVER);
        let good = endpoint.beside("good.pem");
        write(&good, content);
        let mut server = command("python3");
        server.arg(&script).arg(&directory).arg(&good);
        let server = Owned::start(&mut server, &endpoint.beside("zoo.log"));
        let zoo = Self { server: Some(server), directory };
        poll::until("the file system", || zoo.directory.join("good.pem").is_file().then_some(()));
        Some(zoo)
    }

    /// From now on every file is good.
    fn mend(&self) {
        self.server.as_ref().expect("a started server").signal(Signal::USR1);
    }
}

impl Drop for Zoo {
    fn drop(&mut self) {
        // With its server gone, whoever waits is woken.
        drop(self.server.take());
        let _unmounted = run(command("umount").arg("-l").arg(&self.directory));
    }
}

/// A service manager that notes when the watchdog was fed.
struct Watchdog {
    place: PathBuf,
    fed: JoinHandle<Vec<Instant>>,
}

impl Watchdog {
    const PERIOD: Duration = Duration::from_secs(4);

    fn new(endpoint: &Endpoint) -> Self {
        let place = endpoint.beside("notify");
        let socket = UnixDatagram::bind(&place).expect("a place of ours");
        let fed = std::thread::spawn(move || {
            let (mut buffer, mut fed) = ([0; 4096], vec![Instant::now()]);
            loop {
                let length = socket.recv(&mut buffer).expect("a socket of ours");
                let words = String::from_utf8_lossy(&buffer[..length]);
                if words.contains("WATCHDOG=1") {
                    fed.push(Instant::now());
                }
                if words.contains("STOPPING=1") {
                    fed.push(Instant::now());
                    return fed;
                }
            }
        });
        Self { place, fed }
    }

    /// The longest time without food.
    fn longest(self) -> Duration {
        let fed = self.fed.join().expect("it notes until the end");
        assert!(fed.len() > 3, "it was fed at all");
        fed.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}

#[test]
fn files_that_misbehave_while_they_are_read() {
    let endpoint = Endpoint::new();
    let certs = pki::roots("Zoo", 4);
    write(&endpoint.bootstrap(), certs[0].pem());
    let Some(zoo) = Zoo::open(&endpoint, &certs[3].pem()) else { return };
    let odd = [
        ("eio.pem", "source-unreadable", "io-error"),
        ("closed.pem", "source-unreadable", "io-error"),
        ("endless.pem", "source-unreadable", "too-large"),
        ("shrinking.pem", "source-unreadable", "changing"),
        ("swapped.pem", "source-unreadable", "changing"),
        ("hang.pem", "source-hung", "source-hung"),
        ("slow.pem", "source-hung", "source-hung"),
    ];
    for (number, (name, ..)) in odd.iter().enumerate() {
        let named = zoo.directory.join(name).display().to_string();
        endpoint.write_policy(
            &POLICY.replace("6f1f0a52", &format!("6f1f0a5{number}")),
            CurlSsl { ca_info: &named, ca_path: "" },
        );
    }
    let watchdog = Watchdog::new(&endpoint);
    let mut daemon = command(program("agentd"));
    daemon.arg("--root").arg(endpoint.root());
    daemon.env("NOTIFY_SOCKET", &watchdog.place);
    daemon.env("WATCHDOG_USEC", Watchdog::PERIOD.as_micros().to_string());
    let mut daemon = Owned::start(&mut daemon, &endpoint.beside("agentd.log"));

    let status = poll::until("status names each of them", || {
        let status = endpoint.agentctl(&["status", "--json"]);
        let status = (status.code() == 0).then(|| status.json())?;
        let named = |name: &str| !codes(&status, &format!("/{name}")).is_empty();
        let by_the_daemon = !status["daemon"].is_null();
        (by_the_daemon && odd.iter().all(|(name, ..)| named(name))).then_some(status)
    });
    for (name, problem, error) in odd {
        let path = zoo.directory.join(name);
        assert_eq!(codes(&status, &path.display().to_string()), [problem], "{status}");
        assert_eq!(source(&status, &path)["error"]["code"], error, "{name}: {status}");
    }
    for round in [1, 2] {
        replace(&endpoint.site(), certs[round].pem());
        let _regenerated = endpoint.json(&["regen"]);
        let expected = pki::fingerprints([&certs[0], &certs[round]]);
        assert_eq!(endpoint.published(), Ok(expected), "the others are followed\n{}", endpoint.log());
    }

    // The one that takes its time is asked again later; the others are good as soon as they are.
    zoo.mend();
    poll::until("they are read again", || {
        let _regenerated = endpoint.agentctl(&["regen"]);
        let sources = endpoint.json(&["sources"]);
        let good = |name: &str| source(&sources, &zoo.directory.join(name))["state"] == "ok";
        odd.iter().all(|(name, ..)| *name == "slow.pem" || good(name)).then_some(())
    });
    let expected = pki::fingerprints([&certs[0], &certs[2], &certs[3]]);
    assert_eq!(endpoint.published(), Ok(expected), "what they hold is in the store");
    assert!(daemon.is_running());
    daemon.signal(Signal::TERM);
    assert!(daemon.wait().success());
    assert!(watchdog.longest() < Watchdog::PERIOD, "the watchdog would have ended it");
}
