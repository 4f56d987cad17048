//! The operator's hand on agentd.
//!
//! Every command is a report (a value) and its rendering: JSON is the report as it is, text is drawn from it. Reports
//! come from the daemon where one runs, else from the same code in this process.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

pub mod cli;
mod commands;
mod complete;
mod context;
mod doctor;
mod error;
mod exit;
mod names;
mod out;
mod suggest;
mod words;

use cli::{Cli, Command};
use context::Context;
use error::Error;
use exit::Exit;
use out::HANG;

/// Runs the program and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = agent_runtime::reader::serve_if_asked() {
        return code;
    }
    agent_runtime::file_size::is_an_error();
    if complete::serve_if_asked() {
        return Exit::Done.into();
    }
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // Before anything is said, also of a command line that is wrong.
    out::colour(out::colour_asked_for(&arguments));
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => return help_or_error(&error),
    };
    match run(&cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            out::stderr_line(&format!("{} {HANG}{error}", out::styled(out::BAD, "error:")));
            error.exit.into()
        }
    }
}

/// Help and version, which are data, or what is wrong with the command line.
fn help_or_error(error: &clap::Error) -> ExitCode {
    let text = error.render().ansi().to_string();
    if error.use_stderr() {
        out::stderr_line(text.trim_end());
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8));
    }
    match out::page(&text) {
        Ok(()) => Exit::Done.into(),
        Err(error) => error.exit.into(),
    }
}

fn run(cli: &Cli) -> Result<Exit, Error> {
    // What needs no configuration works where that is wrong.
    match &cli.command {
        Command::Completions { shell } => return commands::completions::run(*shell),
        Command::Man { dir } => return commands::completions::man(dir.as_deref()),
        Command::Lint { files } => return commands::lint::run(&cli.global, files),
        Command::Verify(verify) => return commands::verify::run(&cli.global, verify),
        _ => {}
    }
    let context = Context::load(&cli.global)?;
    match &cli.command {
        Command::Status { check } => commands::status::run(&context, *check),
        Command::Regen { force, dry_run } => commands::regen::run(&context, *force, *dry_run),
        Command::Sources => commands::sources::run(&context),
        Command::Anchors(anchors) => commands::anchors::run(&context, anchors),
        Command::Connect(connect) => commands::connect::run(&context, connect),
        Command::Fetch(fetch) => commands::fetch::run(&context, fetch),
        Command::Enroll(enroll) => commands::enroll::run(&context, &cli.global, enroll),
        Command::History { limit } => commands::history::run(&context, *limit),
        Command::Diff { from, to, exit_code } => {
            commands::diff::run(&context, from.as_deref(), to.as_deref(), *exit_code)
        }
        Command::Rollback { generation, pin, dry_run } => {
            commands::order::rollback(&context, generation.as_deref(), *pin, *dry_run)
        }
        Command::Distrust { anchor: Some(anchor), reason, dry_run } => {
            commands::order::distrust(&context, anchor, reason, *dry_run)
        }
        Command::Distrust { anchor: None, .. } => commands::order::list_distrusted(&context),
        Command::Trust { anchor, dry_run } => commands::order::trust(&context, anchor, *dry_run),
        Command::Refresh { allow_downgrade } => commands::refresh::run(&context, *allow_downgrade),
        Command::Inventory { print } => commands::inventory::run(&context, *print),
        Command::Audit { verify, limit } => commands::audit::run(&context, *verify, *limit),
        Command::Doctor { fix, yes } => commands::doctor::run(&context, *fix, *yes),
        Command::Metrics => commands::metrics::run(&context),
        Command::Watch => commands::watch::run(&context),
        Command::Completions { .. } | Command::Man { .. } | Command::Lint { .. } | Command::Verify(_) => {
            Ok(Exit::Done)
        }
    }
}
