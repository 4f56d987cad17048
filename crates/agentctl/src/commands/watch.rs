//! `agentctl watch`: what happens, an event a line.

use std::io::Write as _;

use agent_control::client::Seen;
use agent_control::wire::Event;

use crate::context::{Context, client_error};
use crate::error::Error;
use crate::exit::Exit;
use crate::names::Names;
use crate::out::{BOLD, DIM, HANG, styled};
use crate::words::{self, local_of};

/// Follows the daemon's events until interrupted, or until the reader goes away.
pub(crate) fn run(context: &Context) -> Result<Exit, Error> {
    Context::runtime()?.block_on(async {
        let Some(client) = context.daemon().await? else {
            return Err(Error::new(
                Exit::Unreachable,
                format_args!(
                    "agentd is not running: nobody listens on {}",
                    context.settings.control.socket.display()
                ),
            )
            .hint(format_args!(
                "start it with `{}`; without it nothing happens that could be watched",
                words::remedy("systemctl start agentd", context.root.as_deref())
            )));
        };
        let mut watch = client.watch().await.map_err(|error| client_error(&error))?;
        context.out.note("watching; press Ctrl-C to stop");
        let mut names = Names::of_store(context);
        while let Some(seen) = watch.next().await.map_err(|error| client_error(&error))? {
            let event = match seen {
                Seen::Event(event) => event,
                Seen::Lost(count) => {
                    context.out.note(&format!(
                        "{} were missed: this reader is too slow",
                        words::count(count, "event")
                    ));
                    continue;
                }
            };
            if !context.out.json && !event.added.is_empty() {
                names.learn_store(context);
            }
            if !context.out.line(&event, |event, out| writeln!(out, "{}", line(event, &names)))? {
                return Ok(Exit::Done);
            }
        }
        context.out.note("the daemon has ended: nothing more will come");
        Ok(Exit::Done)
    })
}

fn line(event: &Event, names: &Names) -> String {
    let mut text = format!("{}  {HANG}{}", styled(DIM, local_of(&event.ts)), styled(BOLD, &event.event));
    if let Some(generation) = event.generation {
        text.push_str(&format!("  generation {generation}"));
    }
    for (sign, list) in [("+", &event.added), ("-", &event.removed)] {
        for fingerprint in list.iter().take(NAMED) {
            let id = words::short(fingerprint);
            match &*names.get(fingerprint) {
                "" => text.push_str(&format!("  {sign}{id}")),
                subject => text.push_str(&format!("  {sign}{id} {subject}")),
            }
        }
        if list.len() > NAMED {
            text.push_str(&format!("  {sign}{} more", list.len() - NAMED));
        }
    }
    if let Some(message) = &event.message {
        text.push_str(&format!("  {message}"));
    }
    text
}

/// An event has a line, not a list: `agentctl diff` has that.
const NAMED: usize = 5;
