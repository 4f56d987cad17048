//! The service: start-up, signals, service manager and control server.
//!
//! What it does is decided in `trust-core` and done in `agent-runtime`; here it is started, steered and stopped.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agent_runtime::sandbox::Sandbox;
use clap::Parser as _;
use tracing::info;

mod cli;
mod confining;
mod failure;
mod handler;
mod logging;
mod manager;
mod managing;
mod metrics;
mod playground;
mod service;
mod signals;

use cli::Cli;
use failure::Failure;
use service::{Service, Source};

/// Runs the program and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = agent_runtime::reader::serve_if_asked() {
        return code;
    }
    agent_runtime::file_size::is_an_error();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help, version or a usage error: clap knows where each goes. A closed pipe is nobody to tell.
            let _ignored = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Failure::USAGE));
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ignored = writeln!(std::io::stderr(), "agentd: {failure}");
            failure.exit_code()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    if let Some(directory) = cli.playground {
        return playground::run(directory.as_deref(), cli.once);
    }
    let root = cli.root.map(std::path::absolute).transpose().map_err(|error| {
        Failure::new(Failure::USAGE, format_args!("--root cannot be made an absolute path: {error}"))
    })?;
    let source = Source { config: cli.config, root };
    let settings = source.load()?;
    if cli.check {
        let _ignored = writeln!(std::io::stdout(), "the configuration is right");
        return Ok(());
    }
    logging::start(&settings, cli.log_format);
    info!(
        version = env!("CARGO_PKG_VERSION"),
        store = %settings.store.merged.display(),
        socket = %settings.control.socket.display(),
        "starting"
    );
    // While there is one thread: what is given up holds for those that it starts.
    let sandbox = Arc::new(Sandbox::enter(&settings, manager::listens()));
    confining::log(&sandbox);
    let runtime = agent_runtime::descriptors::for_a_runtime()
        .and_then(|()| agent_runtime::descriptors::for_a_thread())
        .and_then(|()| {
            tokio::runtime::Builder::new_current_thread().enable_all().thread_keep_alive(KEEP_ALIVE).build()
        })
        .map_err(|error| Failure::new(Failure::FAILED, format_args!("cannot start the runtime: {error}")))?;
    runtime.block_on(async {
        // From now on there is a thread that may block: where no second one is given, work waits for it.
        let _ready = tokio::task::spawn_blocking(|| ()).await;
        let service = Service::build(source, &settings, sandbox)?;
        service.run().await
    })
}

/// Longer than any pause between two looks.
const KEEP_ALIVE: Duration = Duration::from_secs(2 * 86_400);
