//! The programs for other machines, and for this one with an old glibc, by cargo-zigbuild.
//!
//! A toolchain is a directory whose `env.sh` puts cargo, a rustc with the targets' standard libraries and cargo-zigbuild on
//! the path. Without one, what is on the path already serves: `rustup target add`, `pip install cargo-zigbuild ziglang`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run;
use crate::setup::leave_out;

/// What is built: the target, with the glibc that it may ask for at most. 2.17 is of 2012, and what Rust itself needs.
const TARGETS: &[(&str, &str)] = &[
    ("x86_64-unknown-linux-gnu", ".2.17"),
    ("aarch64-unknown-linux-gnu", ".2.17"),
    ("aarch64-apple-darwin", ""),
    ("x86_64-apple-darwin", ""),
];

/// Builds for each target that there are tools for, and says what is left out; returns the directories of the programs.
pub(super) fn build(root: &Path, target: &Path) -> Result<Vec<PathBuf>, String> {
    let tools = std::env::var_os("AGENTD_CROSS").map_or_else(|| target.join("cross"), PathBuf::from);
    let mut built = Vec::new();
    for (triple, glibc) in TARGETS {
        if let Some(lacking) = lacking(&tools, triple) {
            leave_out(&format!("the packages for {triple}{glibc}: {lacking} (docs/DEVELOPMENT.md)"))?;
            continue;
        }
        built.push(one(root, &tools, triple, glibc)?);
    }
    Ok(built)
}

/// Why this target cannot be built here.
fn lacking(tools: &Path, triple: &str) -> Option<String> {
    let asked = |script: &str| {
        let said = shell(tools, script, &[triple]).output();
        said.is_ok_and(|output| output.status.success())
    };
    if !asked("command -v cargo-zigbuild") {
        return Some(format!("no cargo-zigbuild, neither in {} nor on the path", tools.display()));
    }
    // Where a standard library would be is said of every target; it is there if anything is in it.
    if !asked("ls \"$(\"${RUSTC:-rustc}\" --print target-libdir --target \"$1\")\"/libstd-*.rlib") {
        return Some(format!("no standard library for {triple}"));
    }
    // A standard library that somebody built for unwinding alone fails at the last link, after all the rest.
    let aborting = "echo 'fn main() {}' | \"${RUSTC:-rustc}\" --target \"$1\" -C panic=abort --emit=obj -o /dev/null - 2>&1";
    if !asked(aborting) {
        return Some(format!("the standard library for {triple} is not made for panic = abort"));
    }
    // The same without bitcode, which optimising at the link wants.
    let bitcode = "grep -aqE '\\.llvmbc|__bitcode' \"$(\"${RUSTC:-rustc}\" --print target-libdir --target \"$1\")\"/libcore-*.rlib";
    if !asked(bitcode) {
        return Some(format!("the standard library for {triple} has no bitcode"));
    }
    let has_frameworks = tools.join("env.sh").is_file() || std::env::var_os("SDKROOT").is_some();
    (triple.contains("apple") && !has_frameworks)
        .then(|| "nothing to link with; SDKROOT names an SDK of Apple's".to_owned())
}

fn one(root: &Path, tools: &Path, triple: &str, glibc: &str) -> Result<PathBuf, String> {
    let mut out = tools.to_owned().into_os_string();
    // Beside the own builds: another compiler made these.
    out.push("-target");
    let out = PathBuf::from(out);
    let script = match triple.contains("apple") {
        // The linker strips: the tool that cargo would call knows no Mach-O.
        true => {
            "name=CARGO_TARGET_$(echo \"$1\" | tr a-z- A-Z_)_RUSTFLAGS; export \"$name=${!name:-} -Clink-arg=-s\"; \
             exec cargo-zigbuild zigbuild --config profile.release.strip=false \"${@:2}\""
        }
        false => "exec cargo-zigbuild zigbuild \"${@:2}\"",
    };
    let whole = format!("{triple}{glibc}");
    let arguments = [triple, "--locked", "--release", "--target", &whole, "-p", "agentd", "-p", "agentctl"];
    let mut build = shell(tools, script, &arguments);
    run::run(build.current_dir(root).env("CARGO_TARGET_DIR", &out))?;
    Ok(out.join(triple).join("release"))
}

/// A script with the toolchain's environment, where there is one.
fn shell(tools: &Path, script: &str, arguments: &[&str]) -> Command {
    let mut bash = Command::new("bash");
    let whole = format!("[ ! -e \"$0/env.sh\" ] || . \"$0/env.sh\"; {script}");
    // The cargo that runs us must not be what another toolchain's programs call.
    bash.arg("-ec").arg(whole).arg(tools).args(arguments).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    bash
}
