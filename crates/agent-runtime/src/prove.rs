//! The guard's question put to the servers: which of them would the store as it would be still verify?

use std::sync::Arc;

use agent_config::Settings;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::timeout;
use trust_core::guard::{Proof, Proofs};
use trust_core::plan::Question;
use trust_core::policy::Effective;
use trust_tls::AnchorSet;
use trust_tls::Request;
use trust_tls::connect::Target;

use crate::servers::{dial, request, server_key, target};
use crate::turns::Turns;

/// What is to be asked of whom.
pub struct Inquiry {
    question: Question,
    servers: Vec<(String, Target, Request)>,
    settings: Settings,
    turns: Turns,
}

impl Inquiry {
    /// The question for every configured server, verified as the policies say.
    #[must_use]
    pub fn new(
        question: Question,
        settings: &Settings,
        policy: &Effective,
        turns: Turns,
        now: Timestamp,
    ) -> Self {
        let servers = settings.servers.iter().map(|server| {
            let target = target(server);
            let request = request(settings, policy, Some(server), &target.host, now);
            (server_key(server), target, request)
        });
        Self { servers: servers.collect(), question, settings: settings.clone(), turns }
    }

    /// The answer where nobody could be asked.
    #[must_use]
    pub fn unanswered(self, why: &str) -> Proofs {
        let open = |(server, _, _)| (server, Proof::Open { why: why.to_owned() });
        Proofs { question: self.question.id, servers: self.servers.into_iter().map(open).collect() }
    }

    /// Makes one handshake with each server, all at once. Takes at most the limit of a connection, and as long again where
    /// a server is being talked to already.
    pub async fn answer(self) -> Proofs {
        let Self { question, servers, settings, turns } = self;
        let settings = Arc::new(settings);
        let kept = question.candidate.len();
        // In the order of trial those that would leave come last: one of them is reached where no other verifies.
        let set = Arc::new(AnchorSet::new(question.candidate.into_iter().chain(question.leaving)));
        let mut tries = JoinSet::new();
        for (server, target, request) in servers {
            let (set, settings, turns) = (Arc::clone(&set), Arc::clone(&settings), turns.clone());
            tries.spawn(async move {
                let Ok(_turn) = timeout(settings.connect.timeout, turns.take(&server)).await else {
                    let why = format!("{} is being talked to, and that does not end", target.host);
                    return (server, Proof::Open { why });
                };
                let proof = prove(set, kept, &target, request, &settings).await;
                (server, proof)
            });
        }
        // A panic in a try aborts the process (release) or fails the test.
        Proofs { question: question.id, servers: tries.join_all().await }
    }
}

async fn prove(
    set: Arc<AnchorSet>,
    kept: usize,
    target: &Target,
    request: Request,
    settings: &Settings,
) -> Proof {
    let limit = settings.connect.timeout;
    let outcome = match timeout(limit, dial(settings, Arc::clone(&set), target, request)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(failure)) => return Proof::Open { why: failure.to_string() },
        Err(_) => {
            let why = format!("{} did not answer within {:.1} s", target.host, limit.as_secs_f32());
            return Proof::Open { why };
        }
    };
    let verdict = outcome.captured.verdict;
    match verdict.anchor.filter(|_| verdict.accepted).and_then(|index| Some((index, set.get(index)?))) {
        Some((index, anchor)) if index < kept => Proof::Verified(anchor.fingerprint()),
        Some((_, anchor)) => Proof::Needs(anchor.fingerprint()),
        None => Proof::Open { why: verdict.detail },
    }
}
