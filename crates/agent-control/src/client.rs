//! The client's side: typed calls, each with a deadline.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use crate::frame::{Frames, ReadError, encode};
use crate::interface::{
    AnchorsReply, DistrustParams, GenerationParams, HistoryReply, InventoryParams, InventoryReply,
    MetricsReply, NoParams, RefreshParams, RefreshReply, RegenerateParams, RegenerateReply, RollbackParams,
    SourcesReply, StatusReply, TrustParams, WatchReply,
};
use crate::refusal::{Refusal, Standard};
use crate::server::{Ask, Order, Peer, What};
use crate::socket::connect_now;
use crate::wire::{
    AnchorsReport, Event, HistoryReport, InventoryReport, RefreshReport, RegenReport, SourcesReport,
    StatusReport,
};

mod error;

pub use error::ClientError;

/// For what a daemon that is well does in milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// For a regeneration, which may wait for its turn and for servers that the guard tries.
const REGENERATE_PATIENCE: Duration = Duration::from_secs(120);

/// For servers that are tried one after another, each with all its timeouts.
const SERVERS_PATIENCE: Duration = Duration::from_secs(600);

/// Bytes of a reply: a hundred thousand anchors. The daemon is trusted, and a bound costs nothing.
const MAX_REPLY: usize = 64 << 20;

/// Between two attempts while the backlog is full.
const RETRY: Duration = Duration::from_millis(20);

/// A connection to the daemon. The daemon closes one that is idle for two seconds: connect, ask, drop.
#[derive(Debug)]
pub struct Client {
    frames: Frames,
    path: PathBuf,
    server: Peer,
    patience: Duration,
}

impl Client {
    /// Connects to the daemon that listens on `path`.
    ///
    /// # Errors
    /// [`ClientError::NotRunning`] where there is none, [`ClientError::Denied`] where it may not be asked.
    pub async fn connect(path: &Path) -> Result<Self, ClientError> {
        Self::connect_within(path, PATIENCE).await
    }

    /// The same with another time for the daemon to accept, to take a call and to answer what it knows without looking.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub async fn connect_within(path: &Path, patience: Duration) -> Result<Self, ClientError> {
        let end = Instant::now() + patience;
        let stream = loop {
            match connect_now(path) {
                Ok(stream) => break stream,
                Err(Errno::AGAIN | Errno::INTR) if Instant::now() < end => sleep(RETRY).await,
                Err(errno) => return Err(ClientError::of_connect(path, errno, patience)),
            }
        };
        let server = peer_of(&stream).map_err(|source| ClientError::Io { path: path.to_owned(), source })?;
        Ok(Self { frames: Frames::new(stream, MAX_REPLY), path: path.to_owned(), server, patience })
    }

    /// Who the daemon runs as.
    #[must_use]
    pub fn server(&self) -> Peer {
        self.server
    }

    /// How things are.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn status(&mut self) -> Result<StatusReport, ClientError> {
        Ok(self.call::<StatusReply>("io.agentd.Control.Status", NoParams {}, self.patience).await?.status)
    }

    /// The sources as they were last looked at.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn sources(&mut self) -> Result<SourcesReport, ClientError> {
        Ok(self.call::<SourcesReply>("io.agentd.Control.Sources", NoParams {}, self.patience).await?.sources)
    }

    /// The anchors of the store.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn anchors(&mut self) -> Result<AnchorsReport, ClientError> {
        Ok(self.call::<AnchorsReply>("io.agentd.Control.Anchors", NoParams {}, self.patience).await?.anchors)
    }

    /// The status as metrics, in the text format of Prometheus.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn metrics(&mut self) -> Result<String, ClientError> {
        Ok(self.call::<MetricsReply>("io.agentd.Control.Metrics", NoParams {}, self.patience).await?.text)
    }

    /// Looks at the sources now and publishes if they changed. It runs to its end even where this future is dropped.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn regenerate(&mut self, ask: Ask) -> Result<RegenReport, ClientError> {
        let params = RegenerateParams { force: Some(ask.force), dry_run: Some(ask.dry_run) };
        let reply: RegenerateReply =
            self.call("io.agentd.Control.Regenerate", params, self.patience.max(REGENERATE_PATIENCE)).await?;
        Ok(reply.report)
    }

    /// The generations of the store.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn history(&mut self) -> Result<HistoryReport, ClientError> {
        Ok(self.call::<HistoryReply>("io.agentd.Control.History", NoParams {}, self.patience).await?.history)
    }

    /// The anchors of one generation.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn generation(&mut self, number: u64) -> Result<AnchorsReport, ClientError> {
        let params = GenerationParams { number };
        let reply: AnchorsReply = self.call("io.agentd.Control.Generation", params, self.patience).await?;
        Ok(reply.anchors)
    }

    /// Carries out an order. It runs to its end even where this future is dropped.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn order(&mut self, order: &Order) -> Result<RegenReport, ClientError> {
        let patience = self.patience.max(REGENERATE_PATIENCE);
        let dry_run = Some(order.dry_run);
        let reply: RegenerateReply = match &order.what {
            What::Distrust { fingerprint, reason } => {
                let (fingerprint, reason) = (fingerprint.clone(), Some(reason.clone()));
                let params = DistrustParams { fingerprint, reason, dry_run };
                self.call("io.agentd.Control.Distrust", params, patience).await?
            }
            What::Trust { fingerprint } => {
                let params = TrustParams { fingerprint: fingerprint.clone(), dry_run };
                self.call("io.agentd.Control.Trust", params, patience).await?
            }
            What::Rollback { generation, pin } => {
                let pin_seconds = pin.map(|pin| pin.as_secs());
                let params = RollbackParams { generation: *generation, pin_seconds, dry_run };
                self.call("io.agentd.Control.Rollback", params, patience).await?
            }
        };
        Ok(reply.report)
    }

    /// Asks the management servers for their policies now. It runs to its end even where this future is dropped.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn refresh(&mut self, allow_downgrade: bool) -> Result<RefreshReport, ClientError> {
        let params = RefreshParams { allow_downgrade: Some(allow_downgrade) };
        let reply: RefreshReply = self.call("io.agentd.Control.Refresh", params, SERVERS_PATIENCE).await?;
        Ok(reply.report)
    }

    /// Tells the management servers how this endpoint is, or only has the document made.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn inventory(&mut self, only_make: bool) -> Result<InventoryReport, ClientError> {
        let params = InventoryParams { only_make: Some(only_make) };
        let reply: InventoryReply =
            self.call("io.agentd.Control.Inventory", params, SERVERS_PATIENCE).await?;
        Ok(reply.report)
    }

    /// The events from now on; when this returns, none is missed any more.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn watch(mut self) -> Result<Watch, ClientError> {
        let call = Call { method: "io.agentd.Control.Watch", parameters: NoParams {}, more: true };
        self.send(&call).await?;
        let (_begun, _): (WatchReply, _) = self.receive(call.method, Some(self.patience)).await?;
        Ok(Watch { client: self, held: None })
    }

    async fn call<R: DeserializeOwned>(
        &mut self,
        method: &'static str,
        parameters: impl Serialize,
        patience: Duration,
    ) -> Result<R, ClientError> {
        self.send(&Call { method, parameters, more: false }).await?;
        Ok(self.receive(method, Some(patience)).await?.0)
    }

    async fn send(&mut self, call: &Call<impl Serialize>) -> Result<(), ClientError> {
        let bytes = encode(call).map_err(ClientError::protocol)?;
        match in_time(Some(self.patience), call.method, self.frames.write(&bytes)).await? {
            // A daemon that turns us away says why and closes, maybe before it read the call.
            Err(error) if !is_closed(&error) => Err(self.io(error)),
            _ => Ok(()),
        }
    }

    /// A reply, and whether more will come.
    async fn receive<R: DeserializeOwned>(
        &mut self,
        method: &'static str,
        patience: Option<Duration>,
    ) -> Result<(R, bool), ClientError> {
        let message = match in_time(patience, method, self.frames.read()).await? {
            Ok(Some(message)) => message,
            Ok(None) | Err(ReadError::CutOff) => return Err(self.closed()),
            Err(ReadError::Io(error)) if is_closed(&error) => return Err(self.closed()),
            Err(ReadError::Io(error)) => return Err(self.io(error)),
            Err(error @ ReadError::TooLong { .. }) => return Err(ClientError::protocol(error)),
        };
        let head: Head = serde_json::from_slice(&message).map_err(ClientError::protocol)?;
        if let Some(error) = head.error {
            return Err(refused(&message, error));
        }
        let reply: Body<R> = serde_json::from_slice(&message).map_err(ClientError::protocol)?;
        Ok((reply.parameters, head.continues))
    }

    fn io(&self, source: std::io::Error) -> ClientError {
        ClientError::Io { path: self.path.clone(), source }
    }

    fn closed(&self) -> ClientError {
        ClientError::Closed { path: self.path.clone() }
    }
}

