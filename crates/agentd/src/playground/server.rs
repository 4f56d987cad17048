//! The management server: static files over TLS on loopback, with a certificate that can be changed while it runs.
//!
//! It answers GET with what is in a map and nothing else, so a few lines of HTTP/1.1 (RFC 9112) do: one request for
//! each connection, bounded in size, time and number. It is a partner for the trial, never one for a network.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::failure::Failure;

/// A running server; it ends when this is dropped.
pub(super) struct Server {
    port: u16,
    shown: Arc<Shown>,
    files: Arc<Files>,
    task: JoinHandle<()>,
}

impl Server {
    /// Starts it on a free port of 127.0.0.1.
    pub(super) async fn start(certificate: CertifiedKey) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(Failure::FAILED, format_args!("cannot start the server: {error}"))
        };
        let shown = Arc::new(Shown(Mutex::new(Arc::new(certificate))));
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(&error))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Shown>::clone(&shown));
        // Every connection shows the certificate of the moment: no session of an earlier one is resumed.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|error| failed(&error))?;
        let port = listener.local_addr().map_err(|error| failed(&error))?.port();
        let files = Arc::new(Files::default());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let task = tokio::spawn(accept(listener, acceptor, Arc::clone(&files)));
        Ok(Self { port, shown, files, task })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// Presents another certificate from the next connection on.
    pub(super) fn present(&self, certificate: CertifiedKey) {
        *self.shown.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(certificate);
    }

    /// Serves this content under a path.
    pub(super) fn put(&self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        let content = Arc::from(content.into());
        self.files.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path.into(), content);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The certificate of the moment.
#[derive(Debug)]
struct Shown(Mutex<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// The content of each path.
#[derive(Default)]
struct Files(Mutex<HashMap<String, Arc<[u8]>>>);

impl Files {
    fn get(&self, path: &str) -> Option<Arc<[u8]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, files: Arc<Files>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Never closed, so always granted in the end.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: not in a busy loop.
            sleep(PAUSE).await;
            continue;
        };
        let (acceptor, files) = (acceptor.clone(), Arc::clone(&files));
        tokio::spawn(async move {
            // Whatever happens to one connection is that client's to report.
            let _ended = timeout(DEADLINE, converse(stream, &acceptor, &files)).await;
            drop(permit);
        });
    }
}

async fn converse(stream: TcpStream, acceptor: &TlsAcceptor, files: &Files) -> io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let Some(head) = request_head(&mut stream).await? else { return Ok(()) };
    let (status, body) = match requested_path(&head) {
        None => ("400 Bad Request", None),
        Some(path) => match files.get(path) {
            Some(body) => ("200 OK", Some(body)),
            None => ("404 Not Found", None),
        },
    };
    let body = body.as_deref().unwrap_or_default();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}

/// The request up to the empty line; `None` where there is none, as with a client that only looked at the certificate.
async fn request_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(MAX_REQUEST);
    while head.len() < MAX_REQUEST {
        let mut rest = (&mut *stream).take((MAX_REQUEST - head.len()) as u64);
        if rest.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
        if head.windows(4).any(|end| end == b"\r\n\r\n") {
            return Ok(Some(head));
        }
    }
    Ok(None)
}

/// The path of a GET.
fn requested_path(head: &[u8]) -> Option<&str> {
    let line = head.split(|&byte| byte == b'\r').next()?;
    let (path, version) = std::str::from_utf8(line).ok()?.strip_prefix("GET ")?.split_once(' ')?;
    matches!(version, "HTTP/1.0" | "HTTP/1.1").then_some(path)
}

const MAX_REQUEST: usize = 8 << 10;
const MAX_CONNECTIONS: usize = 32;
const DEADLINE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_get_line_names_a_path() {
        assert_eq!(requested_path(b"GET /a HTTP/1.1\r\n\r\n"), Some("/a"));
        for line in
            [&b"POST /a HTTP/1.1\r\n\r\n"[..], b"GET /a\r\n\r\n", b"GET /a HTTP/3\r\n\r\n", b"\xff\r\n\r\n"]
        {
            assert_eq!(requested_path(line), None);
        }
    }
}
