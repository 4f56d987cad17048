//! A whole certificate switch, step by step, each judged by the real bundle, the real connection and the real status.

use std::fmt;

use trust_core::Fingerprint;

use super::authority::Authority;
use super::daemon;
use super::say::line;
use super::scratch::write;
use super::unmet::Unmet;
use super::world::World;
use crate::failure::Failure;

/// Plays it; fails at the first step that does not hold.
pub(super) async fn play(world: &mut World) -> Result<(), Failure> {
    line(format_args!("A certificate switch, played on {}\n", world.scratch.root().display()));
    set_up(world).await?;
    let (old, next) = (world.current.fingerprint(), world.next_authority()?);
    let anchors = world.current.pem() + &next.pem();
    judge(5, &send_out_before(world, &anchors, [old, next.fingerprint()]).await)?;
    world.switch_to(next)?;
    judge(6, &switched(world).await)?;
    judge(7, &drop_old(world).await)?;
    let next = world.next_authority()?;
    judge(8, &drop_too_early(world, &next).await)?;
    world.switch_to(next)?;
    judge(9, &let_go(world).await)?;
    judge(10, &mistake(world).await)?;
    line("\nEvery step held.");
    Ok(())
}

/// The steps up to a daemon that reaches the server: how every playground begins.
pub(super) async fn set_up(world: &mut World) -> Result<(), Failure> {
    judge(1, &bootstrap(world).await)?;
    judge(2, &receive(world).await)?;
    judge(3, &start(world).await)?;
    judge(4, &connect(world).await)
}

/// The new CA goes out by policy while the server still presents the old one's certificate.
pub(super) async fn send_out_before(
    world: &mut World,
    anchors: &str,
    expected: [Fingerprint; 2],
) -> Result<String, Unmet> {
    world.send_out(anchors);
    world.receive().await?;
    world.bundle_is(&expected).await?;
    let number = world.connects_via(expected[0]).await?;
    Ok(format!(
        "new CA sent out by policy before the switch: the bundle has both, the server is still verified by anchor {number}"
    ))
}

/// The server presents the new certificate.
pub(super) async fn switched(world: &World) -> Result<String, Unmet> {
    let number = world.connects_via(world.current.fingerprint()).await?;
    Ok(format!(
        "server switched to {}: verified by anchor {number} of the bundle, one handshake",
        world.current.name()
    ))
}

/// The old CA leaves both sources: by policy, and by a bootstrap anchor fetched anew.
pub(super) async fn drop_old(world: &mut World) -> Result<String, Unmet> {
    let new = world.current.fingerprint();
    world.send_out(&world.current.pem());
    world.receive().await?;
    world.bootstrap(new).await?;
    world.bundle_is(&[new]).await?;
    let number = world.connects_via(new).await?;
    world.daemon_reaches_via(new).await?;
    Ok(format!(
        "old CA dropped from the sources: the bundle has {} alone, the server is verified by anchor {number}",
        world.current.name()
    ))
}

async fn bootstrap(world: &World) -> Result<String, Unmet> {
    let fingerprint = world.current.fingerprint();
    line(format_args!("  server console: SHA-256 of {} is {fingerprint}\n", world.current.name()));
    world.bootstrap(fingerprint).await?;
    Ok("bootstrap anchor fetched by that fingerprint".to_owned())
}

async fn receive(world: &World) -> Result<String, Unmet> {
    world.receive_first().await?;
    Ok("policy received over a connection that the bootstrap anchor verifies, with the file that it names"
        .to_owned())
}

async fn start(world: &mut World) -> Result<String, Unmet> {
    let status = world.start_daemon().await?;
    world.bundle_is(&[world.current.fingerprint()]).await?;
    let generation = status.store.generation;
    Ok(format!("daemon ready: the bundle has {} (generation {generation})", world.current.name()))
}

async fn connect(world: &mut World) -> Result<String, Unmet> {
    let anchor = world.current.fingerprint();
    let number = world.connects_via(anchor).await?;
    world.daemon_reaches_via(anchor).await?;
    Ok(format!("server verified by anchor {number} of the bundle, one handshake; the daemon says the same"))
}

/// The sources switch to the next CA while the server still presents the old one's certificate: the store must keep both.
async fn drop_too_early(world: &mut World, next: &Authority) -> Result<String, Unmet> {
    let (needed, next_anchor) = (world.current.fingerprint(), next.fingerprint());
    world.send_out(&next.pem());
    world.receive().await?;
    let bootstrap = world.scratch.settings().store.bootstrap.clone();
    write(&bootstrap, next.pem().as_bytes())
        .map_err(|error| Unmet::new("another bootstrap anchor", error))?;
    world.bundle_is(&[next_anchor, needed]).await?;
    world
        .status_where("the status says anchor-retained", |status| {
            status.problems.iter().any(|problem| problem.code == "anchor-retained")
        })
        .await?;
    let number = world.connects_via(needed).await?;
    Ok(format!(
        "{next} replaced {current} in every source too early: {current} is retained, for the server needs it; verified by \
         anchor {number}",
        next = next.name(),
        current = world.current.name()
    ))
}

/// The server follows: nobody needs the retained anchor any more.
async fn let_go(world: &mut World) -> Result<String, Unmet> {
    let new = world.current.fingerprint();
    daemon::regenerate(&world.scratch).await?;
    world.bundle_is(&[new]).await?;
    let number = world.connects_via(new).await?;
    world.daemon_reaches_via(new).await?;
    Ok(format!(
        "server switched to {}: the retained anchor left by itself; verified by anchor {number}",
        world.current.name()
    ))
}

/// Somebody empties every source: the store must not follow.
async fn mistake(world: &mut World) -> Result<String, Unmet> {
    let settings = world.scratch.settings();
    let (bundle, bootstrap) = (settings.store.merged.clone(), settings.store.bootstrap.clone());
    let read = || std::fs::read(&bundle).map_err(|error| Unmet::new(bundle.display(), error));
    let before = read()?;
    world.send_out("");
    world.receive().await?;
    write(&bootstrap, b"").map_err(|error| Unmet::new("an emptied bootstrap file", error))?;
    let status = world
        .status_where("the status says store-held", |status| {
            status.store.held.is_some() && status.problems.iter().any(|problem| problem.code == "store-held")
        })
        .await?;
    if read()? != before || status.store.anchors != 1 {
        return Err(Unmet::new("the bundle as it was", "another one"));
    }
    let number = world.connects_via(world.current.fingerprint()).await?;
    Ok(format!(
        "every source emptied by mistake: the store is held as it was and the status says so; the server is still \
         verified by anchor {number}"
    ))
}

/// Says how a step went.
fn judge(number: u32, step: &Result<String, Unmet>) -> Result<(), Failure> {
    match step {
        Ok(held) => {
            said('✓', number, held);
            Ok(())
        }
        Err(unmet) => {
            said('✗', number, unmet);
            Err(Failure::new(
                Failure::FAILED,
                format_args!("step {number} of the playground did not hold: {unmet}"),
            ))
        }
    }
}

fn said(mark: char, number: u32, text: impl fmt::Display) {
    line(format_args!("{mark} {number:<2} {text}"));
}
