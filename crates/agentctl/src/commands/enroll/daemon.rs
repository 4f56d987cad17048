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
    /// It could not be told, and has the server already: whether it has the rest, nobody knows.
    Known,
    /// It could not be told, or has not taken it over in time.
    Unasked,
}

impl Taken {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Over => "the daemon has it",
            Self::NotRunning => "no daemon runs",
            Self::Known => "the daemon has the server, and could not be told to read its configuration again",
            Self::Unasked => "the daemon has not read it yet",
        }
    }
}

/// Has the daemon read its configuration again and waits until it has; where it cannot be told, it may know the server
/// already.
pub(super) fn take_over(context: &Context, url: &str) -> Result<Taken, Error> {
    let _progress = context.out.progress("having the daemon read its configuration");
    Context::runtime()?.block_on(async {
        let Some(mut client) = context.daemon().await? else { return Ok(Taken::NotRunning) };
        let before = client.status().await.map_err(|error| client_error(&error))?;
        let knows_it = before.servers.iter().any(|server| server.url == url);
        let read_at = |status: &StatusReport| {
            status.daemon.as_ref().map(|daemon| (daemon.pid, daemon.configured.clone()))
        };
        let was = read_at(&before);
        let told = before.daemon.as_ref().is_some_and(|daemon| reload(&client, daemon.pid));
        let has_it = |status: &StatusReport| {
            read_at(status) != was && status.servers.iter().any(|server| server.url == url)
        };
        if told && wait(&mut client, has_it).await.map_err(|error| client_error(&error))? {
            Ok(Taken::Over)
        } else if knows_it && !told {
            Ok(Taken::Known)
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
