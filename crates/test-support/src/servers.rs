//! Real TLS servers on loopback, on free ports, ended by their id.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tempfile::TempDir;

use crate::pki::{Cert, bundle};
use crate::poll;
use crate::process::{Owned, command};
use crate::tools;

/// A running server.
pub struct Server {
    process: Owned,
    port: u16,
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
        Self::start(leaf, sent, |directory, port| {
            let dir = directory.display().to_string();
            let blocks = blocks.replace("{dir}", &dir).replace("{port}", &port.to_string());
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
        Self::start(leaf, sent, |directory, port| {
            let mut server = command(tools::path("openssl"));
            server.args(["s_server", "-www", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
            server.arg("-cert").arg(directory.join("leaf.pem")).arg("-key").arg(directory.join("key.pem"));
            if !sent.is_empty() {
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
        Self::start(leaf, &[], |directory, port| {
            let mut server = command(tools::path("openssl"));
            server.args(["s_server", "-www", "-quiet", "-accept", &format!("127.0.0.1:{port}")]);
            server.arg("-cert").arg(directory.join("leaf.pem")).arg("-key").arg(directory.join("key.pem"));
            server.args(arguments);
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

    fn start(leaf: &Cert, sent: &[Cert], make: impl Fn(&Path, u16) -> std::process::Command) -> Self {
        // Another process may take the port between our look and the server's bind.
        const ATTEMPTS: usize = 5;
        let scratch =
            tempfile::Builder::new().prefix("agentd-server-").tempdir().expect("a temporary directory");
        let directory = scratch.path().to_owned();
        for (name, content) in [
            ("leaf.pem", leaf.pem()),
            ("sent.pem", bundle(sent)),
            ("chain.pem", leaf.pem() + &bundle(sent)),
            ("key.pem", leaf.key_pem()),
        ] {
            fs::write(directory.join(name), content).expect("a scratch directory");
        }
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
                return Self { process, port, scratch };
            }
        }
        panic!("the server does not come up\n{}", fs::read_to_string(log).unwrap_or_default());
    }

    /// Has an nginx present another certificate, as after a change on the server: it is started anew on its port.
    ///
    /// # Panics
    /// Where it does not come up.
    pub fn present(&mut self, leaf: &Cert, sent: &[Cert]) {
        let directory = self.scratch.path().to_owned();
        for (name, content) in [("key.pem", leaf.key_pem()), ("chain.pem", leaf.pem() + &bundle(sent))] {
            fs::write(directory.join(name), content).expect("a scratch directory");
        }
        if self.process.is_running() {
            self.stop();
        }
        self.process = Owned::start(&mut nginx(&directory), &directory.join("server.log"));
        poll::until("the server listens", || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok());
    }

    /// Ends it, as an outage does; [`Self::present`] starts it again.
    pub fn stop(&mut self) {
        self.process.signal(rustix::process::Signal::TERM);
        let _ended = self.process.wait();
    }

    /// True while it runs.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }
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

/// Stands before a server and counts the connections that are made to it.
pub struct Counter {
    port: u16,
    connections: Arc<AtomicUsize>,
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
        let (counted, upstream) = (Arc::clone(&connections), server.port());
        // Ends with the test's process: it holds nothing but a port.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || pass_on(client, upstream));
            }
        });
        Self { port, connections }
    }

    /// The address to connect to instead of the server's.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://localhost:{}/", self.port)
    }

    /// How many connections have been made.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn pass_on(client: TcpStream, upstream: u16) {
    // Whatever breaks here shows in the test as a broken connection.
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)) else { return };
    let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else { return };
    let there = thread::spawn(move || copy(from, to));
    copy(server, client);
    let _joined = there.join();
}

fn copy(mut from: impl Read, mut to: impl Write + ShutWrite) {
    let _broken = io::copy(&mut from, &mut to);
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
