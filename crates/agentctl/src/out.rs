//! Data to stdout, words to stderr; colour where a person reads it.

use std::ffi::OsString;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

mod fit;
mod terminal;

pub(crate) use fit::{HANG, columns, shorten, shorten_path, shorten_subject};
pub(crate) use terminal::Progress;

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

/// What a command line asks for, be it otherwise right or wrong.
pub(crate) fn colour_asked_for(arguments: &[OsString]) -> Color {
    let behind = |word: &OsString| word.to_str()?.strip_prefix("--color=").map(str::to_owned);
    let pairs = arguments.windows(2).filter(|pair| pair[0] == "--color");
    let apart = pairs.filter_map(|pair| pair[1].to_str().map(str::to_owned));
    let last = arguments.iter().filter_map(behind).chain(apart).last();
    match last.as_deref() {
        Some("always") => Color::Always,
        Some("never") => Color::Never,
        _ => Color::Auto,
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
        render: impl FnOnce(&T, &mut Page) -> io::Result<()>,
    ) -> Result<(), Error> {
        let mut stdout = io::stdout().lock();
        // Into memory first: a line each would be a system call each, and a report may have thousands.
        let text = if self.json {
            serde_json::to_vec_pretty(value).map_err(io::Error::from).map(|mut text| {
                text.push(b'\n');
                text
            })
        } else {
            Page::of(&stdout).fill(value, render)
        };
        let written = text.and_then(|text| stdout.write_all(&text)).and_then(|()| stdout.flush());
        ignore_closed_pipe(written)
    }

    /// Writes one line of JSON, or what `render` writes, and flushes: an event of a stream.
    ///
    /// # Errors
    /// [`Error`] where stdout cannot be written; a closed pipe is `Ok(false)`.
    pub(crate) fn line<T: Serialize>(
        self,
        value: &T,
        render: impl FnOnce(&T, &mut Page) -> io::Result<()>,
    ) -> Result<bool, Error> {
        let mut stdout = io::stdout().lock();
        let text = if self.json {
            serde_json::to_vec(value).map_err(io::Error::from).map(|mut text| {
                text.push(b'\n');
                text
            })
        } else {
            Page::of(&stdout).fill(value, render)
        };
        match text.and_then(|text| stdout.write_all(&text)).and_then(|()| stdout.flush()) {
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

    /// Tells whoever waits at a terminal what for, once that takes longer than a second, until it is dropped.
    pub(crate) fn progress(self, words: impl Into<String>) -> Progress {
        Progress::begin(!self.json && !self.quiet, words.into())
    }
}

/// Writes text to stdout that is no report.
///
/// # Errors
/// Where stdout cannot be written.
pub(crate) fn page(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    let text = Page::of(&stdout).fill(text, |text, page| page.write_all(text.as_bytes()));
    ignore_closed_pipe(text.and_then(|text| stdout.write_all(&text)).and_then(|()| stdout.flush()))
}

/// Text that is on its way to stdout: fitted to the terminal, or as it is where there is none.
pub(crate) struct Page {
    text: Vec<u8>,
    width: Option<usize>,
    colour: anstream::ColorChoice,
}

impl Page {
    fn of(stdout: &io::StdoutLock<'_>) -> Self {
        Self {
            text: Vec::new(),
            width: terminal::width(stdout),
            colour: anstream::AutoStream::choice(stdout),
        }
    }

    fn fill<T: ?Sized>(
        mut self,
        value: &T,
        render: impl FnOnce(&T, &mut Self) -> io::Result<()>,
    ) -> io::Result<Vec<u8>> {
        render(value, &mut self)?;
        let text = String::from_utf8(self.text)
            .unwrap_or_else(|odd| String::from_utf8_lossy(odd.as_bytes()).into_owned());
        if self.colour == anstream::ColorChoice::Never && self.width.is_none() {
            return Ok(plain(&text).into_bytes());
        }
        let fitted = fit::fit(&text, self.width);
        let mut coloured = anstream::AutoStream::new(Vec::new(), self.colour);
        coloured.write_all(fitted.as_bytes())?;
        Ok(coloured.into_inner())
    }

    /// How wide a line may be; `None` for as wide as it is.
    pub(crate) fn width(&self) -> Option<usize> {
        self.width
    }

    /// The columns that are left behind so many, for what has one line only; enough to tell one from another.
    pub(crate) fn left_behind(&self, used: usize) -> usize {
        self.width.map_or(usize::MAX, |width| width.saturating_sub(used).max(12))
    }

    /// For what a program reads, even where a person looks on: no line is broken.
    pub(crate) fn verbatim(&mut self, text: &str) -> io::Result<()> {
        self.width = None;
        self.write_all(text.as_bytes())
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a line to stderr; where that is closed there is nobody to tell.
pub(crate) fn stderr_line(text: &str) {
    terminal::say(text, "\n");
}

/// Asks something on stderr, and leaves the cursor behind it.
pub(crate) fn ask(question: &str) {
    terminal::say(question, "");
}

fn ignore_closed_pipe(result: io::Result<()>) -> Result<(), Error> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Error::new(Exit::Failed, format_args!("cannot write the output: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// What is neither fitted nor coloured, at once: a report may have ten thousand lines. Our styles are all of one form; from
/// an escape of any other form on, the library looks at each byte.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr2(ESCAPE, HANG as u8, rest.as_bytes()) {
        let (before, odd) = rest.split_at(at);
        plain.push_str(before);
        match odd.strip_prefix(HANG).or_else(|| behind_style(odd)) {
            Some(after) => rest = after,
            None => {
                let stripped = anstream::adapter::strip_str(odd).to_string();
                plain.push_str(&stripped.replace(HANG, ""));
                return plain;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// What comes after an escape, `[`, digits and semicolons, and `m` (ECMA-48 §8.3.117, SGR).
fn behind_style(style: &str) -> Option<&str> {
    let parameters = style.strip_prefix("\u{1b}[")?;
    let behind = parameters.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
    behind.strip_prefix('m')
}

const ESCAPE: u8 = 0x1b;

/// `text` in `style`.
pub(crate) fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles_are_taken_out_as_the_library_takes_them() {
        let bold_red = AnsiColor::Red.on_default().bold();
        for text in [
            "",
            "plain ✓ text\n",
            &format!("{} a\n{} b\n", styled(GOOD, "✓"), styled(bold_red, "✗")),
            &styled(DIM, "all of it"),
            "\u{1b}[31",
            "a\u{1b}",
            "a\u{1b}]8;;https://x/m\u{1b}\\link\u{1b}]8;;\u{1b}\\ b",
            "a\u{1b}[2Kb\u{1b}[31mc",
            "\u{1b}[38;5;1mé\u{1b}[0m",
            &format!("a {HANG}{}{HANG}\u{1b}[2K{HANG}b", styled(GOOD, "é")),
        ] {
            let expected = anstream::adapter::strip_str(&fit::fit(text, None)).to_string();
            assert_eq!(plain(text), expected, "{text:?}");
        }
    }
}
