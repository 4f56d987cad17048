//! The package for Fedora, RHEL, SUSE and their kin.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::stage::{self, Pages};
use super::{DESCRIPTION, Release, entries, make, name, read, write};
use crate::run::output;

pub(super) fn build(
    root: &Path,
    release: &Release,
    pages: &Pages,
    scratch: &Path,
    out: &Path,
) -> Result<(), String> {
    let top = scratch.join("rpm");
    let tree = top.join("tree");
    stage::linux(root, release, pages, &tree, "usr/share/zsh/site-functions")?;
    make(&tree.join("var/lib/agentd/policies"))?;
    stage::touch(&tree, release)?;
    let template = String::from_utf8_lossy(&read(&root.join("packaging/rpm/agentd.spec"))?).into_owned();
    let files: Vec<String> = stage::listing(&tree)?;
    let spec = fill(&template, release, DESCRIPTION, &files);
    pack(&spec, "agentd", release.machine.rpm(), release, &top, out)
}

/// Packs `top/tree` by this spec.
pub(super) fn pack(
    text: &str,
    package: &str,
    architecture: &str,
    release: &Release,
    top: &Path,
    out: &Path,
) -> Result<(), String> {
    let spec = top.join(format!("{package}.spec"));
    write(&spec, text.as_bytes(), 0o644)?;
    let mut build = Command::new("rpmbuild");
    build.args(["-bb", "--quiet"]).arg("--target").arg(architecture);
    // The tree is complete: no stripping, no debug packages, no compressing of pages by whoever builds.
    for define in [
        format!("_topdir {}", top.display()),
        format!("_rpmdir {}", out.display()),
        "_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm".to_owned(),
        "__os_install_post %{nil}".to_owned(),
        "debug_package %{nil}".to_owned(),
        "_build_id_links none".to_owned(),
        "_binary_payload w6.xzdio".to_owned(),
        "_buildhost reproducible".to_owned(),
        "use_source_date_epoch_as_buildtime 1".to_owned(),
        "clamp_mtime_to_source_date_epoch 1".to_owned(),
    ] {
        build.arg("--define").arg(define);
    }
    // rpmbuild empties the build root before %install, so it gets a copy of the tree there.
    build.arg("--define").arg(format!("staged {}", top.join("tree").display())).arg(&spec);
    output(build.env("SOURCE_DATE_EPOCH", &release.epoch))?;
    let begin = format!("{package}-{}", rpm_version(release));
    let is_it =
        |path: &PathBuf| name(path).is_some_and(|name| name.starts_with(&begin) && name.ends_with(".rpm"));
    let built = entries(out)?.iter().any(is_it);
    if built { Ok(()) } else { Err(format!("rpmbuild wrote no package {package}")) }
}

/// An rpm version has no hyphen; what comes before the release sorts before it with a tilde.
fn rpm_version(release: &Release) -> String {
    release.version.replace('-', "~")
}

pub(super) fn fill(template: &str, release: &Release, description: &str, files: &[String]) -> String {
    // The configuration and the directories have lines of their own.
    let files: Vec<&str> =
        files.iter().map(String::as_str).filter(|path| !path.starts_with("/etc/")).collect();
    template
        .replace("@VERSION@", &rpm_version(release))
        .replace("@DESCRIPTION@", description)
        .replace("@FILES@", &files.join("\n"))
}
