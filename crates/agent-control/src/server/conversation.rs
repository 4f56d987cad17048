//! One connection: requests one after the other, each with its answer.

use std::rc::Rc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;
use zlink::varlink_service::{self, Info};

use super::{Ask, Handler, Order, Peer, Shared, What};
use crate::frame::{Frames, ReadError, encode};
use crate::interface::{
    self, AnchorsReply, DistrustParams, GenerationParams, HistoryReply, InventoryParams, InventoryReply,
    MetricsReply, NoParams, RefreshParams, RefreshReply, RegenerateParams, RegenerateReply, RollbackParams,
    SourcesReply, StatusReply, TrustParams, WatchReply,
};
use crate::refusal::{Refusal, Standard};

/// Bytes a second that a reader must take of a long reply, beyond `Limits::patience`: a hundredth of what a local one
/// takes on a machine that has other things to do.
const SLOWEST_READER: u32 = 4 << 20;

/// A request as Varlink has it.
#[derive(Debug, Deserialize)]
struct Request {
    method: String,
    parameters: Option<Value>,
    #[serde(default)]
    oneway: bool,
    #[serde(default)]
    more: bool,
    #[serde(default)]
    upgrade: bool,
}

/// A reply as Varlink has it.
#[derive(Serialize)]
struct Reply<T> {
    parameters: T,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    continues: bool,
}

/// Parameters of `GetInterfaceDescription`.
#[derive(Deserialize)]
struct DescriptionParams {
    interface: String,
}

#[derive(Serialize)]
struct Description {
    description: String,
}

/// Why there is no reply.
enum Denied {
    Refusal(Refusal),
    Standard(Standard),
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Standard> for Denied {
    fn from(error: Standard) -> Self {
        Self::Standard(error)
    }
}

/// The connection is over.
struct Over;

pub(super) struct Conversation<H> {
    pub(super) peer: Peer,
    pub(super) may_change: bool,
    pub(super) shared: Rc<Shared<H>>,
    pub(super) closing: watch::Receiver<()>,
}

impl<H: Handler + 'static> Conversation<H> {
    /// Answers until the peer goes, is too slow, or the daemon stops.
    pub(super) async fn run(mut self, mut frames: Frames) {
        while let Some(request) = self.next_request(&mut frames).await {
            let done = if request.method == "io.agentd.Control.Watch" && request.more && !request.oneway {
                self.watch(&request, &mut frames).await
            } else {
                self.call(&request, &mut frames).await
            };
            if done.is_err() {
                break;
            }
        }
    }

    async fn next_request(&mut self, frames: &mut Frames) -> Option<Request> {
        let patience = self.shared.options.limits.patience;
        let read = tokio::select! {
            read = timeout(patience, frames.read()) => read,
            _ = self.closing.changed() => return None,
        };
        let (code, message) = match read {
            Ok(Ok(Some(bytes))) => match serde_json::from_slice(&bytes) {
                Ok(request) => return Some(request),
                // The words of serde_json may quote the request, which is the peer's own.
                Err(error) => ("bad-request", format!("the request is not a Varlink call: {error}")),
            },
            Ok(Err(ReadError::TooLong { max })) => {
                ("long-request", format!("a request may have {max} bytes"))
            }
            Ok(Ok(None) | Err(ReadError::CutOff | ReadError::Io(_))) => return None,
            Err(_) => {
                debug!(uid = self.peer.uid, pid = self.peer.pid, "no request came in time");
                return None;
            }
        };
        let refusal = Refusal::failed(code, message, "call it with agentctl or varlinkctl");
        // The connection ends whether or not this arrives.
        drop(self.send(frames, &refusal).await);
        None
    }

