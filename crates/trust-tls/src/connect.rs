//! One connection: addresses, TCP, one TLS handshake, and what came of it.
//!
//! A connection that does not come about says nothing about anchors, and is never reported as if it did.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{AlertDescription, Error as TlsError, PeerIncompatible};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::anchors::AnchorSet;
use crate::verdict::{Request, TlsVersion};
use crate::verifier::{Captured, ChainVerifier, client_config};

mod fetch;
mod wire;

pub use fetch::{FetchedChain, fetch_chain};
pub use wire::Wire;

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// A handshake that came to a verdict.
#[derive(Debug)]
pub struct Outcome {
    /// What the server presented, and what it was judged to be.
    pub captured: Captured,
    /// The address that answered.
    pub address: SocketAddr,
    /// TLS version as in `TLSv1.3`; `None` where the chain was refused before that was settled.
    pub tls_version: Option<String>,
    /// Cipher suite by its IANA name.
    pub cipher_suite: Option<String>,
    /// Handshakes that were made: one, whatever the number of anchors.
    pub handshakes: u32,
    /// From the first packet to the verdict.
    pub elapsed: Duration,
    /// The connection, where it was accepted.
    pub stream: Option<TlsStream<Wire>>,
}

/// Why there was no verdict.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address.
    #[error("cannot find an address for {host}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's reason.
        source: io::Error,
    },
    /// No address takes connections.
    #[error("cannot connect to {host} ({address}): {source}")]
    Tcp {
        /// The name.
        host: String,
        /// The last address that was tried.
        address: SocketAddr,
        /// The reason.
        source: io::Error,
    },
    /// Nothing came in time.
    #[error("{host} did not answer within {:.1} s ({phase})", after.as_secs_f32())]
    Timeout {
        /// The name.
        host: String,
        /// What was waited for.
        phase: &'static str,
        /// How long.
        after: Duration,
    },
    /// What answers does not speak TLS.
    #[error("what answers on {address} {}", if *plain_http { "speaks plain HTTP, not TLS" } else { "does not speak TLS" })]
    NotTls {
        /// The address.
        address: SocketAddr,
        /// It answered as an HTTP server does.
        plain_http: bool,
    },
    /// No common version or suite.
    #[error(
        "{address} and agentd have no TLS version or cipher suite in common: it speaks at most TLS 1.1, or TLS 1.2 only with CBC, \
         DHE or RSA key exchange, which agentd does not"
    )]
    Incompatible {
        /// The address.
        address: SocketAddr,
    },
    /// It speaks TLS, but none that is new enough for the configuration.
    #[error("{address} does not speak TLS 1.3, which the configuration or a policy asks for")]
    TooOld {
        /// The address.
        address: SocketAddr,
    },
    /// The server ended the handshake with an alert.
    #[error("{address} refused the handshake with the alert {alert:?}")]
    Alert {
        /// The address.
        address: SocketAddr,
        /// Which.
        alert: AlertDescription,
    },
    /// The handshake failed in another way.
    #[error("the TLS handshake with {address} failed: {source}")]
    Handshake {
        /// The address.
        address: SocketAddr,
        /// How.
        source: io::Error,
    },
}

