//! What can go wrong on the way to a server and with what it answers: facts, each with a stable code and a remedy.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use trust_tls::Code;
use trust_tls::connect::ConnectError;

/// An address that was tried, and what came of it.
#[derive(Debug)]
pub struct Attempt {
    /// The address.
    pub address: SocketAddr,
    /// Why it did not take the connection; `None` where it stayed silent.
    pub error: Option<io::Error>,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(error) => write!(f, "{}: {error}", self.address),
            None => write!(f, "{}: no answer", self.address),
        }
    }
}

/// What was being waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The addresses of a name.
    Dns,
    /// A TCP connection.
    Connect,
    /// A proxy's answer to CONNECT.
    Proxy,
    /// The TLS handshake.
    Tls,
    /// The first octet of an answer.
    FirstByte,
    /// The rest of an answer.
    Body,
}

impl Phase {
    /// The word for JSON and messages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::FirstByte => "first-byte",
            Self::Body => "body",
        }
    }
}

/// What a proxy did instead of opening the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyProblem {
    /// 407: it wants other credentials, or some at all.
    Credentials {
        /// Whether some were sent.
        sent: bool,
    },
    /// It answered with this status.
    Status(u16),
    /// It sent the client somewhere: a login page, most likely.
    Portal(u16),
    /// What it answered is no HTTP.
    Garbled,
}

/// Why a redirect was not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectProblem {
    /// To another host or port.
    Elsewhere,
    /// To plain HTTP.
    Plain,
    /// One after another without an end.
    TooMany,
    /// Without a target that can be understood.
    Garbled,
}

/// Why a server could not be reached, or its answer not be used. No credential, no content and no query is in here.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A name has no address.
    #[error("cannot find an address for {host}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's reason.
        source: io::Error,
    },
    /// No address takes connections.
    #[error("cannot connect to {host}: {}", listed(attempts))]
    Unreachable {
        /// The name.
        host: String,
        /// Each address with its reason.
        attempts: Vec<Attempt>,
    },
    /// Something did not come in time.
    #[error("{host} did not answer within {:.1} s ({})", after.as_secs_f32(), phase.word())]
    Timeout {
        /// Whose answer.
        host: String,
        /// What was waited for.
        phase: Phase,
        /// How long.
        after: Duration,
    },
    /// The proxy does not open the way.
    #[error("the proxy {proxy} {}", proxy_words(problem))]
    Proxy {
        /// Host and port of the proxy.
        proxy: String,
        /// What it did.
        problem: ProxyProblem,
    },
    /// The handshake did not come to a verdict.
    #[error(transparent)]
    Tls(#[from] ConnectError),
    /// The handshake came to a verdict, and it is no.
    #[error("{}", not_verified_words(*code, detail, issuer, proxy.as_deref(), *names_host))]
    NotVerified {
        /// The verdict.
        code: Code,
        /// The verdict in words.
        detail: String,
        /// Who issued what was presented.
        issuer: String,
        /// The proxy on the way.
        proxy: Option<String>,
        /// Whether what was presented is at least for this host.
        names_host: bool,
    },
    /// A redirect that is not followed.
    #[error("{from} redirects {}", redirect_words(*problem, to))]
    Redirect {
        /// What was asked for.
        from: String,
        /// Where to: scheme, host and port alone.
        to: String,
        /// Why not.
        problem: RedirectProblem,
    },
    /// Another status than one that can be used.
    #[error("{url} answered with the status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
        /// How long to stay away, where it says so.
        retry_after: Option<Duration>,
    },
    /// More than may be sent.
    #[error("{url} sends more than {limit} bytes, and was cut off there")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The bound.
        limit: u64,
    },
    /// A web page where something else was expected.
    #[error("{url} is a web page, not {expected}: an error page or a login page that calls itself 200 OK")]
    Page {
        /// What was asked for.
        url: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The answer breaks off, is compressed in a way that was not asked for, or is no HTTP.
    #[error("the answer to {url} cannot be read: {why}")]
    Http {
        /// What was asked for.
        url: String,
        /// How.
        why: String,
    },
    /// What was received is not what was announced, or not what it should be.
    #[error("{url}: {why}")]
    Content {
        /// What was asked for.
        url: String,
        /// Stable code.
        code: &'static str,
        /// What is wrong with it.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
}

impl Failure {
    /// The stable code that JSON, logs and metrics share.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Resolve { .. } => "resolve-failed",
            Self::Unreachable { .. } => "connect-failed",
            Self::Timeout { .. } => "timeout",
            Self::Proxy { problem: ProxyProblem::Credentials { .. }, .. } => "proxy-credentials",
            Self::Proxy { problem: ProxyProblem::Portal(_), .. } => "captive-portal",
            Self::Proxy { .. } => "proxy-refused",
            Self::Tls(error) => error.code(),
            Self::NotVerified { code, proxy, names_host, .. } => {
                match (is_stranger(*code), proxy, names_host) {
                    (true, Some(_), _) => "proxy-breaks-tls",
                    (true, None, false) => "captive-portal",
                    _ => code.code(),
                }
            }
            Self::Redirect { problem, .. } => match problem {
                RedirectProblem::Elsewhere => "redirect-elsewhere",
                RedirectProblem::Plain => "redirect-plain",
                RedirectProblem::TooMany | RedirectProblem::Garbled => "redirect-bad",
            },
            Self::Status { status, .. } => match status {
                404 | 410 => "not-on-server",
                401 | 403 => "server-denies",
                429 | 503 => "server-busy",
                500.. => "server-error",
                _ => "unexpected-status",
            },
            Self::TooLarge { .. } => "too-large",
            Self::Page { .. } => "web-page",
            Self::Http { .. } => "http-broken",
            Self::Content { code, .. } => code,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        let words = match self {
            Self::Resolve { .. } => "check the spelling, and the endpoint's DNS",
            Self::Unreachable { .. } => "check that the server runs, the port, and the firewalls in between",
            Self::Timeout { phase: Phase::Dns, .. } => "check the endpoint's DNS servers",
            Self::Timeout { phase: Phase::Proxy, .. } => {
                "look at the proxy's log: it takes connections and opens no way"
            }
            Self::Timeout { phase: Phase::FirstByte | Phase::Body, .. } => {
                "look at the server's load and log; slow lines need a longer first-byte-timeout or body-timeout under [connect]"
            }
            Self::Timeout { .. } => "check that the server runs, the port, and the firewalls in between",
            Self::Proxy { problem, .. } => match problem {
                ProxyProblem::Credentials { sent: false } => {
                    "put user and password into the file that [proxy] credentials-file names"
                }
                ProxyProblem::Credentials { sent: true } => {
                    "the user or the password in the file that [proxy] credentials-file names is wrong, or the proxy wants \
                     another way than Basic"
                }
                ProxyProblem::Status(403) => "allow CONNECT to the server's host and port on the proxy",
                ProxyProblem::Status(_) => {
                    "look at the proxy's log: it could not reach the server, or may not"
                }
                ProxyProblem::Portal(_) => "log in to the network with a browser",
                ProxyProblem::Garbled => "check the proxy's port: it must be one for HTTP",
            },
            Self::Tls(error) => error.remedy(),
            Self::NotVerified { code, proxy, names_host, .. } => {
                match (is_stranger(*code), proxy, names_host) {
                    (true, Some(_), _) => {
                        "exempt the server from the proxy's TLS inspection, or add it to no-proxy under [proxy]"
                    }
                    (true, None, false) => {
                        "log in to the network with a browser; or the server's name leads to another machine"
                    }
                    _ => code.remedy(),
                }
            }
            Self::Redirect { problem, .. } => match problem {
                RedirectProblem::Elsewhere => "configure the server that it redirects to, if it is yours",
                RedirectProblem::Plain => "mend the redirect on the server: plain connections are never made",
                RedirectProblem::TooMany | RedirectProblem::Garbled => "mend the redirect on the server",
            },
            Self::Status { status: 404 | 410, .. } => {
                "check the path in the configuration, and that the file is on the server"
            }
            Self::Status { status: 401 | 403, .. } => {
                "let the server give it out without a login: endpoints have none"
            }
            Self::Status { status: 429 | 503, .. } => "nothing: it is asked again later",
            Self::Status { .. } => "look at the server's log",
            Self::TooLarge { .. } => {
                "look at what the server sends under this address: it is far larger than it may be"
            }
            Self::Page { .. } => {
                "look at the address with a browser: the server should answer with 404 where it has nothing"
            }
            Self::Http { .. } => {
                "look at the server's log, and for a machine in between that changes answers"
            }
            Self::Content { remedy, .. } => remedy,
        };
        words.to_owned()
    }

    /// Whether the server may be asked again soon: what a person has to mend on it stays broken for a while.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether another server may do better: not where this one's answer was read and is wrong in itself.
    #[must_use]
    pub fn is_of_this_server(&self) -> bool {
        !matches!(self, Self::Content { code: "policy-older", .. })
    }
}

