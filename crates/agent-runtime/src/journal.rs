//! What is logged of a regeneration: one event a fact, with fields.
//!
//! Each kind of event has a message id, by which the journal finds its explanation (`systemd/agentd.catalog`).

use tracing::{error, info, warn};
use trust_core::engine::Outcome;

use crate::servers::{LockState, ServerStatus};

/// The ids of the kinds of events: 128 bits in hex, made at random once and never changed (`sd_journal(3)`).
pub mod id {
    /// The store was published.
    pub const PUBLISHED: &str = "b7fcbaa7dd2b4034b45bf892b84838b5";
    /// It could not be written.
    pub const PUBLICATION_FAILED: &str = "6c14eb75a8694a539fc88d25b438fe49";
    /// It is held as it was.
    pub const HELD: &str = "4ebb66ff5ec1417d9412a6b8f49515b6";
    /// A block of a source was not taken.
    pub const REJECTED: &str = "2cf264b396f743319498f047fd301e2c";
    /// Something about the policies or sources is odd.
    pub const WARNING: &str = "c4a62ffb81144f1e83fcf630c1049102";
    /// A server is verified.
    pub const SERVER_SECURE: &str = "40660cabd6d446d49bd6493a18370b37";
    /// A server is not as it should be.
    pub const SERVER_ATTENTION: &str = "82c448fae5ce41068d2949b2655050d1";
    /// A server could not be reached or verified.
    pub const SERVER_FAILED: &str = "e84f8a866f66460888f7ee9a227741b4";
    /// The daemon is ready.
    pub const READY: &str = "196e3e24ec6d49d4b95c64ebb0afbfa5";
    /// It stops.
    pub const STOPPING: &str = "783b6cfa7ef942ada873f9c8861ebd62";
    /// The configuration was not read again.
    pub const CONFIGURATION_REFUSED: &str = "3eb12e833f3d4c5faa6615be84cd42d8";
}

/// Logs what came of it.
pub(crate) fn outcome(outcome: &Outcome) {
    let plan = &outcome.plan;
    let next = &plan.next;
    if let Some(failure) = &outcome.failure {
        error!(message_id = id::PUBLICATION_FAILED, code = %failure.code, remedy = %failure.remedy, "{}", failure.message);
    }
    if let Some(held) = &next.held {
        warn!(message_id = id::HELD, reason = %held.reason, "the store is held as it was: {}", held.detail);
    }
    if !outcome.changed {
        return;
    }
    let bundle = next.bundle.as_ref();
    let anchors = bundle.map_or(0, |bundle| bundle.anchors.len());
    info!(
        message_id = id::PUBLISHED,
        generation = next.generation,
        anchors,
        sha256 = bundle.map(|bundle| bundle.sha256.to_string()),
        added = plan.added.len(),
        removed = plan.removed.len(),
        by = outcome.by.code(),
        causes = plan.causes.join("; "),
        "published generation {}: {anchors} anchor{}, {} added, {} removed",
        next.generation,
        if anchors == 1 { "" } else { "s" },
        plan.added.len(),
        plan.removed.len(),
    );
    for source in &next.sources {
        for reject in &source.content.rejects {
            warn!(
                message_id = id::REJECTED,
                source = %source.id,
                line = reject.line,
                reason = reject.reason.code(),
                "not taken: {}",
                reject.detail
            );
        }
    }
    for warning in &plan.warnings {
        warn!(message_id = id::WARNING, code = warning.code, "{}", warning.message);
    }
}

/// Logs how a server was reached.
pub(crate) fn server(status: &ServerStatus) {
    let reason = status.reason.as_deref();
    match (&status.error, status.lock) {
        (Some(error), _) => {
            warn!(message_id = id::SERVER_FAILED, server = %status.url, reason, "{error}");
        }
        (None, Some(LockState::Secure)) => {
            info!(
                message_id = id::SERVER_SECURE,
                server = %status.url,
                anchor = status.anchor,
                "{}: secure",
                status.url
            );
        }
        (None, lock) => {
            let lock = lock.map_or("unknown", LockState::code);
            warn!(
                message_id = id::SERVER_ATTENTION,
                server = %status.url,
                anchor = status.anchor,
                reason,
                "{}: {lock}",
                status.url
            );
        }
    }
}

#[cfg(test)]
mod tests {
    /// Every id has its words in the catalog, and no words are for nobody.
    #[test]
    fn the_catalog_explains_every_kind() {
        let catalog = include_str!("../../../systemd/agentd.catalog");
        let code = include_str!("journal.rs");
        let is_id = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mut explained: Vec<&str> =
            catalog.lines().filter_map(|line| line.strip_prefix("-- ")).filter(|id| is_id(id)).collect();
        let mut used: Vec<&str> = code.split('"').filter(|text| is_id(text)).collect();
        explained.sort_unstable();
        used.sort_unstable();
        assert!(used.len() > 8, "{used:?}");
        assert_eq!(explained, used);
        used.dedup();
        assert_eq!(explained.len(), used.len(), "an id is used twice");
        // A field in the words is a field of an event.
        for field in catalog.split('@').skip(1).step_by(2) {
            assert!(code.contains(&field.to_lowercase()), "{field}");
        }
    }
}