    /// Answers a call that has one reply.
    async fn call(&self, request: &Request, frames: &mut Frames) -> Result<(), Over> {
        let (method, quiet) = (request.method.as_str(), request.oneway);
        if request.upgrade {
            let error: Denied = Standard::InvalidParameter { parameter: "upgrade".to_owned() }.into();
            return self.reply(frames, quiet, Err::<(), _>(error)).await;
        }
        match method {
            "io.agentd.Control.Status" => self.reply(frames, quiet, self.status(request).await).await,
            "io.agentd.Control.Sources" => self.reply(frames, quiet, self.sources(request).await).await,
            "io.agentd.Control.Anchors" => self.reply(frames, quiet, self.anchors(request).await).await,
            "io.agentd.Control.Metrics" => self.reply(frames, quiet, self.metrics(request).await).await,
            "io.agentd.Control.Regenerate" => self.reply(frames, quiet, self.regenerate(request).await).await,
            "io.agentd.Control.History" => self.reply(frames, quiet, self.history(request).await).await,
            "io.agentd.Control.Generation" => self.reply(frames, quiet, self.generation(request).await).await,
            "io.agentd.Control.Rollback" => self.reply(frames, quiet, self.rollback(request).await).await,
            "io.agentd.Control.Distrust" => self.reply(frames, quiet, self.distrust(request).await).await,
            "io.agentd.Control.Trust" => self.reply(frames, quiet, self.trust(request).await).await,
            "io.agentd.Control.Refresh" => self.reply(frames, quiet, self.refresh(request).await).await,
            "io.agentd.Control.Inventory" => self.reply(frames, quiet, self.inventory(request).await).await,
            "io.agentd.Control.Watch" => {
                self.reply(frames, quiet, Err::<(), _>(Standard::ExpectedMore.into())).await
            }
            "org.varlink.service.GetInfo" => self.reply(frames, quiet, self.info(request)).await,
            "org.varlink.service.GetInterfaceDescription" => {
                self.reply(frames, quiet, description(request)).await
            }
            _ => self.reply(frames, quiet, Err::<(), _>(unknown(method))).await,
        }
    }

    async fn status(&self, request: &Request) -> Result<StatusReply, Denied> {
        nothing(request)?;
        Ok(StatusReply { status: self.shared.handler.status().await? })
    }

    async fn sources(&self, request: &Request) -> Result<SourcesReply, Denied> {
        nothing(request)?;
        Ok(SourcesReply { sources: self.shared.handler.sources().await? })
    }

    async fn anchors(&self, request: &Request) -> Result<AnchorsReply, Denied> {
        nothing(request)?;
        Ok(AnchorsReply { anchors: self.shared.handler.anchors().await? })
    }

    async fn metrics(&self, request: &Request) -> Result<MetricsReply, Denied> {
        nothing(request)?;
        Ok(MetricsReply { text: self.shared.handler.metrics().await? })
    }

    async fn regenerate(&self, request: &Request) -> Result<RegenerateReply, Denied> {
        let params: RegenerateParams = parameters(request)?;
        self.must_be_privileged()?;
        let ask = Ask { force: params.force.unwrap_or(false), dry_run: params.dry_run.unwrap_or(false) };
        let (turnstile, handler) = (&self.shared.turnstile, &self.shared.handler);
        Ok(RegenerateReply { report: turnstile.regenerate(handler, ask, self.peer).await? })
    }

    async fn history(&self, request: &Request) -> Result<HistoryReply, Denied> {
        nothing(request)?;
        Ok(HistoryReply { history: self.shared.handler.history().await? })
    }

    async fn generation(&self, request: &Request) -> Result<AnchorsReply, Denied> {
        let GenerationParams { number } = parameters(request)?;
        Ok(AnchorsReply { anchors: self.shared.handler.generation(number).await? })
    }

    async fn rollback(&self, request: &Request) -> Result<RegenerateReply, Denied> {
        let params: RollbackParams = parameters(request)?;
        let pin = params.pin_seconds.map(Duration::from_secs);
        self.order(What::Rollback { generation: params.generation, pin }, params.dry_run).await
    }

    async fn distrust(&self, request: &Request) -> Result<RegenerateReply, Denied> {
        let DistrustParams { fingerprint, reason, dry_run } = parameters(request)?;
        self.order(What::Distrust { fingerprint, reason: reason.unwrap_or_default() }, dry_run).await
    }

    async fn trust(&self, request: &Request) -> Result<RegenerateReply, Denied> {
        let TrustParams { fingerprint, dry_run } = parameters(request)?;
        self.order(What::Trust { fingerprint }, dry_run).await
    }

    async fn order(&self, what: What, dry_run: Option<bool>) -> Result<RegenerateReply, Denied> {
        self.must_be_privileged()?;
        let order = Order { what, dry_run: dry_run.unwrap_or(false) };
        let (turnstile, handler) = (&self.shared.turnstile, &self.shared.handler);
        Ok(RegenerateReply { report: turnstile.order(handler, order, self.peer).await? })
    }

    async fn refresh(&self, request: &Request) -> Result<RefreshReply, Denied> {
        let params: RefreshParams = parameters(request)?;
        self.must_be_privileged()?;
        let allow_downgrade = params.allow_downgrade.unwrap_or(false);
        Ok(RefreshReply { report: self.shared.handler.refresh(allow_downgrade).await? })
    }

