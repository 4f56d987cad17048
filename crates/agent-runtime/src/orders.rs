//! What an operator orders, made exact: fingerprints read, generations found.

use std::time::Duration;

use jiff::Timestamp;
use trust_core::Fingerprint;
use trust_core::engine::Order;
use trust_core::plan::{Settings, StoreState};
use trust_core::policy;
use trust_core::state::{Ban, Rollback};

use crate::history::{History, HistoryError};

/// An order as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Never let this certificate into the store again.
    Distrust {
        /// Its SHA-256, in any spelling.
        fingerprint: String,
        /// Why.
        reason: String,
    },
    /// Take that back.
    Trust {
        /// Its SHA-256, in any spelling.
        fingerprint: String,
    },
    /// Go back to an earlier generation.
    Rollback {
        /// Its number; `None` for the one before the present one.
        generation: Option<u64>,
        /// For so long a change of a source does not end it.
        pin: Option<Duration>,
    },
}

/// Why an order cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// That is no SHA-256.
    #[error("{text:?} is no SHA-256 fingerprint: {source}")]
    Fingerprint {
        /// As it was given.
        text: String,
        /// Why.
        source: trust_core::fingerprint::ParseError,
    },
    /// Nobody distrusts it.
    #[error("{fingerprint} is not distrusted")]
    NotDistrusted {
        /// The certificate.
        fingerprint: Fingerprint,
    },
    /// The configuration distrusts it.
    #[error("{fingerprint} is distrusted by the configuration")]
    Configured {
        /// The certificate.
        fingerprint: Fingerprint,
    },
    /// A policy distrusts it.
    #[error("{fingerprint} is distrusted by a policy")]
    Policy {
        /// The certificate.
        fingerprint: Fingerprint,
    },
    /// There is nothing to go back to.
    #[error("there is no generation before the present one to go back to")]
    NoEarlier,
    /// The generation cannot be had.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The pin would have no end.
    #[error("a pin lasts for at most ten years")]
    Pin,
}

impl OrderError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Fingerprint { .. } | Self::Pin => "invalid",
            Self::NotDistrusted { .. } | Self::NoEarlier | Self::History(HistoryError::Unknown { .. }) => {
                "not-found"
            }
            Self::Configured { .. } | Self::Policy { .. } => "conflict",
            Self::History(_) => "generation-unusable",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Fingerprint { .. } => "give the 64 hex digits; `agentctl anchors list --json` has them",
            Self::NotDistrusted { .. } => "`agentctl distrust` without a fingerprint lists what is",
            Self::Configured { .. } => {
                "take it out of \"fingerprints\" in [distrust] of the configuration, then reload"
            }
            Self::Policy { .. } => "have its DistrustCertificate taken out of the policy",
            Self::NoEarlier | Self::History(HistoryError::Unknown { .. }) => "`agentctl history` lists them",
            Self::History(_) => "go back to another one: `agentctl history` lists them",
            Self::Pin => "give a shorter one, as in --pin 7d",
        }
    }
}

/// Makes an order exact. Blocks on files for a rollback.
///
/// # Errors
/// [`OrderError`]
pub fn resolve(
    wanted: &Wanted,
    history: &History,
    state: &StoreState,
    settings: &Settings,
    by: &str,
    now: Timestamp,
) -> Result<Order, OrderError> {
    match wanted {
        Wanted::Distrust { fingerprint, reason } => Ok(Order::Distrust(Ban {
            fingerprint: read(fingerprint)?,
            reason: reason.clone(),
            by: by.to_owned(),
            at: now,
        })),
        Wanted::Trust { fingerprint } => {
            let fingerprint = read(fingerprint)?;
            if state.bans.iter().any(|ban| ban.fingerprint == fingerprint) {
                Ok(Order::Trust(fingerprint))
            } else if settings.distrusted.contains(&fingerprint) {
                Err(OrderError::Configured { fingerprint })
            } else if policy::distrusted(&state.policies).contains(&fingerprint) {
                Err(OrderError::Policy { fingerprint })
            } else {
                Err(OrderError::NotDistrusted { fingerprint })
            }
        }
        Wanted::Rollback { generation, pin } => {
            let until = pin.map(|pin| end_of(pin, now)).transpose()?;
            let number = match generation {
                Some(number) => *number,
                None => history.before(state.generation).ok_or(OrderError::NoEarlier)?,
            };
            let anchors = history.get(number)?.anchors;
            Ok(Order::Rollback(Rollback { generation: number, anchors, until, against: None }))
        }
    }
}

fn end_of(pin: Duration, now: Timestamp) -> Result<Timestamp, OrderError> {
    /// Longer is for ever, and that is not what a pin is for.
    const MAX: Duration = Duration::from_secs(3_650 * 86_400);
    Some(pin).filter(|pin| *pin <= MAX).and_then(|pin| now.checked_add(pin).ok()).ok_or(OrderError::Pin)
}

fn read(text: &str) -> Result<Fingerprint, OrderError> {
    text.parse().map_err(|source| OrderError::Fingerprint { text: text.to_owned(), source })
}
