//! The words of a line along the definition of the command line, up to the one that is completed.

use std::path::PathBuf;

use clap::{Arg, Command, ValueHint};

use super::known::Kind;

/// What may stand in the place of the word at the cursor.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// What stands before each candidate in the same word, as `--to=`.
    pub(super) prefix: String,
    /// In the order in which they are worth reading.
    pub(super) candidates: Vec<Candidate>,
    /// Paths, which the shell knows best.
    pub(super) paths: Paths,
}

/// A word and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) value: String,
    /// May be empty.
    pub(super) description: String,
}

/// Which paths may stand here.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paths {
    #[default]
    None,
    Files,
    Directories,
}

/// What the line says already of where the state is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Typed {
    pub(super) root: Option<PathBuf>,
    pub(super) config: Option<PathBuf>,
}

/// Where the values of a kind come from.
pub(super) type Source<'a> = &'a dyn Fn(Kind, &Typed) -> Vec<Candidate>;

/// Goes along `words` and says what may follow; `command` is built.
pub(super) fn walk(command: &Command, words: &[String], current: &str, values: Source<'_>) -> Answer {
    let mut place = Place { command, waiting: None, position: 0, only_values: false, given: Vec::new() };
    let mut typed = Typed::default();
    for word in words {
        place.pass(word, &mut typed);
    }
    place.answer(current, &typed, values)
}

/// Where in the definition the words have led.
struct Place<'a> {
    command: &'a Command,
    /// The option whose value comes next.
    waiting: Option<&'a Arg>,
    /// How many positional values there were.
    position: usize,
    /// After `--`.
    only_values: bool,
    /// The options that were given.
    given: Vec<&'a str>,
}

impl<'a> Place<'a> {
    fn pass(&mut self, word: &str, typed: &mut Typed) {
        if let Some(option) = self.waiting.take() {
            note(option, word, typed);
        } else if self.only_values {
            self.position += 1;
        } else if word == "--" {
            self.only_values = true;
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) =
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            if let Some(option) = self.option(|option| option.get_long() == Some(name)) {
                self.give(option, value, typed);
            }
        } else if let Some(short) = word.strip_prefix('-').and_then(|letters| letters.chars().last()) {
            if let Some(option) = self.option(|option| option.get_short() == Some(short)) {
                self.give(option, None, typed);
            }
        } else if let Some(command) = self.subcommand(word) {
            self.command = command;
            self.position = 0;
        } else {
            self.position += 1;
        }
    }

    fn give(&mut self, option: &'a Arg, value: Option<&str>, typed: &mut Typed) {
        self.given.push(option.get_id().as_str());
        match value {
            Some(value) => note(option, value, typed),
            None if takes_value(option) => self.waiting = Some(option),
            None => {}
        }
    }

    fn option(&self, is: impl Fn(&Arg) -> bool) -> Option<&'a Arg> {
        self.command.get_arguments().find(|option| !option.is_positional() && is(option))
    }

    /// Commands come before values: where a word is a value already, none follows.
    fn subcommand(&self, word: &str) -> Option<&'a Command> {
        self.command.find_subcommand(word).filter(|_| self.position == 0)
    }

    fn answer(&self, current: &str, typed: &Typed, values: Source<'_>) -> Answer {
        if let Some(option) = self.waiting {
            return self.value(option, current, typed, values);
        }
        if self.only_values {
            return self.positional(current, typed, values);
        }
        // A word too many: whatever follows would be wrong.
        if self.position > self.command.get_positionals().count() && !self.last_repeats() {
            return Answer::default();
        }
        if let Some((name, value)) = current.strip_prefix("--").and_then(|long| long.split_once('=')) {
            let option =
                self.option(|option| option.get_long() == Some(name)).filter(|option| takes_value(option));
            let answer = option.map(|option| self.value(option, value, typed, values)).unwrap_or_default();
            return Answer { prefix: format!("--{name}="), ..answer };
        }
        if current.starts_with('-') {
            return Answer { candidates: self.options(current), ..Answer::default() };
        }
        let mut answer = self.positional(current, typed, values);
        answer.candidates.splice(0..0, self.commands(current));
        let wants_value = self.last_repeats() || self.position < self.command.get_positionals().count();
        if current.is_empty() && answer.candidates.is_empty() && !wants_value {
            answer.candidates = self.options(current);
        }
        answer
    }

    fn commands(&self, current: &str) -> Vec<Candidate> {
        let commands =
            self.command.get_subcommands().filter(|command| self.position == 0 && !command.is_hide_set());
        let candidate = |command: &Command| Candidate {
            value: command.get_name().to_owned(),
            description: command.get_about().map(first_line).unwrap_or_default(),
        };
        commands.map(candidate).filter(|candidate| candidate.value.starts_with(current)).collect()
    }

    /// The long options that have not been given: those of the command itself, those of all, help.
    fn options(&self, current: &str) -> Vec<Candidate> {
        let free = |option: &&Arg| {
            !option.is_positional()
                && !option.is_hide_set()
                && (repeats(option) || !self.given.contains(&option.get_id().as_str()))
        };
        let candidate = |option: &Arg| {
            let value = format!("--{}", option.get_long()?);
            Some(Candidate { value, description: option.get_help().map(first_line).unwrap_or_default() })
        };
        let rank = |option: &&Arg| match option.get_id().as_str() {
            "help" | "version" => 2,
            _ => u8::from(option.is_global_set()),
        };
        let mut options: Vec<&Arg> = self.command.get_arguments().filter(free).collect();
        options.sort_by_key(rank);
        let options = options.into_iter().filter_map(candidate);
        options.filter(|candidate| candidate.value.starts_with(current)).collect()
    }

    fn positional(&self, current: &str, typed: &Typed, values: Source<'_>) -> Answer {
        let here = self.command.get_positionals().nth(self.position);
        let here = here.or_else(|| self.command.get_positionals().last().filter(|_| self.last_repeats()));
        here.map(|argument| self.value(argument, current, typed, values)).unwrap_or_default()
    }

    fn last_repeats(&self) -> bool {
        self.command.get_positionals().last().is_some_and(repeats)
    }

    fn value(&self, argument: &Arg, current: &str, typed: &Typed, values: Source<'_>) -> Answer {
        let kind = Kind::of(self.command.get_name(), argument.get_id().as_str());
        let mut candidates: Vec<Candidate> = argument
            .get_possible_values()
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(|value| Candidate {
                value: value.get_name().to_owned(),
                description: value.get_help().map(first_line).unwrap_or_default(),
            })
            .collect();
        candidates.extend(kind.into_iter().flat_map(|kind| values(kind, typed)));
        candidates.retain(|candidate| candidate.value.starts_with(current));
        let paths = match argument.get_value_hint() {
            ValueHint::AnyPath | ValueHint::FilePath | ValueHint::ExecutablePath => Paths::Files,
            ValueHint::DirPath => Paths::Directories,
            _ => Paths::None,
        };
        Answer { candidates, paths, ..Answer::default() }
    }
}

