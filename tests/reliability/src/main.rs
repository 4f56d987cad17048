//! The long forms: `cargo run --release -p reliability -- COMMAND`, which prints its figures.

use std::path::Path;
use std::process::ExitCode;

use reliability::control;
use reliability::errno;
use reliability::figures::Figures;
use reliability::kill::{self, Extent};
use reliability::powercut::{self, Cut, Kind};
use reliability::scene::{Action, Control, Past};
use reliability::warm;

const HELP: &str = "\
Usage: reliability COMMAND [ONLY]

With ONLY, those alone whose name has this in it: regeneration, start, rollback, distrust; of power-cut ext4 or xfs.

  kill                     SIGKILL at every system call of a regeneration, a first start, a rollback, a distrust and
                           their recoveries
  errno                    every system call of the first three fails: ten errors, once and from then on
  warm                     both for a regeneration of a daemon that runs: killed; four errors, once and from then on
  power-cut                the power goes at every system call, on ext4 and XFS; as root
  power-cut short          at those that change the disk, and at a sample of the others
  write SORT FROM TO       a broken writer: in-place or no-sync";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["kill"] => kills(""),
        ["kill", only] => kills(only),
        ["power-cut"] => power_cuts(1, ""),
        ["power-cut", "short"] => power_cuts(16, ""),
        ["power-cut", only] => power_cuts(1, only),
        ["errno"] => errnos(""),
        ["errno", only] => errnos(only),
        ["warm"] => warm(),
        ["write", sort, from, to] => {
            control::write(sort, Path::new(from), Path::new(to)).map_err(|error| error.to_string())
        }
        _ => Err(HELP.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say(&mut std::io::stderr(), &message);
            ExitCode::FAILURE
        }
    }
}

fn kills(only: &str) -> Result<(), String> {
    let extent = Extent { recovery_step: 1, workers: 2 };
    let regen = Action::agentctl(&["regen"]);
    let actions = [
        ("a regeneration", Past::Changed, regen.clone()),
        ("a first start", Past::Nothing, regen),
        ("a rollback", Past::Settled, Action::agentctl(&["rollback", "1"])),
        ("a distrust", Past::Settled, Action::Distrust),
    ];
    let actions = actions.iter().filter(|(what, ..)| what.contains(only));
    tell(actions.map(|(what, past, action)| Ok(kill::sweep(what, *past, action, extent))))
}

fn errnos(only: &str) -> Result<(), String> {
    let regen = Action::agentctl(&["regen"]);
    let extent = errno::Extent { errnos: errno::ERRNOS.len(), step: 1, workers: 2 };
    let control = Action::Control(Control::InPlace);
    let control = errno::sweep("control: in place", Past::Changed, &control, extent);
    say(&mut std::io::stdout(), &control);
    if control.broken.is_empty() {
        return Err("a writer in place passes: the faults prove nothing".to_owned());
    }
    let actions = [
        ("a regeneration", Past::Changed, regen.clone()),
        ("a first start", Past::Nothing, regen),
        ("a rollback", Past::Settled, Action::agentctl(&["rollback", "1"])),
    ];
    let actions = actions.iter().filter(|(what, ..)| what.contains(only));
    tell(actions.map(|(what, past, action)| Ok(errno::sweep(what, *past, action, extent))))
}

fn warm() -> Result<(), String> {
    let sweeps: [&dyn Fn() -> Figures; 2] = [&|| warm::kills(warm::Extent { step: 1, workers: 3 }), &|| {
        warm::faults(warm::Extent { step: 1, workers: 6 })
    }];
    tell(sweeps.iter().map(|sweep| Ok(sweep())))
}

/// Both file systems and both cuts; the short form leaves out most of the points that change nothing.
fn power_cuts(step: usize, only: &str) -> Result<(), String> {
    if !powercut::is_possible() {
        return Ok(());
    }
    let regen = Action::agentctl(&["regen"]);
    let places = [
        ("ext4", (Kind::Ext4, Cut::LogLost)),
        ("ext4", (Kind::Ext4, Cut::LogKept)),
        ("xfs", (Kind::Xfs, Cut::LogLost)),
        ("xfs", (Kind::Xfs, Cut::LogKept)),
    ];
    let places: Vec<_> = places.into_iter().filter(|(kind, _)| kind.contains(only)).collect();
    if places.is_empty() {
        return Err(HELP.to_owned());
    }
    for (_, place) in places {
        tell([powercut::sweep("a regeneration", &regen, Past::Changed, place, step)])?;
        if step == 1 {
            tell([powercut::sweep("a first start", &regen, Past::Nothing, place, step)])?;
        }
        let control = Action::Control(Control::NoSync);
        let figures = powercut::sweep("control: no sync", &control, Past::Changed, place, step)?;
        say(&mut std::io::stdout(), &figures);
        if figures.broken.is_empty() {
            return Err("a writer without a sync passes: the cuts prove nothing".to_owned());
        }
    }
    Ok(())
}

/// A closed pipe is nobody to tell.
fn say(to: &mut dyn std::io::Write, what: &dyn std::fmt::Display) {
    let _unheard = writeln!(to, "{what}");
}

/// Prints figures as they come, for a sweep may take long; an error where a promise was broken.
fn tell(all: impl IntoIterator<Item = Result<Figures, String>>) -> Result<(), String> {
    let mut broken = Vec::new();
    let mut all = all.into_iter().peekable();
    if all.peek().is_none() {
        return Err(HELP.to_owned());
    }
    for figures in all {
        let figures = figures?;
        say(&mut std::io::stdout(), &figures);
        broken.extend(figures.broken);
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n")) }
}
