//! One HTTP/1.1 connection (RFC 9112) over a stream that was judged already: one request at a time, answers with bounds.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use flate2::write::GzDecoder;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Method, Request, Response};
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;
use trust_tls::connect::Wire;
use url::Url;

use crate::dial::Timeouts;
use crate::failure::{Failure, Phase};
use crate::proxy::authority;
use crate::redirect::shown;
use crate::retry_after;
use crate::validators::Validators;

/// What is asked of a server.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Where.
    pub url: Url,
    /// What is sent with it: `POST` where there is something, else `GET`.
    pub send: Option<(&'static str, Bytes)>,
    /// Only an answer that differs from what had these is wanted.
    pub unless: Validators,
    /// Most octets of an answer's body, compressed or not.
    pub limit: u64,
    /// Only the head of the answer is wanted.
    pub head: bool,
}

impl Ask {
    /// A file, of at most so many octets.
    #[must_use]
    pub fn get(url: Url, limit: u64) -> Self {
        Self { url, send: None, unless: Validators::default(), limit, head: false }
    }

    /// The head of an answer alone, to see that there is one.
    #[must_use]
    pub fn head(url: Url) -> Self {
        Self { head: true, ..Self::get(url, 0) }
    }

    /// Something for the server, with its type; what it answers is not looked at.
    #[must_use]
    pub fn post(url: Url, kind: &'static str, body: Vec<u8>) -> Self {
        Self { url, send: Some((kind, body.into())), unless: Validators::default(), limit: 0, head: false }
    }
}

/// An answer. Its body is there for a `GET` that was answered with 200 alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// What the server remembers it by.
    pub validators: Validators,
    /// When it answered, by its own clock.
    pub date: Option<Timestamp>,
    /// How long to stay away.
    pub retry_after: Option<Duration>,
    /// Where to look instead.
    pub location: Option<String>,
    /// The type of the body, in lower case, without parameters.
    pub kind: Option<String>,
    /// The body, decompressed.
    pub body: Vec<u8>,
    /// Octets of the body as they were sent.
    pub received: u64,
}

impl Reply {
    /// Whether the body is a web page, by its name or by its beginning.
    #[must_use]
    pub fn is_page(&self) -> bool {
        let named =
            self.kind.as_deref().is_some_and(|kind| matches!(kind, "text/html" | "application/xhtml+xml"));
        let text = self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body).trim_ascii_start();
        let begins = |with: &[u8]| text.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
        named || begins(b"<!doctype html") || begins(b"<html")
    }
}

/// An open connection. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    pub(crate) async fn over(stream: TlsStream<Wire>, url: &Url) -> Result<Self, Failure> {
        let opened = handshake(Io(stream)).await;
        let (sender, connection) = opened.map_err(|error| broken(url, &error))?;
        // What goes wrong with it is told to whoever waits for an answer.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, driver })
    }

    /// Whether another request can be sent on it.
    pub(crate) async fn is_open(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn ask(
        &mut self,
        ask: &Ask,
        timeouts: &Timeouts,
        now: Timestamp,
    ) -> Result<Reply, Failure> {
        let url = &ask.url;
        let host = url.host_str().unwrap_or_default();
        let request = request(ask).map_err(|error| broken(url, &error))?;
        let late = |phase, after| Failure::Timeout { host: host.to_owned(), phase, after };
        let head = timeout(timeouts.first_byte, self.sender.send_request(request)).await;
        let response = head
            .map_err(|_| late(Phase::FirstByte, timeouts.first_byte))?
            .map_err(|error| broken(url, &error))?;
        let mut reply = reply_of(&response, now);
        if response.status() == 200 && ask.send.is_none() && !ask.head {
            let end = Instant::now() + timeouts.body;
            (reply.body, reply.received) = body(response, ask, end)
                .await
                .map_err(|late_or_bad| late_or_bad.unwrap_or_else(|| late(Phase::Body, timeouts.body)))?;
        }
        Ok(reply)
    }
}

fn request(ask: &Ask) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let url = &ask.url;
    // The target as servers expect it: path and query alone.
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let host = url.host_str().unwrap_or_default();
    let host = match url.port() {
        Some(port) => authority(host.trim_matches(['[', ']']), port),
        None => host.to_owned(),
    };
    let mut builder = Request::builder()
        .method(match (&ask.send, ask.head) {
            (Some(_), _) => Method::POST,
            (None, true) => Method::HEAD,
            (None, false) => Method::GET,
        })
        .uri(target)
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("agentd/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT_ENCODING, "gzip");
    if let Some((kind, _)) = &ask.send {
        builder = builder.header(header::CONTENT_TYPE, *kind);
    }
    if let Some(etag) = &ask.unless.etag {
        builder = builder.header(header::IF_NONE_MATCH, etag);
    }
    if let Some(date) = &ask.unless.last_modified {
        builder = builder.header(header::IF_MODIFIED_SINCE, date);
    }
    builder.body(Full::new(ask.send.as_ref().map(|(_, body)| body.clone()).unwrap_or_default()))
}

