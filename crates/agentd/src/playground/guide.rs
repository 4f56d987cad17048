//! The playground that stays: says what was set up and what to try, and switches the server's certificate when asked.

use std::fs;
use std::io::BufRead as _;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::say::line;
use super::script;
use super::unmet::Unmet;
use super::world::World;
use crate::failure::Failure;

/// Sets up, says so, and plays an act each time that Enter is pressed or the file is made. Ends only by a failure of
/// the set-up, or where the daemon ends.
pub(super) async fn stay(world: &mut World) -> Result<(), Failure> {
    line("Setting up a scratch endpoint and its management server …\n");
    script::set_up(world).await?;
    line(guide(world));
    let mut asked = Asked { lines: lines(), switch: world.scratch.switch() };
    let mut act = Act::Switch;
    loop {
        asked.wait(world).await?;
        act = match act {
            Act::Switch => told(switch(world).await, Act::Drop, Act::Switch),
            Act::Drop => told(script::drop_old(world).await, Act::Switch, Act::Drop),
        };
    }
}

#[derive(Clone, Copy)]
enum Act {
    Switch,
    Drop,
}

fn told(played: Result<String, Unmet>, next: Act, again: Act) -> Act {
    let (done, act) = match played {
        Ok(done) => (format!("✓ {done}"), next),
        // Whoever plays with the sources may well have made it fail.
        Err(unmet) => (format!("✗ {unmet}"), again),
    };
    line(done);
    line(match act {
        Act::Switch => "  Enter: switch the server to a new CA",
        Act::Drop => "  Enter: drop the old CA from the sources",
    });
    act
}

/// Sends out a new CA, then switches the server to it.
async fn switch(world: &mut World) -> Result<String, Unmet> {
    let failed = |failure: Failure| Unmet::new("a new certificate", failure);
    let (old, next) = (world.current.fingerprint(), world.next_authority().map_err(failed)?);
    let anchors = world.current.pem() + &next.pem();
    let sent = script::send_out_before(world, &anchors, [old, next.fingerprint()]).await?;
    line(format_args!("✓ {sent}"));
    world.switch_to(next).map_err(failed)?;
    script::switched(world).await
}

/// The two ways to ask for the next act.
struct Asked {
    lines: mpsc::UnboundedReceiver<()>,
    switch: std::path::PathBuf,
}

impl Asked {
    async fn wait(&mut self, world: &mut World) -> Result<(), Failure> {
        loop {
            if self.lines.try_recv().is_ok() || fs::remove_file(&self.switch).is_ok() {
                return Ok(());
            }
            sleep(LOOK).await;
            world.alive().map_err(|unmet| Failure::new(Failure::FAILED, unmet))?;
        }
    }
}

/// Lines of stdin, read on a thread that the end of the process ends: a read from a terminal cannot be called off.
fn lines() -> mpsc::UnboundedReceiver<()> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut text = String::new();
        while input.read_line(&mut text).is_ok_and(|length| length > 0) && sender.send(()).is_ok() {
            text.clear();
        }
    });
    receiver
}

fn guide(world: &World) -> String {
    let scratch = &world.scratch;
    let store = &scratch.settings().store;
    let root = scratch.root().display();
    let (agentctl, note) = agentctl();
    format!(
        "
The endpoint
  configuration   {config}
  bootstrap       {bootstrap}
  policies        {policies}
  CAInfo file     {site_ca}   (named by the policy)
  bundle          {merged}
  daemon's log    {log}

The management server
  {url}   (presents a certificate of {authority})

Try in a second terminal{note}
  {agentctl} --root {root_word} status
  {agentctl} --root {root_word} anchors list
  {agentctl} --root {root_word} connect
  {agentctl} --root {root_word} lint {site_word}
  {agentctl} --root {root_word} watch

  add a certificate, and see it in the bundle at once:
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=Mine -keyout /dev/null >> {site_word}

  use the bundle:
    curl --cacert {merged_word} {url}{policy}

Switch the server's certificate
  Press Enter here, or: touch {switch_word}
  The new CA is sent out by policy first, then the server is switched. Once more drops the old CA.

Ctrl-C stops the daemon and the server; the directory stays:
  {root}
",
        config = scratch.config().display(),
        bootstrap = store.bootstrap.display(),
        policies = store.policies.display(),
        site_ca = scratch.site_ca().display(),
        merged = store.merged.display(),
        log = scratch.log().display(),
        url = world.server.url(),
        authority = world.current.name(),
        policy = super::agent::policy_path(),
        root_word = word(scratch.root()),
        site_word = word(&scratch.site_ca()),
        merged_word = word(&store.merged),
        switch_word = word(&scratch.switch()),
    )
}

/// How agentctl is called, and what to do first where it was not built.
fn agentctl() -> (String, &'static str) {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(|directory| directory.join("agentctl"));
    match beside {
        Some(path) if path.is_file() => (word(&path), ""),
        _ => ("target/release/agentctl".to_owned(), " (agentctl is not built yet: cargo build --release)"),
    }
}

/// A path as one word of a shell's command.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.chars().all(|c| c.is_alphanumeric() || "/._-+".contains(c));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Between two looks for the file.
const LOOK: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_a_shell() {
        assert_eq!(word(Path::new("/tmp/agentd-playground-1")), "/tmp/agentd-playground-1");
        let odd = "/tmp/it's <a> & \"b\" $c";
        let printed = std::process::Command::new("sh")
            .args(["-c", &format!("printf %s {}", word(Path::new(odd)))])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(printed.stdout).unwrap(), odd);
    }
}
