//! The servers, tried now: all at once, each with one connection.

use std::sync::Arc;

use agent_config::Settings;
use agent_control::wire::{Problem, Severity};
use agent_management::Failure;
use agent_management::session::Session;
use agent_runtime::management::desk::dialer;
use agent_runtime::report::{foreseen, problem};
use agent_runtime::servers::{ServerStatus, read_anchors, request, target};
use agent_runtime::standing::chains::Chains;
use agent_runtime::standing::foresight::foresee;
use jiff::Timestamp;
use trust_tls::{AnchorSet, Request};

use crate::commands::fetch::words_of;
use crate::context::Context;
use crate::doctor::Server;
use crate::error::Error;

/// Tries every configured server with the store as it is.
///
/// # Errors
/// Where the system gives no descriptors or threads.
pub(super) fn probe(context: &Context) -> Result<Vec<Server>, Error> {
    let settings = Arc::new(context.settings.clone());
    if settings.servers.is_empty() {
        return Ok(Vec::new());
    }
    // Without a store nothing can be verified, and that is told of the store.
    let Ok(set) = read_anchors(&settings.store.merged) else { return Ok(Vec::new()) };
    let set = Arc::new(set);
    let policy = context.endpoint().policy();
    let now = context.clock.now();
    let names: Vec<String> = settings.servers.iter().map(|server| words_of(&target(server))).collect();
    let asked = match names.as_slice() {
        [name] => format!("asking server {name}"),
        names => format!("asking {} servers at once: {}", names.len(), names.join(", ")),
    };
    let _progress = context.out.progress(asked);
    let runtime = Context::runtime()?;
    Ok(runtime.block_on(async {
        let one = |server: &agent_config::Server| {
            let request = request(&settings, &policy, Some(server), &target(server).host, now);
            tokio::spawn(one(Arc::clone(&settings), server.clone(), Arc::clone(&set), request))
        };
        let tried: Vec<_> = settings.servers.iter().map(one).collect();
        let mut servers = Vec::new();
        for trial in tried {
            // A panic ends the program; nobody else ends a trial.
            servers.extend(trial.await.ok());
        }
        servers
    }))
}

async fn one(
    settings: Arc<Settings>,
    server: agent_config::Server,
    set: Arc<AnchorSet>,
    request: Request,
) -> Server {
    let url = ServerStatus::unknown(&server).url;
    let failed = |error: &Failure| Server {
        url: url.clone(),
        problems: vec![failure(&server, &url, error)],
        ahead: None,
    };
    let dialer = match dialer(&settings) {
        Ok(dialer) => dialer,
        Err(error) => return failed(&error),
    };
    let mut session = match Session::open(&dialer, Arc::clone(&set), &server.url, request.clone()).await {
        Ok(session) => session,
        Err(error) => return failed(&error),
    };
    let mut chains = Chains::default();
    let _first = chains.take_in("", &session.reached().captured.presented, request.at);
    let mut status = ServerStatus::unknown(&server);
    if let Some(chain) = chains.get("") {
        status.forecast = foresee(chain, &set, &request);
    }
    let verified = session.reached().verified;
    let date = session.head(request.at).await.ok().and_then(|reply| reply.date).filter(|_| verified);
    let ahead = date.map(|date| date.as_second() - Timestamp::now().as_second());
    Server { url, problems: foreseen(&status, request.at), ahead }
}

fn failure(server: &agent_config::Server, url: &str, error: &Failure) -> Problem {
    let (code, what) = if matches!(error, Failure::NotVerified { .. }) {
        ("server-not-verified", "could not be verified")
    } else {
        ("server-unreachable", "could not be reached")
    };
    let title = format!("{url} {what}");
    problem(
        code,
        Severity::Warning,
        title,
        error.to_string(),
        vec![format!("agentctl connect {}", server.name), error.remedy()],
    )
}
