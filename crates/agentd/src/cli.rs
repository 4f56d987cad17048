//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Keep this endpoint's trust store: watch the sources of CA certificates and merge them into one bundle.
///
/// Stays in the foreground. SIGHUP reads the configuration again, SIGUSR1 regenerates the store, SIGTERM stops.
#[derive(Debug, Parser)]
#[command(
    name = "agentd",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  agentd --playground            a scratch endpoint with a server of its own, to try things out
  agentd --check                 is the configuration right?
  agentd --root /tmp/endpoint    run under a directory, without root

Exit status:
  0  stopped by a signal, or the check passed
  1  failed
  2  wrong usage or configuration
  4  permission denied
  7  another agentd, or an agentctl, has this store's lock"
)]
pub(crate) struct Cli {
    /// Read this configuration file
    #[arg(long, value_name = "FILE", env = "AGENTD_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Put the whole default layout under this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Validate the configuration and exit
    #[arg(long)]
    pub(crate) check: bool,
    /// How to write the log; by default to the journal under systemd, else as text to stderr
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Make a scratch endpoint with a management server of its own and run on it
    #[arg(long, value_name = "DIR", num_args = 0..=1, conflicts_with_all = ["config", "root", "check"])]
    pub(crate) playground: Option<Option<PathBuf>>,
    /// Play a whole certificate switch in the playground and exit: 0 only if every step held
    #[arg(long, requires = "playground")]
    pub(crate) once: bool,
}

/// How the log is written to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// A line of text an event
    Text,
    /// A JSON object a line
    Json,
}
