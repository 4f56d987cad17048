//! All of the playground, the acts that can be played in it, and what is looked at to judge them.

use std::time::Duration;

use agent_control::wire::StatusReport;
use tokio::time::{Instant, sleep};
use trust_core::Fingerprint;
use trust_tls::connect::Target;

use super::agent;
use super::authority::Authority;
use super::daemon::{self, Daemon};
use super::scratch::Scratch;
use super::server::Server;
use super::unmet::Unmet;
use crate::failure::Failure;

/// The playground.
pub(super) struct World {
    pub(super) scratch: Scratch,
    pub(super) server: Server,
    /// The authority whose certificate the server presents.
    pub(super) current: Authority,
    target: Target,
    daemon: Option<Daemon>,
    /// Version of the policy.
    version: u64,
    letter: char,
}

impl World {
    /// A configured endpoint without any trust, and a server with a certificate of CA A that sends CA A out.
    pub(super) async fn new(mut scratch: Scratch) -> Result<Self, Failure> {
        let letter = 'A';
        let current = Authority::new(letter)?;
        let server = Server::start(current.server_certificate()?).await?;
        scratch.configure(&server.url())?;
        let target = Target { host: "localhost".to_owned(), port: server.port() };
        let mut world = Self { scratch, server, current, target, daemon: None, version: 0, letter };
        world.send_out(&world.current.pem());
        Ok(world)
    }

    /// The next authority, which the server does not use yet.
    pub(super) fn next_authority(&mut self) -> Result<Authority, Failure> {
        self.letter = if self.letter == 'Z' { 'A' } else { char::from(self.letter as u8 + 1) };
        Authority::new(self.letter)
    }

