//! The daemon: whether it runs, and what is in its way.

use agent_control::wire::Severity;
use agent_runtime::escape::{escaped, quoted};

use super::{Facts, Finding, UnitKind};

/// What is seen of the daemon.
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    pub socket: Socket,
    /// Who has the store's lock: a process, or 0 where its id is not known.
    pub lock_holder: Option<u32>,
    /// The unit or the launchd job is installed, so it is meant to run.
    pub installed: bool,
}

/// The control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Socket {
    /// The daemon answers.
    Answers,
    /// There is none, and nobody listens.
    Missing,
    /// There is one, and nobody listens.
    Dead,
    /// This user may not ask.
    Denied,
    /// It is there and does not answer, in these words.
    Silent(String),
}

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    let daemon = &facts.daemon;
    let socket = &facts.places.socket;
    let start = || "systemctl start agentd".to_owned();
    let mut found = Vec::new();
    match &daemon.socket {
        Socket::Answers => {}
        Socket::Denied => found.push(Finding::new(
            "control-denied",
            Severity::Warning,
            format!("this user may not ask the daemon: {}", escaped(socket)),
            "what only the daemon knows is not looked at here.",
            vec!["sudo agentctl doctor".to_owned(), "usermod -aG agentd NAME, then log in again".to_owned()],
        )),
        Socket::Silent(words) => found.push(Finding::new(
            "control-dead",
            Severity::Error,
            "the daemon does not answer".to_owned(),
            format!("{words}. It may hang, and then changes of the sources are not followed."),
            vec!["systemctl restart agentd".to_owned(), "journalctl -u agentd -n 50".to_owned()],
        )),
        Socket::Dead if daemon.lock_holder.is_none() => found.push(Finding::new(
            "control-dead",
            Severity::Warning,
            format!("nobody listens on {}", escaped(socket)),
            "the daemon ended without taking its socket away, as after a crash; changes of the sources are not followed.",
            vec![start(), "journalctl -u agentd -n 50".to_owned()],
        )),
        Socket::Missing if daemon.lock_holder.is_none() && daemon.installed => found.push(Finding::new(
            "daemon-not-running",
            Severity::Warning,
            "agentd is installed as a service and does not run".to_owned(),
            "changes of the sources are not followed, and nobody tries the servers.",
            vec!["systemctl enable --now agentd".to_owned(), "systemctl status agentd".to_owned()],
        )),
        Socket::Missing if daemon.lock_holder.is_none() => found.push(Finding::new(
            "daemon-not-running",
            Severity::Info,
            "no daemon runs".to_owned(),
            "the store is made when `agentctl regen` is called, and not when a source changes.",
            vec![start()],
        )),
        Socket::Dead | Socket::Missing => {}
    }
    if !matches!(daemon.socket, Socket::Answers | Socket::Denied)
        && let Some(holder) = daemon.lock_holder
    {
        let lock = facts.places.state.join("lock");
        let (who, look) = match holder {
            0 => ("another process".to_owned(), format!("fuser -v {}", quoted(&lock))),
            pid => (format!("process {pid}"), format!("ps -fp {pid}")),
        };
        found.push(Finding::new(
            "lock-held",
            Severity::Error,
            format!("{who} has the lock of the store, and no daemon answers"),
            format!(
                "nobody else can write the store while {} is held: an agentd that hangs or listens elsewhere, an agentctl that \
                 has not ended, or a child that a daemon left behind.",
                escaped(&lock)
            ),
            vec![look, "end it, then: systemctl restart agentd".to_owned()],
        ));
    }
    found.extend(overridden(facts));
    found
}

/// The unit is not as the package has it.
fn overridden(facts: &Facts) -> Vec<Finding> {
    let finding = |file: &super::UnitFile| {
        let path = escaped(&file.path);
        let revert = || vec!["systemctl cat agentd".to_owned(), "systemctl revert agentd".to_owned()];
        match &file.kind {
            UnitKind::Masked => Finding::new(
                "unit-overridden",
                Severity::Error,
                format!("the service is masked by {path}"),
                "systemd will not start it.",
                vec!["systemctl unmask agentd".to_owned()],
            ),
            UnitKind::Replaced => Finding::new(
                "unit-overridden",
                Severity::Warning,
                format!("{path} takes the place of the packaged unit"),
                "what an upgrade mends in the unit does not reach this endpoint.",
                revert(),
            ),
            UnitKind::DropIn(keys) => {
                let vital: Vec<&str> =
                    keys.iter().map(String::as_str).filter(|key| VITAL.contains(key)).collect();
                let (severity, why) = if vital.is_empty() {
                    (Severity::Info, format!("it sets {}.", list(keys)))
                } else {
                    (
                        Severity::Warning,
                        format!("it changes {}, on which the service rests.", vital.join(", ")),
                    )
                };
                Finding::new(
                    "unit-overridden",
                    severity,
                    format!("the unit is changed by {path}"),
                    why,
                    revert(),
                )
            }
        }
    };
    facts.unit.iter().map(finding).collect()
}

fn list(keys: &[String]) -> String {
    if keys.is_empty() { "nothing".to_owned() } else { keys.join(", ") }
}

/// What starts it and brings it back, and what may take its files or its memory away.
const VITAL: &[&str] = &[
    "ExecStart",
    "Type",
    "Restart",
    "NotifyAccess",
    "StateDirectory",
    "RuntimeDirectory",
    "InaccessiblePaths",
    "MemoryMax",
];
