//! `agentctl enroll`: from nothing to a trusted server, step by step; what is done already is passed over, so that running
//! it again mends.

use std::path::{Path, PathBuf};

use agent_config::{Role, Server, default_config_path};
use agent_runtime::bootstrap::{ConfigureError, Configured, NewServer, Sources, add_server};
use serde::Serialize;
use trust_tls::connect::Target;
use url::Url;

use super::connect::{parse_target, standing};
use super::fetch::{FetchReport, Wish, fetch, file_error, words_of};
use crate::cli;
use crate::context::Context;
use crate::error::Error;
use crate::exit::Exit;

mod daemon;
mod report;

use report::{EnrollReport, render};

/// For `--help`.
pub(crate) const EXAMPLES: &str = "Examples:
  agentctl enroll https://mgmt.example --fingerprint a91b77e0…
  agentctl enroll https://mgmt.example:4726            # on a terminal: shows the chain and asks
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
    /// The configuration file.
    file: PathBuf,
}

/// What a step has done, in a line.
#[derive(Debug, Clone, Serialize)]
struct Done {
    /// It was so before.
    already: bool,
    detail: String,
    /// What else is to be done, where the step is done but not all is well.
    fix: Vec<String>,
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
        report.step("connection", self.connect());
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
        let new = NewServer { url: &self.url, name: self.options.name.as_deref(), role: self.role() };
        let configured = add_server(&text, &file, self.context.root.as_deref(), &new)
            .map_err(|error| self.configure_error(&file, &error))?;
        let (already, what) = match configured {
            Configured::Present { name } => {
                (true, format!("{} has it already as \"{name}\"", file.display()))
            }
            Configured::Change { text, name } => {
                sources.put(&snapshot, text.as_bytes()).map_err(|error| file_error(&error))?;
                (false, format!("added to {} as \"{name}\"", file.display()))
            }
        };
        let taken = daemon::take_over(self.context, self.url.as_str())?;
        let fix = match &taken {
            daemon::Taken::NotRunning => vec!["start the service: systemctl enable --now agentd".to_owned()],
            daemon::Taken::Unasked => vec!["have the daemon read it: systemctl reload agentd".to_owned()],
            daemon::Taken::Over => Vec::new(),
        };
        Ok(Done { already, detail: format!("{what}; {}", taken.words()), fix })
    }

    /// The first connection, with the store as it is now.
    fn connect(&self) -> Result<Done, Error> {
        let server = Server {
            name: self.url.host_str().unwrap_or_default().to_owned(),
            url: self.url.clone(),
            names: agent_config::Names::Compat,
            pin: None,
            role: self.role(),
            favourite: false,
            ranges: Vec::new(),
            priority: 0,
        };
        let configured = self.context.settings.servers.iter().find(|server| server.url == self.url);
        let server = configured.unwrap_or(&server);
        let standing = standing(self.context, server)?;
        let reason = standing.reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        if standing.accepted {
            let detail = format!("{}{reason}: {}", standing.lock, standing.detail);
            return Ok(Done { already: false, detail, fix: Vec::new() });
        }
        Err(Error::new(Exit::Refused, standing.detail).hint(format_args!("agentctl connect {}", self.url)))
    }

    fn role(&self) -> Role {
        match self.options.role {
            cli::Role::Management => Role::Management,
            cli::Role::Site => Role::Site,
        }
    }

    fn configure_error(&self, file: &Path, error: &ConfigureError) -> Error {
        let by_hand = format!("write it by hand:  [[server]]  url = \"{}\"", self.url);
        let hint = match error {
            ConfigureError::Wrong(_) => {
                "correct the configuration, then run the same command again".to_owned()
            }
            ConfigureError::OtherRole { .. } => "give --role as it is there, or change the file".to_owned(),
            ConfigureError::WouldNotRead => by_hand,
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
    let already = fetched.result == "present";
    Ok(Done { already, detail: fetched.line(), fix: Vec::new() })
}

fn wrong_url(url: &str) -> Error {
    Error::new(Exit::Usage, format_args!("{url:?} is no address of a server: https://HOST[:PORT]"))
}
