//! A running daemon, told that the configuration is another one.

use std::time::Duration;

use agent_control::wire::StatusReport;
use agent_control::{Client, ClientError};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::context::{Context, client_error};
use crate::error::Error;

/// What a daemon made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It has the server.
    Over,
    /// None runs.
    NotRunning,
    /// It could not be told, or has not taken it over in time.
    Unasked,
}

impl Taken {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Over => "the daemon has it",
            Self::NotRunning => "no daemon runs",
            Self::Unasked => "the daemon has not read it yet",
        }
    }
}

/// Has the daemon read its configuration again, unless it knows the server, and waits until it does; with `asks` until it
/// is about to ask the servers for policies, or to tell them of this endpoint.
pub(super) fn take_over(context: &Context, url: &str, asks: bool) -> Result<Taken, Error> {
    let has_it = |status: &StatusReport| {
        status.servers.iter().any(|server| server.url == url) && (!asks || status.management.is_some())
    };
    Context::runtime()?.block_on(async {
        let Some(mut client) = context.daemon().await? else { return Ok(Taken::NotRunning) };
        let status = client.status().await.map_err(|error| client_error(&error))?;
        if has_it(&status) {
            return Ok(Taken::Over);
        }
        let told = status.daemon.is_some_and(|daemon| reload(&client, daemon.pid));
        if told && wait(&mut client, has_it).await.map_err(|error| client_error(&error))? {
            Ok(Taken::Over)
        } else {
            Ok(Taken::Unasked)
        }
    })
}

/// SIGHUP to the process that answers, by the kernel's word on who that is: what it says of itself may be the number of
/// another process where it runs in a namespace of its own.
fn reload(client: &Client, said: u32) -> bool {
    let Some(pid) = client.server().pid.filter(|pid| u32::try_from(*pid) == Ok(said)) else { return false };
    Pid::from_raw(pid).is_some_and(|pid| kill_process(pid, Signal::HUP).is_ok())
}

async fn wait(client: &mut Client, has_it: impl Fn(&StatusReport) -> bool) -> Result<bool, ClientError> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if has_it(&client.status().await?) {
            return Ok(true);
        }
        sleep(PAUSE).await;
    }
    Ok(false)
}

/// A daemon reads its configuration in milliseconds, after the look that may be under way.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);
