//! `agentctl completions` and `agentctl man`: made from the command line's one definition.

use std::io::Write as _;
use std::path::Path;

use clap::CommandFactory as _;

use crate::cli::{Cli, Shell};
use crate::error::Error;
use crate::exit::Exit;

/// Prints the completions of a shell.
pub(crate) fn run(shell: Shell) -> Result<Exit, Error> {
    print(crate::complete::script(shell).as_bytes())
}

/// Prints the man page, or writes a page for each command into a directory.
pub(crate) fn man(directory: Option<&Path>) -> Result<Exit, Error> {
    if let Some(directory) = directory {
        clap_mangen::generate_to(Cli::command(), directory).map_err(|error| {
            Error::new(
                Exit::Failed,
                format_args!("cannot write the man pages into {}: {error}", directory.display()),
            )
        })?;
        return Ok(Exit::Done);
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut text)
        .map_err(|error| Error::new(Exit::Failed, format_args!("cannot make the man page: {error}")))?;
    print(&text)
}

fn print(text: &[u8]) -> Result<Exit, Error> {
    match std::io::stdout().lock().write_all(text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(Exit::Failed, format_args!("cannot write the output: {error}")))
        }
        _ => Ok(Exit::Done),
    }
}
