//! Completions in the real shells: what is typed at a terminal becomes what the endpoint knows.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use test_support::endpoint::{Endpoint, program, write};
use test_support::pki::Recipe;
use test_support::process::{command, run};
use test_support::terminal::Terminal;
use test_support::tools;

/// An endpoint with two generations, two anchors and a server.
struct Scene {
    endpoint: Endpoint,
    /// The first eight digits of each anchor.
    anchors: [String; 2],
}

impl Scene {
    fn new() -> Self {
        let endpoint = Endpoint::new();
        // Their fingerprints differ in the first digit, so that one digit is enough to be completed.
        let first = Recipe::ca("Completion, the First").self_signed();
        let second = std::iter::repeat_with(|| Recipe::ca("Completion: the Second").self_signed())
            .find(|second| second.sha256()[..1] != first.sha256()[..1])
            .expect("one of them");
        write(&endpoint.config(), "[[server]]\nname = \"emea-head\"\nurl = \"https://mgmt.example:4726\"\n");
        write(&endpoint.bootstrap(), first.pem());
        let _first = endpoint.agentctl(&["regen"]).expect_code(0);
        write(&endpoint.site(), second.pem());
        let _second = endpoint.agentctl(&["regen"]).expect_code(0);
        let anchors = [&first, &second].map(|cert| cert.sha256()[..8].to_owned());
        Self { endpoint, anchors }
    }

    fn root(&self) -> String {
        self.endpoint.root().display().to_string()
    }

    /// A shell that finds the program under test, and nothing of the user who runs the tests.
    fn shell(&self, name: &str, arguments: &[&str]) -> Command {
        let mut shell = command(tools::path(name));
        let home = self.endpoint.beside("home");
        fs::create_dir_all(&home).expect("a directory of ours");
        let programs = program("agentctl").parent().expect("a directory").display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        shell
            .args(arguments)
            .env("PATH", format!("{programs}:{path}"))
            .env("HOME", &home)
            .env("TERM", "dumb");
        shell.current_dir(home);
        shell
    }
}

/// Keys that a person presses, and what the shell makes of them: `{root}`, `{0}` and `{1}` are filled in.
const TYPED: &[(&str, &str)] = &[
    ("agentctl anch\t", "agentctl anchors "),
    ("agentctl --root {root} anchors show {0:1}\t", "agentctl --root {root} anchors show {0} "),
    ("agentctl --root={root} distrust {1:1}\t", "agentctl --root={root} distrust {1} "),
    ("agentctl rollback --root {root} 1\t", "agentctl rollback --root {root} 1 "),
    ("agentctl --root {root} diff sto\t", "agentctl --root {root} diff store "),
    ("agentctl --root {root} diff store 2\t", "agentctl --root {root} diff store 2 "),
    ("agentctl --root {root} diff https\t", "agentctl --root {root} diff https://mgmt.example:4726 "),
    ("agentctl --root {root} connect em\t", "agentctl --root {root} connect emea-head "),
    ("agentctl --root {root} fetch --to=b\t", "agentctl --root {root} fetch --to=bootstrap "),
    ("agentctl --root {root} fetch m\t", "agentctl --root {root} fetch mgmt.example:4726 "),
    ("agentctl lint {root}/var/lib/agentd/cainfo-s\t", "agentctl lint {root}/var/lib/agentd/cainfo-ss.pem "),
    ("agentctl connect --na\t", "agentctl connect --names "),
    ("agentctl connect --names st\t", "agentctl connect --names strict "),
];

/// Ctrl-U, and an empty line for the next prompt.
const TAKE_BACK: &str = "\u{15}\r";

fn fill(text: &str, scene: &Scene) -> String {
    let [first, second] = &scene.anchors;
    text.replace("{root}", &scene.root())
        .replace("{0:1}", &first[..1])
        .replace("{1:1}", &second[..1])
        .replace("{0}", first)
        .replace("{1}", second)
}

/// Types each line, waits for what it becomes, and takes it back.
fn types_well(scene: &Scene, shell: &Command, ready: &str) {
    let mut terminal = Terminal::open(shell, 250);
    terminal.press(ready);
    terminal.wait_for("prompt> ");
    for (typed, completed) in TYPED {
        let completed = fill(completed, scene);
        terminal.press(&fill(typed, scene));
        terminal.wait_for(&completed);
        terminal.press(TAKE_BACK);
        terminal.wait_for("prompt> ");
    }
    // Of several the list says what each is.
    terminal.press(&fill("agentctl --root {root} anchors show \t\t", scene));
    let list = terminal.wait_for("the Second");
    for anchor in &scene.anchors {
        assert!(list.contains(anchor.as_str()), "{list}");
    }
    terminal.press(TAKE_BACK);
    terminal.wait_for("prompt> ");
    terminal.press("exit 7\r");
    assert_eq!(terminal.end().code, 7);
}

