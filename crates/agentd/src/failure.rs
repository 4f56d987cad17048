//! Why the program ends, in words and as an exit code.

use std::fmt;
use std::process::ExitCode;

use agent_runtime::endpoint::OpenError;
use agent_runtime::lock::LockError;

/// Ends the program.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    pub(crate) const FAILED: u8 = 1;
    pub(crate) const USAGE: u8 = 2;
    pub(crate) const PERMISSION: u8 = 4;
    pub(crate) const CONFLICT: u8 = 7;

    pub(crate) fn new(code: u8, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }

    /// The code for an error of the operating system.
    pub(crate) fn code_of(error: &std::io::Error) -> u8 {
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => Self::PERMISSION,
            _ => Self::FAILED,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let code = match &error {
            OpenError::Lock(LockError::Held { .. }) => Self::CONFLICT,
            OpenError::Lock(LockError::Io { source, .. }) | OpenError::Directory { source, .. } => {
                Self::code_of(source)
            }
            OpenError::State(_) => Self::FAILED,
        };
        let hint = match &error {
            OpenError::Lock(lock @ LockError::Held { .. }) => {
                format!("one at a time works on a store: {}", lock.remedy())
            }
            _ => error.failure().remedy,
        };
        Self::new(code, format_args!("{error}\nhint: {hint}"))
    }
}
