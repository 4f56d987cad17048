//! What is told of refreshes and inventory: for the status, and what needs a hand.

use agent_control::Refusal;
use agent_control::wire::{ManagementReport, Problem, Severity};
use jiff::Timestamp;

use super::disk::{Fault, Record};

/// For the status: what is remembered, and when the next will be.
#[must_use]
pub fn management(
    record: &Record,
    waiting: usize,
    next_refresh: Option<Timestamp>,
    next_inventory: Option<Timestamp>,
) -> ManagementReport {
    let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let code = |fault: &Option<Fault>| fault.as_ref().map(|fault| fault.code.clone());
    ManagementReport {
        refreshed_at: text(record.refreshed_at),
        refreshed_from: record.refreshed_from.clone(),
        next_refresh: text(next_refresh),
        refresh_error: code(&record.refresh_fault),
        policies: record.known.policies.len() as u64,
        inventory_at: text(record.inventory_at),
        next_inventory: text(next_inventory),
        inventory_error: code(&record.inventory_fault),
        waiting: waiting as u64,
    }
}

/// What needs a hand.
#[must_use]
pub fn problems(record: &Record) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(fault) = &record.refresh_fault {
        let since = match record.refreshed_at {
            Some(at) => format!("The policies in force are those of {at}."),
            None => "No policy has ever come from a server.".to_owned(),
        };
        let title = format!("policies could not be refreshed ({})", fault.code);
        problems.push(problem("refresh-failed", Severity::Warning, title, fault, &since, "agentctl refresh"));
    }
    if let Some(fault) = &record.inventory_fault {
        let title = format!("the inventory could not be sent ({})", fault.code);
        let (severity, since) = match record.inventory_dropped {
            0 => (Severity::Info, "It waits here and is sent later.".to_owned()),
            dropped => (Severity::Warning, format!("{dropped} of the oldest were dropped unsent.")),
        };
        let code = if record.inventory_dropped == 0 { "inventory-unsent" } else { "inventory-dropped" };
        problems.push(problem(code, severity, title, fault, &since, "agentctl inventory"));
    }
    problems
}

fn problem(
    code: &str,
    severity: Severity,
    title: String,
    fault: &Fault,
    since: &str,
    command: &str,
) -> Problem {
    Problem {
        code: code.to_owned(),
        severity,
        title,
        why: format!("{}. {since}", fault.message),
        fix: vec![fault.remedy.clone(), command.to_owned()],
    }
}

/// There is nothing to refresh from.
#[must_use]
pub fn no_index() -> Refusal {
    Refusal::failed(
        "not-configured",
        "there is no management server with policies in the configuration",
        "Set index under [refresh], as in \"/policies/index.json\", and a [[server]] of the role management.",
    )
}

/// There is nobody to tell.
#[must_use]
pub fn no_inventory() -> Refusal {
    Refusal::failed(
        "not-configured",
        "there is no management server that takes inventory in the configuration",
        "Set path under [inventory], as in \"/inventory\", and a [[server]] of the role management.",
    )
}
