//! Real TLS servers on loopback, on free ports, ended by their id.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::pki::{Cert, bundle};
use crate::poll;
use crate::process::{Owned, command};
use crate::tools;

mod others;

pub use others::Kind;

/// What starts a server in its directory on a port.
type Make = Box<dyn Fn(&Path, u16) -> std::process::Command>;

/// A running server.
pub struct Server {
    process: Owned,
    port: u16,
    make: Make,
    scratch: TempDir,
}

impl Server {
    /// Starts nginx with a leaf, its key, and the certificates it sends after the leaf.
    ///
    /// # Panics
    /// Where it does not come up, with its log.
    #[must_use]
    pub fn nginx(leaf: &Cert, sent: &[Cert]) -> Self {
        Self::start(leaf, sent, |directory, port| {
            fs::write(directory.join("nginx.conf"), nginx_conf(directory, port))
                .expect("a scratch directory");
            nginx(directory)
        })
    }

    /// Starts nginx with these blocks instead of its own `server`. In them `{dir}` is its directory, with `chain.pem`,
    /// `key.pem` and an empty `www`, and `{port}` its port.
    ///
    /// # Panics
    /// Where it does not come up, with its log.
    #[must_use]
    pub fn nginx_with(leaf: &Cert, sent: &[Cert], blocks: &str) -> Self {
        let given = blocks.to_owned();
        Self::start(leaf, sent, move |directory, port| {
            let dir = directory.display().to_string();
            let blocks = given.replace("{dir}", &dir).replace("{port}", &port.to_string());
            let usual = nginx_conf(directory, port);
            let (head, _) = usual.split_once("  server {").expect("the usual one has a server");
            fs::create_dir_all(directory.join("www/policies")).expect("a scratch directory");
            fs::write(directory.join("nginx.conf"), format!("{head}{blocks}}}\n"))
                .expect("a scratch directory");
            nginx(directory)
        })
    }

    /// Starts `openssl s_server` with the same. It serves one connection at a time.
    ///
    /// # Panics
    /// Where it does not come up, with its log.
    #[must_use]
    pub fn openssl(leaf: &Cert, sent: &[Cert]) -> Self {
        let sends_more = !sent.is_empty();
        Self::start(leaf, sent, move |directory, port| {
            let mut server = command(tools::path("openssl"));
            server.args(["s_server", "-www", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
            server.arg("-cert").arg(directory.join("leaf.pem")).arg("-key").arg(directory.join("key.pem"));
            if sends_more {
                server.arg("-cert_chain").arg(directory.join("sent.pem"));
            }
            server
        })
    }

    /// The same for a leaf alone, with more arguments.
    ///
    /// # Panics
    /// Where it does not come up, with its log.
    #[must_use]
    pub fn openssl_with(leaf: &Cert, arguments: &[&str]) -> Self {
        let more: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self::start(leaf, &[], move |directory, port| {
            let mut server = command(tools::path("openssl"));
            server.args(["s_server", "-www", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
            server.arg("-cert").arg(directory.join("leaf.pem")).arg("-key").arg(directory.join("key.pem"));
            server.args(&more);
            server
        })
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address by name.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://localhost:{}/", self.port)
    }

    fn start(
        leaf: &Cert,
        sent: &[Cert],
        make: impl Fn(&Path, u16) -> std::process::Command + 'static,
    ) -> Self {
        // Another process may take the port between our look and the server's bind.
        const ATTEMPTS: usize = 5;
        let scratch =
            tempfile::Builder::new().prefix("agentd-server-").tempdir().expect("a temporary directory");
        let directory = scratch.path().to_owned();
        write_certificate(&directory, leaf, sent);
        let log = directory.join("server.log");
        for _ in 0..ATTEMPTS {
            let port = free_port();
            let mut process = Owned::start(&mut make(&directory, port), &log);
            let up = poll::until("the server listens or ends", || {
                match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                    Ok(_) => Some(process.is_running()),
                    Err(_) if !process.is_running() => Some(false),
                    Err(_) => None,
                }
            });
            if up {
                return Self { process, port, make: Box::new(make), scratch };
            }
        }
        panic!("the server does not come up\n{}", fs::read_to_string(log).unwrap_or_default());
    }

    /// Has it present another certificate, as after a change on the server: it is started anew on its port.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn present(&mut self, leaf: &Cert, sent: &[Cert]) {
        write_certificate(self.scratch.path(), leaf, sent);
        self.restart();
    }

    /// Starts it anew on its port.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn restart(&mut self) {
        let directory = self.scratch.path().to_owned();
        if self.process.is_running() {
            self.stop();
        }
        self.process = Owned::start(&mut (self.make)(&directory, self.port), &directory.join("server.log"));
        poll::until("the server listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok());
    }

    /// Ends it, as an outage does; [`Self::present`] starts it again.
    pub fn stop(&mut self) {
        // A server that is still starting may lose a TERM (Apache, measured): after some it is killed.
        const TERMS: usize = 400;
        let mut tries = 0;
        poll::until("the server ends", || {
            tries += 1;
            if !self.process.is_running() {
                return Some(());
            }
            self.process.signal(if tries < TERMS { Signal::TERM } else { Signal::KILL });
            None
        });
    }

    /// True while it runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }
}

fn write_certificate(directory: &Path, leaf: &Cert, sent: &[Cert]) {
    for (name, content) in [
        ("leaf.pem", leaf.pem()),
        ("sent.pem", bundle(sent)),
        ("chain.pem", leaf.pem() + &bundle(sent)),
        ("key.pem", leaf.key_pem()),
    ] {
        fs::write(directory.join(name), content).expect("a scratch directory");
    }
}

/// Gives a file that a server has a time of its own, long past: as a deployment leaves it, and never the second of another
/// version of it, for servers know a file by second and size.
///
/// # Panics
/// Where it is not there.
pub fn deployed(file: &Path) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let minutes = COUNT.fetch_add(1, Ordering::Relaxed);
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + 60 * minutes);
    let file = fs::File::options().write(true).open(file).expect("a file of a server");
    file.set_modified(then).expect("our own file");
}

