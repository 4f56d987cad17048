//! What is wrong with a configuration, and where.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What is wrong with a configuration, and where.
///
/// Displayed in one line, as compilers do: `agentd.toml:3:1: unknown key "x" in [watch]; did you mean "y"?`.
/// [`Error::detail`] adds the line of the file with a caret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {message}{}", file.display(), hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default())]
pub struct Error {
    /// The file, as it was named.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to write instead, where that can be guessed.
    pub hint: Option<String>,
    /// The line of the file, for [`Error::detail`].
    source_line: String,
    /// Number of characters that the caret marks, at least 1.
    width: usize,
}

impl Error {
    /// The error in several lines: the message, the line of the file with the place marked, and the hint.
    #[must_use]
    pub fn detail(&self) -> String {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        let before = usize::try_from(self.column).unwrap_or(1).saturating_sub(1);
        // Tabs stay tabs, so that the caret stands under its character however wide a tab is shown.
        let indent: String =
            self.source_line.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let (file, line, column, message) = (self.file.display(), self.line, self.column, &self.message);
        let mut text = format!(
            "{file}:{line}:{column}: {message}\n{gutter} |\n{number} | {}\n{gutter} | {indent}{}\n",
            self.source_line,
            "^".repeat(self.width)
        );
        if let Some(hint) = &self.hint {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "hint: {hint}");
        }
        text
    }
}

/// A value with its place in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    /// Byte range in the file's text.
    pub(crate) at: Range<usize>,
}

/// A file's name and text: what turns a place into an error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Source {
    name: PathBuf,
    text: String,
}

impl Source {
    pub(crate) fn new(name: &Path, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn error(&self, at: &Range<usize>, message: impl Into<String>) -> Error {
        let text = self.text.as_str();
        let start = text.floor_char_boundary(at.start);
        let line_start = text[..start].rfind('\n').map_or(0, |end| end + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |length| start + length);
        let marked = text[start..text.floor_char_boundary(at.end).clamp(start, line_end)].chars().count();
        Error {
            file: self.name.clone(),
            line: counted(text[..line_start].matches('\n').count()),
            column: counted(text[line_start..start].chars().filter(|&c| c != '\u{feff}').count()),
            message: message.into(),
            hint: None,
            source_line: shown(&text[line_start..line_end]),
            width: marked.max(1),
        }
    }
}

impl Error {
    pub(crate) fn hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }
}

fn counted(before: usize) -> u32 {
    u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
}

/// The line as a terminal may have it: a control character could rewrite what stands before it.
fn shown(line: &str) -> String {
    line.trim_end_matches('\r')
        .chars()
        .filter(|&c| c != '\u{feff}')
        .map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}
