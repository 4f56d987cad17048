//! The servers and consumers that the tests use: installed where that is allowed, named where they are missing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{run, say};

/// A program, the Debian package that brings it, and the tests that are less without it.
struct Tool {
    program: &'static str,
    package: &'static str,
    tests: &'static str,
}

const fn tool(program: &'static str, package: &'static str, tests: &'static str) -> Tool {
    Tool { program, package, tests }
}

const READERS: &str = "that it reads every published bundle";

const TOOLS: &[Tool] = &[
    tool(
        "openssl",
        "openssl",
        "TRUSTED CERTIFICATE, PKCS#7, connecting to s_server, and that it reads every bundle",
    ),
    tool("curl", "curl", READERS),
    tool("nginx", "nginx", "connecting to nginx"),
    tool("apache2", "apache2", "the life of an endpoint with Apache"),
    tool("haproxy", "haproxy", "the life of an endpoint with HAProxy"),
    tool("caddy", "caddy", "the life of an endpoint with Caddy"),
    tool("certtool", "gnutls-bin", READERS),
    tool("certutil", "libnss3-tools", READERS),
    tool("keytool", "default-jre-headless", READERS),
    tool("go", "golang-go", READERS),
    tool("node", "nodejs", READERS),
    tool("python3", "python3", READERS),
    tool("git", "git", READERS),
    tool("faketime", "faketime", "that time alone changes no bundle"),
    tool("promtool", "prometheus", "that Prometheus reads the metrics"),
    tool("tinyproxy", "tinyproxy-bin", "the way through a real proxy"),
    tool("strace", "strace", "the order of system calls of a publication, and a fault at each of them"),
    tool("mkfs.xfs", "xfsprogs", "the power cut on XFS"),
    tool("bindfs", "bindfs", "changes on a file system that tells nothing of them"),
    tool("jq", "jq", "the examples of the help"),
    tool("zsh", "zsh", "the completions of zsh"),
    tool("fish", "fish", "the completions of fish"),
    tool("setfacl", "acl", "sources with access lists"),
    tool("unshare", "util-linux", "watching at its limits and under mounts"),
    tool("setpriv", "util-linux", "sources without permission"),
];

/// The roots of Mozilla, which the corpus test cuts into sources.
const ROOTS: &str = "/usr/share/ca-certificates/mozilla";

/// Installs what is missing, as root on a Debian; returns what is missing then, as text for whoever runs the tests.
pub(crate) fn install() -> Vec<String> {
    let wanted = missing();
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut packages: Vec<&str> = wanted.iter().map(|tool| tool.package).collect();
    packages.dedup();
    let allowed = rustix::process::geteuid().is_root() && find("apt-get").is_some();
    if !allowed {
        say("not root, or no apt-get: nothing is installed");
    } else if let Err(error) = install_packages(&packages) {
        say(&format!("warning: {error}"));
    }
    missing()
        .iter()
        .map(|tool| format!("{} (package {}); left out: {}", tool.program, tool.package, tool.tests))
        .collect()
}

/// Set to 1 where nothing may be left out.
pub(crate) const REQUIRE_ALL: &str = "AGENTD_REQUIRE_ALL";

/// Says what is left out and why; an error where nothing may be.
pub(crate) fn leave_out(what: &str) -> Result<(), String> {
    if std::env::var_os(REQUIRE_ALL).is_some_and(|value| value == "1") {
        return Err(format!("{REQUIRE_ALL} is set, and left out would be {what}"));
    }
    say(&format!("SKIPPED: {what}"));
    Ok(())
}

fn missing() -> Vec<&'static Tool> {
    const CORPUS: &Tool = &tool(ROOTS, "ca-certificates", "the corpus of Mozilla's roots");
    let mut missing: Vec<&Tool> = TOOLS.iter().filter(|tool| find(tool.program).is_none()).collect();
    if !Path::new(ROOTS).is_dir() {
        missing.push(CORPUS);
    }
    missing
}

fn install_packages(packages: &[&str]) -> Result<(), String> {
    let _quiet = NoServices::new()?;
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-y"]).args(arguments);
        command
    };
    run(&mut apt(&["update"]))?;
    run(apt(&["install", "--no-install-recommends"]).args(packages))
}

/// Keeps packages from starting their services, as long as it lives: a web server on every address is not wanted here.
struct NoServices {
    ours: Option<PathBuf>,
}

impl NoServices {
    fn new() -> Result<Self, String> {
        let policy = Path::new("/usr/sbin/policy-rc.d");
        if policy.exists() {
            return Ok(Self { ours: None });
        }
        // 101: action forbidden by policy.
        fs::write(policy, "#!/bin/sh\nexit 101\n")
            .and_then(|()| fs::set_permissions(policy, fs::Permissions::from_mode(0o755)))
            .map_err(|error| format!("{}: {error}", policy.display()))?;
        Ok(Self { ours: Some(policy.to_owned()) })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(policy) = &self.ours
            && let Err(error) = fs::remove_file(policy)
        {
            say(&format!("warning: {} stays: {error}", policy.display()));
        }
    }
}

/// Where a program is installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/sbin"].map(PathBuf::from);
    usual
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}
