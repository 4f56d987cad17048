//! Why a policy file was not read. No message repeats anything of the file: whoever names a file as a policy must not
//! learn its content from the log.

/// What a file turned out to be that is no XML at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guise {
    /// An HTML page: what a proxy or a web server hands out instead of the file that was asked for.
    Html,
    /// JSON: the answer of an interface instead of the file.
    Json,
    /// Certificates or keys in PEM.
    Pem,
    /// Zero bytes only: what a file system leaves of a file whose writing a crash cut off.
    Zeros,
    /// None of the above.
    Other,
}

/// Why a policy file was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More bytes than [`Limits::bytes`](super::Limits::bytes).
    #[error("the file is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// No bytes, or white space only.
    #[error("the file is empty")]
    Empty,
    /// Not XML at all.
    #[error("line {line}: {}", guise_words(*.guise))]
    NotXml {
        /// Line of the first thing that is not white space.
        line: u32,
        /// What it looks like.
        guise: Guise,
    },
    /// The declaration names an encoding that is not read here.
    #[error("line {line}: the declared encoding is not read here: save the file as UTF-8 or UTF-16")]
    UnsupportedEncoding {
        /// Line of the declaration.
        line: u32,
    },
    /// Bytes that do not exist in the file's encoding.
    #[error("line {line}: bytes that are no valid {encoding}")]
    BadEncoding {
        /// Line of the first such byte.
        line: u32,
        /// The encoding that the file has by its first bytes or its declaration.
        encoding: &'static str,
    },
    /// A document type declaration.
    #[error(
        "line {line}: the file has a DOCTYPE, which could define entities or name other files: a policy needs none, so it is refused"
    )]
    Doctype {
        /// Line of the declaration.
        line: u32,
    },
    /// An entity other than the five that XML defines.
    #[error("line {line}: an entity that is not defined: only lt, gt, amp, quot and apos are")]
    UndefinedEntity {
        /// Line of the text or of the attribute with the reference.
        line: u32,
    },
    /// A character that XML forbids, or a control character in a value that names a file or a fingerprint.
    #[error("line {line}: a control character where none may be")]
    ControlCharacter {
        /// Line of the character, or of the attribute whose value refers to it.
        line: u32,
    },
    /// An element with two attributes of one name.
    #[error("line {line}: the same attribute twice on one element: which one counts is not defined")]
    DuplicateAttribute {
        /// Line of the second one.
        line: u32,
    },
    /// The file breaks the grammar of XML.
    #[error("line {line}: not well-formed XML: {what}")]
    NotWellFormed {
        /// Line of the breach.
        line: u32,
        /// The rule that is broken.
        what: &'static str,
    },
    /// The file ends too early; it may still be being written.
    #[error("line {line}: the file is cut off: {what}")]
    Truncated {
        /// Line where the unfinished thing begins, or the last line.
        line: u32,
        /// What is missing.
        what: &'static str,
    },
    /// A limit on the number or the nesting of things.
    #[error("line {line}: more than {limit} {what}")]
    TooMany {
        /// Line of the first one too many.
        line: u32,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl Error {
    /// Line in the file, from 1; `None` where the whole file is meant.
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        match *self {
            Self::TooLarge { .. } | Self::Empty => None,
            Self::NotXml { line, .. }
            | Self::UnsupportedEncoding { line }
            | Self::BadEncoding { line, .. }
            | Self::Doctype { line }
            | Self::UndefinedEntity { line }
            | Self::ControlCharacter { line }
            | Self::DuplicateAttribute { line }
            | Self::NotWellFormed { line, .. }
            | Self::Truncated { line, .. }
            | Self::TooMany { line, .. } => Some(line),
        }
    }

    /// The stable code that JSON, logs and metrics share.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::Empty => "empty",
            Self::NotXml { guise, .. } => match guise {
                Guise::Html => "html",
                Guise::Json => "json",
                Guise::Pem => "pem",
                Guise::Zeros => "zeros",
                Guise::Other => "not-xml",
            },
            Self::UnsupportedEncoding { .. } => "unsupported-encoding",
            Self::BadEncoding { .. } => "bad-encoding",
            Self::Doctype { .. } => "doctype",
            Self::UndefinedEntity { .. } => "undefined-entity",
            Self::ControlCharacter { .. } => "control-character",
            Self::DuplicateAttribute { .. } => "duplicate-attribute",
            Self::NotWellFormed { .. } => "not-well-formed",
            Self::Truncated { .. } => "truncated",
            Self::TooMany { .. } => "too-many",
        }
    }
}

fn guise_words(guise: Guise) -> &'static str {
    match guise {
        Guise::Html => "an HTML page instead of a policy: a web server or proxy answered with it",
        Guise::Json => "JSON instead of a policy in XML",
        Guise::Pem => "certificates or keys in PEM instead of a policy in XML",
        Guise::Zeros => "nothing but zero bytes: a crash cut off the writing of the file",
        Guise::Other => "not XML: it does not begin with '<'",
    }
}
