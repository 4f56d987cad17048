//! The package for macOS: the tree of the archive, installed as `/opt/agentd`, and scripts that call its own `install.sh`.

use std::path::Path;
use std::process::Command;

use super::{Release, tarball, target};
use crate::run::{self, cargo};

/// Where the tree is installed.
const HOME: &str = "/opt/agentd";

/// Writes it with the tool in `packaging/macos/flat`, which is built the first time: two minutes.
pub(super) fn build(root: &Path, release: &Release, tree: &Path, out: &Path) -> Result<(), String> {
    let tool = root.join("packaging/macos/flat");
    let built = target(root).join("tools/flat");
    let mut make = cargo();
    make.args(["build", "--locked", "--quiet", "--release", "--manifest-path"]).arg(tool.join("Cargo.toml"));
    run::run(make.env("CARGO_TARGET_DIR", &built))?;
    let mut pack = Command::new(built.join("release/flat"));
    pack.arg(tree).arg(HOME).arg(root.join("packaging/macos/scripts")).arg(&release.version);
    run::run(pack.arg(out.join(format!("{}.pkg", tarball::whole(release)))))
}
