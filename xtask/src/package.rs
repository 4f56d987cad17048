//! `cargo xtask package`: everything that is handed out, from one staged tree.
//!
//! ```text
//!  release programs ─┐
//!  units, pages      ├─► staged tree ─► deb, rpm, tar.gz ─► SHA256SUMS
//!  generated pages   ─┘
//! ```
//! The same commit gives the same bytes: times are the commit's, owners are root, names are sorted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{self, cargo, output, say};
use crate::{setup, workspace};

mod cross;
mod deb;
mod elf;
mod flat;
mod links;
mod manual;
mod rpm;
mod stage;
mod tarball;

/// What is packed, and how it calls itself.
pub(crate) struct Release {
    /// The version of the workspace.
    version: String,
    /// Seconds since 1970 that every file bears.
    epoch: String,
    /// Where the programs are.
    programs: PathBuf,
    /// The programs' machine.
    machine: elf::Machine,
    /// The oldest glibc that they start with; empty where they need none.
    glibc: String,
}

/// What a package manager says of it.
const DESCRIPTION: &str = "\
agentd keeps the certificates by which an endpoint knows its management server
in a store of their own, apart from the system's: it watches three sources,
merges them into one bundle whenever they change, and never ends with a store
that is worse than before. agentctl is the operator's hand on it.";

/// Packs what this machine has the tools to build, in these formats or in all.
///
/// `--here` asks for the programs of this machine's own compiler alone, and `AGENTD_BIN_DIR` names some that are built.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (here, formats): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|argument| *argument == "--here");
    for format in &formats {
        if !["deb", "rpm", "tar", "pkg"].contains(&format.as_str()) {
            return Err(format!("no such format: {format}; there are deb, rpm, tar and pkg"));
        }
    }
    let root = workspace::root();
    let built = programs(&root, !here.is_empty())?;
    let out = out_directory(&root);
    remove(&out)?;
    // Man pages and completions are printed by a program that runs here.
    let host = built.host.clone();
    for programs in &built.directories {
        let release = Release::read(&root, programs.clone())?;
        pack(&root, &release, host.as_deref(), &formats, &out)?;
        report(&release);
    }
    checksums(&out)?;
    for path in entries(&out)? {
        line(&path);
    }
    Ok(())
}

fn pack(
    root: &Path,
    release: &Release,
    host: Option<&Path>,
    formats: &[&String],
    out: &Path,
) -> Result<(), String> {
    let scratch = out.join("scratch");
    make(&scratch)?;
    let pages = stage::pages(root, host.unwrap_or(&release.programs), &scratch.join("pages"))?;
    let wanted = |format: &str| formats.is_empty() || formats.iter().any(|name| *name == format);
    let tree = tarball::stage(root, release, &pages, &scratch)?;
    if wanted("tar") {
        tarball::build(release, &scratch, out)?;
    }
    if !release.machine.is_linux() && wanted("pkg") {
        flat::build(root, release, &tree, out)?;
    }
    if release.machine.is_linux() {
        if wanted("deb") && have("dpkg-deb", "the deb")? {
            deb::build(root, release, &pages, &scratch, out)?;
            links::deb(root, release, &scratch, out)?;
        }
        if wanted("rpm") && have("rpmbuild", "the rpm")? {
            rpm::build(root, release, &pages, &scratch, out)?;
            links::rpm(root, release, &scratch, out)?;
        }
    }
    remove(&scratch)
}

/// Where the packages go.
fn out_directory(root: &Path) -> PathBuf {
    target(root).join("package")
}

fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

/// Directories with both programs, and one of them, or another, whose programs run here.
struct Built {
    directories: Vec<PathBuf>,
    host: Option<PathBuf>,
}

fn programs(root: &Path, here: bool) -> Result<Built, String> {
    let given = |name: &str| std::env::var_os(name).map(PathBuf::from);
    if let Some(directory) = given("AGENTD_BIN_DIR") {
        return Ok(Built { directories: vec![directory], host: given("AGENTD_HOST_BIN_DIR") });
    }
    let mut directories = if here { Vec::new() } else { cross::build(root, &target(root))? };
    let mut host = None;
    for directory in &directories {
        if elf::Machine::of(&read(&directory.join("agentctl"))?).is_some_and(elf::Machine::is_this) {
            host = Some(directory.clone());
        }
    }
    if host.is_none() {
        let build = ["build", "--locked", "--release", "-p", "agentd", "-p", "agentctl"];
        run::run(cargo().args(build).current_dir(root))?;
        let own = target(root).join("release");
        directories.insert(0, own.clone());
        host = Some(own);
    }
    Ok(Built { directories, host })
}

fn have(tool: &str, what: &str) -> Result<bool, String> {
    if setup::find(tool).is_some() {
        return Ok(true);
    }
    setup::leave_out(&format!("{what}: {tool} is not installed"))?;
    Ok(false)
}

impl Release {
    fn read(root: &Path, programs: PathBuf) -> Result<Self, String> {
        let version = workspace::version()?;
        let epoch = match std::env::var("SOURCE_DATE_EPOCH") {
            Ok(epoch) => epoch,
            Err(_) => commit_time(root),
        };
        let mut glibc = String::new();
        let mut machine = None;
        for name in ["agentd", "agentctl"] {
            let path = programs.join(name);
            let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            machine = elf::Machine::of(&bytes);
            glibc = elf::newest(glibc, elf::glibc(&bytes));
        }
        let machine = machine
            .ok_or_else(|| format!("{}: programs of no machine that is packed", programs.display()))?;
        Ok(Self { version, epoch, programs, machine, glibc })
    }
}

/// The time of the commit; outside of a repository 1980, the oldest that every format can hold.
fn commit_time(root: &Path) -> String {
    let mut git = Command::new("git");
    git.args(["log", "-1", "--format=%ct"]).current_dir(root);
    let said = git.output().ok().filter(|output| output.status.success());
    let time = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    time.filter(|time| !time.is_empty()).unwrap_or_else(|| "315619200".to_owned())
}

fn checksums(out: &Path) -> Result<(), String> {
    let mut names: Vec<String> = entries(out)?.iter().filter_map(|path| name(path)).collect();
    names.sort();
    let sums = output(Command::new("sha256sum").args(&names).current_dir(out))?;
    write(&out.join("SHA256SUMS"), &sums, 0o644)
}

/// How large the programs are and what they need.
fn report(release: &Release) {
    say(&format!("agentd {} for {}:", release.version, release.machine.name()));
    for program in ["agentd", "agentctl"] {
        line(&release.programs.join(program));
    }
    if !release.glibc.is_empty() {
        say(&format!("  they need glibc {} or newer", release.glibc));
    }
}

fn line(path: &Path) {
    let bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
    say(&format!("  {:>9} KiB  {}", bytes.div_ceil(1024), path.display()));
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let read = fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut paths: Vec<PathBuf> = read.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

fn make(directory: &Path) -> Result<(), String> {
    fs::create_dir_all(directory).map_err(|error| format!("{}: {error}", directory.display()))
}

fn remove(directory: &Path) -> Result<(), String> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", directory.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a file with its directories and exactly this mode.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    if let Some(parent) = path.parent() {
        make(parent)?;
    }
    fs::write(path, content)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)))
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}
