//! The package for Fedora, RHEL, SUSE and their kin.

use std::path::Path;
use std::process::Command;

use super::stage::{self, Pages};
use super::{DESCRIPTION, Release, entries, make, read, write};
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
    let spec = top.join("agentd.spec");
    write(&spec, fill(&template, release, &stage::listing(&tree)?).as_bytes(), 0o644)?;
    let mut build = Command::new("rpmbuild");
    build.args(["-bb", "--quiet"]).arg("--target").arg(release.machine.rpm());
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
    build.arg("--define").arg(format!("staged {}", tree.display())).arg(&spec);
    output(build.env("SOURCE_DATE_EPOCH", &release.epoch))?;
    let built = entries(out)?.iter().any(|path| path.extension().is_some_and(|rpm| rpm == "rpm"));
    if built { Ok(()) } else { Err("rpmbuild wrote no package".to_owned()) }
}

fn fill(template: &str, release: &Release, files: &[String]) -> String {
    // The configuration and the directories have lines of their own.
    let files: Vec<&str> =
        files.iter().map(String::as_str).filter(|path| !path.starts_with("/etc/")).collect();
    template
        // An rpm version has no hyphen; what comes before the release sorts before it with a tilde.
        .replace("@VERSION@", &release.version.replace('-', "~"))
        .replace("@DESCRIPTION@", DESCRIPTION)
        .replace("@FILES@", &files.join("\n"))
}
