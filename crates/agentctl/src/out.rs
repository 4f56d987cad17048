//! Data to stdout, words to stderr; colour where a person reads it.

use std::ffi::OsString;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use crate::cli::Color;
use crate::error::Error;
use crate::exit::Exit;

/// What is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What wants attention.
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default();
/// What is wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
/// What may be passed over.
pub(crate) const DIM: Style = Style::new().dimmed();
/// Headings and names.
pub(crate) const BOLD: Style = Style::new().bold();

/// Settles whether output has colour, for the whole program.
pub(crate) fn colour(wanted: Color) {
    match wanted {
        // The environment and the terminal are asked each time.
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
}

/// What a command line asks for that may be wrong otherwise.
pub(crate) fn colour_asked_for(arguments: &[OsString]) -> clap::ColorChoice {
    let behind = |word: &OsString| word.to_str()?.strip_prefix("--color=").map(str::to_owned);
    let pairs = arguments.windows(2).filter(|pair| pair[0] == "--color");
    let apart = pairs.filter_map(|pair| pair[1].to_str().map(str::to_owned));
    let last = arguments.iter().filter_map(behind).chain(apart).last();
    match last.as_deref() {
        Some("always") => clap::ColorChoice::Always,
        Some("never") => clap::ColorChoice::Never,
        _ => clap::ColorChoice::Auto,
    }
}

/// How output is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// One JSON document on stdout and nothing else there.
    pub json: bool,
    /// No words on stderr but errors.
    pub quiet: bool,
    /// More words on stderr.
    pub verbose: bool,
}

impl Output {
    /// Writes the data of a command: as JSON, or as text that `render` writes.
    ///
    /// A reader that went away (`agentctl status | head -1`) is no error.
    ///
    /// # Errors
    /// Where stdout cannot be written, a full disk, say.
    pub(crate) fn data<T: Serialize>(
        self,
        value: &T,
        render: impl FnOnce(&T, &mut dyn Write) -> io::Result<()>,
    ) -> Result<(), Error> {
        let mut stdout = io::stdout().lock();
        // Into memory first: a line each would be a system call each, and a report may have thousands.
        let mut text = anstream::AutoStream::new(Vec::new(), anstream::AutoStream::choice(&stdout));
        let rendered = if self.json {
            serde_json::to_writer_pretty(&mut text, value)
                .map_err(io::Error::from)
                .and_then(|()| text.write_all(b"\n"))
        } else {
            render(value, &mut text)
        };
        let written = rendered.and_then(|()| stdout.write_all(&text.into_inner()));
        ignore_closed_pipe(written.and_then(|()| stdout.flush()))
    }

    /// Writes one line of JSON and flushes: an event of a stream.
    ///
    /// # Errors
    /// [`Error`] where stdout cannot be written; a closed pipe is `Ok(false)`.
    pub(crate) fn line<T: Serialize>(
        self,
        value: &T,
        render: impl FnOnce(&T, &mut dyn Write) -> io::Result<()>,
    ) -> Result<bool, Error> {
        let mut stdout = anstream::AutoStream::auto(io::stdout().lock());
        let written = if self.json {
            serde_json::to_writer(&mut stdout, value)
                .map_err(io::Error::from)
                .and_then(|()| stdout.write_all(b"\n"))
        } else {
            render(value, &mut stdout)
        };
        match written.and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            other => ignore_closed_pipe(other).map(|()| true),
        }
    }

    /// Says how something is done, to who wants to know.
    pub(crate) fn detail(self, text: &str) {
        if self.verbose {
            stderr_line(&styled(DIM, text));
        }
    }

    /// Says something beside the data, on stderr.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet {
            stderr_line(text);
        }
    }
}

/// Writes a line to stderr; where that is closed there is nobody to tell.
pub(crate) fn stderr_line(text: &str) {
    let mut stderr = anstream::AutoStream::auto(io::stderr().lock());
    let _ignored = writeln!(stderr, "{text}");
}

fn ignore_closed_pipe(result: io::Result<()>) -> Result<(), Error> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Error::new(Exit::Failed, format_args!("cannot write the output: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// `text` in `style`.
pub(crate) fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}
