//! Writes a flat package (xar, bill of materials, payload, scripts) from a directory; `cargo xtask package` calls it.

use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use embala_pkg::{FileSpec, PkgSpec, build};

const USAGE: &str = "usage: flat DIRECTORY PLACE SCRIPTS VERSION PACKAGE";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [directory, place, scripts, version, package] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let text = |word: &OsString| word.to_str().map(str::to_owned).ok_or(USAGE);
    pack(Path::new(directory), &text(place)?, Path::new(scripts), &text(version)?, Path::new(package))
}

/// Packs what is in `directory`, which will be installed as `place`. A directory above that place is not in the package, so
/// that its owner and mode stay whatever they are.
fn pack(
    directory: &Path,
    place: &str,
    scripts: &Path,
    version: &str,
    package: &Path,
) -> Result<(), Box<dyn Error>> {
    let mut files = Vec::new();
    collect(directory, "", &mut files)?;
    let spec = PkgSpec {
        name: "agentd".to_owned(),
        display_name: format!("agentd {version}"),
        identifier: "io.agentd.agentd".to_owned(),
        version: version.to_owned(),
        install_location: place.to_owned(),
        enable_user_home: false,
        files,
        directories: Vec::new(),
        scripts: Some(scripts.to_owned()),
    };
    Ok(build(&spec, package)?)
}

fn collect(directory: &Path, below: &str, files: &mut Vec<FileSpec>) -> Result<(), Box<dyn Error>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.sort();
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a name that is not UTF-8")?;
        let dest = if below.is_empty() { name.to_owned() } else { format!("{below}/{name}") };
        let metadata = fs::symlink_metadata(&path)?;
        if metadata.is_dir() {
            collect(&path, &dest, files)?;
        } else if metadata.is_file() {
            // Whoever builds may have a umask of their own.
            let mode = if metadata.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
            files.push(FileSpec { src: path, dest, mode: Some(mode) });
        } else {
            return Err(format!("{}: neither a file nor a directory", path.display()).into());
        }
    }
    Ok(())
}
