//! The archive for everybody else, and for macOS.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::stage::Pages;
use super::{Release, name, read, write};
use crate::run::output;

/// Files of the repository in both archives.
const BOTH: &[(&str, &str)] = &[
    ("packaging/agentd.toml", "agentd.toml"),
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
];

const LINUX: &[(&str, &str)] = &[
    ("systemd/agentd.service", "systemd/agentd.service"),
    ("systemd/agentd.catalog", "systemd/agentd.catalog"),
    ("systemd/agentd.preset", "systemd/agentd.preset"),
    ("systemd/agentd.sysusers", "systemd/agentd.sysusers"),
    ("systemd/agentd.tmpfiles", "systemd/agentd.tmpfiles"),
    ("systemd/examples/smp-layout.conf", "systemd/examples/smp-layout.conf"),
];

const MACOS: &[(&str, &str)] = &[
    ("packaging/launchd/io.agentd.agentd.plist", "launchd/io.agentd.agentd.plist"),
    ("packaging/launchd/io.agentd.rundir.plist", "launchd/io.agentd.rundir.plist"),
    ("packaging/launchd/install.sh", "install.sh"),
    ("packaging/launchd/uninstall.sh", "uninstall.sh"),
];

/// Stages what is in the archive, and, for macOS, in the package: one directory with all of it.
pub(super) fn stage(
    root: &Path,
    release: &Release,
    pages: &Pages,
    scratch: &Path,
) -> Result<PathBuf, String> {
    let tree = scratch.join(whole(release));
    for program in ["agentd", "agentctl"] {
        write(&tree.join("bin").join(program), &read(&release.programs.join(program))?, 0o755)?;
    }
    let own = if release.machine.is_linux() { LINUX } else { MACOS };
    for (from, to) in BOTH.iter().chain(own) {
        let mode = if to.ends_with(".sh") { 0o755 } else { 0o644 };
        write(&tree.join(to), &read(&root.join(from))?, mode)?;
    }
    for (section, path) in &pages.manual {
        let to = format!("share/man/man{section}/{}", name(path).unwrap_or_default());
        write(&tree.join(to), &read(path)?, 0o644)?;
    }
    let completions = tree.join("share/completions");
    write(&completions.join("agentctl.bash"), &pages.bash, 0o644)?;
    write(&completions.join("_agentctl"), &pages.zsh, 0o644)?;
    write(&completions.join("agentctl.fish"), &pages.fish, 0o644)?;
    Ok(tree)
}

/// The name of the archive without its endings, and of the directory in it.
pub(super) fn whole(release: &Release) -> String {
    format!("agentd-{}-{}", release.version, release.machine.name())
}

/// Packs what was staged.
pub(super) fn build(release: &Release, scratch: &Path, out: &Path) -> Result<(), String> {
    let whole = whole(release);
    let archive = scratch.join("archive.tar");
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=gnu"]);
    tar.arg(format!("--mtime=@{}", release.epoch)).arg("--mode=u=rwX,go=rX").arg("-C").arg(scratch);
    output(tar.arg("-cf").arg(&archive).arg(&whole))?;
    let packed = output(Command::new("gzip").args(["-9nc"]).arg(&archive))?;
    write(&out.join(format!("{whole}.tar.gz")), &packed, 0o644)
}
