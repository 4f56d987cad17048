//! How big the programs are.

use std::fs;

use test_support::endpoint::program;

use crate::table::{goal, head, row};

/// Both programs as they lie on a disk.
pub(crate) fn run() {
    head("Size of the programs", &["", "MiB"]);
    let mib = |bytes: u64| format!("{:.2}", bytes as f64 / f64::from(1 << 20));
    let mut together = 0;
    for name in ["agentd", "agentctl"] {
        let size = fs::metadata(program(name)).map_or(0, |metadata| metadata.len());
        together += size;
        row(&[name.to_owned(), mib(size)]);
    }
    row(&["together".to_owned(), mib(together)]);
    goal("both programs together under 12 MiB", format!("{} MiB", mib(together)), together < 12 << 20);
}