/// Events as they happen.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    /// An event that is to be told after the gap before it.
    held: Option<Event>,
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Something happened.
    Event(Event),
    /// So many events were dropped because this side read too slowly.
    Lost(u64),
}

impl Watch {
    /// The next event; `None` once the daemon has gone. Cancel safe.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn next(&mut self) -> Result<Option<Seen>, ClientError> {
        if let Some(event) = self.held.take() {
            return Ok(Some(Seen::Event(event)));
        }
        loop {
            let reply = match self.client.receive::<WatchReply>("io.agentd.Control.Watch", None).await {
                Ok((reply, _)) => reply,
                Err(ClientError::Closed { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            match (reply.lost, reply.event) {
                (0, Some(event)) => return Ok(Some(Seen::Event(event))),
                (0, None) => {}
                (lost, event) => {
                    self.held = event;
                    return Ok(Some(Seen::Lost(lost)));
                }
            }
        }
    }
}

#[derive(Serialize)]
struct Call<P> {
    method: &'static str,
    parameters: P,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

/// What tells a reply from an error.
#[derive(Deserialize)]
struct Head {
    error: Option<String>,
    #[serde(default)]
    continues: bool,
}

#[derive(Deserialize)]
struct Body<R> {
    parameters: R,
}

fn refused(message: &[u8], name: String) -> ClientError {
    if let Ok(refusal) = serde_json::from_slice::<Refusal>(message) {
        return ClientError::Refused(refusal);
    }
    match serde_json::from_slice::<Standard>(message) {
        Ok(Standard::MethodNotFound { method: thing } | Standard::InterfaceNotFound { interface: thing }) => {
            ClientError::Unsupported { thing }
        }
        Ok(Standard::InvalidParameter { parameter }) => ClientError::Unsupported { thing: parameter },
        Ok(Standard::ExpectedMore) | Err(_) => ClientError::UnknownError { name },
    }
}

fn peer_of(stream: &UnixStream) -> std::io::Result<Peer> {
    let cred = stream.peer_cred()?;
    Ok(Peer { uid: cred.uid(), gid: cred.gid(), pid: cred.pid() })
}

fn is_closed(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset)
}

async fn in_time<T>(
    patience: Option<Duration>,
    method: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, ClientError> {
    match patience {
        Some(after) => timeout(after, work).await.map_err(|_| ClientError::Timeout { method, after }),
        None => Ok(work.await),
    }
}
