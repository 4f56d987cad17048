//! What a person sees: at terminals of several widths, with colour and without, while something takes its time, and when
//! it is interrupted.

use std::net::TcpListener;
use std::thread;

use test_support::endpoint::{Endpoint, write};
use test_support::pki::Recipe;
use test_support::process::run;
use test_support::servers::Server;
use test_support::terminal::{Ended, Terminal};
use test_support::tools;

/// An endpoint with all that makes lines long: names, wide characters, paths, rejects, a server that is not there.
fn crowded() -> Endpoint {
    let endpoint = Endpoint::new();
    let long = "A Root Authority of a Company with a Name that does not fit into any Table, 2026";
    let names = [
        long,
        "証明書発行局の東京支社に置かれた第二のルート認証局",
        "Cafe\u{301} E\u{301}te\u{301}",
        "Short",
    ];
    let mut text: String = names.iter().map(|name| Recipe::ca(name).self_signed().pem()).collect();
    text.push_str(&Recipe::ca("Soon").days(-100, 9).self_signed().pem());
    write(&endpoint.bootstrap(), &text);
    write(
        &endpoint.site(),
        "-----BEGIN CERTIFICATE-----\nnot base64 at all, !!\n-----END CERTIFICATE-----\n",
    );
    endpoint.name_ca_info();
    write(&endpoint.ca_info(), Recipe::ca("Policy").self_signed().pem());
    write(
        &endpoint.config(),
        "[[server]]\nname = \"head\"\nurl = \"https://127.0.0.1:1/\"\n[connect]\ntimeout = \"2s\"\n",
    );
    let _first = endpoint.agentctl(&["regen"]).expect_code(0);
    write(&endpoint.bootstrap(), text + &Recipe::ca("Another").self_signed().pem());
    let _second = endpoint.agentctl(&["regen"]).expect_code(0);
    endpoint
}

/// What is shown in many lines, and how it ends.
const SHOWN: &[(&[&str], i32)] = &[
    (&["status"], 0),
    (&["status", "--check"], 8),
    (&["anchors", "list"], 0),
    (&["anchors", "show", "2"], 0),
    (&["sources"], 0),
    (&["history"], 0),
    (&["diff", "1"], 0),
    (&["diff"], 0),
    (&["regen", "--force"], 0),
    (&["audit"], 0),
    (&["lint", "root/var/lib/agentd/cainfo.pem"], 0),
    (&["doctor"], 8),
    (&["connect"], 3),
    (&["anchors", "show", "999999999"], 5),
    (&["stauts"], 2),
    (&["connect", "--help"], 0),
    (&["-h"], 0),
];

/// Variables of the environment.
type Set = &'static [(&'static str, &'static str)];

fn at_a_terminal(endpoint: &Endpoint, arguments: &[&str], columns: u16, set: Set) -> Terminal {
    let mut command = endpoint.agentctl_command(arguments);
    command.env("TERM", "xterm-256color").envs(set.iter().copied());
    Terminal::open(&command, columns)
}

#[test]
fn every_line_fits_the_terminal_and_no_escape_leaks() {
    if !tools::require(&["setsid"]) {
        return;
    }
    let endpoint = crowded();
    let settings: &[(u16, Set, usize, bool)] = &[
        (40, &[], 40, true),
        (80, &[], 80, true),
        (120, &[], 120, true),
        (200, &[], 200, true),
        (0, &[("NO_COLOR", "1")], 80, false),
        (120, &[("COLUMNS", "66"), ("TERM", "dumb")], 66, false),
    ];
    for (columns, set, most, colour) in settings {
        for (arguments, code) in SHOWN {
            let ended = at_a_terminal(&endpoint, arguments, *columns, set).end();
            let case = format!("{arguments:?} in {columns} columns with {set:?}\n{}", ended.screen);
            assert_eq!(ended.code, *code, "{case}");
            assert!(ended.sane, "{case}");
            let screen = Screen::of(&ended.screen);
            for line in &screen.lines {
                assert!(width(line) <= *most, "{} columns: {line:?} of {case}", width(line));
            }
            assert!(screen.lines.iter().any(|line| !line.is_empty()), "{case}");
            assert!(*colour || !ended.screen.contains('\u{1b}'), "{case}");
            assert_eq!(screen.styles_left, 0, "{case}");
        }
    }
}

