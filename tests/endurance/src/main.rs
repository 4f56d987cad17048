//! The long forms: `cargo run --release -p endurance -- COMMAND`, which prints its figures.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use endurance::figures::Figures;
use endurance::{kills, readers, soak, storm};

const HELP: &str = "\
Usage: endurance COMMAND

  storm                    100,000 changes, and more events than the system keeps
  readers                  300,000 reads of the bundle during regenerations
  kills [COUNT]            SIGKILL for the running daemon, 1,000 times
  soak [MINUTES]           a week of the daemon's time under load and faults, in 10 minutes";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let all = match words.as_slice() {
        ["storm"] => [Some(storm::storm(100_000, 10)), storm::overflow()].into_iter().flatten().collect(),
        ["readers"] => vec![readers::readers(300_000, 500)],
        ["kills"] => vec![kills::kills(1_000)],
        ["kills", count] if count.parse::<usize>().is_ok() => {
            vec![kills::kills(count.parse().unwrap_or_default())]
        }
        ["soak"] => vec![soak::soak(Duration::from_secs(600))],
        ["soak", minutes] if minutes.parse::<u64>().is_ok_and(|minutes| minutes > 0) => {
            vec![soak::soak(Duration::from_secs(60 * minutes.parse::<u64>().unwrap_or(1)))]
        }
        _ => {
            say(&HELP);
            return ExitCode::FAILURE;
        }
    };
    tell(&all)
}

/// Prints figures, and what was broken.
fn tell(all: &[Figures]) -> ExitCode {
    for figures in all {
        say(figures);
        figures.broken.iter().for_each(|why| say(why));
    }
    if all.iter().all(|figures| figures.broken.is_empty()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A closed pipe is nobody to tell.
fn say(what: &dyn std::fmt::Display) {
    let _unheard = writeln!(std::io::stdout(), "{what}");
}
