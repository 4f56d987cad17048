//! The inventory, drawn from the same reports as `status` and `anchors`: what the operator sees is what the server is
//! told.

use agent_control::wire::{AnchorsReport, Health, ServerReport, StatusReport};
use agent_management::inventory::{Agent, Anchor, Inventory, Server, Store, V};
use jiff::Timestamp;

use super::disk::Record;
use super::facts;

/// The document.
#[must_use]
pub fn inventory(
    status: &StatusReport,
    anchors: &AnchorsReport,
    record: &Record,
    reason: &'static str,
    now: Timestamp,
) -> Inventory {
    let mut problems: Vec<String> = status.problems.iter().map(|problem| problem.code.clone()).collect();
    problems.sort();
    problems.dedup();
    let health = match status.health {
        Health::Ok => "ok",
        Health::Degraded => "degraded",
        Health::Failed => "failed",
    };
    Inventory {
        v: V,
        at: now,
        reason,
        host: facts::host(now),
        agent: Agent {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: status.daemon.as_ref().and_then(|daemon| time(&daemon.started)),
            refreshed: record.refreshed_at,
        },
        store: store(status, anchors),
        servers: status.servers.iter().map(server).collect(),
        health: health.to_owned(),
        problems,
    }
}

fn store(status: &StatusReport, anchors: &AnchorsReport) -> Store {
    let store = &status.store;
    let anchors = anchors.anchors.iter().map(|anchor| Anchor {
        fingerprint: anchor.fingerprint.clone(),
        subject: anchor.subject.clone(),
        // Our own words of a time that was read as one.
        not_after: time(&anchor.not_after).unwrap_or(Timestamp::UNIX_EPOCH),
        retained: store.retained.contains(&anchor.fingerprint),
    });
    Store {
        generation: store.generation,
        sha256: store.sha256.clone(),
        published: store.published_at.as_deref().and_then(time),
        held: store.held.is_some(),
        anchors: anchors.collect(),
    }
}

fn server(server: &ServerReport) -> Server {
    Server {
        name: server.name.clone(),
        lock: server.lock.clone(),
        last_ok: server.last_ok.as_deref().and_then(time),
        anchor: server.anchor.clone(),
        reason: server.reason.clone(),
    }
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}
