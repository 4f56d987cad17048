//! What the daemon answers instead of a report.

use serde::{Deserialize, Serialize};
use zlink::introspect::ReplyError;

/// An error of the interface, as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ReplyError, thiserror::Error)]
#[serde(tag = "error", content = "parameters")]
pub enum Refusal {
    /// The caller may not do this.
    #[serde(rename = "io.agentd.Control.PermissionDenied")]
    #[error("permission denied: this needs {needs}")]
    PermissionDenied {
        /// Who may.
        needs: String,
    },
    /// Somebody else is changing the same thing, or it is no longer what the caller thinks.
    #[serde(rename = "io.agentd.Control.Conflict")]
    #[error("{message}")]
    Conflict {
        /// With what.
        message: String,
        /// What to do about it.
        remedy: String,
    },
    /// It was tried and failed.
    #[serde(rename = "io.agentd.Control.Failed")]
    #[error("{message}")]
    Failed {
        /// Stable code, kebab-case.
        code: String,
        /// What is wrong and where.
        message: String,
        /// What to do about it.
        remedy: String,
    },
    /// Too many are connected; nothing was done.
    #[serde(rename = "io.agentd.Control.Busy")]
    #[error("{message}")]
    Busy {
        /// Which bound was met.
        message: String,
        /// What to do about it.
        remedy: String,
    },
}

impl Refusal {
    /// What to do about it; may be empty.
    #[must_use]
    pub fn remedy(&self) -> &str {
        match self {
            Self::PermissionDenied { .. } => "run it as that user, for example with sudo",
            Self::Conflict { remedy, .. } | Self::Failed { remedy, .. } | Self::Busy { remedy, .. } => remedy,
        }
    }

    /// A failure with its code.
    pub fn failed(code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Failed { code: code.to_owned(), message: message.into(), remedy: remedy.into() }
    }
}

/// Errors of `org.varlink.service`, owned and in the order of their use here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "error", content = "parameters")]
pub(crate) enum Standard {
    #[serde(rename = "org.varlink.service.InterfaceNotFound")]
    InterfaceNotFound { interface: String },
    #[serde(rename = "org.varlink.service.MethodNotFound")]
    MethodNotFound { method: String },
    #[serde(rename = "org.varlink.service.InvalidParameter")]
    InvalidParameter { parameter: String },
    #[serde(rename = "org.varlink.service.ExpectedMore")]
    ExpectedMore,
}