#[test]
fn what_goes_into_a_file_is_whole_and_plain() {
    let endpoint = crowded();
    for (arguments, code) in SHOWN {
        let ended = endpoint.agentctl(arguments).expect_code(*code);
        for text in [ended.out(), ended.err()] {
            assert!(!text.contains(['\u{1b}', '\u{1}', '\r', '…']), "{arguments:?}: {text}");
        }
    }
    let list = endpoint.agentctl(&["anchors", "list"]).expect_code(0).out();
    assert!(
        list.contains(
            "CN=A Root Authority of a Company with a Name that does not fit into any Table, 2026\n"
        )
    );
    let coloured = |arguments: &[&str], set: &[(&str, &str)]| {
        let mut command = endpoint.agentctl_command(arguments);
        run(command.envs(set.iter().copied())).expect_code(0).out().contains('\u{1b}')
    };
    assert!(coloured(&["status", "--color=always"], &[]));
    assert!(coloured(&["--color", "always", "status"], &[("NO_COLOR", "1")]), "who asks gets it");
    assert!(coloured(&["status"], &[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&["status", "--color=never"], &[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&["status", "--json", "--color=always"], &[]), "no program reads colour");
    if tools::require(&["setsid"]) {
        let never = at_a_terminal(&endpoint, &["status", "--color", "never"], 80, &[]).end();
        assert!(!never.screen.contains('\u{1b}'), "{}", never.screen);
        let always = at_a_terminal(&endpoint, &["status"], 80, &[]).end();
        assert!(always.screen.contains("\u{1b}["), "{}", always.screen);
    }
}

#[test]
fn who_waits_is_told_for_what_and_the_line_goes_away() {
    if !tools::require(&["setsid"]) {
        return;
    }
    let endpoint = Endpoint::new();
    write(&endpoint.bootstrap(), Recipe::ca("Patience").self_signed().pem());
    let _made = endpoint.agentctl(&["regen"]).expect_code(0);
    // A server that takes the call and says nothing, until it hangs up.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = silent.local_addr().expect("an address").to_string();
    let mut terminal = at_a_terminal(&endpoint, &["connect", &server], 120, &[]);
    let (call, _) = silent.accept().expect("a call");
    terminal.wait_for(&format!("asking server {server} … 1 s"));
    terminal.wait_for(&format!("asking server {server} … 2 s"));
    drop(call);
    let ended = terminal.end();
    assert_eq!(ended.code, 3, "{}", ended.screen);
    let screen = Screen::of(&ended.screen);
    assert!(!screen.lines.iter().any(|line| line.contains("asking")), "{:?}", screen.lines);
    assert!(screen.lines[0].starts_with("error: "), "{:?}", screen.lines);
    assert!(ended.sane);

    // In a narrow terminal it has one line all the same, and an interruption leaves a terminal that is one.
    let mut terminal = at_a_terminal(&endpoint, &["connect", &server], 24, &[]);
    let (_call, _) = silent.accept().expect("a call");
    terminal.wait_for("…");
    terminal.press("\u{3}");
    let ended = terminal.end();
    assert!(ended.sane && ended.code == 130, "{ended:?}");
    assert!(Screen::of(&ended.screen).lines.iter().all(|line| width(line) < 24 + "^C".len()), "{ended:?}");

    // Nobody is told who asked not to be, or who could not see the line go.
    let waits: [(&[&str], Set); 4] =
        [(&["--json"], &[]), (&["--quiet"], &[]), (&[], &[("TERM", "dumb")]), (&[], &[("TERM", "")])];
    thread::scope(|scope| {
        for (arguments, set) in waits {
            let (endpoint, server) = (&endpoint, &server);
            scope.spawn(move || {
                write(&endpoint.config(), "[connect]\ntimeout = \"1300ms\"\n");
                let ended =
                    at_a_terminal(endpoint, &[&["connect", server], arguments].concat(), 120, set).end();
                assert_eq!(ended.code, 3, "{}", ended.screen);
                assert!(!ended.screen.contains("asking"), "{arguments:?} {set:?}: {}", ended.screen);
            });
        }
    });
}

#[test]
fn an_interruption_leaves_the_terminal_as_it_was() {
    if !tools::require(&["setsid", "openssl"]) {
        return;
    }
    let mut endpoint = Endpoint::new();
    let leaf = Recipe::leaf("localhost").self_signed();
    let server = Server::openssl(&leaf, &[]);
    let host = format!("localhost:{}", server.port());
    let mut asked = at_a_terminal(&endpoint, &["fetch", &host], 80, &[]);
    asked.wait_for("Enter stops: ");
    asked.press("abc\u{3}");
    interrupted(&asked.end());
    assert!(!endpoint.bootstrap().exists(), "nothing was saved");

    write(&endpoint.bootstrap(), Recipe::ca("Watched").self_signed().pem());
    endpoint.start_daemon();
    let mut watching = at_a_terminal(&endpoint, &["watch"], 60, &[]);
    watching.wait_for("Ctrl-C to stop");
    write(&endpoint.site(), Recipe::ca("Comes").self_signed().pem());
    watching.wait_for("generation 2");
    watching.press("\u{3}");
    let ended = watching.end();
    interrupted(&ended);
    assert!(Screen::of(&ended.screen).lines.iter().all(|line| width(line) <= 60), "{}", ended.screen);
}

fn interrupted(ended: &Ended) {
    assert_eq!(ended.code, 130, "{}", ended.screen);
    assert!(ended.sane, "what is typed is shown: {}", ended.screen);
    assert!(!ended.screen.contains("\u{1b}[?25l"), "the cursor is shown: {}", ended.screen);
}

/// What a terminal shows in the end, of text, colours, and lines that are begun anew; anything else is a leak.
struct Screen {
    lines: Vec<String>,
    /// How many characters at the end have a colour that nobody took back.
    styles_left: usize,
}

impl Screen {
    fn of(written: &str) -> Self {
        let mut lines = vec![String::new()];
        let mut styled = false;
        // The cursor is at the end of the last line, or at its beginning.
        let mut at_start = false;
        let mut rest = written.chars();
        while let Some(c) = rest.next() {
            let line = lines.last_mut().expect("there is always a line");
            match c {
                '\n' => {
                    lines.push(String::new());
                    at_start = false;
                }
                '\r' => at_start = true,
                '\u{1b}' => {
                    assert_eq!(rest.next(), Some('['), "{written:?}");
                    let code: String =
                        rest.by_ref().take_while(|c| c.is_ascii_digit() || *c == ';').collect();
                    // The letter that ended it was taken along: of ours there are two.
                    let erases = code.is_empty() && written.contains("\u{1b}[K");
                    if erases {
                        assert!(at_start, "only a whole line is taken away: {written:?}");
                        line.clear();
                    } else {
                        styled = code != "0";
                    }
                }
                c => {
                    assert!(!c.is_control(), "{c:?} in {written:?}");
                    assert!(!at_start || line.is_empty(), "written over: {written:?}");
                    at_start = false;
                    line.push(c);
                }
            }
        }
        Self { lines, styles_left: usize::from(styled) }
    }
}

/// The columns of what the tests write.
fn width(line: &str) -> usize {
    line.chars()
        .map(|c| match c {
            '\u{300}'..='\u{36f}' => 0,
            '\u{1100}'..='\u{115f}'
            | '\u{2e80}'..='\u{a4cf}'
            | '\u{ac00}'..='\u{d7a3}'
            | '\u{ff00}'..='\u{ff60}' => 2,
            _ => 1,
        })
        .sum()
}