    async fn inventory(&self, request: &Request) -> Result<InventoryReply, Denied> {
        let params: InventoryParams = parameters(request)?;
        self.must_be_privileged()?;
        let only_make = params.only_make.unwrap_or(false);
        Ok(InventoryReply { report: self.shared.handler.inventory(only_make).await? })
    }

    fn must_be_privileged(&self) -> Result<(), Denied> {
        if self.may_change {
            return Ok(());
        }
        let needs = "root or the user that agentd runs as".to_owned();
        Err(Refusal::PermissionDenied { needs }.into())
    }

    fn info(&self, request: &Request) -> Result<Info<'static>, Denied> {
        nothing(request)?;
        let interfaces = [varlink_service::INTERFACE_NAME.as_str(), interface::NAME];
        Info::new("agentd", "agentd", self.shared.options.version, env!("CARGO_PKG_REPOSITORY"), interfaces)
            .map_err(|error| Refusal::failed("internal", error.to_string(), "").into())
    }

    /// Sends events until the peer goes or the daemon stops.
    async fn watch(&mut self, request: &Request, frames: &mut Frames) -> Result<(), Over> {
        if let Err(error) = nothing(request) {
            return self.reply(frames, false, Err::<(), _>(error)).await;
        }
        let mut events = self.shared.handler.watch();
        let mut next = WatchReply { event: None, lost: 0 };
        loop {
            self.send(frames, &Reply { parameters: &next, continues: true }).await?;
            next.lost = 0;
            next.event = loop {
                let event = tokio::select! {
                    event = events.recv() => event,
                    () = frames.interrupted() => return Err(Over),
                    _ = self.closing.changed() => return Err(Over),
                };
                match event {
                    Ok(event) => break Some(event),
                    Err(RecvError::Lagged(missed)) => next.lost = next.lost.saturating_add(missed),
                    Err(RecvError::Closed) => return Err(Over),
                }
            };
        }
    }

    async fn reply<T: Serialize>(
        &self,
        frames: &mut Frames,
        quiet: bool,
        result: Result<T, Denied>,
    ) -> Result<(), Over> {
        match result {
            _ if quiet => Ok(()),
            Ok(parameters) => self.send(frames, &Reply { parameters, continues: false }).await,
            Err(Denied::Refusal(refusal)) => self.send(frames, &refusal).await,
            Err(Denied::Standard(error)) => self.send(frames, &error).await,
        }
    }

    async fn send(&self, frames: &mut Frames, message: &impl Serialize) -> Result<(), Over> {
        let bytes = encode(message).map_err(|_| Over)?;
        let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let patience = self.shared.options.limits.patience + Duration::from_secs(1) * size / SLOWEST_READER;
        match timeout(patience, frames.write(&bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Over),
            Err(_) => {
                debug!(uid = self.peer.uid, pid = self.peer.pid, "a reply was not taken in time");
                Err(Over)
            }
        }
    }
}

/// The parameters of a call; a call may leave them out.
fn parameters<T: for<'de> Deserialize<'de>>(request: &Request) -> Result<T, Denied> {
    let value = request.parameters.clone().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    T::deserialize(value)
        .map_err(|error| Standard::InvalidParameter { parameter: parameter_of(&error, request) }.into())
}

/// The parameter that a call got wrong: the first that serde's words name, else all of them.
fn parameter_of(error: &serde_json::Error, request: &Request) -> String {
    let words = error.to_string();
    let names = request.parameters.as_ref().and_then(Value::as_object).map(serde_json::Map::keys);
    names
        .into_iter()
        .flatten()
        .find(|name| words.contains(&format!("`{name}`")))
        .cloned()
        .unwrap_or_else(|| "parameters".to_owned())
}

fn nothing(request: &Request) -> Result<(), Denied> {
    parameters::<NoParams>(request).map(|NoParams {}| ())
}

fn description(request: &Request) -> Result<Description, Denied> {
    let DescriptionParams { interface } = parameters(request)?;
    match interface.as_str() {
        interface::NAME => Ok(Description { description: interface::text(interface::DESCRIPTION) }),
        "org.varlink.service" => {
            Ok(Description { description: interface::text(varlink_service::DESCRIPTION) })
        }
        _ => Err(Standard::InterfaceNotFound { interface }.into()),
    }
}

fn unknown(method: &str) -> Denied {
    match method.rsplit_once('.') {
        Some((interface::NAME | "org.varlink.service", _)) => {
            Standard::MethodNotFound { method: method.to_owned() }.into()
        }
        Some((interface, _)) => Standard::InterfaceNotFound { interface: interface.to_owned() }.into(),
        None => Standard::InvalidParameter { parameter: "method".to_owned() }.into(),
    }
}
