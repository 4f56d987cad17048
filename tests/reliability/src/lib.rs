//! What the store's promises are tried with. `docs/RELIABILITY.md` names each promise and what tries it.
//!
//! Each sweep is a function that returns its figures; the suite under `tests/` runs the short ones, the program of this
//! crate the long ones.

use std::path::PathBuf;

pub mod control;
pub mod errno;
pub mod figures;
pub mod kill;
pub mod powercut;
pub mod scene;
pub mod strace;
pub mod tree;
pub mod warm;

/// The program of this crate, which holds the broken controls.
///
/// # Panics
/// Where it is not built: cargo builds it before the tests.
#[must_use]
pub fn own_program() -> PathBuf {
    let own = std::env::current_exe().expect("a program has a path");
    let directory = own.parent().expect("a program lies in a directory");
    let candidates = [own.clone(), directory.join("reliability"), directory.join("../reliability")];
    candidates
        .into_iter()
        .find(|path| path.file_name().is_some_and(|name| name == "reliability") && path.is_file())
        .expect("cargo builds the program before the tests")
}
