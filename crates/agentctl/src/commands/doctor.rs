//! `agentctl doctor`: what usually goes wrong, each with its fix; with `--fix` the safe ones are done.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use agent_control::wire::{Health, SCHEMA, Severity};
use serde::Serialize;

use super::fetch::read_answer;
use super::regen;
use crate::context::{Context, of_io};
use crate::doctor::{self, Facts, Finding, Repair};
use crate::error::Error;
use crate::exit::Exit;
use crate::out::{BAD, BOLD, DIM, GOOD, HANG, WARN, stderr_line, styled};
use crate::words::{count, remedy};

/// For `--help`.
pub(crate) const EXAMPLES: &str = "It changes nothing unless it is told to. With --fix it does what cannot touch trust: it closes directories of \
its own\nto others, removes what a crash left behind, and puts a store that was edited back as it was published; each is\nshown before \
it is done, and asked for unless --yes is given. Exit code 8 where a warning or an error is left.

Examples:
  agentctl doctor
  agentctl doctor --json | jq -r '.findings[] | .code + \": \" + .title'
  agentctl doctor --fix
  agentctl doctor --fix --yes";

/// What was found.
#[derive(Debug, Serialize)]
struct DoctorReport {
    v: u32,
    schema: &'static str,
    health: Health,
    /// The worst first.
    findings: Vec<Finding>,
    /// What was looked at and is as it should be, a sentence each.
    well: Vec<String>,
    /// The repairs that were made, as the commands that do the same.
    fixed: Vec<String>,
}

/// Looks at everything, with `fix` mends what is safe, and says what is left.
pub(crate) fn run(context: &Context, fix: bool, yes: bool) -> Result<Exit, Error> {
    let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
    if fix && !yes && !can_ask {
        return Err(Error::new(Exit::Usage, "--yes is missing: without a terminal nobody can be asked")
            .hint("`agentctl doctor` alone shows what --fix would do"));
    }
    let mut facts = doctor::gather::facts(context)?;
    let mut findings = doctor::findings(&facts);
    let mut fixed = Vec::new();
    if fix {
        for repair in findings.iter().filter_map(|finding| finding.repair.clone()) {
            if agreed(&repair, yes) {
                make(context, &repair)?;
                fixed.push(repair.command());
            }
        }
        if !fixed.is_empty() {
            facts = doctor::gather::facts(context)?;
            findings = doctor::findings(&facts);
        }
    }
    let report = report(&facts, findings, fixed);
    context.out.data(&report, |report, out| render(report, context.root.as_deref(), out))?;
    Ok(if report.health == Health::Ok { Exit::Done } else { Exit::Degraded })
}

fn agreed(repair: &Repair, yes: bool) -> bool {
    if yes {
        stderr_line(&format!("{} {}", styled(BOLD, "fix"), repair.command()));
        return true;
    }
    let answer = read_answer(&format!("{} {}  [y/N] ", styled(BOLD, "fix"), repair.command()));
    answer.is_some_and(|answer| matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
}

fn make(context: &Context, repair: &Repair) -> Result<(), Error> {
    match repair {
        Repair::Close { directory, mode } => close(directory, *mode)
            .map_err(|error| of_io(&error, &format!("cannot {}: {error}", repair.command()))),
        Repair::Remove { file } => match std::fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(of_io(&error, &format!("cannot {}: {error}", repair.command())))
            }
            _ => Ok(()),
        },
        Repair::Regenerate => regen::regenerate(context, false, false).map(drop),
    }
}

/// By a descriptor: what the name means is looked up once, and a link is not followed.
fn close(directory: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = std::fs::File::from(rustix::fs::open(directory, flags, Mode::empty())?);
    opened.set_permissions(std::fs::Permissions::from_mode(mode))
}

fn report(facts: &Facts, findings: Vec<Finding>, fixed: Vec<String>) -> DoctorReport {
    let worst = findings.iter().map(|finding| finding.problem.severity).max();
    let health = match worst {
        Some(Severity::Error) => Health::Failed,
        Some(Severity::Warning) => Health::Degraded,
        Some(Severity::Info) | None => Health::Ok,
    };
    let well = well(facts, &findings);
    DoctorReport { v: 1, schema: SCHEMA, health, findings, well, fixed }
}

