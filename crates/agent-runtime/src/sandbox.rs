//! Giving up the right to write, where the kernel can take it.

use std::path::Path;

mod places;

pub use places::{Sandbox, written};

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confined {
    /// The kernel enforces all of it.
    Fully,
    /// It knows some of the rights; those it enforces.
    Partly,
    /// It knows nothing of it, or does not let us.
    Not,
}

impl Confined {
    /// In a word.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Fully => "full",
            Self::Partly => "partial",
            Self::Not => "none",
        }
    }
}

/// From now on this thread, and every thread and child that it starts, can write, create, rename and delete below these
/// directories alone. Reading stays as it was. A directory that is not there gives no right.
///
/// By Landlock, which needs no privilege: Linux 5.13 and newer. Elsewhere nothing happens.
#[cfg(target_os = "linux")]
#[must_use]
pub fn no_writes_but(directories: &[&Path]) -> Confined {
    use landlock::{
        ABI, AccessFs, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus,
        path_beneath_rules,
    };
    // The rights that this version knows; older kernels enforce those they know.
    let writing = AccessFs::from_write(ABI::V5);
    let restrict = || -> Result<RulesetStatus, RulesetError> {
        let rules = Ruleset::default().handle_access(writing)?.create()?;
        let rules = rules.add_rules(path_beneath_rules(directories, writing))?;
        Ok(rules.restrict_self()?.ruleset)
    };
    match restrict() {
        Ok(RulesetStatus::FullyEnforced) => Confined::Fully,
        Ok(RulesetStatus::PartiallyEnforced) => Confined::Partly,
        Ok(RulesetStatus::NotEnforced) | Err(_) => Confined::Not,
    }
}

/// From now on this thread can write below these directories alone; not on this system.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn no_writes_but(_directories: &[&Path]) -> Confined {
    Confined::Not
}