/// Whether nobody we know issued it.
fn is_stranger(code: Code) -> bool {
    matches!(code, Code::NoIssuer | Code::IssuerKeyDiffers)
}

fn listed(attempts: &[Attempt]) -> String {
    attempts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn proxy_words(problem: &ProxyProblem) -> String {
    match problem {
        ProxyProblem::Credentials { sent: false } => "wants a user and a password".to_owned(),
        ProxyProblem::Credentials { sent: true } => "does not take the user and the password".to_owned(),
        ProxyProblem::Status(status) => format!("does not open the way to the server (status {status})"),
        ProxyProblem::Portal(status) => format!("answers with a login page of the network (status {status})"),
        ProxyProblem::Garbled => "does not answer as an HTTP proxy does".to_owned(),
    }
}

fn not_verified_words(
    code: Code,
    detail: &str,
    issuer: &str,
    proxy: Option<&str>,
    names_host: bool,
) -> String {
    match (is_stranger(code), proxy) {
        (true, Some(proxy)) => format!(
            "the certificate that came through the proxy {proxy} was issued by {issuer:?}, not by your server's CA: the \
             proxy breaks TLS open"
        ),
        (true, None) if !names_host => format!(
            "another machine answers for the server: its certificate is for other names and was issued by {issuer:?}, not \
             by your server's CA"
        ),
        _ => detail.to_owned(),
    }
}

fn redirect_words(problem: RedirectProblem, to: &str) -> String {
    match problem {
        RedirectProblem::Elsewhere => format!("to {to}, which is another server: not followed"),
        RedirectProblem::Plain => format!("to {to}, which is plain HTTP: not followed"),
        RedirectProblem::TooMany => "again and again: not followed any further".to_owned(),
        RedirectProblem::Garbled => "without a target that can be understood".to_owned(),
    }
}
