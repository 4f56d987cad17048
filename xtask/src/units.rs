//! `cargo xtask units`: what systemd and launchd will be given, judged by systemd's own tools and a real plist parser.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::run::{self, say};
use crate::{setup, workspace};

/// The worst exposure that is let pass, in tenths, as systemd 252 counts it; newer releases count a little differently.
const EXPOSURE: &str = "--threshold=16";

/// Judges the units; says what it leaves out where a tool is missing, or fails where nothing may be left out.
pub(crate) fn run() -> Result<(), String> {
    let root = workspace::root();
    if available("systemd-analyze")? {
        units(&root)?;
    }
    if available("python3")? {
        plists(&root)?;
    }
    if available("promtool")? {
        let rules = root.join("packaging/monitoring/agentd.rules.yml");
        run::output(Command::new("promtool").args(["check", "rules"]).arg(rules))?;
        say("units: promtool takes the alerts");
    }
    Ok(())
}

fn available(tool: &str) -> Result<bool, String> {
    if setup::find(tool).is_some() {
        return Ok(true);
    }
    setup::leave_out(&format!("what {tool} judges: it is not installed"))?;
    Ok(false)
}

fn units(root: &Path) -> Result<(), String> {
    let scratch = root.join("target/units");
    let io = |error: std::io::Error| format!("{}: {error}", scratch.display());
    fs::create_dir_all(&scratch).map_err(io)?;
    let unit = scratch.join("agentd.service");
    let shipped = root.join("systemd/agentd.service");
    let text = fs::read_to_string(&shipped).map_err(|error| format!("{}: {error}", shipped.display()))?;
    // systemd wants to find the program, which is installed nowhere: any one will do.
    let myself = std::env::current_exe().map_err(|error| error.to_string())?;
    fs::write(&unit, text.replace("/usr/bin/agentd", &myself.display().to_string())).map_err(io)?;
    let drop_ins = scratch.join("agentd.service.d");
    fs::create_dir_all(&drop_ins).map_err(io)?;
    let analyze = |arguments: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        command.args(arguments).arg(&unit);
        command
    };
    let silent = |command: &mut Command| {
        let output = command.output().map_err(|error| error.to_string())?;
        let said = [output.stdout, output.stderr].concat();
        // A key that it does not know is a warning to it, and a mistake to us.
        match output.status.success() && said.is_empty() {
            true => Ok(()),
            false => Err(format!("systemd-analyze verify: {}", String::from_utf8_lossy(&said))),
        }
    };
    for example in [None, Some(root.join("systemd/examples/smp-layout.conf"))] {
        let drop_in = drop_ins.join("example.conf");
        match &example {
            Some(example) => fs::copy(example, &drop_in).map(drop).map_err(io)?,
            None => drop(fs::remove_file(&drop_in)),
        }
        silent(&mut analyze(&["verify", "--man=no", "--recursive-errors=no"]))?;
    }
    // Offline, so of the unit as shipped: what is installed on this machine has no say.
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--no-pager", EXPOSURE]).arg(&shipped);
    let verdict = String::from_utf8_lossy(&run::output(&mut security)?).into_owned();
    say(&format!("units: {}", verdict.lines().next_back().unwrap_or_default()));
    say("units: systemd agrees");
    Ok(())
}

fn plists(root: &Path) -> Result<(), String> {
    let launchd = root.join("packaging/launchd");
    let mut python = Command::new("python3");
    python.arg("-c").arg(PLISTS).arg(launchd.join("io.agentd.agentd.plist"));
    run::output(python.arg(launchd.join("io.agentd.rundir.plist")))?;
    say("units: the plists say what they must");
    Ok(())
}

/// Every key with its type, as launchd.plist(5) has them, and what must not be there.
const PLISTS: &str = r#"
import os, plistlib, sys
KEYS = {
    "Label": str, "ProgramArguments": list, "UserName": str, "GroupName": str, "RunAtLoad": bool, "KeepAlive": bool,
    "ThrottleInterval": int, "ExitTimeOut": int, "ProcessType": str, "LowPriorityIO": bool, "Umask": int,
    "AbandonProcessGroup": bool, "SoftResourceLimits": dict, "HardResourceLimits": dict, "WorkingDirectory": str,
    "StandardErrorPath": str, "LaunchOnlyOnce": bool,
}
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        job = plistlib.load(file)
    for key, value in job.items():
        assert type(value) is KEYS.get(key), f"{path}: {key} is no {KEYS.get(key)}, or unknown, or not wanted"
    assert job["Label"] + ".plist" == os.path.basename(path), f"{path}: the label names the file"
    assert job["ProgramArguments"][0].startswith("/"), f"{path}: the program is an absolute path"
main = plistlib.load(open(sys.argv[1], "rb"))
assert main["UserName"] == main["GroupName"] == "_agentd" and main["Umask"] == 0o77 and main["KeepAlive"] is True
assert main["ProcessType"] in ("Background", "Standard", "Adaptive", "Interactive")
"#;