#[test]
fn bash_completes_what_the_endpoint_knows() {
    if !tools::require(&["bash", "setsid"]) {
        return;
    }
    let scene = Scene::new();
    let bash = scene.shell("bash", &["--norc", "--noprofile", "-i"]);
    let ready =
        "bind 'set enable-bracketed-paste off'; eval \"$(agentctl completions bash)\"; PS1='prompt''> '\r";
    types_well(&scene, &bash, ready);
}

#[test]
fn zsh_completes_what_the_endpoint_knows() {
    if !tools::require(&["zsh", "setsid"]) {
        return;
    }
    let scene = Scene::new();
    let zsh = scene.shell("zsh", &["-f", "-i"]);
    // As it is installed: a file of the path that functions are loaded from.
    let functions = scene.endpoint.beside("functions");
    let script = scene.endpoint.agentctl(&["completions", "zsh"]).expect_code(0).stdout;
    write(&functions.join("_agentctl"), script);
    let ready = format!(
        "fpath=({} $fpath); autoload -U compinit; compinit -u -D; unsetopt PROMPT_SP; PS1='prompt''> '\r",
        functions.display()
    );
    types_well(&scene, &zsh, &ready);
}

#[test]
fn fish_completes_what_the_endpoint_knows() {
    if !tools::require(&["fish"]) {
        return;
    }
    let scene = Scene::new();
    // It says itself what it would offer: its screen is redrawn with each key.
    let mut script = String::from("agentctl completions fish | source\n");
    for (typed, _) in TYPED {
        let line = fill(typed, &scene);
        script.push_str(&format!("complete -C '{}'; echo\n", line.trim_end()));
    }
    script.push_str(&fill("complete -C 'agentctl --root {root} anchors show '\n", &scene));
    let shown = run(&mut scene.shell("fish", &["--no-config", "-c", &script])).expect_code(0).out();
    for (_, completed) in TYPED {
        let completed = fill(completed, &scene);
        let word = completed.split_whitespace().next_back().expect("a word");
        let offered = shown.lines().any(|line| line.split('\t').next() == Some(word));
        assert!(offered, "{word}\n{shown}");
    }
    let [first, second] = &scene.anchors;
    assert!(shown.contains(&format!("{first}\tCN=Completion, the First\n")), "{shown}");
    assert!(shown.contains(&format!("{second}\tCN=Completion: the Second\n")), "{shown}");
}

#[test]
fn what_cannot_be_read_is_not_suggested_and_nobody_hears_of_it() {
    let scene = Scene::new();
    let root = scene.root();
    let ask = |arguments: &[&str]| {
        let words = ["__complete", "zsh", "agentctl", "--root", &root];
        let answer = run(command(program("agentctl")).args(words).args(arguments)).expect_code(0);
        assert_eq!(answer.err(), "", "{arguments:?}");
        answer.out()
    };
    assert_eq!(ask(&["rollback", ""]).lines().count(), 3, "two generations");
    write(&scene.endpoint.config(), "[store]\nno-such-key = 1\n");
    assert_eq!(ask(&["anchors", "show", ""]), "none\n", "a configuration that is wrong");
    fs::remove_file(scene.endpoint.config()).expect("a file of ours");
    // Whoever may not look into the state still has the anchors, which everybody may read.
    let state = scene.endpoint.path("var/lib/agentd/state");
    if tools::require(&["setpriv"]) && rustix::process::geteuid().is_root() {
        let programs = scene.endpoint.beside("programs");
        fs::create_dir_all(&programs).expect("a directory of ours");
        let copy = programs.join("agentctl");
        fs::copy(program("agentctl"), &copy).expect("a copy that everybody may run");
        fs::set_permissions(scene.endpoint.root(), fs::Permissions::from_mode(0o755)).expect("ours");
        let nobody = |arguments: &[&str]| {
            let mut command = command(tools::path("setpriv"));
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&copy);
            let words = ["__complete", "zsh", "agentctl", "--root", &root];
            let answer = run(command.args(words).args(arguments)).expect_code(0);
            assert_eq!(answer.err(), "", "{arguments:?}");
            answer.out()
        };
        assert_eq!(nobody(&["rollback", ""]), "none\n");
        assert_eq!(nobody(&["trust", ""]), "none\n");
        assert_eq!(nobody(&["anchors", "show", ""]).lines().count(), 3, "two anchors");
    }
    fs::remove_dir_all(state).expect("a directory of ours");
    fs::remove_file(scene.endpoint.merged()).expect("a file of ours");
    assert_eq!(ask(&["anchors", "show", ""]), "none\n");
    assert_eq!(ask(&["rollback", ""]), "none\n");
}
