//! The scripts for macOS lay files out, keep what was edited, and take away what they put: under a directory, on any system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use test_support::endpoint::write;
use test_support::process::{command, run};

#[test]
fn install_upgrade_uninstall_and_purge() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let archive = unpacked(scratch.path());
    let dest = scratch.path().join("dest");
    let script = |path: &Path, arguments: &[&str]| {
        let mut script: Command = command("sh");
        let _run = run(script.arg(path).args(arguments).env("DESTDIR", &dest)).expect_code(0);
    };
    let data = dest.join("Library/Application Support/agentd");
    let config = data.join("agentd.toml");

    script(&archive.join("install.sh"), &[]);
    let first = listing(&dest);
    for wanted in [
        "opt/agentd/bin/agentd",
        "opt/agentd/uninstall.sh",
        "usr/local/bin/agentd",
        "usr/local/bin/agentctl",
        "usr/local/share/man/man8/agentd.8",
        "usr/local/share/zsh/site-functions/_agentctl",
        "Library/LaunchDaemons/io.agentd.agentd.plist",
        "Library/LaunchDaemons/io.agentd.rundir.plist",
        "Library/Application Support/agentd/agentd.toml",
    ] {
        assert!(first.contains(&wanted.to_owned()), "{wanted} is not in {first:#?}");
    }

    for (link, target) in [
        ("usr/local/bin/agentctl", "/opt/agentd/bin/agentctl"),
        ("usr/local/share/man/man5/agentd.toml.5", "/opt/agentd/share/man/man5/agentd.toml.5"),
    ] {
        assert_eq!(fs::read_link(dest.join(link)).ok(), Some(PathBuf::from(target)), "{link}");
    }
    let job = dest.join("Library/LaunchDaemons/io.agentd.agentd.plist");
    assert!(fs::symlink_metadata(&job).is_ok_and(|found| found.is_file()), "launchd takes no links");

    // As the package does it: its files are in place, and the script runs from among them.
    write(&dest.join("opt/agentd/agentd.toml"), "# newer\n");
    script(&dest.join("opt/agentd/install.sh"), &[]);
    assert!(data.join("agentd.toml.new").is_file(), "the configuration that was there stays");
    fs::remove_file(data.join("agentd.toml.new")).expect("ours");

    write(&config, "# edited\n");
    write(&data.join("cainfo.pem"), "a source\n");
    script(&archive.join("install.sh"), &[]);
    assert_eq!(
        fs::read_to_string(&config).ok().as_deref(),
        Some("# edited\n"),
        "an upgrade keeps what was edited"
    );
    assert!(data.join("agentd.toml.new").is_file(), "and shows what is new");

    // Somebody else's program of that name.
    let other = dest.join("usr/local/bin/agentctl");
    fs::remove_file(&other).expect("a link of ours");
    write(&other, "other\n");
    let uninstall = dest.join("opt/agentd/uninstall.sh");
    script(&uninstall, &[]);
    let mut left = listing(&dest);
    left.sort();
    let kept = ["agentd.toml", "agentd.toml.new", "cainfo.pem"];
    let kept = kept.map(|name| format!("Library/Application Support/agentd/{name}"));
    assert_eq!(left, [kept.as_slice(), &["usr/local/bin/agentctl".to_owned()]].concat());
    fs::remove_file(&other).expect("of the test");

    script(&archive.join("install.sh"), &[]);
    script(&uninstall, &["--purge"]);
    assert_eq!(listing(&dest), [""; 0], "a purge leaves nothing");
}

/// An archive as it is packed, with stand-ins for what is built.
fn unpacked(scratch: &Path) -> PathBuf {
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    let archive = scratch.join("archive");
    for name in ["bin/agentd", "bin/agentctl", "share/man/man1/agentctl.1", "share/man/man5/agentd.toml.5"] {
        write(&archive.join(name), "stand-in\n");
    }
    for name in ["share/man/man5/agentd-policy.5", "share/man/man8/agentd.8", "share/completions/_agentctl"] {
        write(&archive.join(name), "stand-in\n");
    }
    let copy = |from: &str, to: &str| {
        write(&archive.join(to), fs::read(packaging.join(from)).expect("a file of ours"));
    };
    copy("agentd.toml", "agentd.toml");
    for script in ["install.sh", "uninstall.sh"] {
        copy(&format!("launchd/{script}"), script);
    }
    for job in ["io.agentd.agentd.plist", "io.agentd.rundir.plist"] {
        copy(&format!("launchd/{job}"), &format!("launchd/{job}"));
    }
    archive
}

/// Every file below a directory, relative to it.
fn listing(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => open.push(path),
                false => found.extend(path.strip_prefix(root).map(|path| path.display().to_string())),
            }
        }
    }
    found
}
