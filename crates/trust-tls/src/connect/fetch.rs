//! What a server presents, before anything of it is trusted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{ConnectError, Target, handshake_error, late, shake_hands, version_words};
use crate::anchors::AnchorSet;
use crate::presented::Presented;
use crate::verdict::Request;
use crate::verifier::ChainVerifier;

/// A chain as a server presents it, judged by nobody.
#[derive(Debug)]
pub struct FetchedChain {
    /// The chain.
    pub presented: Presented,
    /// The address that answered.
    pub address: SocketAddr,
    /// TLS version as in `TLSv1.3`; `None` where the handshake did not come to its end.
    pub tls_version: Option<String>,
    /// Cipher suite by its IANA name.
    pub cipher_suite: Option<String>,
    /// Why the handshake ended after the chain was sent: the server has not proven that the key is its own. One that wants
    /// a client's certificate is such a one.
    pub unproven: Option<ConnectError>,
    /// Of the handshake.
    pub elapsed: Duration,
}

/// Asks a server for its chain over a connection that is open: to the server itself, or through a proxy to it. Nothing is
/// verified but that it has the key of the certificate; whoever calls this compares fingerprints. The host of `target` is
/// the name that is asked for (RFC 6066 §3).
///
/// # Errors
/// [`ConnectError`] where no chain was presented.
pub async fn fetch_chain(
    stream: TcpStream,
    address: SocketAddr,
    target: &Target,
    limit: Duration,
) -> Result<FetchedChain, ConnectError> {
    let started = Instant::now();
    let nothing_verified = Request {
        verify_peer: false,
        verify_host: false,
        ..Request::new(&target.host, Timestamp::UNIX_EPOCH)
    };
    let verifier = Arc::new(ChainVerifier::new(Arc::new(AnchorSet::new([])), nothing_verified));
    let result = timeout(limit, shake_hands(stream, target, address, Arc::clone(&verifier))).await;
    let Some(captured) = verifier.captured() else {
        return Err(match result {
            Err(_) => late(target, "the TLS handshake", limit),
            Ok(Err(source)) => handshake_error(address, source, false),
            // Without a certificate there is no handshake that ends well.
            Ok(Ok(_)) => handshake_error(address, std::io::ErrorKind::InvalidData.into(), false),
        });
    };
    let mut chain = FetchedChain {
        presented: captured.presented,
        address,
        tls_version: None,
        cipher_suite: None,
        unproven: None,
        elapsed: started.elapsed(),
    };
    match result {
        Ok(Ok(stream)) => {
            let (_, session) = stream.get_ref();
            let version = session.protocol_version().and_then(|version| version.as_str());
            chain.tls_version = version.map(version_words);
            let suite = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
            chain.cipher_suite = suite.map(str::to_owned);
        }
        Ok(Err(source)) => chain.unproven = Some(handshake_error(address, source, true)),
        Err(_) => chain.unproven = Some(late(target, "the end of the TLS handshake", limit)),
    }
    Ok(chain)
}
