//! The way to a server: addresses, one TCP connection out of several attempts, the proxy, and the TLS handshake.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use trust_tls::connect::{ConnectError, FetchedChain, Outcome, Target, fetch_chain, handshake};
use trust_tls::{AnchorSet, Request};

use crate::failure::{Attempt, Failure, Phase};
use crate::proxy::Proxy;

/// The longest time for each thing that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Finding the addresses of a name.
    pub dns: Duration,
    /// A TCP connection to any of them.
    pub connect: Duration,
    /// A proxy's answer.
    pub proxy: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// From a request to the head of its answer.
    pub first_byte: Duration,
    /// The rest of an answer.
    pub body: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let usual = Duration::from_secs(10);
        Self {
            dns: usual,
            connect: usual,
            proxy: usual,
            tls: usual,
            // A server under the load of a whole fleet takes its time, and then answers.
            first_byte: Duration::from_secs(30),
            // One megabyte over the slowest line that is still a line.
            body: Duration::from_secs(120),
        }
    }
}

/// How connections are made.
#[derive(Debug, Clone, Default)]
pub struct Dialer {
    /// What is waited for how long.
    pub timeouts: Timeouts,
    /// The proxy; `None` for none.
    pub proxy: Option<Proxy>,
}

impl Dialer {
    /// The proxy on the way to a host; `None` where it is reached directly.
    #[must_use]
    pub fn proxy_for(&self, host: &str) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|proxy| !proxy.is_passed_by(host))
    }

    /// One connection with one handshake. A chain that is refused is an [`Outcome`] without a stream.
    ///
    /// # Errors
    /// [`Failure`] where it did not come to a verdict.
    pub async fn dial(
        &self,
        set: Arc<AnchorSet>,
        target: &Target,
        request: Request,
    ) -> Result<Outcome, Failure> {
        let started = Instant::now();
        let (stream, address) = self.way_to(target).await?;
        match handshake(set, target, stream, address, request, self.timeouts.tls).await {
            Ok(outcome) => Ok(Outcome { elapsed: started.elapsed(), ..outcome }),
            Err(ConnectError::Timeout { .. }) => Err(late(&target.host, Phase::Tls, self.timeouts.tls)),
            Err(error) => Err(error.into()),
        }
    }

    /// What a server presents, before anything of it is trusted; `server_name` is asked for in place of the host's name.
    ///
    /// # Errors
    /// [`Failure`] where no chain was presented.
    pub async fn fetch_chain(
        &self,
        target: &Target,
        server_name: Option<&str>,
    ) -> Result<FetchedChain, Failure> {
        let (stream, address) = self.way_to(target).await?;
        let named = Target { host: server_name.unwrap_or(&target.host).to_owned(), port: target.port };
        match fetch_chain(stream, address, &named, self.timeouts.tls).await {
            Err(ConnectError::Timeout { .. }) => Err(late(&target.host, Phase::Tls, self.timeouts.tls)),
            other => Ok(other?),
        }
    }

    /// A connection to a server, or through the proxy to it, and the address at its other end.
    async fn way_to(&self, target: &Target) -> Result<(TcpStream, SocketAddr), Failure> {
        let Some(proxy) = self.proxy_for(&target.host) else {
            return self.open(&target.host, target.port).await;
        };
        let (mut stream, address) = self.open(proxy.host(), proxy.port()).await?;
        let asked = timeout(self.timeouts.proxy, proxy.open_way(&mut stream, target)).await;
        asked.map_err(|_| late(proxy.host(), Phase::Proxy, self.timeouts.proxy))??;
        Ok((stream, address))
    }

    async fn open(&self, host: &str, port: u16) -> Result<(TcpStream, SocketAddr), Failure> {
        let addresses = self.resolve(host, port).await?;
        self.race(host, &addresses).await
    }

    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        let limit = self.timeouts.dns;
        let found = timeout(limit, tokio::net::lookup_host((host, port))).await;
        let found = found.map_err(|_| late(host, Phase::Dns, limit))?;
        found.map(Iterator::collect).map_err(|source| Failure::Resolve { host: host.to_owned(), source })
    }

    /// The first address that takes the connection; each has a head start on the next (RFC 8305), so that a dead family
    /// costs a quarter of a second and not a timeout.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] with each address and its reason.
    pub async fn race(
        &self,
        host: &str,
        addresses: &[SocketAddr],
    ) -> Result<(TcpStream, SocketAddr), Failure> {
        let limit = self.timeouts.connect;
        let mut waiting: VecDeque<SocketAddr> = alternated(addresses).into();
        let mut under_way: Vec<SocketAddr> = Vec::new();
        let mut failed = Vec::new();
        let mut attempts = JoinSet::new();
        let mut end = std::pin::pin!(sleep(limit));
        loop {
            if let Some(address) = waiting.pop_front() {
                under_way.push(address);
                attempts.spawn(async move { (address, TcpStream::connect(address).await) });
            } else if attempts.is_empty() {
                return Err(Failure::Unreachable { host: host.to_owned(), attempts: failed });
            }
            tokio::select! {
                Some(Ok((address, result))) = attempts.join_next() => {
                    under_way.retain(|other| *other != address);
                    match result {
                        Ok(stream) => {
                            // Small packets that wait for one another. Where it cannot be set it is only slower.
                            let _slower = stream.set_nodelay(true);
                            return Ok((stream, address));
                        }
                        Err(error) => failed.push(Attempt { address, error: Some(error) }),
                    }
                }
                () = sleep(HEAD_START), if !waiting.is_empty() => {}
                () = &mut end => {
                    if failed.is_empty() && addresses.len() <= 1 {
                        return Err(late(host, Phase::Connect, limit));
                    }
                    failed.extend(under_way.into_iter().map(|address| Attempt { address, error: None }));
                    return Err(Failure::Unreachable { host: host.to_owned(), attempts: failed });
                }
            }
        }
    }
}

