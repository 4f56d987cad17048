//! The command line: the one definition that help, man pages and completions come from.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::exit;

/// Read and steer agentd, the keeper of this endpoint's trust store.
#[derive(Debug, Parser)]
#[command(
    name = "agentctl",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
#[command(after_help = exit::HELP)]
pub struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Print one JSON document on stdout instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colour; without it NO_COLOR and CLICOLOR_FORCE are asked, and the terminal.
    #[arg(long, global = true, value_name = "auto|always|never", value_enum, default_value_t = Color::Auto)]
    #[arg(hide_default_value = true, hide_possible_values = true)]
    pub color: Color,
    /// Put the whole default layout under this directory: needs no root, disturbs nothing.
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// Read this configuration file.
    #[arg(long, global = true, value_name = "FILE", env = "AGENTD_CONFIG")]
    pub config: Option<PathBuf>,
    /// Say nothing on stderr but errors.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more on stderr.
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// When output has colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal
    Auto,
    /// Into files and pipes too
    Always,
    /// Not even on a terminal
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the store, its sources and servers, and what needs a hand
    #[command(after_help = "Examples:
  agentctl status
  agentctl status --check && echo all well
  agentctl status --json | jq .problems")]
    Status {
        /// Exit with 8 where something needs a hand
        #[arg(long)]
        check: bool,
    },
    /// Look at the sources now and regenerate the store if one changed
    #[command(after_help = "Examples:
  agentctl regen
  agentctl regen --dry-run     # what would change, by anchor
  agentctl regen --force       # whatever the guard or a rollback would keep, the sources decide")]
    Regen {
        /// Write what the sources hold, even where nothing changed and even no anchor: drops what the guard keeps, ends a
        /// rollback
        #[arg(long)]
        force: bool,
        /// Say what would change and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Show each source: path, hash, anchors, and what was not taken, with line and reason
    #[command(after_help = "Examples:
  agentctl sources
  agentctl sources --json | jq -r '.sources[].rejected[].detail'")]
    Sources,
    /// Show the anchors of the store
    #[command(
        subcommand,
        after_help = "Examples:
  agentctl anchors list
  agentctl anchors show 1"
    )]
    Anchors(Anchors),
    /// Say what the merge would make of any file; change nothing
    #[command(after_help = "Examples:
  agentctl lint new-ca.pem
  agentctl lint --json *.cer | jq '.[].rejected'
  openssl s_client -connect host:443 -showcerts </dev/null | agentctl lint -")]
    Lint {
        /// Files of certificates: PEM, DER, PKCS#7; `-` for standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Connect as the daemon does: which anchor worked, and why each other did not
    #[command(after_help = "Examples:
  agentctl connect                                   # the configured servers
  agentctl connect https://mgmt.example:443
  agentctl connect mgmt.example --at 2027-03-01T00:00:00Z
  agentctl connect mgmt.example --bundle new-ca.pem  # would this file do?")]
    Connect(Connect),
    /// Take a server's certificate into a source of the store, by its fingerprint
    #[command(after_help = crate::commands::fetch::EXAMPLES)]
    Fetch(Fetch),
    /// Trust a management server, write it into the configuration and connect to it, in one; run again it mends
    #[command(after_help = crate::commands::enroll::EXAMPLES)]
    Enroll(Enroll),
    /// Verify a chain against anchors offline: no network, no clock, no system store
    #[command(after_help = "Examples:
  agentctl verify --anchors ca.pem --chain sent.pem --host mgmt.example --at 2027-03-01T00:00:00Z
  agentctl verify --batch < cases.jsonl > verdicts.jsonl")]
    Verify(Verify),
    /// Show the generations of the store: when, by whom, why, and what changed
    #[command(after_help = "Examples:
  agentctl history
  agentctl history --limit 5
  agentctl history --json | jq '.generations[0].added'")]
    History {
        /// Show so many, the latest first
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Show what differs between two lists of anchors
    #[command(after_help = crate::commands::diff::HELP)]
    Diff {
        /// The older one; the store in force if it is not given
        #[arg(value_name = "A", value_hint = ValueHint::FilePath)]
        from: Option<String>,
        /// The newer one; what the sources say now if A is not given either, else the store in force
        #[arg(value_name = "B", value_hint = ValueHint::FilePath)]
        to: Option<String>,
        /// Exit with 10 where they differ
        #[arg(long)]
        exit_code: bool,
    },
    /// Go back to the anchors of an earlier generation, as a new generation
    #[command(
        after_help = "The store stays as it was then until a source changes; with --pin it stays for that long \
whatever the sources say.\nAnchors that come new to a source are added all the same, a distrusted one does not come \
back, and what a server needs\nis retained. `agentctl regen --force` ends it.

Examples:
  agentctl rollback              # to the generation before this one
  agentctl rollback 41 --pin 24h
  agentctl rollback 41 --dry-run"
    )]
    Rollback {
        /// The generation; the one before the present one if it is not given
        #[arg(value_name = "GEN")]
        generation: Option<String>,
        /// For so long no change of a source undoes it, as in 12h or 7d
        #[arg(long, value_name = "DURATION", value_parser = crate::commands::order::duration)]
        pin: Option<std::time::Duration>,
        /// Say what would change and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Never let a certificate into the store again, whatever a source says; without one, list those
    #[command(after_help = "It takes effect at once, and even where a server needs the anchor.

Examples:
  agentctl distrust 3                      # the third of `agentctl anchors list`
  agentctl distrust 3f9a02c1 --reason \"key stolen\"
  agentctl distrust                        # what is distrusted")]
    Distrust {
        /// SHA-256 of the certificate; of an anchor of the store also its number or the beginning of its SHA-256
        #[arg(value_name = "FINGERPRINT")]
        anchor: Option<String>,
        /// Why, for the record
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
        /// Say what would change and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Take a `distrust` back
    #[command(after_help = "Example:
  agentctl trust 3f9a02c1")]
    Trust {
        /// SHA-256 of the certificate, or the beginning of it
        #[arg(value_name = "FINGERPRINT")]
        anchor: String,
        /// Say what would change and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Ask the management servers for their policies now, and regenerate
    #[command(after_help = "Examples:
  agentctl refresh
  agentctl refresh --json | jq .written
  agentctl refresh --allow-downgrade   # take an older policy on purpose")]
    Refresh {
        /// Take a lower version of a policy too
        #[arg(long)]
        allow_downgrade: bool,
    },
    /// Tell the management servers how this endpoint is, now
    #[command(after_help = "Examples:
  agentctl inventory
  agentctl inventory --print | jq .store.anchors   # what they would be told")]
    Inventory {
        /// Show the document and send nothing
        #[arg(long)]
        print: bool,
    },
    /// Show the record of every change of trust: who, when, why; and whether it is whole
    #[command(after_help = crate::commands::audit::EXAMPLES)]
    Audit {
        /// Only say whether it is whole, and name the first line that is not
        #[arg(long)]
        verify: bool,
        /// Show so many, the latest
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Look for everything that usually goes wrong; each finding with its fix
    #[command(after_help = crate::commands::doctor::EXAMPLES)]
    Doctor {
        /// Mend what can be mended without touching trust, asking before each step
        #[arg(long)]
        fix: bool,
        /// Do not ask
        #[arg(long, requires = "fix")]
        yes: bool,
    },
    /// Print the metrics of `status` for Prometheus
    #[command(after_help = "Examples:
  agentctl metrics
  agentctl metrics | grep agentd_server_lock
  agentctl metrics | promtool check metrics")]
    Metrics,
    /// Follow what happens, until interrupted
    #[command(after_help = "Examples:
  agentctl watch
  agentctl watch --json | jq -c .event")]
    Watch,
    /// Print shell completions: they know the anchors, generations and servers of this endpoint
    #[command(after_help = "The packages have them in place. Otherwise, as examples:
  agentctl completions bash > /etc/bash_completion.d/agentctl
  agentctl completions zsh > \"${fpath[1]}/_agentctl\"
  agentctl completions fish > ~/.config/fish/completions/agentctl.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the man page, or write that of every command into a directory
    #[command(after_help = "Examples:
  agentctl man > agentctl.1
  agentctl man --dir man1")]
    Man {
        /// Write agentctl.1, agentctl-status.1 and so on here
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

/// A shell that has completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash, from 3.2 on
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// Questions about anchors.
#[derive(Debug, Subcommand)]
pub enum Anchors {
    /// List the anchors in the order of trial
    #[command(after_help = "Examples:
  agentctl anchors list
  agentctl anchors list --json | jq -r '.anchors[].fingerprint'")]
    List,
    /// Show all of one anchor
    #[command(after_help = "Examples:
  agentctl anchors show 1
  agentctl anchors show 3f9a02c1")]
    Show {
        /// Its number in the list, or its SHA-256 or the beginning of it
        #[arg(value_name = "N or FINGERPRINT")]
        anchor: String,
    },
}

/// Options of `connect`.
#[derive(Debug, Args)]
pub struct Connect {
    /// A configured server's name, a URL, or HOST[:PORT]; without it every configured server
    pub server: Option<String>,
    /// Use this file of anchors instead of the store
    #[arg(long, value_name = "FILE")]
    pub bundle: Option<PathBuf>,
    /// Judge as if it were this time
    #[arg(long, value_name = "RFC3339")]
    pub at: Option<jiff::Timestamp>,
    /// How names are matched
    #[arg(long, value_enum)]
    pub names: Option<Names>,
    /// SHA-256 or SHA-1 of the certificate that the server must present
    #[arg(long, value_name = "HEX")]
    pub pin: Option<String>,
}

/// Options of `fetch`.
#[derive(Debug, Args)]
pub struct Fetch {
    /// HOST[:PORT], [IPV6]:PORT, or a https URL; the port is 443 if none is given
    #[arg(value_name = "HOST[:PORT]")]
    pub server: String,
    /// How the certificate is chosen
    #[command(flatten)]
    pub how: FetchHow,
    /// Where the certificate goes: `bootstrap`, `site`, or any file of certificates
    #[arg(long, value_name = "bootstrap|site|FILE", default_value = "bootstrap", value_hint = ValueHint::FilePath)]
    pub to: String,
    /// Begin the file anew with this certificate alone; the difference is shown first
    #[arg(long)]
    pub replace: bool,
    /// Ask the server for this name (SNI), and look for it in the certificate
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,
}

/// How a certificate is chosen, for `fetch` and `enroll`.
#[derive(Debug, Args)]
pub struct FetchHow {
    /// SHA-256 of the certificate or of its key, or SHA-1 with a warning; may be given several times: one must be right
    #[arg(long, value_name = "HEX")]
    pub fingerprint: Vec<String>,
    /// Take this certificate of the chain, in place of the one that the fingerprint is of
    #[arg(long, value_enum)]
    pub pick: Option<Pick>,
    /// How long to wait for the server, as in 10s or 1m
    #[arg(long, value_name = "DURATION", value_parser = crate::commands::fetch::timeout)]
    pub timeout: Option<std::time::Duration>,
}

/// Options of `enroll`.
#[derive(Debug, Args)]
pub struct Enroll {
    /// The server's address: https://HOST[:PORT]
    #[arg(value_name = "URL")]
    pub url: String,
    /// How the certificate is chosen
    #[command(flatten)]
    pub how: FetchHow,
    /// The server's name in tables, logs and commands; the host if none is given
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What the server is to this endpoint
    #[arg(long, value_enum, default_value_t = Role::Management)]
    pub role: Role,
    /// Path of the policies' index on the server, as in /policies/index.json ([refresh] index)
    #[arg(long, value_name = "PATH")]
    pub index: Option<String>,
    /// Path on the server that takes inventory, as in /inventory ([inventory] path)
    #[arg(long, value_name = "PATH")]
    pub inventory: Option<String>,
}

/// What a server is to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// It sends policies and receives inventory; its certificate goes to the bootstrap source
    Management,
    /// It holds packages; its certificate goes to the site servers' source
    Site,
}

/// A place in a presented chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pick {
    /// The server's own certificate
    Leaf,
    /// The certificate that issued it
    Issuer,
    /// The self-signed certificate at the top
    Root,
}

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The anchors, in order
    #[arg(long, value_name = "FILE", required_unless_present = "batch")]
    pub anchors: Option<PathBuf>,
    /// The chain that a server presented, leaf first
    #[arg(long, value_name = "FILE", required_unless_present = "batch")]
    pub chain: Option<PathBuf>,
    /// The name or address that was connected to
    #[arg(long, value_name = "NAME", required_unless_present = "batch")]
    pub host: Option<String>,
    /// The time to judge by
    #[arg(long, value_name = "RFC3339", required_unless_present = "batch")]
    pub at: Option<jiff::Timestamp>,
    /// How names are matched
    #[arg(long, value_enum, default_value_t = Names::Compat)]
    pub names: Names,
    /// Accept a chain that no anchor verifies (SSLVerifyPeer="no")
    #[arg(long)]
    pub no_verify_peer: bool,
    /// Accept another name (SSLVerifyHost="no")
    #[arg(long)]
    pub no_verify_host: bool,
    /// SHA-256 or SHA-1 that the leaf must have besides
    #[arg(long, value_name = "HEX")]
    pub pin: Option<String>,
    /// Read cases from stdin as JSON Lines, write a verdict a line
    #[arg(long, conflicts_with_all = ["anchors", "chain", "host", "at", "pin", "no_verify_peer", "no_verify_host"])]
    pub batch: bool,
}

/// How a server's name is matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Names {
    /// Subject alternative names only
    Strict,
    /// A common name too, where the certificate has no alternative DNS name or address
    Compat,
}
