//! One errand to the servers: in their order, until one of them is done with it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use agent_config::{Role, Server, Settings};
use agent_control::wire::AttemptReport;
use agent_management::dial::{Dialer, Timeouts};
use agent_management::http::Ask;
use agent_management::inventory::Form;
use agent_management::order::{self, Candidate};
use agent_management::proxy::{Credentials, Proxy};
use agent_management::refresh::{Known, Refreshed, Wish, refresh};
use agent_management::session::{Session, target};
use agent_management::{Failure, redirect};
use jiff::Timestamp;
use trust_core::policy::Effective;
use trust_tls::{AnchorSet, Presented};

use super::disk::Disk;
use super::facts;
use crate::servers::{read_anchors, request, server_key};
use crate::turns::Turns;

/// What is needed to go to the servers.
#[derive(Debug, Clone)]
pub struct Desk {
    /// The settings in force.
    pub settings: Settings,
    /// What the policies say of verification.
    pub policy: Effective,
    /// The store, whose anchors are tried.
    pub bundle: PathBuf,
    /// What is remembered.
    pub disk: Disk,
    /// Who may talk to which server.
    pub turns: Turns,
}

/// What a server is wanted for.
#[derive(Debug, Clone)]
pub enum Errand {
    /// Its policies.
    Refresh {
        /// Those that are there, with their versions.
        present: Vec<(String, u64)>,
        /// Take lower versions too.
        allow_downgrade: bool,
    },
    /// That it takes the documents that wait.
    Deliver,
}

/// How it went.
#[derive(Debug)]
pub struct Trip {
    /// The servers that failed, in the order in which they were tried.
    pub attempts: Vec<Attempt>,
    /// The one that did not.
    pub done: Option<Done>,
}

/// A server that failed.
#[derive(Debug)]
pub struct Attempt {
    /// Its name.
    pub server: String,
    /// Its URL.
    pub url: String,
    /// Why.
    pub failure: Failure,
}

impl Attempt {
    /// For a report.
    #[must_use]
    pub fn report(&self) -> AttemptReport {
        AttemptReport {
            server: self.server.clone(),
            url: self.url.clone(),
            code: self.failure.code().to_owned(),
            message: self.failure.to_string(),
            remedy: self.failure.remedy(),
        }
    }
}

/// A server that did what it was wanted for.
#[derive(Debug)]
pub struct Done {
    /// Its name.
    pub server: String,
    /// The key that it is remembered by.
    pub key: String,
    /// What it presented.
    pub presented: Presented,
    /// Connections that it took.
    pub connections: u32,
    /// What came of it.
    pub what: What,
}

/// What came of an errand.
#[derive(Debug)]
pub enum What {
    /// Policies, or that there is nothing new.
    Refreshed(Box<Refreshed>),
    /// The documents that were taken.
    Delivered(Vec<String>),
}

impl Desk {
    /// Goes to the management servers in their order, but for those to be skipped.
    pub async fn go(&self, errand: &Errand, skip: &BTreeSet<String>, now: Timestamp) -> Trip {
        let bundle = self.bundle.clone();
        let disk = self.disk.clone();
        let read = tokio::task::spawn_blocking(move || {
            let set = read_anchors(&bundle).unwrap_or_else(|_| AnchorSet::new([]));
            let known = disk.load().known;
            let intact = disk.is_intact(&known);
            (Arc::new(set), known, intact)
        });
        let (set, known, intact) =
            read.await.unwrap_or_else(|_| (Arc::new(AnchorSet::new([])), Known::default(), false));
        let mut trip = Trip { attempts: Vec::new(), done: None };
        for server in self.servers().into_iter().filter(|server| !skip.contains(&server.name)) {
            match self.visit(server, errand, &set, (&known, intact), now).await {
                Ok(done) => {
                    trip.done = Some(done);
                    break;
                }
                Err(failure) => trip.attempts.push(Attempt {
                    server: server.name.clone(),
                    url: server.url.to_string(),
                    failure,
                }),
            }
        }
        trip
    }

    /// The management servers in the order in which they are tried.
    #[must_use]
    pub fn servers(&self) -> Vec<&Server> {
        let candidates: Vec<Candidate> = self.settings.servers.iter().map(candidate).collect();
        order::order(&candidates, &facts::addresses(), order::Role::Management)
            .into_iter()
            .filter_map(|place| self.settings.servers.get(place))
            .collect()
    }

