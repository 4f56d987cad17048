//! `agentctl enroll`: from nothing to a trusted server, step by step; what is done already is passed over, so that running
//! it again mends.

use std::path::{Path, PathBuf};

use agent_config::{Role, default_config_path};
use agent_control::wire::AttemptReport;
use agent_runtime::bootstrap::{ConfigureError, Configured, NewServer, Sources, add_server};
use trust_tls::connect::Target;
use url::Url;

use super::connect::{parse_target, standing};
use super::fetch::{FetchReport, Wish, fetch, file_error, words_of};
use super::inventory::inventory;
use super::refresh::{exit_of_attempts, refresh};
use crate::cli;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;
use crate::suggest;
use crate::words::count;

mod daemon;
mod report;

use report::{EnrollReport, render};

/// For `--help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agentctl enroll https://mgmt.example --fingerprint a91b77e0…
  agentctl enroll https://mgmt.example:4726            # on a terminal: shows the chain and asks
  agentctl enroll https://mgmt.example --fingerprint a91b77e0… --index /policies/index.json
  agentctl enroll https://ss3.branch.example --role site --fingerprint a91b77e0…

Each step says what it did. Where one fails the steps before it stay, and the same command goes on from there.";

/// Does every step until one fails.
pub(crate) fn run(context: &Context, global: &cli::Global, options: &cli::Enroll) -> Result<Exit, Error> {
    let target = parse_target(&options.url).ok_or_else(|| wrong_url(&options.url))?;
    let url = Url::parse(&format!("https://{}/", words_of(&target))).map_err(|_| wrong_url(&options.url))?;
    let enrolment = Enrolment {
        context,
        target,
        url,
        options,
        global,
        file: global.config.clone().unwrap_or_else(|| default_config_path(context.root.as_deref())),
    };
    let mut report = EnrollReport::new(enrolment.url.as_str());
    enrolment.run(&mut report);
    // Without a fingerprint nothing was begun: that is a matter of usage, and not a report.
    if let Some(error) = report.take_usage_error() {
        return Err(error);
    }
    context.out.data(&report, render)?;
    Ok(report.exit())
}

struct Enrolment<'a> {
    context: &'a Context,
    target: Target,
    url: Url,
    options: &'a cli::Enroll,
    global: &'a cli::Global,
    /// The configuration file.
    file: PathBuf,
}

/// What a step has done, in a line.
#[derive(Debug, Clone)]
struct Done {
    result: Outcome,
    detail: String,
    /// What else is to be done, where the step is done but not all is well.
    fix: Vec<String>,
}

/// How a step ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It did something.
    Done,
    /// It was so before.
    Already,
    /// It is not configured.
    Skipped,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Already => "already",
            Self::Skipped => "skipped",
        }
    }
}

impl Done {
    fn new(result: Outcome, detail: impl Into<String>) -> Self {
        Self { result, detail: detail.into(), fix: Vec::new() }
    }
}

