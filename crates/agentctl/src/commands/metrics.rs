//! `agentctl metrics`: the status as metrics, for whatever collects them.

use agent_runtime::report;
use serde::Serialize;

use super::{anchors, status};
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

/// The metrics in one document.
#[derive(Debug, Serialize)]
struct MetricsReport {
    /// What `text` is, as an HTTP server would say it.
    content_type: &'static str,
    text: String,
}

/// Prints what the daemon would write into its textfile.
pub(crate) fn run(context: &Context) -> Result<Exit, Error> {
    let text = context.either(
        async |client| client.metrics().await,
        |context| {
            let (status, anchors) = (status::in_process(context)?, anchors::in_process(context)?);
            Ok(report::metrics(&status, &anchors, context.clock.now()))
        },
    )?;
    let report = MetricsReport { content_type: "text/plain; version=0.0.4", text };
    context.out.data(&report, |report, page| page.verbatim(&report.text))?;
    Ok(Exit::Done)
}
