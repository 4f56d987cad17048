//! Another wall clock for one program, by libfaketime.
//!
//! It is loaded into the program itself. Its wrapper keeps a semaphore by the number of its process, and does not start
//! where one of the same number was killed before.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools;

/// True where a program can be given another time. Else the test says that it is left out.
///
/// # Panics
/// Where it cannot and [`tools::REQUIRE_ALL`] is set.
#[must_use]
pub fn can_be_faked() -> bool {
    library().is_some() || tools::left_out("libfaketime is not installed")
}

/// Shifts a program's clocks, as in `+94s`, `-5d` or `+11y`.
///
/// # Panics
/// Where they cannot be: [`can_be_faked`] comes first.
pub fn shift(program: &mut Command, offset: &str) {
    preload(program).env("FAKETIME", offset);
}

/// Lets a program's wall clock follow what stands in a file, and its steady clock go on as it does: else waits by that
/// would never end.
///
/// # Panics
/// As [`shift`].
pub fn follow(program: &mut Command, file: &Path) {
    preload(program).env("FAKETIME_TIMESTAMP_FILE", file);
    program.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}

fn preload(program: &mut Command) -> &mut Command {
    program.env("LD_PRELOAD", library().expect("somebody asked whether it is there"))
}

/// Below the directory of an architecture, where there are several.
fn library() -> Option<PathBuf> {
    let architectures = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut places = architectures.chain(["/usr/lib64", "/usr/lib"].map(PathBuf::from));
    places.find_map(|place| {
        let library = place.join("faketime/libfaketime.so.1");
        library.exists().then_some(library)
    })
}
