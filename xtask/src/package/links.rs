//! The optional package `agentd-ulm-links`: commands under the names of the agent whose scripts are still there.
//!
//! What it installs are files of its own; the links at the other agent's places are made after unpacking, and only where
//! nothing is: as files of a package they would clash with that agent's own.

use std::path::Path;
use std::process::Command;

use super::{Release, deb, read, rpm, stage, write};
use crate::run::output;

/// Where its files go: from `packaging/ulm`.
const HOME: &str = "usr/lib/agentd/ulm";

const DESCRIPTION: &str = "\
Scripts that were written for the SMP Agent for Unix, Linux and Mac call
aex-refreshpolicies and aex-sendbasicinv. This package lets them go on: both
names, in /usr/bin and where that agent has them, lead to agentctl. A file that
is there already is never replaced.";

fn tree(root: &Path, release: &Release, tree: &Path) -> Result<(), String> {
    for name in ["aex-refreshpolicies", "aex-sendbasicinv", "links"] {
        write(&tree.join(HOME).join(name), &read(&root.join("packaging/ulm").join(name))?, 0o755)?;
    }
    stage::touch(tree, release)
}

pub(super) fn deb(root: &Path, release: &Release, scratch: &Path, out: &Path) -> Result<(), String> {
    let staged = scratch.join("links-deb");
    tree(root, release, &staged)?;
    let documents = staged.join("usr/share/doc/agentd-ulm-links");
    write(&documents.join("copyright"), deb::COPYRIGHT.as_bytes(), 0o644)?;
    for (license, text) in
        ["LICENSE-MIT", "LICENSE-APACHE"].map(|license| (license, read(&root.join(license))))
    {
        write(&documents.join(license), &text?, 0o644)?;
    }
    let control = format!(
        "Package: agentd-ulm-links\nVersion: {}\nArchitecture: all\nMaintainer: {}\nInstalled-Size: 32\n\
         Depends: agentd\nSection: admin\nPriority: optional\n\
         Description: commands of the SMP Agent, done by agentd\n {}\n",
        release.version,
        deb::MAINTAINER,
        DESCRIPTION.replace('\n', "\n "),
    );
    write(&staged.join("DEBIAN/control"), control.as_bytes(), 0o644)?;
    for script in ["postinst", "prerm"] {
        let text = read(&root.join("packaging/ulm").join(script))?;
        write(&staged.join("DEBIAN").join(script), &text, 0o755)?;
    }
    stage::touch(&staged, release)?;
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "-Zxz", "--build"]).arg(&staged);
    build.arg(out.join(format!("agentd-ulm-links_{}_all.deb", release.version)));
    output(build.env("SOURCE_DATE_EPOCH", &release.epoch)).map(drop)
}

pub(super) fn rpm(root: &Path, release: &Release, scratch: &Path, out: &Path) -> Result<(), String> {
    let top = scratch.join("links-rpm");
    let staged = top.join("tree");
    tree(root, release, &staged)?;
    let template = read(&root.join("packaging/rpm/agentd-ulm-links.spec"))?;
    let spec =
        rpm::fill(&String::from_utf8_lossy(&template), release, DESCRIPTION, &stage::listing(&staged)?);
    rpm::pack(&spec, "agentd-ulm-links", "noarch", release, &top, out)
}
