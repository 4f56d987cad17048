//! The programs that read the bundle on an endpoint: what each makes of a file, by its own word.
//!
//! A reader counts the certificates of a file without a connection; a client connects to a server and says whether it
//! trusts it because of the file. Each is the consumer's own way into its own parser, no conversion of ours before it.

mod clients;
mod readers;

pub use clients::CLIENTS;
pub use readers::{READERS, keytool_imports};

use std::path::Path;

use crate::tools;

/// Counts the certificates of a file.
pub struct Reader {
    /// The consumer's name.
    pub name: &'static str,
    /// The programs it needs.
    pub needs: &'static [&'static str],
    /// It takes too long with thousands.
    pub slow: bool,
    count: fn(&Path) -> Result<usize, String>,
}

impl Reader {
    /// How many certificates it reads of the file.
    ///
    /// # Errors
    /// What it says where it refuses the file.
    pub fn count(&self, file: &Path) -> Result<usize, String> {
        (self.count)(file)
    }
}

/// Connects to a server on localhost with a file as its only trust.
pub struct Client {
    /// The consumer's name.
    pub name: &'static str,
    /// The programs it needs.
    pub needs: &'static [&'static str],
    connect: fn(&Path, u16) -> Result<(), String>,
}

impl Client {
    /// Whether it trusts the server at that port.
    ///
    /// # Errors
    /// What it says where it does not.
    pub fn connect(&self, file: &Path, port: u16) -> Result<(), String> {
        (self.connect)(file, port)
    }
}

/// Every installed reader counts `expected` certificates in the file.
///
/// # Panics
/// With all that do not.
#[track_caller]
pub fn all_read(file: &Path, expected: usize) {
    let slow_too = expected <= 1_000;
    let wrong: Vec<String> = READERS
        .iter()
        .filter(|reader| (slow_too || !reader.slow) && tools::require(reader.needs))
        .filter_map(|reader| match reader.count(file) {
            Ok(count) if count == expected => None,
            Ok(count) => Some(format!("{} reads {count} of {expected}", reader.name)),
            Err(error) => Some(format!("{}: {error}", reader.name)),
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every installed client trusts the server at `port` because of the file.
///
/// # Panics
/// With all that do not.
#[track_caller]
pub fn all_connect(file: &Path, port: u16) {
    let wrong: Vec<String> = CLIENTS
        .iter()
        .filter(|client| tools::require(client.needs))
        .filter_map(|client| {
            client.connect(file, port).err().map(|error| format!("{}: {error}", client.name))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[cfg(test)]
mod tests;
