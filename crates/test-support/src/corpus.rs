//! Real roots: those that Debian's `ca-certificates` brings.

use std::fs;
use std::path::Path;

use crate::pem;

const DIRECTORY: &str = "/usr/share/ca-certificates/mozilla";

/// The DER of Mozilla's roots in file-name order; empty where they are not installed.
///
/// # Panics
/// Where a file of them holds no certificate.
#[must_use]
pub fn mozilla_roots() -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(Path::new(DIRECTORY)) else { return Vec::new() };
    let mut paths: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    paths.iter().map(|path| pem::decode(&fs::read_to_string(path).expect("a root's file"))).collect()
}