/// What is as it should be, of what was looked at.
fn well(facts: &Facts, findings: &[Finding]) -> Vec<String> {
    let free_of =
        |codes: &[&str]| !findings.iter().any(|finding| codes.contains(&finding.problem.code.as_str()));
    let mut well = Vec::new();
    let mut say = |holds: bool, codes: &[&str], words: String| {
        if holds && free_of(codes) {
            well.push(words);
        }
    };
    let daemon = facts.status.as_ref().and_then(|status| status.daemon.as_ref());
    say(daemon.is_some(), &["control-dead", "lock-held"], "the daemon answers".to_owned());
    say(
        facts.status.is_some(),
        &["store-edited", "store-closed", "file-in-the-way", "no-anchors", "store-held", "store-behind"],
        "the store is as it was published, and everybody can read it".to_owned(),
    );
    let sources = facts.status.as_ref().map_or(0, |status| status.sources.len());
    say(
        facts.status.is_some(),
        &["source-unreadable", "path-closed", "source-reject", "private-key", "source-missing"],
        format!("{} read", count(sources as u64, "source")),
    );
    say(
        !facts.directories.is_empty(),
        &["directory-open", "directory-unwritable"],
        "the directories have owner and mode as they should".to_owned(),
    );
    say(
        !facts.servers.is_empty(),
        &["server-unreachable", "server-not-verified"],
        format!("{} reached and verified", count(facts.servers.len() as u64, "server")),
    );
    let timed = facts.servers.iter().filter(|server| server.ahead.is_some()).count();
    say(timed > 0, &["clock-skew", "clock-implausible"], "the clock agrees with theirs".to_owned());
    if let Some(free) = facts.disks.iter().map(|disk| disk.free).min() {
        say(true, &["disk-space", "disk-read-only"], format!("disk {} MiB free", free >> 20));
    }
    if let Some(watches) = facts.watches {
        let words = format!("{} of {} inotify watches in use", watches.used, watches.most);
        say(true, &["watch-limit", "watch-degraded"], words);
    }
    say(true, &["environment-overrides"], "no variable makes programs ignore the store".to_owned());
    well
}

fn render(report: &DoctorReport, root: Option<&Path>, out: &mut dyn Write) -> io::Result<()> {
    for words in &report.well {
        writeln!(out, "{} {HANG}{words}", styled(GOOD, "✓"))?;
    }
    for (index, finding) in report.findings.iter().enumerate() {
        let problem = &finding.problem;
        let (style, mark) = match problem.severity {
            Severity::Error => (BAD, "✗"),
            Severity::Warning => (WARN, "!"),
            Severity::Info => (DIM, "i"),
        };
        let code = styled(DIM, format!("[{}]", problem.code));
        writeln!(out, "{} {} {HANG}{} {code}", styled(style, mark), index + 1, problem.title)?;
        if !problem.why.is_empty() {
            writeln!(out, "      why  {HANG}{}", problem.why)?;
        }
        for (index, fix) in problem.fix.iter().enumerate() {
            let safe =
                if finding.fixable && index == 0 { styled(DIM, "   (--fix does it)") } else { String::new() };
            writeln!(out, "      fix  {HANG}{}{safe}", remedy(fix, root))?;
        }
    }
    for command in &report.fixed {
        writeln!(out, "{} {HANG}fixed: {command}", styled(GOOD, "✓"))?;
    }
    let number = |severity| {
        report.findings.iter().filter(|finding| finding.problem.severity == severity).count() as u64
    };
    let (errors, warnings, notes) =
        (number(Severity::Error), number(Severity::Warning), number(Severity::Info));
    if errors + warnings == 0 {
        let notes = if notes == 0 { String::new() } else { format!(", {}", count(notes, "note")) };
        return writeln!(out, "{}", styled(GOOD, format!("nothing needs a hand{notes}")));
    }
    let text =
        format!("{}, {}, {}", count(errors, "error"), count(warnings, "warning"), count(notes, "note"));
    writeln!(out, "{}", styled(if errors > 0 { BAD } else { WARN }, text))
}
