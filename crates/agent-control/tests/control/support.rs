//! A daemon that knows little, and a client that knows only bytes.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use agent_control::wire::{
    AnchorReport, AnchorsReport, BundleReport, Event, HistoryReport, InventoryReport, Place, RefreshReport,
    RegenReport, SourcesReport, StatusReport, StoreReport,
};
use agent_control::{Ask, Client, Handler, Options, Order, Peer, Refusal, bind, serve};
use serde_json::Value;
use tokio::sync::{Semaphore, broadcast, oneshot};
use tokio::task::{JoinHandle, LocalSet, spawn_blocking, spawn_local};

/// Long enough that nothing that should happen takes so long, short enough to wait for what should not.
pub(crate) const MOMENT: Duration = Duration::from_millis(200);

/// Runs a test on one thread, as the daemon does.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new()
        .block_on(&runtime, async { tokio::time::timeout(Duration::from_secs(20), test).await.unwrap() })
}

/// A handler whose answers the test decides.
#[derive(Clone)]
pub(crate) struct Fake(Rc<State>);

pub(crate) struct State {
    pub(crate) runs: Cell<u64>,
    pub(crate) asked: RefCell<Vec<(Ask, Peer)>>,
    pub(crate) orders: RefCell<Vec<Order>>,
    pub(crate) anchors: Cell<usize>,
    /// What a run waits for; full at first.
    pub(crate) gate: Semaphore,
    pub(crate) refusal: RefCell<Option<Refusal>>,
    pub(crate) events: broadcast::Sender<Event>,
}

impl std::ops::Deref for Fake {
    type Target = State;
    fn deref(&self) -> &State {
        &self.0
    }
}

impl Fake {
    fn new() -> Self {
        Self(Rc::new(State {
            runs: Cell::new(0),
            asked: RefCell::default(),
            orders: RefCell::default(),
            anchors: Cell::new(1),
            gate: Semaphore::new(1000),
            refusal: RefCell::new(None),
            events: broadcast::channel(4).0,
        }))
    }

    pub(crate) fn close_gate(&self) {
        self.gate.forget_permits(usize::MAX);
    }
}

impl Handler for Fake {
    async fn status(&self) -> Result<StatusReport, Refusal> {
        match &*self.refusal.borrow() {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(StatusReport::new(store(self.runs.get()))),
        }
    }

    async fn sources(&self) -> Result<SourcesReport, Refusal> {
        Ok(SourcesReport { sources: Vec::new(), warnings: Vec::new() })
    }

    async fn anchors(&self) -> Result<AnchorsReport, Refusal> {
        let anchors = (1..=self.anchors.get()).map(anchor).collect();
        Ok(AnchorsReport { generation: self.runs.get(), anchors })
    }

    async fn regenerate(&self, ask: Ask, by: Peer) -> Result<RegenReport, Refusal> {
        self.asked.borrow_mut().push((ask, by));
        self.gate.acquire().await.unwrap().forget();
        self.runs.set(self.runs.get() + 1);
        // Nobody may be watching.
        drop(self.events.send(event(self.runs.get())));
        Ok(regen(self.runs.get(), ask))
    }

    async fn history(&self) -> Result<HistoryReport, Refusal> {
        Ok(HistoryReport { current: self.runs.get(), rollback: None, generations: Vec::new() })
    }

    async fn generation(&self, number: u64) -> Result<AnchorsReport, Refusal> {
        Ok(AnchorsReport { generation: number, anchors: vec![anchor(1)] })
    }

    async fn order(&self, order: Order, _by: Peer) -> Result<RegenReport, Refusal> {
        let dry_run = order.dry_run;
        self.orders.borrow_mut().push(order);
        Ok(regen(self.runs.get(), Ask { force: false, dry_run }))
    }

    async fn refresh(&self, allow_downgrade: bool) -> Result<RefreshReport, Refusal> {
        Ok(refresh(if allow_downgrade { "taken" } else { "unchanged" }))
    }

    async fn metrics(&self) -> Result<String, Refusal> {
        Ok("# TYPE agentd_health gauge\n".to_owned())
    }

    async fn inventory(&self, only_make: bool) -> Result<InventoryReport, Refusal> {
        Ok(inventory(if only_make { "made" } else { "sent" }))
    }

