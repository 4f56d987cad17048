//! A running daemon, told that the configuration is another one.

use std::time::Duration;

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

/// Has the daemon read its configuration again, unless it knows the server, and waits until it does.
pub(super) fn take_over(context: &Context, url: &str) -> Result<Taken, Error> {
    Context::runtime()?.block_on(async {
        let Some(mut client) = context.daemon().await? else { return Ok(Taken::NotRunning) };
        let status = client.status().await.map_err(|error| client_error(&error))?;
        if status.servers.iter().any(|server| server.url == url) {
            return Ok(Taken::Over);
        }
        let told = status.daemon.is_some_and(|daemon| reload(&client, daemon.pid));
        if told && wait(&mut client, url).await.map_err(|error| client_error(&error))? {
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

async fn wait(client: &mut Client, url: &str) -> Result<bool, ClientError> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if client.status().await?.servers.iter().any(|server| server.url == url) {
            return Ok(true);
        }
        sleep(PAUSE).await;
    }
    Ok(false)
}

/// A daemon reads its configuration in milliseconds, after the look that may be under way.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);