impl ConnectError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "resolve-failed",
            Self::Tcp { .. } => "connect-failed",
            Self::Timeout { .. } => "timeout",
            Self::NotTls { .. } => "not-tls",
            Self::Incompatible { .. } => "tls-incompatible",
            Self::TooOld { .. } => "tls-too-old",
            Self::Alert { .. } => "tls-alert",
            Self::Handshake { .. } => "handshake-failed",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "check the spelling, and the endpoint's DNS",
            Self::Tcp { .. } | Self::Timeout { .. } => {
                "check that the server runs, the port, and the firewalls in between"
            }
            Self::NotTls { plain_http: true, .. } => {
                "that port is for plain HTTP, which is never used: give the server's port for HTTPS, or have it speak TLS there"
            }
            Self::NotTls { .. } => {
                "check the port: it belongs to another service, or the server does not speak TLS there"
            }
            Self::Incompatible { .. } => "enable TLS 1.2 with ECDHE and AES-GCM, or TLS 1.3, on the server",
            Self::TooOld { .. } => {
                "enable TLS 1.3 on the server, or ask for less: minimum-tls under [security], or MinimumTLS in a policy"
            }
            Self::Alert { alert: AlertDescription::UnrecognisedName, .. } => {
                "the server has no site of that name: check the host, and the server's bindings"
            }
            Self::Alert {
                alert: AlertDescription::CertificateRequired | AlertDescription::HandshakeFailure,
                ..
            } => {
                "the server may want a client certificate, which agentd has none of: look at the server's log"
            }
            Self::Alert { .. } | Self::Handshake { .. } => "look at the server's log",
        }
    }
}

/// Looks up the host's addresses, connects, and judges the chain that the server presents. A refused chain is an
/// [`Outcome`], not an error. `limit` is for all of it.
///
/// # Errors
/// [`ConnectError`] where it did not come to a verdict.
pub async fn connect(
    set: Arc<AnchorSet>,
    target: &Target,
    request: Request,
    limit: Duration,
) -> Result<Outcome, ConnectError> {
    let end = tokio::time::Instant::now() + limit;
    let lookup = tokio::net::lookup_host((target.host.as_str(), target.port));
    let addresses: Vec<SocketAddr> = timeout_at(end, lookup)
        .await
        .map_err(|_| late(target, "looking up its address", limit))?
        .map_err(|source| ConnectError::Resolve { host: target.host.clone(), source })?
        .collect();
    connect_to(set, target, &addresses, request, end.saturating_duration_since(tokio::time::Instant::now()))
        .await
}

/// As [`connect`], to addresses that are known already, in their order.
///
/// # Errors
/// [`ConnectError`] where it did not come to a verdict.
pub async fn connect_to(
    set: Arc<AnchorSet>,
    target: &Target,
    addresses: &[SocketAddr],
    request: Request,
    limit: Duration,
) -> Result<Outcome, ConnectError> {
    let started = Instant::now();
    let end = tokio::time::Instant::now() + limit;
    let (stream, address) = open(target, addresses, end, limit).await?;
    let left = end.saturating_duration_since(tokio::time::Instant::now());
    let outcome = handshake(set, target, stream, address, request, left).await?;
    Ok(Outcome { elapsed: started.elapsed(), ..outcome })
}

/// As [`connect_to`], over a connection that is open already: to the server itself, or through a proxy to it. `address`
/// is the other end of it, for the words.
///
/// # Errors
/// [`ConnectError`] where it did not come to a verdict.
pub async fn handshake(
    set: Arc<AnchorSet>,
    target: &Target,
    stream: TcpStream,
    address: SocketAddr,
    request: Request,
    limit: Duration,
) -> Result<Outcome, ConnectError> {
    let started = Instant::now();
    let end = tokio::time::Instant::now() + limit;
    let minimum = request.minimum_tls;
    let verifier = Arc::new(ChainVerifier::new(set, request));
    let shaken = timeout_at(end, shake_hands(stream, target, address, Arc::clone(&verifier)));
    let result = shaken.await.map_err(|_| late(target, "the TLS handshake", limit))?;
    let elapsed = started.elapsed();
    let captured = verifier.captured();
    match (result, captured) {
        (Ok(stream), Some(captured)) => {
            let (_, session) = stream.get_ref();
            Ok(Outcome {
                tls_version: session
                    .protocol_version()
                    .and_then(|version| version.as_str())
                    .map(version_words),
                cipher_suite: session
                    .negotiated_cipher_suite()
                    .and_then(|suite| suite.suite().as_str())
                    .map(str::to_owned),
                captured,
                address,
                handshakes: 1,
                elapsed,
                stream: Some(stream),
            })
        }
        (Err(_), Some(captured)) if !captured.verdict.accepted => Ok(Outcome {
            captured,
            address,
            tls_version: None,
            cipher_suite: None,
            handshakes: 1,
            elapsed,
            stream: None,
        }),
        (Err(source), captured) => match handshake_error(address, source, captured.is_some()) {
            // With 1.2 it might have had something in common with us, and without a handshake nobody knows.
            ConnectError::Incompatible { address } if minimum == TlsVersion::V1_3 => {
                Err(ConnectError::TooOld { address })
            }
            error => Err(error),
        },
        (Ok(_), None) => Err(handshake_error(address, io::ErrorKind::InvalidData.into(), false)),
    }
}