impl Enrolment<'_> {
    fn run(&self, report: &mut EnrollReport) {
        let fetched = self.fetch();
        if let Ok(fetched) = &fetched {
            report.fetched = serde_json::to_value(fetched).ok();
        }
        let fetched = fetched.and_then(|fetched| done_of_fetch(&fetched));
        if !report.step("fetch", fetched) || !report.step("configuration", self.configure()) {
            return;
        }
        // With the configuration as it is now.
        let context = match Context::load(self.global) {
            Ok(context) => context,
            Err(error) => {
                report.step("connection", Err(error));
                return;
            }
        };
        if !report.step("connection", self.connect(&context)) {
            return;
        }
        // Each by itself: a server that has no policies may well take inventory.
        report.step("policy", self.refresh(&context));
        report.step("inventory", self.tell(&context));
    }

    fn fetch(&self) -> Result<FetchReport, Error> {
        let to = match self.options.role {
            cli::Role::Management => "bootstrap",
            cli::Role::Site => "site",
        };
        let wish = Wish { to, replace: false, server_name: None, how: &self.options.how };
        fetch(self.context, &self.target, &wish)
    }

    /// Writes the server into the configuration, and has a running daemon read it.
    fn configure(&self) -> Result<Done, Error> {
        let sources = Sources::of(&self.context.endpoint());
        let file = std::path::absolute(&self.file)
            .map_err(|error| Error::new(Exit::Usage, format_args!("{}: {error}", self.file.display())))?;
        sources.make_directory_of(&file).map_err(|error| file_error(&error))?;
        let snapshot = sources.snapshot(&file).map_err(|error| file_error(&error))?;
        let text = String::from_utf8(snapshot.bytes.clone().unwrap_or_default())
            .map_err(|_| Error::new(Exit::Usage, format_args!("{} is not UTF-8", file.display())))?;
        let new = NewServer {
            url: &self.url,
            name: self.options.name.as_deref(),
            role: self.role(),
            index: self.options.index.as_deref(),
            inventory: self.options.inventory.as_deref(),
        };
        let configured = add_server(&text, &file, self.context.root.as_deref(), &new)
            .map_err(|error| Self::configure_error(&file, &error))?;
        let (result, what) = match configured {
            Configured::Present { name } => {
                (Outcome::Already, format!("{} has it already as \"{name}\"", file.display()))
            }
            Configured::Change { text, name } => {
                sources.put(&snapshot, text.as_bytes()).map_err(|error| file_error(&error))?;
                (Outcome::Done, format!("added to {} as \"{name}\"", file.display()))
            }
        };
        let taken = daemon::take_over(self.context, self.url.as_str())?;
        let fix = match &taken {
            daemon::Taken::NotRunning => vec![match &self.context.root {
                Some(root) => format!("start the daemon: agentd --root {}", root.display()),
                None => "start the service: systemctl enable --now agentd".to_owned(),
            }],
            daemon::Taken::Known if result == Outcome::Already => Vec::new(),
            daemon::Taken::Known | daemon::Taken::Unasked => {
                vec!["have the daemon read it: systemctl reload agentd".to_owned()]
            }
            daemon::Taken::Over => Vec::new(),
        };
        Ok(Done { result, detail: format!("{what}; {}", taken.words()), fix })
    }

    /// The first connection, with the store as it is now.
    fn connect(&self, context: &Context) -> Result<Done, Error> {
        let configured = context.settings.servers.iter().find(|server| server.url == self.url);
        let server = configured.ok_or_else(|| {
            Error::new(Exit::Conflict, format_args!("{} is in the configuration no more", self.url))
        })?;
        let standing = standing(context, server)?;
        let reason = standing.reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        if standing.accepted {
            let detail = format!("{}{reason}: {}", standing.lock, standing.detail);
            return Ok(Done::new(Outcome::Done, detail));
        }
        Err(Error::new(Exit::Refused, standing.detail).hint(format_args!("agentctl connect {}", self.url)))
    }

    /// The first policies, and the store that follows from them.
    fn refresh(&self, context: &Context) -> Result<Done, Error> {
        if context.settings.refresh.index.is_none() || self.role() == Role::Site {
            return Ok(Done::new(Outcome::Skipped, "no index is configured: policies come in another way"));
        }
        let report = refresh(context, false)?;
        match report.result.as_str() {
            "failed" => Err(of_attempts(super::refresh::exit_of(&report), &report.attempts)),
            "unchanged" => Ok(Done::new(Outcome::Already, "nothing new")),
            _ => {
                let files = count(report.written.len() as u64, "file");
                Ok(Done::new(Outcome::Done, format!("{files} written, generation {}", report.generation)))
            }
        }
    }

    /// The first inventory.
    fn tell(&self, context: &Context) -> Result<Done, Error> {
        if context.settings.inventory.path.is_none() || self.role() == Role::Site {
            return Ok(Done::new(Outcome::Skipped, "no path is configured that takes it"));
        }
        let report = inventory(context)?;
        if report.result == "sent" {
            let server = report.server.unwrap_or_default();
            return Ok(Done::new(
                Outcome::Done,
                format!("{} sent to {server}", count(report.sent, "document")),
            ));
        }
        Err(of_attempts(exit_of_attempts(&report.attempts), &report.attempts))
    }

    fn role(&self) -> Role {
        match self.options.role {
            cli::Role::Management => Role::Management,
            cli::Role::Site => Role::Site,
        }
    }

    fn configure_error(file: &Path, error: &ConfigureError) -> Error {
        let hint = match error {
            ConfigureError::Wrong(_) => {
                "correct the configuration, then run the same command again".to_owned()
            }
            ConfigureError::OtherRole { .. } => "give --role as it is there, or change the file".to_owned(),
            ConfigureError::OtherPath { .. } => "leave the option away, or change the file".to_owned(),
            ConfigureError::WouldNotRead { lines } => {
                format!("write it there by hand, then run the same command again:  {}", lines.join("  "))
            }
        };
        let what = match error {
            // It names the file and the place itself.
            ConfigureError::Wrong(_) => error.to_string(),
            error => format!("{}: {error}", file.display()),
        };
        Error::new(Exit::Usage, what).hint(hint)
    }
}

fn done_of_fetch(fetched: &FetchReport) -> Result<Done, Error> {
    if fetched.exit() != Exit::Done {
        return Err(fetched.store_error());
    }
    let result = if fetched.result == "present" { Outcome::Already } else { Outcome::Done };
    Ok(Done::new(result, fetched.line()))
}

/// Why no server did it, each with its remedy.
fn of_attempts(exit: Exit, attempts: &[AttemptReport]) -> Error {
    let what: Vec<String> =
        attempts.iter().map(|attempt| format!("{}: {}", attempt.server, attempt.message)).collect();
    let error = Error::new(exit, what.join("; "));
    attempts.iter().fold(error, |error, attempt| error.hint(&attempt.remedy))
}

fn wrong_url(url: &str) -> Error {
    Error::new(Exit::Usage, format_args!("{url:?} is no address of a server: https://HOST[:PORT]"))
        .hint(suggest::address(url))
}