/// A port of 127.0.0.1 that nobody listens at.
///
/// # Panics
/// Where the system has none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
    listener.local_addr().expect("a bound listener").port()
}

/// Stands before a server and counts the connections that are made to it, and the octets.
pub struct Counter {
    port: u16,
    connections: Arc<AtomicUsize>,
    octets: Arc<[AtomicU64; 2]>,
}

impl Counter {
    /// Listens on a port of its own and passes everything on to the server's.
    ///
    /// # Panics
    /// Where loopback has no port left.
    #[must_use]
    pub fn before(server: &Server) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        let port = listener.local_addr().expect("a bound listener").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let octets: Arc<[AtomicU64; 2]> = Arc::default();
        let (counted, passed, upstream) = (Arc::clone(&connections), Arc::clone(&octets), server.port());
        // Ends with the test's process: it holds nothing but a port.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let passed = Arc::clone(&passed);
                thread::spawn(move || pass_on(client, upstream, &passed));
            }
        });
        Self { port, connections, octets }
    }

    /// The address to connect to instead of the server's.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://localhost:{}/", self.port)
    }

    /// How many octets went to the server, and back from it.
    #[must_use]
    pub fn octets(&self) -> (u64, u64) {
        (self.octets[0].load(Ordering::SeqCst), self.octets[1].load(Ordering::SeqCst))
    }

    /// How many connections have been made.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn pass_on(client: TcpStream, upstream: u16, passed: &Arc<[AtomicU64; 2]>) {
    // Whatever breaks here shows in the test as a broken connection.
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)) else { return };
    let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { return };
    let counted = Arc::clone(passed);
    let there = thread::spawn(move || copy(from, to, &counted[0]));
    copy(server, client, &passed[1]);
    let _joined = there.join();
}

fn copy(mut from: impl Read, mut to: impl Write + ShutWrite, passed: &AtomicU64) {
    let mut room = [0; 16 << 10];
    while let Ok(come @ 1..) = from.read(&mut room) {
        // Counted before it is passed on: whoever has it has it counted.
        passed.fetch_add(come as u64, Ordering::SeqCst);
        if to.write_all(&room[..come]).is_err() {
            break;
        }
    }
    to.shut_write();
}

trait ShutWrite {
    fn shut_write(&self);
}

impl ShutWrite for TcpStream {
    fn shut_write(&self) {
        let _gone = self.shutdown(Shutdown::Write);
    }
}

fn nginx(directory: &Path) -> std::process::Command {
    let mut nginx = command(tools::path("nginx"));
    nginx.arg("-p").arg(directory).arg("-c").arg(directory.join("nginx.conf"));
    nginx.arg("-e").arg(directory.join("error.log"));
    nginx
}

/// One process, one worker, and no path that is not the test's own.
fn nginx_conf(directory: &Path, port: u16) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {}/{name};\n", directory.display()))
        .concat();
    format!(
        "daemon off;\nmaster_process off;\npid {dir}/nginx.pid;\nevents {{ worker_connections 64; }}\nhttp {{\n\
         {temporary}  access_log off;\n  server {{\n    listen 127.0.0.1:{port} ssl;\n\
         \x20   ssl_certificate {dir}/chain.pem;\n    ssl_certificate_key {dir}/key.pem;\n\
         \x20   location / {{ return 200 ok; }}\n    location /policies/ {{ root {dir}/www; }}\n\
         \x20   location = /inventory {{ return 204; }}\n  }}\n}}\n",
        dir = directory.display(),
    )
}