    /// The server has a new version of the policy, with this as the content of its CAInfo file.
    pub(super) fn send_out(&mut self, anchors: &str) {
        self.version += 1;
        let file = self.scratch.site_ca();
        let policy = format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
             <Policy guid=\"{{{}}}\" version=\"{}\">\n  \
             <CurlSSL SSLVerifyPeer=\"yes\" SSLVerifyHost=\"yes\" CAInfo=\"{}\"/>\n\
             </Policy>\n",
            agent::GUID,
            self.version,
            escape(&file.display().to_string()),
        );
        self.server.put(agent::policy_path(), policy);
        if let Some(path) = agent::served_as(&file) {
            self.server.put(path, anchors);
        }
    }

    /// The endpoint fetches the certificate of this fingerprint and makes it the bootstrap anchor.
    pub(super) async fn bootstrap(&self, fingerprint: Fingerprint) -> Result<(), Unmet> {
        agent::bootstrap(&self.scratch, &self.target, fingerprint).await
    }

    /// The endpoint receives the policy with the bootstrap anchor alone: there is no store yet.
    pub(super) async fn receive_first(&self) -> Result<(), Unmet> {
        let bootstrap = &self.scratch.settings().store.bootstrap;
        agent::receive_with(&self.scratch, &self.target, bootstrap).await
    }

    /// The endpoint receives the policy.
    pub(super) async fn receive(&self) -> Result<(), Unmet> {
        agent::receive(&self.scratch, &self.target).await
    }

    pub(super) fn switch_to(&mut self, authority: Authority) -> Result<(), Failure> {
        self.server.present(authority.server_certificate()?);
        self.current = authority;
        Ok(())
    }

    /// Starts the daemon and waits until it answers with a store.
    pub(super) async fn start_daemon(&mut self) -> Result<StatusReport, Unmet> {
        let started = Daemon::start(&self.scratch);
        self.daemon = Some(started.map_err(|error| Unmet::new("the daemon started", error))?);
        self.status_where("the daemon answers and has a store", |status| status.store.generation > 0).await
    }

    /// Waits until the bundle on disk has exactly these anchors, in this order.
    pub(super) async fn bundle_is(&mut self, expected: &[Fingerprint]) -> Result<(), Unmet> {
        let end = Instant::now() + PATIENCE;
        loop {
            let seen = self.bundle()?;
            if seen == expected {
                return Ok(());
            }
            self.wait_until(end, || Unmet::new(listed(expected), listed(&seen))).await?;
        }
    }

    /// The anchors of the bundle on disk.
    pub(super) fn bundle(&self) -> Result<Vec<Fingerprint>, Unmet> {
        let set = agent::anchors_of(&self.scratch.settings().store.merged)?;
        Ok((0..set.len()).filter_map(|index| set.get(index)).map(|anchor| anchor.fingerprint()).collect())
    }

    /// Waits until the daemon's status is like that.
    pub(super) async fn status_where(
        &mut self,
        expected: &str,
        is_so: impl Fn(&StatusReport) -> bool,
    ) -> Result<StatusReport, Unmet> {
        let end = Instant::now() + PATIENCE;
        loop {
            let status = daemon::status(&self.scratch).await;
            match &status {
                Ok(report) if is_so(report) => return status,
                _ => {}
            }
            let seen = || match status {
                Ok(report) => summary(&report),
                Err(unmet) => unmet.to_string(),
            };
            self.wait_until(end, || Unmet::new(expected, seen())).await?;
        }
    }

    /// Waits until the daemon itself reached the server and says that this anchor verified it.
    pub(super) async fn daemon_reaches_via(&mut self, anchor: Fingerprint) -> Result<(), Unmet> {
        let (anchor, expected) = (anchor.to_string(), format!("the daemon reaches the server via {anchor}"));
        let is_so = |status: &StatusReport| {
            status.servers.iter().any(|server| {
                server.anchor.as_ref() == Some(&anchor) && server.lock.as_deref() == Some("secure")
            })
        };
        self.status_where(&expected, is_so).await.map(|_| ())
    }

    /// One connection with the store on disk: verified by this anchor, in one handshake. Returns the anchor's number.
    pub(super) async fn connects_via(&self, anchor: Fingerprint) -> Result<usize, Unmet> {
        let expected = format!("verified via {anchor}, one handshake");
        let (outcome, set) = agent::reach(self.scratch.settings(), &self.target).await?;
        let verdict = &outcome.captured.verdict;
        let index = verdict.anchor.filter(|_| verdict.accepted);
        let Some(index) = index else { return Err(Unmet::new(expected, &verdict.detail)) };
        let found = set.get(index).map(|certificate| certificate.fingerprint());
        if found != Some(anchor) || outcome.handshakes != 1 {
            let found = found.map(|found| found.to_string()).unwrap_or_default();
            return Err(Unmet::new(expected, format_args!("{found}, {} handshakes", outcome.handshakes)));
        }
        Ok(index + 1)
    }

    /// Stops the daemon, if it runs.
    pub(super) async fn stop(&mut self) -> Result<(), Failure> {
        let Some(daemon) = self.daemon.take() else { return Ok(()) };
        daemon.stop().await.map_err(|unmet| Failure::new(Failure::FAILED, unmet))
    }

    /// An error where the daemon ended by itself.
    pub(super) fn alive(&mut self) -> Result<(), Unmet> {
        let Some(status) = self.daemon.as_mut().and_then(Daemon::ended) else { return Ok(()) };
        let log = self.scratch.log();
        let seen = format!("the daemon ended by itself ({status}); its log is {}", log.display());
        Err(Unmet::new("a running daemon", seen))
    }

    /// Waits a moment before the next look, unless it is too late or the daemon is gone.
    async fn wait_until(&mut self, end: Instant, unmet: impl FnOnce() -> Unmet) -> Result<(), Unmet> {
        self.alive()?;
        if Instant::now() >= end {
            return Err(unmet());
        }
        sleep(MOMENT).await;
        Ok(())
    }
}

/// A status in a line.
fn summary(status: &StatusReport) -> String {
    let servers: Vec<String> = status
        .servers
        .iter()
        .map(|server| {
            let lock = server.lock.as_deref().unwrap_or("not tried");
            format!("{} {lock} via {}", server.name, server.anchor.as_deref().unwrap_or("nothing"))
        })
        .collect();
    let problems: Vec<&str> = status.problems.iter().map(|problem| problem.code.as_str()).collect();
    let store = &status.store;
    format!(
        "generation {}, {} anchors, {}; problems: {}",
        store.generation,
        store.anchors,
        servers.join(", "),
        if problems.is_empty() { "none".to_owned() } else { problems.join(", ") },
    )
}

fn listed(anchors: &[Fingerprint]) -> String {
    let names: Vec<String> = anchors.iter().map(Fingerprint::short).collect();
    format!("a bundle of [{}]", names.join(", "))
}

/// A text as an XML attribute's value.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// Longer than the three seconds of quiet that a removal waits for, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(12);
/// Between two looks.
const MOMENT: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