/// The first address that takes the connection. One that stays silent costs its share of the time, not all of it: a
/// name with a dead IPv6 address is common.
async fn open(
    target: &Target,
    addresses: &[SocketAddr],
    end: tokio::time::Instant,
    limit: Duration,
) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let mut last =
        ConnectError::Resolve { host: target.host.clone(), source: io::ErrorKind::NotFound.into() };
    for (tried, &address) in addresses.iter().enumerate() {
        let now = tokio::time::Instant::now();
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = now + end.saturating_duration_since(now) / left;
        match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A handshake is small packets that wait for one another. Where it cannot be set it is only slower.
                let _slower = stream.set_nodelay(true);
                return Ok((stream, address));
            }
            Ok(Err(source)) => last = ConnectError::Tcp { host: target.host.clone(), address, source },
            Err(_) => last = late(target, "opening the connection", limit),
        }
    }
    Err(last)
}

fn late(target: &Target, phase: &'static str, after: Duration) -> ConnectError {
    ConnectError::Timeout { host: target.host.clone(), phase, after }
}

async fn shake_hands(
    stream: TcpStream,
    target: &Target,
    address: SocketAddr,
    verifier: Arc<ChainVerifier>,
) -> io::Result<TlsStream<Wire>> {
    let invalid =
        |error: &dyn std::error::Error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
    let config = client_config(verifier).map_err(|error| invalid(&error))?;
    let bare = target.host.strip_suffix('.').unwrap_or(&target.host).to_owned();
    // What is no DNS name cannot be sent as one (RFC 6066 §3); the verdict is about the host as asked for all the same.
    let name = ServerName::try_from(bare).unwrap_or_else(|_| ServerName::from(address.ip()));
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, Wire::new(stream)).into_fallible().await;
    shaken.map_err(|(source, wire)| {
        if wire.is_plain_http() { io::Error::new(io::ErrorKind::InvalidData, PlainHttp) } else { source }
    })
}

/// The other end speaks HTTP without TLS.
#[derive(Debug, thiserror::Error)]
#[error("plain HTTP")]
struct PlainHttp;

/// After the server's certificate versions and suites are settled, so that the same alert means something else.
fn handshake_error(address: SocketAddr, source: io::Error, settled: bool) -> ConnectError {
    let inner = source.get_ref();
    if inner.and_then(|inner| inner.downcast_ref::<PlainHttp>()).is_some() {
        return ConnectError::NotTls { address, plain_http: true };
    }
    let tls = inner.and_then(|inner| inner.downcast_ref::<TlsError>());
    match tls {
        Some(TlsError::InvalidMessage(_)) => ConnectError::NotTls { address, plain_http: false },
        Some(TlsError::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoSignatureSchemesInCommon
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        )) => ConnectError::Incompatible { address },
        Some(TlsError::AlertReceived(
            AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity,
        )) if !settled => ConnectError::Incompatible { address },
        Some(TlsError::AlertReceived(alert)) => ConnectError::Alert { address, alert: *alert },
        _ => ConnectError::Handshake { address, source },
    }
}

/// `TLSv1_3` as people and other tools write it.
fn version_words(version: &str) -> String {
    version.replace('_', ".")
}
