//! The commands that the pages for administrators name: each is run, here or in the machine of `packaging/test/run`, or is
//! listed with the reason why it is not. A new command that nobody runs fails here.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use test_support::endpoint::{Endpoint, program, write};
use test_support::pki::Recipe;
use test_support::process::{command, run};
use test_support::servers::Server;
use test_support::tools;

const PAGES: &[&str] = &[
    "README.md",
    "docs/BOOTSTRAP.md",
    "docs/FAQ.md",
    "docs/INSTALL.md",
    "docs/MANAGEMENT.md",
    "docs/MIGRATION.md",
    "docs/TROUBLESHOOTING.md",
    "docs/TUTORIAL.md",
];

/// Where a command is run.
#[derive(Debug, Clone, Copy, PartialEq)]
enum How {
    /// In this file, with this exit code, on an endpoint with a daemon and a server that has `mgmt.example`'s place.
    Here(i32),
    /// Under a real systemd, by `packaging/test/inside-documents`, which has it word for word.
    Machine,
    /// Not by its words, and why.
    Not(&'static str),
}
use How::{Here, Machine, Not};

/// Pages whose `sh` blocks are taken from the page and run whole: by the suite `documents`, and in the machine.
const WHOLE: &[&str] = &["docs/TUTORIAL.md", "docs/MIGRATION.md"];

/// Every line of the other blocks.
const LINES: &[(&str, How)] = &[
    ("cargo run --release --bin agentd -- --playground", Not("the suite `playground` plays it to its end")),
    ("cargo xtask test", Not("it runs this")),
    ("cargo build --release", Not("it made the programs that are run here")),
    ("agentd --check", Here(0)),
    ("agentd", Not("it stays in the foreground: every suite has a daemon")),
    // Without a terminal it asks for the fingerprint as an option; by a person it is played in the suite `fetch`.
    ("agentctl enroll https://mgmt.example", Here(2)),
    ("agentctl status", Here(0)),
    ("agentctl doctor", Here(0)),
    ("agentctl lint new-ca.pem", Here(0)),
    ("agentctl regen", Here(0)),
    ("agentctl anchors list", Here(0)),
    ("agentctl connect https://mgmt.example:443", Here(0)),
    ("agentctl enroll https://mgmt.example --fingerprint a91b77e05c2d9f01…", Here(0)),
    ("agentctl fetch mgmt.example", Here(2)),
    ("agentctl fetch mgmt.example:4726 --fingerprint a91b77e05c2d9f01…", Here(0)),
    ("dpkg -i agentd_0.1.0_amd64.deb", Machine),
    ("dpkg -i agentd-ulm-links_0.1.0_all.deb", Machine),
    ("systemctl status agentd", Machine),
    (
        "rpm -i agentd-0.1.0-1.x86_64.rpm",
        Not("packaging/test/inside-rpm installs it so, in the machine, whose rpm knows no dependencies"),
    ),
    ("tar -xzf agentd-0.1.0-x86_64-linux.tar.gz && cd agentd-0.1.0-x86_64-linux", Machine),
    ("install -m 0755 bin/agentd bin/agentctl /usr/bin/", Machine),
    ("install -D -m 0644 agentd.toml /etc/agentd/agentd.toml", Machine),
    ("install -m 0644 systemd/agentd.service /etc/systemd/system/", Machine),
    ("install -D -m 0644 systemd/agentd.sysusers /etc/sysusers.d/agentd.conf", Machine),
    ("install -D -m 0644 systemd/agentd.tmpfiles /etc/tmpfiles.d/agentd.conf", Machine),
    ("systemd-sysusers agentd.conf && systemd-tmpfiles --create agentd.conf", Machine),
    ("systemctl daemon-reload && systemctl enable --now agentd", Machine),
    ("./install.sh", Not("of macOS: the suite `macos_scripts` runs it under a directory")),
    ("/opt/agentd/uninstall.sh", Not("of macOS: the suite `macos_scripts` runs it under a directory")),
];

/// Commands in running text that are not ours; ours are asked for their help, which knows every option.
const PROSE: &[(&str, How)] = &[
    ("cargo xtask package", Not("a step of CI")),
    ("chmod o+x DIRECTORY", Machine),
    ("chown -R agentd: /var/lib/agentd", Machine),
    ("curl --cacert /var/lib/agentd/cainfo-merged.pem https://mgmt.example/", Here(0)),
    ("curl --pinnedpubkey", Not("no command but the name of a form")),
    ("df /var/lib/agentd", Machine),
    ("dmesg --level=err", Not("a machine in a directory has no kernel's log of its own")),
    ("dpkg -P agentd", Machine),
    ("dpkg -i", Machine),
    ("dpkg -r agentd", Machine),
    ("findmnt -T PATH", Machine),
    ("journalctl -u agentd", Machine),
    ("kill -9", Not("the machine kills the daemon so, by its number")),
    ("ls -ld /var/lib/agentd", Machine),
    ("ls -l /var/lib/agentd/state/audit.jsonl", Machine),
    ("namei -l PATH", Machine),
    ("openssl x509 -in cert.pem -noout -fingerprint -sha256", Here(0)),
    ("ps -fp PID", Not("the machine has no procps")),
    ("restorecon -R /var/lib/agentd", Not("only where SELinux is")),
    ("rm -r /var/lib/agentd", Machine),
    ("sha256sum -c SHA256SUMS --ignore-missing", Machine),
    ("sysctl -w fs.inotify.max_user_watches=524288", Not("it changes the kernel under the tests")),
    ("sysctl fs.inotify.max_user_watches", Not("the machine has no procps")),
    ("systemctl cat agentd", Machine),
    ("systemctl enable --now agentd", Machine),
    ("systemctl restart agentd", Machine),
    ("systemctl revert agentd", Machine),
    ("systemctl start agentd", Machine),
    ("systemctl status", Machine),
    ("systemctl status agentd", Machine),
    ("systemd-analyze security", Not("`cargo xtask units` asks it of the unit")),
    ("timedatectl set-ntp true", Not("it would turn a service on that the machine does not have")),
    ("usermod -aG agentd NAME", Machine),
];

/// Programs whose name begins a command; a code span with another first word is none.
const PROGRAMS: &[&str] = &[
    "agentctl",
    "agentd",
    "apt",
    "cargo",
    "cat",
    "chmod",
    "chown",
    "cp",
    "curl",
    "df",
    "dmesg",
    "dnf",
    "dpkg",
    "findmnt",
    "getfacl",
    "grep",
    "id",
    "install",
    "ip",
    "journalctl",
    "kill",
    "launchctl",
    "ls",
    "lsattr",
    "mount",
    "mv",
    "namei",
    "openssl",
    "ps",
    "restorecon",
    "rm",
    "rpm",
    "sed",
    "setfacl",
    "ss",
    "stat",
    "sudo",
    "sha256sum",
    "sysctl",
    "systemctl",
    "systemd-analyze",
    "systemd-sysusers",
    "systemd-tmpfiles",
    "tar",
    "timedatectl",
    "umount",
    "usermod",
    "zypper",
];

#[test]
fn every_command_of_the_pages_is_run_or_listed() {
    let machine = text("packaging/test/inside-documents");
    let mut named = BTreeSet::new();
    let mut complaints = Vec::new();
    let mut judge = |page: &str, command: &str, list: &'static [(&str, How)]| {
        named.insert(command.to_owned());
        match list.iter().find(|(listed, _)| *listed == command) {
            None => complaints.push(format!("{page}: nobody runs `{command}`")),
            Some((_, Machine)) if !machine.contains(command) => {
                complaints.push(format!("{page}: inside-documents does not run `{command}`"));
            }
            Some(_) => {}
        }
    };
    for page in PAGES {
        let text = text(page);
        for (kind, line) in lines(&text) {
            if kind == "console" || !WHOLE.contains(page) {
                judge(page, &line, LINES);
            }
        }
        for span in spans(&text).iter().filter(|span| !is_ours(span)) {
            judge(page, span, PROSE);
        }
    }
    for (listed, how) in LINES.iter().chain(PROSE) {
        if !named.contains(*listed) {
            complaints.push(format!("no page has `{listed}` any more"));
        }
        if let Not(why) = how {
            assert!(!why.is_empty(), "{listed}");
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn commands_of_ours_in_running_text_are_understood() {
    let mut seen = 0;
    for page in PAGES {
        for span in spans(&text(page)).iter().filter(|span| is_ours(span)) {
            let mut words = span.split_whitespace();
            let name = words.next().expect("a span has a word");
            // What stands in brackets may be left out; options are judged up to the help that is asked for at the end.
            let words: Vec<&str> = words.map(|word| word.trim_matches(['[', ']'])).collect();
            let help = run(command(program(name)).args(&words).arg("--help"));
            assert_eq!(help.code(), 0, "{page}: `{span}`\n{}", help.err());
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen} only");
    let unknown = run(command(program("agentctl")).args(["regen", "--forced", "--help"]));
    assert_eq!(unknown.code(), 2, "an option that is none is noticed");
}

#[test]
fn commands_of_the_readme_and_of_bootstrap_hold() {
    if !tools::require(&["nginx", "openssl", "curl"]) {
        return;
    }
    let mut endpoint = Endpoint::new();
    let leaf = Recipe::leaf("localhost").self_signed();
    let server = Server::nginx(&leaf, &[]);
    endpoint.start_daemon();
    let scratch = endpoint.beside("page");
    for name in ["agentd", "agentctl"] {
        let at = scratch.join("bin").join(name);
        let wrapper = format!(
            "#!/bin/sh\nexec '{}' --root '{}' \"$@\"\n",
            program(name).display(),
            endpoint.root().display()
        );
        write(&at, wrapper);
        fs::set_permissions(&at, fs::Permissions::from_mode(0o755)).expect("a file of ours");
    }
    write(&scratch.join("new-ca.pem"), leaf.pem());
    write(&scratch.join("cert.pem"), leaf.pem());
    // A real endpoint's names become this one's; the first fetch is what a later command needs.
    let here = |line: &str| {
        line.replace("https://mgmt.example:443", &server.url())
            .replace("https://mgmt.example", &server.url())
            .replace("mgmt.example:4726", server.url().trim_start_matches("https://").trim_end_matches('/'))
            .replace("fetch mgmt.example", &format!("fetch {}", server.url()))
            .replace("a91b77e05c2d9f01…", &leaf.sha256())
            .replace("/var/lib/agentd", &endpoint.path("var/lib/agentd").display().to_string())
    };
    let path = format!("{}:{}", scratch.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let play = |line: &str, code: i32| {
        let played = run(command("bash").args(["-c", &here(line)]).current_dir(&scratch).env("PATH", &path));
        assert_eq!(played.code(), code, "{line}\n{}\n{}", played.out(), played.err());
        if code == 2 {
            assert!(
                played.err().contains("--fingerprint"),
                "{line}: what is missing is named\n{}",
                played.err()
            );
        }
    };
    play("agentctl enroll https://mgmt.example --fingerprint a91b77e05c2d9f01…", 0);
    for (line, how) in LINES.iter().chain(PROSE) {
        // No terminal asks where the certificate is in the store already, so that is another endpoint's.
        match how {
            Here(2) => {
                let other = Endpoint::new();
                let alone = here(line);
                let words: Vec<&str> = alone.split_whitespace().skip(1).collect();
                let asked = other.agentctl(&words);
                assert_eq!(asked.code(), 2, "{line}\n{}", asked.err());
                assert!(asked.err().contains("--fingerprint"), "{line}: {}", asked.err());
            }
            Here(code) => play(line, *code),
            Machine | Not(_) => {}
        }
    }
}

#[test]
fn documents_that_are_shown_are_understood() {
    let page = text("docs/MANAGEMENT.md");
    let block = |kind: &str| {
        let (_, rest) = page.split_once(&format!("```{kind}\n")).expect("a block");
        rest.split_once("```").expect("its end").0.to_owned()
    };
    let endpoint = Endpoint::new();
    write(&endpoint.config(), block("toml"));
    let checked = endpoint.agentd(&["--check"]);
    assert_eq!(checked.code(), 0, "{}", checked.err());
    let index: serde_json::Value = serde_json::from_str(&block("json")).expect("JSON");
    assert_eq!(index["v"], 1);
}

/// The commands of the fenced blocks, with the kind of their block: whole lines of `sh`, what follows a prompt in `console`.
fn lines(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut kind = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), &kind) {
            (Some(_), Some(_)) => kind = None,
            (Some(begins), None) => kind = Some(begins.to_owned()),
            (None, Some(inside)) if inside == "sh" || inside == "console" => {
                let line = match inside.as_str() {
                    "console" => line.strip_prefix("# ").or_else(|| line.strip_prefix("$ ")),
                    _ => Some(line),
                };
                let command = line.map(|line| line.split(" #").next().unwrap_or_default().trim());
                if let Some(command) = command.filter(|command| !command.is_empty()) {
                    found.push((inside.clone(), command.to_owned()));
                }
            }
            _ => {}
        }
    }
    found
}

/// The commands in running text.
fn spans(page: &str) -> Vec<String> {
    let mut prose = String::new();
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if !inside {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    let is_command = |span: &&str| {
        span.split_once(' ').is_some_and(|(program, _)| PROGRAMS.contains(&program)) && !span.contains('\n')
    };
    prose.split('`').skip(1).step_by(2).filter(is_command).map(str::to_owned).collect()
}

fn is_ours(span: &str) -> bool {
    span.starts_with("agentctl ") || span.starts_with("agentd ")
}

fn text(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
