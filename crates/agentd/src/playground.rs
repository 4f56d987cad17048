//! The trial: a scratch endpoint with a management server of its own on loopback, and the real daemon on it.
//!
//! ```text
//!  Authority ──► Server (TLS, loopback) ◄── agent: bootstrap by fingerprint, policy, CAInfo file
//!                                              │ durable writes
//!                 script / guide ──checks──► Scratch (files) ◄──watches── Daemon (child process)
//! ```
//! The server and the agent that fetches from it are toys. The store, the daemon, the connection and the status are the
//! real ones, and only they are looked at when a step is judged.

use std::path::Path;

use crate::failure::Failure;
use crate::signals::{Request, Signals};

mod agent;
mod authority;
mod daemon;
mod guide;
mod say;
mod scratch;
mod script;
mod server;
mod unmet;
mod world;

use scratch::Scratch;
use world::World;

/// Makes the playground in a directory, by default a fresh one, and stays until a signal; with `once` plays a whole
/// certificate switch instead.
pub(crate) fn run(directory: Option<&Path>, once: bool) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Failure::FAILED, format_args!("cannot start the runtime: {error}")))?;
    runtime.block_on(play(directory, once))
}

async fn play(directory: Option<&Path>, once: bool) -> Result<(), Failure> {
    let mut signals = Signals::register()
        .map_err(|error| Failure::new(Failure::FAILED, format_args!("cannot register signals: {error}")))?;
    let mut world = World::new(Scratch::make(directory)?).await?;
    let played = tokio::select! {
        played = act(&mut world, once) => played,
        () = stop(&mut signals) => match once {
            true => Err(Failure::new(Failure::FAILED, "stopped before the last step")),
            false => Ok(()),
        },
    };
    // Also after a failure and after a signal: the daemon never outlives its playground.
    let ended = world.stop().await;
    played.and(ended)
}

async fn act(world: &mut World, once: bool) -> Result<(), Failure> {
    if once { script::play(world).await } else { guide::stay(world).await }
}

/// TERM, INT, and HUP too: the terminal that it is a trial on has gone.
async fn stop(signals: &mut Signals) {
    while signals.next().await == Request::Regenerate {}
}
