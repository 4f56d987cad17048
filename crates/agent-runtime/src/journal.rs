//! What is logged of a regeneration: one event a fact, with fields.

use tracing::{error, info, warn};
use trust_core::engine::Outcome;

use crate::servers::{LockState, ServerStatus};

/// Logs what came of it.
pub(crate) fn outcome(outcome: &Outcome) {
    let plan = &outcome.plan;
    let next = &plan.next;
    if let Some(failure) = &outcome.failure {
        error!(code = %failure.code, remedy = %failure.remedy, "{}", failure.message);
    }
    if let Some(held) = &next.held {
        warn!(reason = %held.reason, "the store is held as it was: {}", held.detail);
    }
    if !outcome.changed {
        return;
    }
    let bundle = next.bundle.as_ref();
    info!(
        generation = next.generation,
        anchors = bundle.map_or(0, |bundle| bundle.anchors.len()),
        sha256 = bundle.map(|bundle| bundle.sha256.to_string()),
        added = plan.added.len(),
        removed = plan.removed.len(),
        by = outcome.by.code(),
        causes = plan.causes.join("; "),
        "published"
    );
    for source in &next.sources {
        for reject in &source.content.rejects {
            warn!(
                source = %source.id,
                line = reject.line,
                reason = reject.reason.code(),
                "not taken: {}",
                reject.detail
            );
        }
    }
    for warning in &plan.warnings {
        warn!(code = warning.code, "{}", warning.message);
    }
}

/// Logs how a server was reached.
pub(crate) fn server(status: &ServerStatus) {
    let reason = status.reason.as_deref();
    match (&status.error, status.lock) {
        (Some(error), _) => warn!(server = %status.url, reason, "{error}"),
        (None, Some(LockState::Secure)) => info!(server = %status.url, anchor = status.anchor, "secure"),
        (None, lock) => {
            let lock = lock.map_or("unknown", LockState::code);
            warn!(server = %status.url, anchor = status.anchor, reason, "{lock}");
        }
    }
}
