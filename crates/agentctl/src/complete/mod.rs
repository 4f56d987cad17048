//! What may follow on a command line, for the completions of the shells: the scripts that `agentctl completions` prints
//! know nothing and ask here at each press of the key.
//!
//! It answers from the command line's definition and from files: quickly, without the network or the daemon, without a
//! word about what goes wrong. What this user may not read is not suggested.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use clap::CommandFactory as _;

use crate::cli::{Cli, Shell};

mod known;
mod line;
mod walk;

use walk::{Answer, Paths, Typed};

/// The first argument of a shell that asks; no command, so that nobody finds it by accident.
const ASKED: &str = "__complete";

/// Answers a shell's question and says whether it was one.
pub(crate) fn serve_if_asked() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != ASKED) {
        return false;
    }
    let arguments: Vec<String> = arguments.map(lossy).collect();
    if let Some(text) = answer(&arguments) {
        // A shell that has lost interest is nobody to tell.
        let _ignored = std::io::stdout().lock().write_all(text.as_bytes());
    }
    true
}

/// The script of a shell.
pub(crate) fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("agentctl.bash"),
        Shell::Zsh => include_str!("agentctl.zsh"),
        Shell::Fish => include_str!("agentctl.fish"),
    }
}

/// What the script of a shell is told: a line with the kind of paths that may stand here too, then a candidate a line
/// with its description behind a tab.
fn answer(arguments: &[String]) -> Option<String> {
    let (shell, rest) = arguments.split_first()?;
    let mut command = Cli::command();
    command.build();
    let ask = |words: &[String], current: &str| {
        walk::walk(&command, words, current, &|kind, typed| known::values(kind, &with_environment(typed)))
    };
    match (shell.as_str(), rest) {
        ("bash", [breaks, typed]) => {
            let line = line::split(typed);
            let (_, words) = line.words.split_first()?;
            let answer = ask(words, &line.current);
            let kept = line::before_last_break(&line.current, breaks);
            Some(text(&answer, |value| {
                let whole = format!("{}{value}", answer.prefix);
                whole.strip_prefix(kept).map_or_else(|| whole.clone(), str::to_owned)
            }))
        }
        (_, [_program, words @ .., current]) => {
            let answer = ask(words, current);
            let prefix = if shell == "fish" { answer.prefix.as_str() } else { "" };
            Some(text(&answer, |value| format!("{prefix}{value}")))
        }
        _ => None,
    }
}

fn text(answer: &Answer, spelled: impl Fn(&str) -> String) -> String {
    let paths = match answer.paths {
        Paths::None => "none",
        Paths::Files => "files",
        Paths::Directories => "dirs",
    };
    let mut text = format!("{paths}\n");
    // More than anybody reads, and a shell would take seconds over: with a letter or two they are fewer.
    let few = if answer.candidates.len() > MOST { &[][..] } else { &answer.candidates };
    for candidate in few {
        let line =
            format!("{}\t{}", printable(&spelled(&candidate.value)), printable(&candidate.description));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A line of its own, whatever a name or a subject holds.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// What was not typed may stand in the environment.
fn with_environment(typed: &Typed) -> Typed {
    let config = || std::env::var_os("AGENTD_CONFIG").filter(|file| !file.is_empty()).map(PathBuf::from);
    Typed {
        root: typed.root.as_ref().map(|root| home(root)),
        config: typed.config.as_ref().map(|file| home(file)).or_else(config),
    }
}

/// A path as the shell will pass it on: it expands the home directory when the command is run, not when it is completed.
fn home(path: &std::path::Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => path.to_owned(),
    }
}

fn lossy(argument: OsString) -> String {
    argument.into_string().unwrap_or_else(|raw| raw.to_string_lossy().into_owned())
}

/// Of ten thousand anchors one digit leaves six hundred.
const MOST: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        answer(&arguments).unwrap_or_default()
    }

    const BREAKS: &str = " \t\n\"'><=;|&(:";

    #[test]
    fn each_shell_is_told_what_it_replaces() {
        assert_eq!(told(&["bash", BREAKS, "agentctl stat"]).lines().next(), Some("none"));
        assert!(told(&["bash", BREAKS, "agentctl stat"]).contains("\nstatus\tShow the store"));
        // bash replaces what is behind its last break, zsh is told to, fish replaces all of the word.
        for (arguments, expected) in [
            (&["bash", BREAKS, "agentctl connect --names=st"][..], "none\nstrict\t"),
            (&["bash", " ", "agentctl connect --names=st"], "none\n--names=strict\t"),
            (&["zsh", "agentctl", "connect", "--names=st"], "none\nstrict\t"),
            (&["fish", "agentctl", "connect", "--names=st"], "none\n--names=strict\t"),
        ] {
            assert!(told(arguments).starts_with(expected), "{arguments:?}: {}", told(arguments));
        }
        assert_eq!(told(&["bash", BREAKS, "agentctl lint "]).lines().next(), Some("files"));
        assert_eq!(told(&["fish", "agentctl", "--root", ""]).lines().next(), Some("dirs"));
    }

    #[test]
    fn nonsense_has_no_answer_and_no_words() {
        for arguments in
            [&[][..], &["bash"], &["bash", "a"], &["zsh"], &["bash", " ", ""], &["bash", " ", "   "]]
        {
            assert_eq!(told(arguments), "", "{arguments:?}");
        }
        assert_eq!(told(&["zsh", "agentctl", "no-such-command", ""]), "none\n");
    }

    #[test]
    fn a_crowd_is_not_shown() {
        let crowd = |number: usize| {
            let candidate = walk::Candidate { value: "x".to_owned(), description: String::new() };
            let answer = Answer { candidates: vec![candidate; number], ..Answer::default() };
            text(&answer, str::to_owned).lines().count()
        };
        assert_eq!((crowd(0), crowd(MOST), crowd(MOST + 1)), (1, 1 + MOST, 1));
    }

    #[test]
    fn a_candidate_stays_on_its_line() {
        assert_eq!(printable("a\tb\nc\u{1b}[31md"), "abc[31md");
    }
}
