//! The files of a package: where each comes from, where it goes, its mode.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Release, manual, name, read, write};
use crate::run::output;

/// A file of the repository that is installed as it is: from, to, mode.
const FILES: &[(&str, &str, u32)] = &[
    ("packaging/agentd.toml", "etc/agentd/agentd.toml", 0o644),
    ("systemd/agentd.service", "usr/lib/systemd/system/agentd.service", 0o644),
    ("systemd/agentd.preset", "usr/lib/systemd/system-preset/50-agentd.preset", 0o644),
    ("systemd/agentd.catalog", "usr/lib/systemd/catalog/agentd.catalog", 0o644),
    ("systemd/agentd.sysusers", "usr/lib/sysusers.d/agentd.conf", 0o644),
    ("systemd/agentd.tmpfiles", "usr/lib/tmpfiles.d/agentd.conf", 0o644),
    ("README.md", "usr/share/doc/agentd/README.md", 0o644),
    ("CHANGELOG.md", "usr/share/doc/agentd/CHANGELOG.md", 0o644),
    ("LICENSE-MIT", "usr/share/doc/agentd/LICENSE-MIT", 0o644),
    ("LICENSE-APACHE", "usr/share/doc/agentd/LICENSE-APACHE", 0o644),
    ("systemd/examples/smp-layout.conf", "usr/share/doc/agentd/examples/smp-layout.conf", 0o644),
    ("packaging/monitoring/agentd.rules.yml", "usr/share/doc/agentd/examples/agentd.rules.yml", 0o644),
    (
        "packaging/monitoring/agentd-dashboard.json",
        "usr/share/doc/agentd/examples/agentd-dashboard.json",
        0o644,
    ),
];

/// Man pages and completions, made once.
pub(super) struct Pages {
    /// Each with its section.
    pub(super) manual: Vec<(char, PathBuf)>,
    pub(super) bash: Vec<u8>,
    pub(super) zsh: Vec<u8>,
    pub(super) fish: Vec<u8>,
}

/// Makes the pages by the programs themselves, those of `host`, which can run here: what is packed is what they say.
pub(super) fn pages(root: &Path, host: &Path, directory: &Path) -> Result<Pages, String> {
    super::make(directory)?;
    let agentctl = || {
        let mut command = Command::new(host.join("agentctl"));
        command.env_clear();
        command
    };
    output(agentctl().arg("man").arg("--dir").arg(directory))?;
    let toml = String::from_utf8_lossy(&read(&root.join("packaging/agentd.toml"))?).into_owned();
    write(&directory.join("agentd.toml.5"), manual::configuration(&toml).as_bytes(), 0o644)?;
    for page in ["agentd.8", "agentd-policy.5"] {
        write(&directory.join(page), &read(&root.join("packaging/man").join(page))?, 0o644)?;
    }
    let mut manual = Vec::new();
    for path in super::entries(directory)? {
        let section = name(&path).and_then(|name| name.chars().next_back());
        manual.push((section.ok_or_else(|| format!("{}: no section", path.display()))?, path));
    }
    let completions = |shell: &str| output(agentctl().args(["completions", shell]));
    Ok(Pages { manual, bash: completions("bash")?, zsh: completions("zsh")?, fish: completions("fish")? })
}

/// Stages the tree of a Linux package; `zsh` is where that system's zsh looks.
pub(super) fn linux(
    root: &Path,
    release: &Release,
    pages: &Pages,
    tree: &Path,
    zsh: &str,
) -> Result<(), String> {
    for program in ["agentd", "agentctl"] {
        write(&tree.join("usr/bin").join(program), &read(&release.programs.join(program))?, 0o755)?;
    }
    for (from, to, mode) in FILES {
        write(&tree.join(to), &read(&root.join(from))?, *mode)?;
    }
    for path in documents(root)? {
        let to = tree.join("usr/share/doc/agentd").join(name(&path).unwrap_or_default());
        write(&to, &read(&path)?, 0o644)?;
    }
    for (section, path) in &pages.manual {
        let packed = gzip(path)?;
        let to = format!("usr/share/man/man{section}/{}.gz", name(path).unwrap_or_default());
        write(&tree.join(to), &packed, 0o644)?;
    }
    write(&tree.join("usr/share/bash-completion/completions/agentctl"), &pages.bash, 0o644)?;
    write(&tree.join(zsh).join("_agentctl"), &pages.zsh, 0o644)?;
    write(&tree.join("usr/share/fish/vendor_completions.d/agentctl.fish"), &pages.fish, 0o644)?;
    touch(tree, release)
}

/// The pages for administrators; those for developers stay with the source.
fn documents(root: &Path) -> Result<Vec<PathBuf>, String> {
    const FOR_DEVELOPERS: &[&str] = &["ARCHITECTURE.md", "DEPENDENCIES.md", "DEVELOPMENT.md"];
    let paths = super::entries(&root.join("docs"))?;
    let wanted = |path: &PathBuf| {
        name(path).is_some_and(|name| {
            name.ends_with(".svg") || name.ends_with(".md") && !FOR_DEVELOPERS.contains(&name.as_str())
        })
    };
    Ok(paths.into_iter().filter(wanted).collect())
}

fn gzip(path: &Path) -> Result<Vec<u8>, String> {
    output(Command::new("gzip").args(["-9nc"]).arg(path))
}

/// Gives every file and directory the release's time.
pub(super) fn touch(tree: &Path, release: &Release) -> Result<(), String> {
    let time = format!("@{}", release.epoch);
    let mut find = Command::new("find");
    find.arg(tree).args(["-exec", "touch", "--no-dereference", "-d", &time, "{}", "+"]);
    output(&mut find).map(drop)
}

/// Everything below a tree that is a file, as the paths that it will be installed at.
pub(super) fn listing(tree: &Path) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut open = vec![tree.to_owned()];
    while let Some(directory) = open.pop() {
        for path in super::entries(&directory)? {
            if path.is_dir() {
                open.push(path);
            } else if let Ok(below) = path.strip_prefix(tree) {
                found.push(format!("/{}", below.display()));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn every_file_is_there() {
        let root = workspace::root();
        for (from, ..) in FILES {
            assert!(root.join(from).is_file(), "{from}");
        }
        assert!(documents(&root).is_ok_and(|found| found.iter().any(|path| path.ends_with("INTERFACES.md"))));
    }
}