fn reply_of(response: &Response<Incoming>, now: Timestamp) -> Reply {
    let headers = response.headers();
    let kind = text(headers, header::CONTENT_TYPE)
        .map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    Reply {
        status: response.status().as_u16(),
        validators: Validators {
            etag: text(headers, header::ETAG),
            last_modified: text(headers, header::LAST_MODIFIED),
        }
        .reliable(text(headers, header::DATE).as_deref()),
        date: text(headers, header::DATE).and_then(|value| retry_after::date(&value)),
        retry_after: text(headers, header::RETRY_AFTER).and_then(|value| retry_after::parse(&value, now)),
        location: text(headers, header::LOCATION),
        kind,
        body: Vec::new(),
        received: 0,
    }
}

/// A header that is text of a bearable length.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    const LONGEST: usize = 2048;
    headers.get(name)?.to_str().ok().filter(|value| value.len() <= LONGEST).map(str::to_owned)
}

/// The body, decompressed as it comes, and the octets that came; `Err(None)` where it did not come in time.
async fn body(
    response: Response<Incoming>,
    ask: &Ask,
    end: Instant,
) -> Result<(Vec<u8>, u64), Option<Failure>> {
    let too_large = || Some(Failure::TooLarge { url: shown(&ask.url), limit: ask.limit });
    let encoding = text(response.headers(), header::CONTENT_ENCODING).unwrap_or_default();
    let mut sink = Sink::new(&encoding, ask).map_err(Some)?;
    let mut body = response.into_body();
    // What announces that it is too large is not read at all.
    if body.size_hint().lower() > ask.limit {
        return Err(too_large());
    }
    let mut received = 0;
    while let Some(frame) = timeout_at(end, body.frame()).await.map_err(|_| None)? {
        let frame = frame.map_err(|error| Some(broken(&ask.url, &error)))?;
        let Some(data) = frame.data_ref() else { continue };
        received += data.len() as u64;
        if received > ask.limit {
            return Err(too_large());
        }
        sink.take(data).map_err(|error| sink_failure(&error, ask))?;
    }
    let bytes = sink.end().map_err(|error| sink_failure(&error, ask))?;
    Ok((bytes, received))
}

fn sink_failure(error: &io::Error, ask: &Ask) -> Option<Failure> {
    Some(if error.kind() == io::ErrorKind::StorageFull {
        Failure::TooLarge { url: shown(&ask.url), limit: ask.limit }
    } else {
        Failure::Http { url: shown(&ask.url), why: "its compressed body is damaged".to_owned() }
    })
}

fn broken(url: &Url, error: &(dyn std::error::Error + 'static)) -> Failure {
    // hyper says what and its source says why.
    let why = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    Failure::Http { url: shown(url), why }
}

/// Where a body goes.
enum Sink {
    Plain(Bounded),
    Gzip(Box<GzDecoder<Bounded>>),
}

impl Sink {
    fn new(encoding: &str, ask: &Ask) -> Result<Self, Failure> {
        let bounded = Bounded { bytes: Vec::new(), limit: usize::try_from(ask.limit).unwrap_or(usize::MAX) };
        match encoding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Plain(bounded)),
            "gzip" | "x-gzip" => Ok(Self::Gzip(Box::new(GzDecoder::new(bounded)))),
            _ => Err(Failure::Http {
                url: shown(&ask.url),
                why: "it is compressed in a way that was not asked for; gzip was".to_owned(),
            }),
        }
    }

    fn take(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(bounded) => bounded.write_all(data),
            Self::Gzip(decoder) => decoder.write_all(data),
        }
    }

    fn end(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Plain(bounded) => Ok(bounded.bytes),
            Self::Gzip(decoder) => decoder.finish().map(|bounded| bounded.bytes),
        }
    }
}

/// A buffer that takes so much and no more: a few kilobytes can decompress into gigabytes.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.len() > self.limit - self.bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The stream in the form that hyper takes. It copies what is read once more; policies are small.
struct Io(TlsStream<Wire>);

impl hyper::rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut cursor: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut room = [0; 8 << 10];
        let wanted = cursor.remaining().min(room.len());
        let mut buffer = ReadBuf::new(&mut room[..wanted]);
        ready!(Pin::new(&mut self.0).poll_read(context, &mut buffer))?;
        cursor.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