    fn watch(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

pub(crate) fn refresh(result: &str) -> RefreshReport {
    RefreshReport {
        result: result.to_owned(),
        server: Some("smp".to_owned()),
        how: None,
        connections: 1,
        written: vec!["a.xml".to_owned()],
        removed_files: Vec::new(),
        attempts: Vec::new(),
        changed: true,
        generation: 2,
        added: Vec::new(),
        removed: Vec::new(),
    }
}

pub(crate) fn inventory(result: &str) -> InventoryReport {
    InventoryReport {
        result: result.to_owned(),
        server: Some("smp".to_owned()),
        sent: 1,
        waiting: 0,
        dropped: 0,
        attempts: Vec::new(),
        document: None,
    }
}

/// A server in a directory of its own.
pub(crate) struct Daemon {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) path: PathBuf,
    pub(crate) fake: Fake,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) task: JoinHandle<()>,
}

impl Daemon {
    pub(crate) fn start(change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sock");
        let mut options = Options::new("1.2.3");
        change(&mut options);
        let listener = bind(&path, 0o660, None).unwrap();
        let (fake, (stop, stopped)) = (Fake::new(), oneshot::channel());
        let handler = fake.clone();
        let task = spawn_local(serve(listener, handler, options, async {
            // A test that ends drops the sender: that is a stop too.
            drop(stopped.await);
        }));
        Self { dir, path, fake, stop, task }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.path).await.unwrap()
    }

    /// Talks bytes on a thread of its own.
    pub(crate) async fn raw<T: Send + 'static>(
        &self,
        talk: impl FnOnce(&mut Raw) -> T + Send + 'static,
    ) -> T {
        let path = self.path.clone();
        spawn_blocking(move || talk(&mut Raw::connect(&path))).await.unwrap()
    }
}

/// A client made of `write` and `read` alone.
pub(crate) struct Raw(pub(crate) UnixStream);

impl Raw {
    pub(crate) fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.0.write_all(&[text.as_bytes(), b"\0"].concat()).unwrap();
    }

    /// The next message; `None` where the connection ended.
    pub(crate) fn receive(&mut self) -> Option<Value> {
        let mut message = Vec::new();
        loop {
            let mut byte = [0];
            match self.0.read(&mut byte) {
                Ok(0) => {
                    assert!(message.is_empty(), "cut off");
                    return None;
                }
                Ok(_) if byte[0] == 0 => return Some(serde_json::from_slice(&message).unwrap()),
                Ok(_) => message.push(byte[0]),
                // The other side closed with something of ours unread.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn ask(&mut self, text: &str) -> Value {
        self.send(text);
        self.receive().unwrap()
    }
}

pub(crate) fn store(generation: u64) -> StoreReport {
    StoreReport {
        path: "/store.pem".to_owned(),
        generation,
        sha256: None,
        anchors: 0,
        retained: Vec::new(),
        held: None,
        published_at: None,
        rollback: None,
        distrusted: Vec::new(),
    }
}

pub(crate) fn regen(generation: u64, ask: Ask) -> RegenReport {
    RegenReport {
        changed: true,
        generation,
        bundle: BundleReport { path: "/store.pem".to_owned(), sha256: Some("ab".repeat(32)), anchors: 1 },
        sources: Vec::new(),
        added: vec!["ab".repeat(32)],
        removed: Vec::new(),
        warnings: Vec::new(),
        dry_run: ask.dry_run,
        forced: ask.force,
        held: None,
        retained: Vec::new(),
        rollback: None,
    }
}

pub(crate) fn anchor(index: usize) -> AnchorReport {
    AnchorReport {
        number: index as u64,
        fingerprint: format!("{index:064x}"),
        subject: "CN=Root".to_owned(),
        issuer: "CN=Root".to_owned(),
        not_before: "2026-01-01T00:00:00Z".to_owned(),
        not_after: "2036-01-01T00:00:00Z".to_owned(),
        status: "valid".to_owned(),
        kind: "ca".to_owned(),
        sources: vec![Place { kind: "bootstrap".to_owned(), path: "/cainfo.pem".to_owned(), line: 1 }],
        standing: "source".to_owned(),
    }
}

pub(crate) fn event(generation: u64) -> Event {
    Event {
        ts: "2026-01-01T00:00:00Z".to_owned(),
        event: "store.published".to_owned(),
        source: None,
        generation: Some(generation),
        added: Vec::new(),
        removed: Vec::new(),
        message: None,
    }
}