fn late(host: &str, phase: Phase, after: Duration) -> Failure {
    Failure::Timeout { host: host.to_owned(), phase, after }
}

/// The families in turn, the resolver's favourite first, each in its order. Many addresses of one name are many
/// machines behind it; more than this are not tried in one go.
fn alternated(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let (mut favourite, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.iter().copied().partition(|address| address.is_ipv6() == first.is_ipv6());
    let mut order = Vec::with_capacity(addresses.len());
    while order.len() < MOST_ADDRESSES && !(favourite.is_empty() && other.is_empty()) {
        order.extend(favourite.pop_front());
        order.extend(other.pop_front());
    }
    order
}

/// RFC 8305 §5 recommends this one.
const HEAD_START: Duration = Duration::from_millis(250);
/// With the head start, all of them have had their chance after four seconds.
const MOST_ADDRESSES: usize = 16;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let expected = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(alternated(&given), expected);
        assert_eq!(alternated(&addresses(&["1.1.1.1:1"])), addresses(&["1.1.1.1:1"]));
        assert!(alternated(&[]).is_empty());
        let many: Vec<SocketAddr> = (0..100).map(|port| ([127, 0, 0, 1], port).into()).collect();
        assert_eq!(alternated(&many).len(), MOST_ADDRESSES);
    }

    #[test]
    fn one_dead_address_costs_nothing_and_all_dead_are_named() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let live = listener.local_addr().unwrap();
        let closed = |at: u8| {
            let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, at), 0)).unwrap();
            listener.local_addr().unwrap()
        };
        let dead = [closed(2), closed(3)];
        let dialer = Dialer::default();
        let (_stream, address) =
            runtime.block_on(dialer.race("h", &[dead[0], dead[1], live])).expect("one of them listens");
        assert_eq!(address, live);
        let failure = runtime.block_on(dialer.race("h", &dead)).expect_err("none listens");
        assert_eq!(failure.code(), "connect-failed");
        for address in dead {
            assert!(failure.to_string().contains(&address.to_string()), "{failure}");
        }
        let none = runtime.block_on(dialer.race("h", &[])).expect_err("nothing to try");
        assert_eq!(none.code(), "connect-failed");
    }
}
