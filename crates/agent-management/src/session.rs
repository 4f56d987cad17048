//! One server for as long as something is asked of it: a connection that is judged once, and opened again where the
//! server closes it between two requests.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use trust_tls::connect::{Outcome, Target};
use trust_tls::{AnchorSet, Captured, Code, Request};
use url::Url;

use crate::dial::Dialer;
use crate::failure::Failure;
use crate::http::{Ask, Connection, Reply};
use crate::redirect;

/// What the connection was judged to be.
#[derive(Debug, Clone)]
pub struct Reached {
    /// The chain and its verdict.
    pub captured: Captured,
    /// The address at the other end: the proxy's where there is one.
    pub address: SocketAddr,
    /// TLS version as in `TLSv1.3`.
    pub tls_version: Option<String>,
    /// Cipher suite by its IANA name.
    pub cipher_suite: Option<String>,
    /// Whether an anchor verified the chain and the certificate is for the host: what policies are taken over.
    pub verified: bool,
}

/// A server that is being talked to.
#[derive(Debug)]
pub struct Session<'a> {
    dialer: &'a Dialer,
    set: Arc<AnchorSet>,
    request: Request,
    target: Target,
    base: Url,
    connection: Option<Connection>,
    reached: Reached,
    connections: u32,
}

impl<'a> Session<'a> {
    /// Connects to a server and judges it. A server that is refused gets no request.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn open(
        dialer: &'a Dialer,
        set: Arc<AnchorSet>,
        base: &Url,
        request: Request,
    ) -> Result<Self, Failure> {
        let target = target(base);
        let (connection, reached) = connect(dialer, &set, &target, base, &request).await?;
        Ok(Self {
            dialer,
            set,
            request,
            target,
            base: base.clone(),
            connection: Some(connection),
            reached,
            connections: 1,
        })
    }

    /// What the connection was judged to be.
    #[must_use]
    pub fn reached(&self) -> &Reached {
        &self.reached
    }

    /// How many connections it took so far.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.connections
    }

    /// The server's address.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Asks, and follows redirects that stay on the server. Returns the address that answered in the end.
    ///
    /// # Errors
    /// [`Failure`]; a status is an answer, whichever.
    pub async fn ask(&mut self, mut ask: Ask, now: Timestamp) -> Result<(Url, Reply), Failure> {
        let mut followed = 0;
        loop {
            let reply = self.ask_once(&ask, now).await?;
            let moved = match reply.status {
                307 | 308 => true,
                301..=303 => ask.send.is_none(),
                _ => false,
            };
            if !moved {
                return Ok((ask.url, reply));
            }
            ask.url = redirect::follow(&ask.url, reply.location.as_deref(), followed)?;
            followed += 1;
        }
    }

    /// Asks for the head of the answer to its own address alone; a redirect is an answer too.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn head(&mut self, now: Timestamp) -> Result<Reply, Failure> {
        let ask = Ask::head(self.base.clone());
        self.ask_once(&ask, now).await
    }

    async fn ask_once(&mut self, ask: &Ask, now: Timestamp) -> Result<Reply, Failure> {
        let mut connection = match self.connection.take() {
            Some(mut open) => {
                if open.is_open().await {
                    open
                } else {
                    self.open_again().await?
                }
            }
            None => self.open_again().await?,
        };
        let reply = connection.ask(ask, &self.dialer.timeouts, now).await?;
        // Where a body was not read the next answer would come after it.
        if reply.status == 200 && ask.send.is_none() || matches!(reply.status, 204 | 304) {
            self.connection = Some(connection);
        }
        Ok(reply)
    }

    async fn open_again(&mut self) -> Result<Connection, Failure> {
        let opened = connect(self.dialer, &self.set, &self.target, &self.base, &self.request).await;
        let (connection, reached) = opened?;
        self.reached = reached;
        self.connections += 1;
        Ok(connection)
    }
}

/// Host and port of a server's address.
#[must_use]
pub fn target(base: &Url) -> Target {
    const HTTPS: u16 = 443;
    let host = base.host_str().unwrap_or_default();
    Target {
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: base.port_or_known_default().unwrap_or(HTTPS),
    }
}

async fn connect(
    dialer: &Dialer,
    set: &Arc<AnchorSet>,
    target: &Target,
    base: &Url,
    request: &Request,
) -> Result<(Connection, Reached), Failure> {
    let outcome = dialer.dial(Arc::clone(set), target, request.clone()).await?;
    let (stream, reached) = judged(outcome, dialer, target, request)?;
    Ok((Connection::over(stream, base).await?, reached))
}

type Stream = tokio_rustls::client::TlsStream<trust_tls::connect::Wire>;

fn judged(
    outcome: Outcome,
    dialer: &Dialer,
    target: &Target,
    request: &Request,
) -> Result<(Stream, Reached), Failure> {
    let Outcome { captured, address, tls_version, cipher_suite, stream, .. } = outcome;
    let verdict = &captured.verdict;
    match stream {
        Some(stream) if verdict.accepted => {
            let verified = verdict.anchor.is_some() && request.verify_peer && request.verify_host;
            Ok((stream, Reached { verified, captured, address, tls_version, cipher_suite }))
        }
        _ => Err(refused(&captured, dialer, target, request)),
    }
}

/// The refusal of a chain, with what tells an interceptor or another machine from a server that changed its certificate.
#[must_use]
pub fn refused(captured: &Captured, dialer: &Dialer, target: &Target, request: &Request) -> Failure {
    let verdict = &captured.verdict;
    let issuer = captured.presented.leaf.facts.as_ref().map(|facts| facts.issuer.to_string());
    Failure::NotVerified {
        code: verdict.code,
        detail: verdict.detail.clone(),
        issuer: issuer.unwrap_or_default(),
        proxy: dialer.proxy_for(&target.host).map(crate::proxy::Proxy::name),
        names_host: names_host(captured, request),
    }
}

/// Whether the certificate is for the host: asked of an anchor set that trusts it.
fn names_host(captured: &Captured, request: &Request) -> bool {
    let leaf = captured.presented.leaf.certificate.clone().map(Arc::new);
    let trusting = AnchorSet::new(leaf);
    let asked = Request { pins: Vec::new(), ..request.clone() };
    let verdict = trust_tls::verify(&trusting, &captured.presented, &asked);
    verdict.code != Code::NameMismatch
}
