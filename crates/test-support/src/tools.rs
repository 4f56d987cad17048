//! Programs that may not be there: a test that needs one is left out with a word, or fails where nothing may be.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

/// Set to 1 where no test may be left out: a missing program is a failure then.
pub const REQUIRE_ALL: &str = "AGENTD_REQUIRE_ALL";

/// True where all these programs are installed. Else the test says that it is left out, and why.
///
/// # Panics
/// Where one is missing and [`REQUIRE_ALL`] is set.
#[must_use]
pub fn require(programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs.iter().copied().filter(|program| find(program).is_none()).collect();
    missing.is_empty() || left_out(&format!("{} is not installed", missing.join(", ")))
}

/// Says that the running test is left out because of `reason`; always false.
///
/// # Panics
/// Where [`REQUIRE_ALL`] is set.
#[must_use]
pub fn left_out(reason: &str) -> bool {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    assert!(
        std::env::var_os(REQUIRE_ALL).is_none_or(|value| value != "1"),
        "{REQUIRE_ALL} is set, and {reason}"
    );
    // Once for each test, however often it asks.
    let current = thread::current();
    let test = current.name().unwrap_or("a test");
    let line = format!("SKIPPED: {test}: {reason}");
    if !SAID.lock().is_ok_and(|mut said| said.insert(line.clone())) {
        return false;
    }
    // Past the harness, which keeps to itself what a passing test prints. A closed stderr is nobody's loss.
    let _unheard = writeln!(std::io::stderr(), "{line}");
    false
}

/// A figure for whoever runs the tests, past the harness.
pub fn say(text: &str) {
    // A closed stderr is nobody's loss.
    let _unheard = writeln!(std::io::stderr(), "{text}");
}

/// Where a program is installed.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // The system's own before any wrapper that a version manager puts first; and servers are in sbin.
    let usual = ["/usr/bin", "/usr/sbin", "/usr/local/bin"].map(PathBuf::from);
    usual
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|directory| directory.join(program))
        .find(|path| is_program(path))
}

/// Where an installed program is.
///
/// # Panics
/// Where it is not: [`require`] comes first.
#[must_use]
pub fn path(program: &str) -> PathBuf {
    find(program).unwrap_or_else(|| panic!("{program} is not installed, and nobody asked"))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_there_and_nothing_else() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
    }
}