    async fn visit(
        &self,
        server: &Server,
        errand: &Errand,
        set: &Arc<AnchorSet>,
        (known, intact): (&Known, bool),
        now: Timestamp,
    ) -> Result<Done, Failure> {
        let dialer = dialer(&self.settings)?;
        let target = target(&server.url);
        let request = request(&self.settings, &self.policy, Some(server), &target.host, now);
        // Declared first, so that it ends after the connection.
        let key = server_key(server);
        let _turn = self.turns.take(&key).await;
        let mut session = Session::open(&dialer, Arc::clone(set), &server.url, request).await?;
        let what = match errand {
            Errand::Refresh { present, allow_downgrade } => {
                let wish = Wish {
                    index: self.settings.refresh.index.as_deref().unwrap_or_default(),
                    anchors: self.disk.anchors(),
                    known,
                    intact,
                    present,
                    allow_downgrade: *allow_downgrade,
                    now,
                };
                What::Refreshed(Box::new(refresh(&mut session, &wish).await?))
            }
            Errand::Deliver => What::Delivered(self.deliver(&mut session, now).await?),
        };
        let (name, connections) = (server.name.clone(), session.connections());
        Ok(Done {
            server: name,
            key,
            presented: session.reached().captured.presented.clone(),
            connections,
            what,
        })
    }

    /// Sends what waits, the oldest first; the first that is not taken ends it.
    async fn deliver(&self, session: &mut Session<'_>, now: Timestamp) -> Result<Vec<String>, Failure> {
        let path = self.settings.inventory.path.as_deref().unwrap_or_default();
        let url = session.base().join(path).map_err(|_| Failure::Http {
            url: redirect::shown(session.base()),
            why: "the configured path of the inventory makes no address".to_owned(),
        })?;
        let mut sent = Vec::new();
        for name in self.disk.waiting() {
            let Ok((document, form)) = self.disk.document(&name) else { continue };
            let (_, reply) = session.ask(Ask::post(url.clone(), form.kind(), document), now).await?;
            if !(200..=299).contains(&reply.status) {
                let status = reply.status;
                return Err(Failure::Status {
                    url: redirect::shown(&url),
                    status,
                    retry_after: reply.retry_after,
                });
            }
            sent.push(name);
        }
        Ok(sent)
    }
}

/// The form that the configuration asks for.
#[must_use]
pub fn form(settings: &Settings) -> Form {
    match settings.inventory.form {
        agent_config::InventoryForm::Json => Form::Json,
        agent_config::InventoryForm::Xml => Form::Xml,
    }
}

fn candidate(server: &Server) -> Candidate {
    Candidate {
        role: match server.role {
            Role::Management => order::Role::Management,
            Role::Site => order::Role::Site,
        },
        favourite: server.favourite,
        // The configuration has looked at their form.
        ranges: server.ranges.iter().filter_map(|range| range.parse().ok()).collect(),
        priority: server.priority,
    }
}

/// How the settings want connections to be made.
///
/// # Errors
/// Where the file with the proxy's credentials cannot be read or has another form.
pub fn dialer(settings: &Settings) -> Result<Dialer, Failure> {
    let connect = &settings.connect;
    let timeouts = Timeouts {
        dns: connect.timeout,
        connect: connect.timeout,
        proxy: connect.timeout,
        tls: connect.timeout,
        first_byte: connect.first_byte_timeout,
        body: connect.body_timeout,
    };
    Ok(Dialer { timeouts, proxy: proxy(&settings.proxy)? })
}

fn proxy(settings: &agent_config::Proxy) -> Result<Option<Proxy>, Failure> {
    const HTTP: u16 = 80;
    let Some(url) = &settings.url else { return Ok(None) };
    let credentials = match &settings.credentials_file {
        None => None,
        Some(path) => {
            let unusable = |why: String| Failure::Content {
                url: path.display().to_string(),
                code: "proxy-credentials-file",
                why,
                remedy: "let the file that [proxy] credentials-file names hold user:password on one line, readable for agentd",
            };
            let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
            Some(Credentials::parse(&text).map_err(|why| unusable(why.to_owned()))?)
        }
    };
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    Ok(Some(Proxy::new(host, url.port().unwrap_or(HTTP), credentials, &settings.no_proxy)))
}
