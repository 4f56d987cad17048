//! Servers and proxies of every habit, in threads of the test.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use agent_management::Failure;
use agent_management::dial::{Dialer, Timeouts};
use agent_management::http::{Ask, Reply};
use agent_management::proxy::{Credentials, Proxy};
use agent_management::session::Session;
use jiff::Timestamp;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use test_support::pki::{Cert, Recipe};
use trust_core::Certificate;
use trust_tls::{AnchorSet, Request};
use url::Url;

/// What a server answers to the head of a request: the whole answer, and whether it keeps the connection.
pub(crate) type Answer = dyn FnMut(&str) -> Vec<u8> + Send;

/// A TLS server for `localhost`, and what it saw.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) fn url(&self) -> Url {
        Url::parse(&format!("https://localhost:{}/", self.address.port())).unwrap()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A root and a leaf for `localhost` under it.
pub(crate) fn authority() -> (Cert, Cert) {
    let root = Recipe::ca("Wire Root").self_signed();
    let leaf = Recipe::leaf("localhost").issued_by(&root);
    (root, leaf)
}

pub(crate) fn set(anchors: &[&Cert]) -> Arc<AnchorSet> {
    Arc::new(AnchorSet::new(anchors.iter().map(|cert| Arc::new(Certificate::parse(cert.der()).unwrap()))))
}

/// A listener whose connections are served by threads.
pub(crate) fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// A TLS server that answers each request by `answer`; an answer with `Connection: close` ends the connection.
pub(crate) fn tls(leaf: &Cert, answer: impl FnMut(&str) -> Vec<u8> + Send + 'static) -> Server {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(leaf.der().to_vec())],
            PrivatePkcs8KeyDer::from(leaf.key_der().to_vec()).into(),
        )
        .unwrap();
    let config = Arc::new(config);
    let connections = Arc::new(AtomicUsize::new(0));
    let requests = Arc::new(Mutex::new(Vec::new()));
    let answer: Arc<Mutex<Box<Answer>>> = Arc::new(Mutex::new(Box::new(answer)));
    let (counted, seen) = (Arc::clone(&connections), Arc::clone(&requests));
    let address = listen(move |stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        let session = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(session, stream);
        while let Some(head) = head_of(&mut stream) {
            seen.lock().unwrap().push(head.clone());
            let bytes = (answer.lock().unwrap())(&head);
            let closes = String::from_utf8_lossy(&bytes).contains("Connection: close");
            // The client may have had enough.
            if stream.write_all(&bytes).and_then(|()| stream.flush()).is_err() || closes {
                stream.conn.send_close_notify();
                let _gone = stream.flush();
                return;
            }
        }
    });
    Server { address, connections, requests }
}

/// A request's head up to the empty line, and its body read past by its length.
pub(crate) fn head_of(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8_lossy(&body))
}

pub(crate) fn ok(body: &[u8]) -> Vec<u8> {
    answer("200 OK", "", body)
}

pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A proxy that opens the way to wherever it is asked, with these credentials or none; and the heads it saw.
pub(crate) fn proxy(credentials: Option<&'static str>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    let address = listen(move |mut client| {
        let Some(head) = head_of(&mut client) else { return };
        seen.lock().unwrap().push(head.clone());
        if credentials.is_some_and(|wanted| !head.contains(wanted)) {
            let _gone = client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
            return;
        }
        let to = head.split(' ').nth(1).unwrap();
        let Ok(server) = TcpStream::connect(to) else {
            let _gone = client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n");
            return;
        };
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut from, &mut to));
        let (mut from, mut to) = (server, client);
        let _ended = std::io::copy(&mut from, &mut to);
    });
    (address, heads)
}

pub(crate) fn through(proxy: SocketAddr, credentials: Option<&str>) -> Dialer {
    let credentials = credentials.map(|text| Credentials::parse(text).unwrap());
    Dialer { proxy: Some(Proxy::new("127.0.0.1", proxy.port(), credentials, &[])), ..Dialer::default() }
}

/// Timeouts that a test can wait for.
pub(crate) fn short() -> Dialer {
    let short = Duration::from_millis(300);
    let timeouts =
        Timeouts { dns: short, connect: short, proxy: short, tls: short, first_byte: short, body: short };
    Dialer { timeouts, proxy: None }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

pub(crate) fn request() -> Request {
    Request::new("localhost", Timestamp::now())
}

/// One session and one question.
pub(crate) fn get(dialer: &Dialer, anchors: &[&Cert], base: &Url, limit: u64) -> Result<Reply, Failure> {
    runtime().block_on(async {
        let mut session = Session::open(dialer, set(anchors), base, request()).await?;
        let ask = Ask::get(base.join("a?key=secret").unwrap(), limit);
        Ok(session.ask(ask, Timestamp::now()).await?.1)
    })
}
