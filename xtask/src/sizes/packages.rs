//! What the packages weigh, and what is there when they are installed.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::run::output;

/// A row for each package that is in the directory; nothing where there is none.
pub(super) fn table(directory: &Path) -> Result<String, String> {
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        names.extend(entry.file_name().into_string());
    }
    names.retain(|name| ENDINGS.iter().any(|ending| name.ends_with(ending)));
    names.sort();
    if names.is_empty() {
        return Ok(String::new());
    }
    let mut text = String::from("\n| package | KiB | KiB installed |\n|---|---|---|\n");
    for name in names {
        let path = directory.join(&name);
        let size = std::fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?.len();
        let installed =
            installed(&path)?.map_or_else(|| "–".to_owned(), |bytes| super::kib(bytes).to_string());
        let _infallible = writeln!(text, "| `{name}` | {} | {installed} |", super::kib(size));
    }
    Ok(text)
}

/// Bytes of all files; `None` where no tool here can tell.
fn installed(package: &Path) -> Result<Option<u64>, String> {
    let of = |program: &str, arguments: &[&str]| -> Result<String, String> {
        let said = output(Command::new(program).args(arguments).arg(package))?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    };
    let name = package.to_string_lossy();
    let bytes = |listing: &str| {
        let sizes = listing.lines().map(|line| {
            let mut words = line.split_whitespace();
            // Directories and links have no content.
            if words.next().is_some_and(|mode| mode.starts_with('-')) { words.nth(1) } else { None }
        });
        sizes.flatten().filter_map(|size| size.parse::<u64>().ok()).sum::<u64>()
    };
    Ok(if name.ends_with(".deb") {
        Some(bytes(&of("dpkg-deb", &["--contents"])?))
    } else if name.ends_with(".tar.gz") {
        Some(bytes(&of("tar", &["-tvzf"])?))
    } else if name.ends_with(".rpm") {
        of("rpm", &["-qp", "--queryformat", "%{SIZE}"])?.trim().parse().ok()
    } else {
        None
    })
}

const ENDINGS: &[&str] = &[".deb", ".rpm", ".tar.gz", ".pkg"];
