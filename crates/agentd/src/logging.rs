//! The log: to the journal where systemd started us, else to stderr as text or JSON.

use std::fmt;
use std::io::{self, Write};

use agent_config::{Level, LogFormat, Settings};
use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli;

/// Starts logging. What is logged before this is lost, and nothing is.
///
/// Where another subscriber is there already, in a test, it stays.
pub(crate) fn start(settings: &Settings, wanted: Option<cli::LogFormat>) {
    let format = match wanted {
        Some(cli::LogFormat::Text) => LogFormat::Text,
        Some(cli::LogFormat::Json) => LogFormat::Json,
        None => settings.log.format,
    };
    let level = match settings.log.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let layer = match format {
        LogFormat::Json => tracing_subscriber::fmt::layer().json().with_writer(stderr).boxed(),
        LogFormat::Text => text(),
        LogFormat::Auto => journal().unwrap_or_else(text),
    };
    let _already = tracing_subscriber::registry().with(layer.with_filter(level)).try_init();
}

type BoxedLayer = Box<dyn tracing_subscriber::Layer<tracing_subscriber::Registry> + Send + Sync>;

fn text() -> BoxedLayer {
    use std::io::IsTerminal as _;
    tracing_subscriber::fmt::layer()
        .with_target(false)
        .fmt_fields(debug_fn(for_people))
        .with_ansi(io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_writer(stderr)
        .boxed()
}

/// A field of a line for people: message ids are for the journal and for JSON. What could steer a terminal is spelt out.
fn for_people(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let text = match field.name() {
        "message_id" => return Ok(()),
        "message" => format!("{value:?}"),
        name => format!(" {name}={value:?}"),
    };
    text.chars().try_for_each(|c| match c.is_control() {
        true => write!(writer, "{}", c.escape_default()),
        false => writer.write_char(c),
    })
}

/// The journal, if it is what our stderr is connected to (`sd_journal_stream_fd(3)`).
fn journal() -> Option<BoxedLayer> {
    std::env::var_os("JOURNAL_STREAM")?;
    // Without a prefix: MESSAGE_ID has a meaning to the journal by this very name, and the others read better.
    tracing_journald::layer().ok().map(|layer| layer.with_field_prefix(None).boxed())
}

fn stderr() -> IgnoreErrors {
    IgnoreErrors(io::stderr())
}

/// A log that cannot be written is no reason to stop: a full disk or a closed pipe must not take the store down.
struct IgnoreErrors(io::Stderr);

impl Write for IgnoreErrors {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let _ignored = self.0.write_all(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ignored = self.0.flush();
        Ok(())
    }
}
