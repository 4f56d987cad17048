//! Running programs, and saying what is done.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Says something to whoever runs this: on stderr, as cargo does.
pub(crate) fn say(text: &str) {
    // Nobody to tell where stderr is closed.
    let _closed = writeln!(std::io::stderr(), "{text}");
}

/// Runs a program with our own output, and fails where it fails.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let name = describe(command);
    say(&format!("+ {name}"));
    let status = command.status().map_err(|error| format!("{name}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name}: {status}")) }
}

/// Runs a program for its standard output.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    let name = describe(command);
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() { Ok(output.stdout) } else { Err(format!("{name}: {}", output.status)) }
}

/// The cargo that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