fn takes_value(option: &Arg) -> bool {
    option.get_action().takes_values()
}

/// It may be given again.
fn repeats(argument: &Arg) -> bool {
    matches!(argument.get_action(), clap::ArgAction::Append | clap::ArgAction::Count)
        || argument.get_num_args().is_some_and(|range| range.max_values() > 1)
}

fn note(option: &Arg, value: &str, typed: &mut Typed) {
    match option.get_id().as_str() {
        "root" => typed.root = Some(PathBuf::from(value)),
        "config" => typed.config = Some(PathBuf::from(value)),
        _ => {}
    }
}

fn first_line(text: &clap::builder::StyledStr) -> String {
    text.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    /// What may follow, each by its value; the kinds of values by their name, and where they would be looked for.
    fn follow(line: &str) -> String {
        let mut command = Cli::command();
        command.build();
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let current = words.pop().unwrap_or_default();
        let begun = current.rsplit('=').next().unwrap_or_default();
        let values = |kind: Kind, typed: &Typed| {
            let place = typed
                .root
                .as_ref()
                .or(typed.config.as_ref())
                .map_or_else(String::new, |path| format!("@{}", path.display()));
            vec![Candidate { value: format!("{begun}<{kind:?}{place}>"), description: String::new() }]
        };
        let answer = walk(&command, &words, &current, &values);
        let values: Vec<_> = answer.candidates.into_iter().map(|candidate| candidate.value).collect();
        let paths = match answer.paths {
            Paths::None => "",
            Paths::Files => " FILES",
            Paths::Directories => " DIRS",
        };
        format!("{}{}{paths}", answer.prefix, values.join(" "))
    }

    #[test]
    fn what_may_follow() {
        for (line, expected) in [
            ("sta", "status"),
            ("di", "diff distrust"),
            ("anchors ", "list show help"),
            ("anchors sh", "show"),
            ("anchors show ", "<Anchor>"),
            ("--root /x anchors show 7c", "7c<Anchor@/x>"),
            ("anchors show --root=/x 7c", "7c<Anchor@/x>"),
            ("anchors show --config /c 7c", "7c<Anchor@/c>"),
            ("-qv --root /x distrust ", "<Anchor@/x>"),
            (
                "distrust abc ",
                "--reason --dry-run --json --color --root --config --quiet --verbose --help --version",
            ),
            ("trust ", "<Distrusted>"),
            ("rollback ", "<Generation>"),
            ("rollback 4 --dry", "--dry-run"),
            ("diff ", "<Operand> FILES"),
            ("diff 4 ", "<Operand> FILES"),
            ("connect ", "<Server>"),
            ("connect --names ", "strict compat"),
            ("fetch --to ", "<Target> FILES"),
            ("fetch --to=b", "--to=b<Target> FILES"),
            ("fetch --fingerprint ab --fi", "--fingerprint"),
            ("lint ", " FILES"),
            ("lint a b c", " FILES"),
            ("lint -- -", " FILES"),
            ("man --dir ", " DIRS"),
            ("--root ", " DIRS"),
            ("--color ", "auto always never"),
            ("status --ch", "--check"),
            ("status --check --ch", ""),
            ("completions ", "bash zsh fish"),
            ("history --limit ", ""),
            ("no-such ", ""),
            ("status x ", ""),
        ] {
            assert_eq!(follow(line), expected, "{line:?}");
        }
    }

    #[test]
    fn every_command_is_offered() {
        let offered = follow("");
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(offered.split(' ').any(|word| word == command.get_name()), "{}", command.get_name());
        }
    }
}
