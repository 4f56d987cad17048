//! An HTTP proxy on the way: CONNECT (RFC 9110 §9.3.6), with Basic credentials (RFC 7617) or without.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use trust_tls::connect::Target;

use crate::failure::{Failure, ProxyProblem};
use crate::order::Range;

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    host: String,
    port: u16,
    credentials: Option<Credentials>,
    passed_by: Vec<PassBy>,
}

/// User and password; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(String);

impl Credentials {
    /// `user:password`, as a file holds it; a line end after it does not count.
    ///
    /// # Errors
    /// In words, where it is not of that form. No part of it is in them.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let line = text.strip_suffix('\n').unwrap_or(text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.contains(char::is_control) {
            return Err("it must be one line without control characters");
        }
        match line.split_once(':') {
            Some((user, _)) if !user.is_empty() => Ok(Self(line.to_owned())),
            _ => Err("it must be one line of the form user:password"),
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(not shown)")
    }
}

/// Hosts that are reached without the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum PassBy {
    /// The name, and all below it.
    Domain(String),
    /// Addresses.
    Range(Range),
    /// Everything.
    All,
}

impl Proxy {
    /// A proxy; a host of IPv6 without brackets. `passed_by` are names (with all below them), addresses, ranges of
    /// addresses, or `*`.
    #[must_use]
    pub fn new(host: &str, port: u16, credentials: Option<Credentials>, passed_by: &[String]) -> Self {
        let passed_by = passed_by
            .iter()
            .map(|entry| match (entry.as_str(), entry.parse::<Range>()) {
                ("*", _) => PassBy::All,
                (_, Ok(range)) => PassBy::Range(range),
                (name, Err(_)) => PassBy::Domain(name.trim_start_matches('.').to_ascii_lowercase()),
            })
            .collect();
        Self { host: host.to_owned(), port, credentials, passed_by }
    }

    /// Its host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port, for messages.
    #[must_use]
    pub fn name(&self) -> String {
        authority(&self.host, self.port)
    }

    /// Whether a host is reached without it.
    #[must_use]
    pub fn is_passed_by(&self, host: &str) -> bool {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        self.passed_by.iter().any(|entry| match entry {
            PassBy::All => true,
            PassBy::Range(range) => address.is_some_and(|address| range.contains(address)),
            PassBy::Domain(domain) => {
                name == *domain || name.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.'))
            }
        })
    }

    /// Asks it to open the way to a host. Nothing beyond the head of its answer is read: what follows is TLS.
    pub(crate) async fn open_way(&self, stream: &mut TcpStream, target: &Target) -> Result<(), Failure> {
        let garbled = |_| self.failed(ProxyProblem::Garbled);
        stream.write_all(self.request(target).as_bytes()).await.map_err(garbled)?;
        let mut head = Vec::new();
        // Octet by octet, some hundred of them once a connection: one too many would be the server's.
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= MOST_HEAD {
                return Err(self.failed(ProxyProblem::Garbled));
            }
            head.push(stream.read_u8().await.map_err(garbled)?);
            if head.len() == 5 && head != b"HTTP/" {
                return Err(self.failed(ProxyProblem::Garbled));
            }
        }
        match status_of(&head) {
            Some(200..=299) => Ok(()),
            // tinyproxy says 401, which is a server's word.
            Some(401 | 407) => {
                Err(self.failed(ProxyProblem::Credentials { sent: self.credentials.is_some() }))
            }
            Some(status @ (300..=399 | 511)) => Err(self.failed(ProxyProblem::Portal(status))),
            Some(status) => Err(self.failed(ProxyProblem::Status(status))),
            None => Err(self.failed(ProxyProblem::Garbled)),
        }
    }

    fn request(&self, target: &Target) -> String {
        let to = authority(&target.host, target.port);
        let credentials = self.credentials.as_ref().map_or_else(String::new, |Credentials(plain)| {
            format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(plain))
        });
        format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{credentials}\r\n")
    }

    fn failed(&self, problem: ProxyProblem) -> Failure {
        Failure::Proxy { proxy: self.name(), problem }
    }
}

/// Host and port as URLs have them.
pub(crate) fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn status_of(head: &[u8]) -> Option<u16> {
    let line = head.split(|&byte| byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    let (version, rest) = line.split_once(' ')?;
    version.starts_with("HTTP/1.").then_some(())?;
    rest.get(..3)?.parse().ok().filter(|status| (100..=599).contains(status))
}

/// More than any proxy says before the way is open.
const MOST_HEAD: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_passed_by() {
        let entries = ["corp.example", ".intra", "10.0.0.0/8", "::1"].map(str::to_owned);
        let proxy = Proxy::new("proxy", 3128, None, &entries);
        for (host, expected) in [
            ("corp.example", true),
            ("SMP.Corp.Example.", true),
            ("notcorp.example", false),
            ("a.intra", true),
            ("10.1.2.3", true),
            ("11.1.2.3", false),
            ("::1", true),
            ("example", false),
        ] {
            assert_eq!(proxy.is_passed_by(host), expected, "{host}");
        }
        assert!(Proxy::new("proxy", 1, None, &["*".to_owned()]).is_passed_by("anything"));
        assert!(!Proxy::new("proxy", 1, None, &[]).is_passed_by("anything"));
    }

    #[test]
    fn credentials_are_sent_and_never_shown() {
        let credentials = Credentials::parse("joe:s3cr:et\r\n").unwrap();
        let proxy = Proxy::new("fd00::1", 3128, Some(credentials), &[]);
        let target = Target { host: "smp.example".to_owned(), port: 443 };
        let request = proxy.request(&target);
        assert!(
            request.starts_with("CONNECT smp.example:443 HTTP/1.1\r\nHost: smp.example:443\r\n"),
            "{request}"
        );
        assert!(request.contains("Proxy-Authorization: Basic am9lOnMzY3I6ZXQ=\r\n\r\n"), "{request}");
        assert!(!format!("{proxy:?}").contains("s3cr") && !format!("{proxy:?}").contains("joe"));
        assert_eq!(proxy.name(), "[fd00::1]:3128");
        for bad in ["", "joe", ":password", "a:b\nc:d", "a:b\u{7}"] {
            let why = Credentials::parse(bad).expect_err(bad);
            assert!(!why.contains("joe"), "{why}");
        }
    }

    #[test]
    fn status_lines() {
        for (line, expected) in [
            ("HTTP/1.1 200 Connection established\r\n", Some(200)),
            ("HTTP/1.0 407\r\n", Some(407)),
            ("HTTP/2 200\r\n", None),
            ("SSH-2.0-x\r\n", None),
            ("HTTP/1.1 2\r\n", None),
            ("HTTP/1.1 999 x\r\n", None),
        ] {
            assert_eq!(status_of(line.as_bytes()), expected, "{line}");
        }
    }
}
