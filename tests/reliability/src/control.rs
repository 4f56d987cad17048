//! Writers that break a promise each. A sweep that lets them pass proves nothing.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Writes the content of one file to another in a broken way.
///
/// # Errors
/// The system's; `InvalidInput` for a sort that there is not.
pub fn write(sort: &str, from: &Path, to: &Path) -> io::Result<()> {
    let content = fs::read(from)?;
    match sort {
        "in-place" => {
            let mut file = File::create(to)?;
            // In pieces, as buffered writers do.
            content.chunks(1024).try_for_each(|piece| file.write_all(piece))
        }
        "no-sync" => {
            let beside = to.with_extension("new");
            fs::write(&beside, content)?;
            fs::rename(beside, to)
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "sorts: in-place, no-sync")),
    }
}
