//! The package for Debian, Ubuntu and their kin.

use std::path::Path;
use std::process::Command;

use super::stage::{self, Pages};
use super::{DESCRIPTION, Release, read, write};
use crate::run::output;

pub(super) fn build(
    root: &Path,
    release: &Release,
    pages: &Pages,
    scratch: &Path,
    out: &Path,
) -> Result<(), String> {
    let tree = scratch.join("deb");
    stage::linux(root, release, pages, &tree, "usr/share/zsh/vendor-completions")?;
    let size: u64 = stage::listing(&tree)?
        .iter()
        .filter_map(|path| std::fs::metadata(tree.join(path.trim_start_matches('/'))).ok())
        .map(|metadata| metadata.len())
        .sum();
    write(&tree.join("usr/share/doc/agentd/copyright"), COPYRIGHT.as_bytes(), 0o644)?;
    write(&tree.join("DEBIAN/control"), control(release, size.div_ceil(1024)).as_bytes(), 0o644)?;
    write(&tree.join("DEBIAN/conffiles"), b"/etc/agentd/agentd.toml\n", 0o644)?;
    for script in ["postinst", "prerm", "postrm"] {
        write(&tree.join("DEBIAN").join(script), &read(&root.join("packaging/deb").join(script))?, 0o755)?;
    }
    stage::touch(&tree, release)?;
    let file = out.join(format!("agentd_{}_{}.deb", release.version, release.machine.deb()));
    let mut build = Command::new("dpkg-deb");
    // xz: zstd is not known to dpkg before 2022.
    build.args(["--root-owner-group", "-Zxz", "--build"]).arg(&tree).arg(file);
    output(build.env("SOURCE_DATE_EPOCH", &release.epoch)).map(drop)
}

fn control(release: &Release, kib: u64) -> String {
    let depends = match release.glibc.as_str() {
        "" => String::new(),
        glibc => format!("Depends: libc6 (>= {glibc})\n"),
    };
    // The first line of a description is its synopsis; the others are indented.
    let description = DESCRIPTION.replace('\n', "\n ");
    format!(
        "Package: agentd\nVersion: {}\nArchitecture: {}\nMaintainer: {MAINTAINER}\n\
         Installed-Size: {kib}\n{depends}Section: admin\nPriority: optional\n\
         Description: keeps a management agent's own trust store\n {description}\n",
        release.version,
        release.machine.deb(),
    )
}

pub(super) const MAINTAINER: &str = "The agentd authors <agentd@example.invalid>";

pub(super) const COPYRIGHT: &str = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: agentd

Files: *
Copyright: the agentd authors
License: MIT or Apache-2.0
 The full texts are LICENSE-MIT and LICENSE-APACHE beside this file.
";
