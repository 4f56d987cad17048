//! Where a command runs: through the daemon's socket where one runs, else in process under the same lock.

use std::path::PathBuf;
use std::sync::Arc;

use agent_config::Settings;
use agent_control::{Client, ClientError, Refusal};
use agent_runtime::clock::{Clock, SystemClock};
use agent_runtime::config;
use agent_runtime::endpoint::{Endpoint, OpenError};
use agent_runtime::lock::{Lock, LockError};
use agent_runtime::once::{self, Once};
use tokio::runtime::Runtime;
use trust_core::engine::{Ask, Trigger};

use crate::cli::Global;
use crate::error::Error;
use crate::exit::Exit;
use crate::out::Output;

/// All that a command needs.
pub(crate) struct Context {
    /// The configuration.
    pub settings: Settings,
    /// Put before the default layout.
    pub root: Option<PathBuf>,
    /// How output is wanted.
    pub out: Output,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl Context {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Where it is wrong: exit code 2.
    pub(crate) fn load(global: &Global) -> Result<Self, Error> {
        let root = global
            .root
            .as_ref()
            .map(std::path::absolute)
            .transpose()
            .map_err(|error| Error::new(Exit::Usage, format_args!("--root: {error}")))?;
        let settings = config::load(global.config.as_deref(), root.as_deref())
            .map_err(|error| Error::new(Exit::Usage, error))?;
        Ok(Self {
            settings,
            root,
            out: Output { json: global.json, quiet: global.quiet, verbose: global.verbose },
            clock: Arc::new(SystemClock::new()),
        })
    }

    /// A runtime for one conversation.
    ///
    /// # Errors
    /// Where the system gives no descriptors or threads.
    pub(crate) fn runtime() -> Result<Runtime, Error> {
        agent_runtime::descriptors::for_a_runtime()
            .and_then(|()| tokio::runtime::Builder::new_current_thread().enable_all().build())
            .map_err(|error| Error::new(Exit::Failed, format_args!("cannot start: {error}")))
    }

    /// The daemon, or `None` where none runs.
    ///
    /// # Errors
    /// Where there is one that does not answer, or that may not be asked.
    pub(crate) async fn daemon(&self) -> Result<Option<Client>, Error> {
        match Client::connect(&self.settings.control.socket).await {
            Ok(client) => Ok(Some(client)),
            Err(ClientError::NotRunning { .. }) => Ok(None),
            Err(error) => Err(client_error(&error)),
        }
    }

    /// Asks the daemon with `remote`, or does the same in process with `local`.
    ///
    /// # Errors
    /// Those of either.
    pub(crate) fn either<T>(
        &self,
        remote: impl AsyncFnOnce(&mut Client) -> Result<T, ClientError>,
        local: impl FnOnce(&Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.either_while("looking at the store and its sources", remote, local)
    }

    /// The same, for what takes its time: `words` say what is waited for.
    ///
    /// # Errors
    /// Those of either.
    pub(crate) fn either_while<T>(
        &self,
        words: &str,
        remote: impl AsyncFnOnce(&mut Client) -> Result<T, ClientError>,
        local: impl FnOnce(&Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let _progress = self.out.progress(words);
        // Where there is no socket there is nobody to talk to, and no runtime is needed for that.
        let answer = if self.has_socket() {
            Self::runtime()?.block_on(async {
                match self.daemon().await? {
                    Some(mut client) => {
                        remote(&mut client).await.map(Some).map_err(|error| client_error(&error))
                    }
                    None => Ok(None),
                }
            })?
        } else {
            None
        };
        let socket = self.settings.control.socket.display();
        self.out.detail(&match answer {
            Some(_) => format!("answered by the daemon on {socket}"),
            None => format!("no daemon on {socket}: done in this process"),
        });
        match answer {
            Some(answer) => Ok(answer),
            None => local(self),
        }
    }

    /// False where there is certainly none.
    fn has_socket(&self) -> bool {
        let found = std::fs::symlink_metadata(&self.settings.control.socket);
        !found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    }

    /// The endpoint's files.
    #[must_use]
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new(&self.settings, self.root.as_deref())
    }

    /// Takes the store's lock.
    ///
    /// # Errors
    /// Exit code 7 where somebody has it, 4 where it may not be taken.
    pub(crate) fn lock(endpoint: &Endpoint) -> Result<Lock, Error> {
        endpoint.open().map_err(|error| match &error {
            OpenError::Lock(LockError::Held { .. }) => Error::new(Exit::Conflict, &error).hint(
                "wait for it to end, or ask the daemon: is its control socket where the configuration says?",
            ),
            OpenError::Lock(LockError::Io { source, .. }) | OpenError::Directory { source, .. } => {
                of_io(source, &error)
            }
            OpenError::State(_) => Error::new(Exit::Failed, &error).hint(error.failure().remedy),
        })
    }

    /// What a regeneration would do now; writes nothing and needs no lock. An operator's wish waits for the servers where
    /// the guard has a question.
    ///
    /// # Errors
    /// Exit code 4 where the state may not be read.
    pub(crate) fn dry_run(&self, force: bool, by: Trigger) -> Result<Once, Error> {
        let endpoint = self.readable()?;
        let ask = Ask { by, ..Self::ask(force, true) };
        Ok(once::regenerate(&endpoint, None, &self.settings, &*self.clock, ask))
    }

    /// The endpoint, whose state this user may read.
    ///
    /// # Errors
    /// Exit code 4 where it may not.
    pub(crate) fn readable(&self) -> Result<Endpoint, Error> {
        let endpoint = self.endpoint();
        endpoint.may_read_state().map_err(|error| {
            of_io(&error, &format!("cannot read {}: {error}", endpoint.paths().state.display()))
        })?;
        Ok(endpoint)
    }

    /// Somebody's wish, as this process's user.
    #[must_use]
    pub(crate) fn ask(force: bool, dry_run: bool) -> Ask {
        Ask { id: 0, force, dry_run, by: Self::operator(), order: None }
    }

    /// Who runs this program.
    #[must_use]
    pub(crate) fn operator() -> Trigger {
        Trigger::Operator { uid: rustix::process::getuid().as_raw(), pid: Some(std::process::id()) }
    }
}

/// The exit code for a failure's code.
#[must_use]
pub(crate) fn of_code(code: &str) -> Exit {
    match code {
        "denied" => Exit::Permission,
        "invalid" => Exit::Usage,
        "not-found" => Exit::NotFound,
        "conflict" | "store-locked" => Exit::Conflict,
        _ => Exit::Failed,
    }
}

/// An error of the operating system with the code it deserves.
pub(crate) fn of_io(error: &std::io::Error, what: &dyn std::fmt::Display) -> Error {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            Error::new(Exit::Permission, what).hint("run it as root, for example with sudo")
        }
        std::io::ErrorKind::NotFound => Error::new(Exit::NotFound, what),
        _ => Error::new(Exit::Failed, what),
    }
}

/// The daemon's refusal, or why it could not be asked.
#[must_use]
pub(crate) fn client_error(error: &ClientError) -> Error {
    let exit = match error {
        ClientError::Denied { .. } => Exit::Permission,
        ClientError::Refused(refusal) => match refusal {
            Refusal::PermissionDenied { .. } => Exit::Permission,
            Refusal::Conflict { .. } => Exit::Conflict,
            Refusal::Failed { code, .. } => of_code(code),
            Refusal::Busy { .. } => Exit::Unreachable,
        },
        _ => Exit::Unreachable,
    };
    Error::new(exit, error).hint(error.remedy())
}
