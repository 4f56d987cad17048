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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::io::ErrorKind;
    use std::thread;

    use test_support::tools;

    use super::*;

    /// In a thread of its own, which alone is confined.
    fn confined(directories: Vec<std::path::PathBuf>, then: impl FnOnce() + Send + 'static) {
        let test = thread::spawn(move || {
            let directories: Vec<&Path> = directories.iter().map(std::path::PathBuf::as_path).collect();
            if no_writes_but(&directories) == Confined::Fully {
                then();
            } else {
                let _left_out = tools::left_out("this kernel has no Landlock, or an old one");
            }
        });
        assert!(test.join().is_ok(), "a check in the confined thread failed");
    }

    #[test]
    fn what_is_granted_can_be_written_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let (inside, outside) = (scratch.path().join("inside"), scratch.path().join("outside"));
        for directory in [&inside, &outside] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("there"), "before").unwrap();
        }
        confined(vec![inside.clone()], move || {
            fs::write(inside.join("new"), "new").unwrap();
            fs::rename(inside.join("new"), inside.join("there")).unwrap();
            let denied = |done: std::io::Result<()>| {
                assert_eq!(done.map_err(|error| error.kind()), Err(ErrorKind::PermissionDenied));
            };
            denied(fs::write(outside.join("new"), "new"));
            denied(fs::write(outside.join("there"), "after"));
            denied(fs::remove_file(outside.join("there")));
            denied(fs::create_dir(outside.join("below")));
            denied(std::os::unix::fs::symlink("there", outside.join("link")));
            // Reading stays as it was.
            assert_eq!(fs::read_to_string(outside.join("there")).unwrap(), "before");
        });
    }

    #[test]
    fn a_second_one_only_takes_away() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().to_owned();
        confined(Vec::new(), move || {
            let _still = no_writes_but(&[&directory]);
            assert!(fs::write(directory.join("new"), "new").is_err(), "as in the reader child");
        });
    }
}
