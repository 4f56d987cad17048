use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use crate::layout::{Platform, config_path};
use crate::*;

const FINGERPRINT: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn fragment(text: &str) -> Result<Fragment, Error> {
    parse(text, Path::new("agentd.toml"))
}

fn resolve(text: &str) -> Result<Settings, Error> {
    Settings::resolve_on(Platform::Linux, &fragment(text)?, None)
}

fn defaults() -> Settings {
    resolve("").expect("the defaults go together")
}

#[test]
fn every_bad_input_has_its_message() {
    let cases = [
        // Unknown names.
        ("[wach]", "1:2: unknown section \"wach\"; did you mean [watch]?"),
        ("[servers]", "1:2: unknown section \"servers\"; did you mean [[server]]?"),
        ("[zebra]", "1:2: unknown section \"zebra\""),
        ("zebra = 1", "1:1: unknown key \"zebra\""),
        ("timeout = '3s'", "1:1: unknown key \"timeout\"; it belongs in [connect]"),
        ("poll_interval = '3s'", "1:1: unknown key \"poll_interval\"; it belongs in [watch]"),
        (
            "[watch]\npol-interval = '3s'",
            "2:1: unknown key \"pol-interval\" in [watch]; did you mean \"poll-interval\"?",
        ),
        (
            "[watch]\n pol_intervall = ''",
            "2:2: unknown key \"pol_intervall\" in [watch]; did you mean \"poll-interval\"?",
        ),
        (
            "[watch]\nPoll-Interval = ''",
            "2:1: unknown key \"Poll-Interval\" in [watch]; did you mean \"poll-interval\"?",
        ),
        (
            "[security]\nallow-policy_to-skip-host = true",
            "2:1: unknown key \"allow-policy_to-skip-host\" in [security]; did you mean \"allow-policy-to-skip-host\"?",
        ),
        ("[watch]\nlevel = 'info'", "2:1: unknown key \"level\" in [watch]; it belongs in [log]"),
        ("[watch]\nzebra = 1\n", "2:1: unknown key \"zebra\" in [watch]"),
        ("[watch]\nzz = 1\naa = 1", "2:1: unknown key \"zz\" in [watch]"),
        ("[watch]\n\"a\\u001bb\" = 1", "2:1: unknown key \"a\\u{1b}b\" in [watch]"),
        ("watch.zebra = 1", "1:7: unknown key \"zebra\" in [watch]"),
        ("[[server]]\nurl='https://h'\nprot = 1", "3:1: unknown key \"prot\" in [[server]]"),
        (
            "[watch]\npoll-interval = '3s'\npoll_interval = '3s'",
            "3:1: \"poll-interval\" and \"poll_interval\" are the same key",
        ),
        (
            "[watch]\npoll_interval = '3s'\npoll-interval = '3s'",
            "3:1: \"poll-interval\" and \"poll_interval\" are the same key",
        ),
        // Sections of the wrong kind.
        ("watch = 3", "1:9: [watch] must be a section, not a number; write [watch]"),
        ("[[watch]]", "1:1: [watch] must be a section, not a list; write [watch]"),
        ("[server]\nurl = 'https://h'", "1:1: [[server]] must be a section, not a table; write [[server]]"),
        (
            "server = ['https://h']",
            "1:11: [[server]] must be a section, not text in quotes; write [[server]]",
        ),
        // Values of the wrong kind.
        ("[store]\nsite = 3", "2:8: \"site\" must be an absolute path in quotes, not a number"),
        (
            "[watch]\nsettle = 25",
            "2:10: \"settle\" must be a duration in quotes, such as \"30s\", not a number",
        ),
        (
            "[log]\nlevel = false",
            "2:9: \"level\" must be \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\", not true or false",
        ),
        (
            "[log]\nformat = 'jsn'",
            "2:10: \"format\" must be \"auto\" or \"text\" or \"json\"; did you mean \"json\"?",
        ),
        ("[log]\nformat = 'xml'", "2:10: \"format\" must be \"auto\" or \"text\" or \"json\""),
        (
            "[log]\nlevel = 'INFO'",
            "2:9: \"level\" must be \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\"; did you mean \"info\"?",
        ),
        (
            "[security]\nminimum-tls = 1.2",
            "2:15: \"minimum-tls\" must be \"1.2\" or \"1.3\", not a number with a point",
        ),
        (
            "[security]\nminimum-tls = '1.1'",
            "2:15: \"minimum-tls\" must be \"1.2\" or \"1.3\"; did you mean \"1.2\"?",
        ),
        (
            "[security]\nallow_policy_to_skip_peer = 'yes'",
            "2:29: \"allow-policy-to-skip-peer\" must be true or false, not text in quotes",
        ),
        (
            "[sources]\nmax-bytes = '4M'",
            "2:13: \"max-bytes\" must be a whole number from 4096 to 67108864, not text in quotes",
        ),
        (
            "[sources]\nmax-bytes = 1e6",
            "2:13: \"max-bytes\" must be a whole number from 4096 to 67108864, not a number with a point",
        ),
        ("[sources]\nmax-bytes = -1", "2:13: \"max-bytes\" must be a whole number from 4096 to 67108864"),
        (
            "[sources]\nmax-bytes = 0xffffffffffffffffff",
            "2:13: \"max-bytes\" must be a whole number from 4096 to 67108864",
        ),
        (
            "[sources]\nmax-certificates = 0",
            "2:20: \"max-certificates\" must be a whole number from 1 to 100000",
        ),
        (
            "[sources]\nallow-owner = 7",
            "2:15: \"allow-owner\" must be a list in brackets: a list of whole numbers, not a number",
        ),
        (
            "[sources]\nallow-owner = [7,\n 'root']",
            "3:2: \"allow-owner\" must be a whole number from 0 to 4294967294, not text in quotes",
        ),
        (
            "[sources]\nallow-owner = [4294967295]",
            "2:16: \"allow-owner\" must be a whole number from 0 to 4294967294",
        ),
        (
            "[sources]\ntrusted-paths = ['/a', 'b']",
            "2:24: \"trusted-paths\": the path must be absolute: it must begin with \"/\"",
        ),
        (
            "[log]\nlevel = 2026-01-01",
            "2:9: \"level\" must be \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\", not a date or time",
        ),
        // Values that mean nothing.
        ("[store]\nsite = 'a.pem'", "2:8: \"site\": the path must be absolute: it must begin with \"/\""),
        ("[store]\nsite = ''", "2:8: \"site\": the path must be absolute: it must begin with \"/\""),
        ("[store]\nsite = \"/a\\u0000\"", "2:8: \"site\": a path has no control characters"),
        ("[watch]\nsettle = '25'", DURATION_FORM),
        ("[watch]\nsettle = 'ms'", DURATION_FORM),
        ("[watch]\nsettle = ''", DURATION_FORM),
        ("[watch]\nsettle = '-1s'", DURATION_FORM),
        ("[watch]\nsettle = '1.5s'", DURATION_FORM),
        ("[watch]\nsettle = '1 s'", DURATION_FORM),
        ("[watch]\nsettle = '1S'", DURATION_FORM),
        ("[watch]\nsettle = '1s1ms'", DURATION_FORM),
        ("[watch]\nsettle = '10001ms'", "2:10: \"settle\": must be from 0ms to 10s"),
        ("[watch]\npoll-interval = '999ms'", "2:17: \"poll-interval\": must be from 1s to 1d"),
        (
            "[watch]\npoll-interval = '99999999999999999999d'",
            "2:17: \"poll-interval\": must be from 1s to 1d",
        ),
        (
            "[watch]\npoll-interval = '18446744073709551615d'",
            "2:17: \"poll-interval\": must be from 1s to 1d",
        ),
        ("[connect]\ntimeout = '6m'", "2:11: \"timeout\": must be from 100ms to 5m"),
        (
            "[distrust]\nfingerprints = [\n 'ab:cd',\n]",
            "3:2: \"fingerprints\": a SHA-256 fingerprint has 64 hex digits, this has 4",
        ),
        (
            "[distrust]\nfingerprints = 'ab'",
            "2:16: \"fingerprints\" must be a list in brackets: SHA-256 fingerprints in quotes, not text in quotes",
        ),
        ("[[server]]", "1:1: [[server]] without \"url\""),
        ("[[server]]\nurl = 'https://a'\n[[server]]\nname = 'b'", "3:1: [[server]] without \"url\""),
        (
            "[[server]]\nurl = 'http://h'",
            "2:7: \"url\": must begin with \"https://\", as in \"https://smp.example.com:443/\": plain connections are never made",
        ),
        (
            "[[server]]\nurl = 'smp.example.com'",
            "2:7: \"url\": write the whole address, as in \"https://smp.example.com:443/\"",
        ),
        ("[[server]]\nurl = 'https://'", "2:7: \"url\": no address: empty host"),
        ("[[server]]\nurl = 'https://h:70000'", "2:7: \"url\": no address: invalid port number"),
        (
            "[[server]]\nurl = 'https://u:p@h/'",
            "2:7: \"url\": must have no user name and no password: this file is readable by all",
        ),
        (
            "[[server]]\nurl = 'https://h/Altiris'",
            "2:7: \"url\": must end after the host and port, as in \"https://smp.example.com:443/\"",
        ),
        (
            "[[server]]\nurl = 'https://h?a'",
            "2:7: \"url\": must end after the host and port, as in \"https://smp.example.com:443/\"",
        ),
        (
            "[[server]]\nurl = 'https://h'\npin = 'abcd'",
            "3:7: \"pin\": a fingerprint has 64 hex digits (SHA-256) or 40 (SHA-1), this has 4",
        ),
        (
            "[[server]]\nurl = 'https://h'\npin = 'xy'",
            "3:7: \"pin\": a fingerprint is hex digits, with or without colons and spaces: 'x' is neither",
        ),
        (
            "[[server]]\nurl = 'https://h'\nname = 'a b'",
            "3:8: \"name\": a name is 1 to 63 letters, digits, \"-\", \"_\" and \".\"",
        ),
        // Values that do not go together.
        (
            "[watch]\npoll-interval = '2s'\ndegraded-poll-interval = '3s'",
            "3:26: \"degraded-poll-interval\" must not be longer than \"poll-interval\": it stands in for watching",
        ),
        (
            "[store]\nmerged = '/var/lib/agentd/cainfo.pem'",
            "2:10: \"bootstrap\" and \"merged\" are the same path",
        ),
        (
            "[store]\nbootstrap = '/var/lib//agentd/./cainfo-merged.pem'",
            "2:13: \"bootstrap\" and \"merged\" are the same path",
        ),
        ("[store]\nstate = '/a'\npolicies = '/a/'", "2:9: \"policies\" and \"state\" are the same path"),
        ("[store]\nsite = '/a'\n[control]\nsocket = '/a'", "4:10: \"site\" and \"socket\" are the same path"),
        (
            "[[server]]\nurl = 'https://h'\n[[server]]\nurl = 'https://h:8443'",
            "4:7: a second server named \"h\"; give each a \"name\": without one the host counts",
        ),
        (
            "[[server]]\nurl = 'https://h'\n[[server]]\nurl = 'https://i'\nname = 'h'",
            "5:8: a second server named \"h\"",
        ),
    ];
    for (text, expected) in cases {
        let message = resolve(text).map(drop).map_err(|error| error.to_string());
        assert_eq!(message, Err(format!("agentd.toml:{expected}")), "{text}");
    }
}

#[test]
fn what_is_no_toml_has_its_place() {
    for (text, place) in [
        ("[store", "1:7"),
        ("[watch]\nsettle = ", "2:10"),
        ("[watch]\n\tsettle = 25 ms", "2:11"),
        ("[log]\nlevel = 'info'\nlevel = 'warn'", "3:1"),
        ("[log]\n[log]", "2:2"),
        ("{\"watch\": {}}", "1:1"),
    ] {
        let message = resolve(text).map(drop).map_err(|error| error.to_string()).unwrap_err();
        // The rest of the sentence is the parser's.
        assert!(message.starts_with(&format!("agentd.toml:{place}: not TOML: ")), "{text}: {message}");
    }
}

const DURATION_FORM: &str =
    "2:10: \"settle\": a duration is a whole number and a unit: ms, s, m, h or d, as in \"30s\"";

#[test]
fn detail_marks_the_place() {
    let cases = [
        (
            "[watch]\npol-interval = '3s'\n",
            "agentd.toml:2:1: unknown key \"pol-interval\" in [watch]\n  |\n2 | pol-interval = '3s'\n  | ^^^^^^^^^^^^\n\
             hint: did you mean \"poll-interval\"?\n",
        ),
        // A tab stays one, a wide character counts as one, CRLF is no part of the line.
        ("[store]\r\n\tsite = 'grün' # \u{7f}\r\n", "not TOML"),
        (
            "\u{feff}[store]\r\n\tsite = 'grün'\r\n",
            "agentd.toml:2:9: \"site\": the path must be absolute: it must begin with \"/\"\n  |\n\
             2 | \tsite = 'grün'\n  | \t       ^^^^^^\n",
        ),
        // A value over several lines is marked to the end of its first.
        (
            "[log]\nlevel = '''a\nb'''",
            "agentd.toml:2:9: \"level\" must be \"error\" or \"warn\" or \"info\" or \"debug\" or \"trace\"\n  |\n\
             2 | level = '''a\n  |         ^^^^\n",
        ),
        (
            "\u{feff}[wach]",
            "agentd.toml:1:2: unknown section \"wach\"\n  |\n1 | [wach]\n  |  ^^^^\nhint: did you mean [watch]?\n",
        ),
    ];
    for (text, expected) in cases {
        let detail = resolve(text).unwrap_err().detail();
        if expected == "not TOML" {
            assert!(
                detail.contains(expected) && detail.contains('\u{fffd}') && !detail.contains('\u{7f}'),
                "{detail}"
            );
        } else {
            assert_eq!(detail, expected, "{text}");
        }
    }
}

#[test]
fn both_spellings_mean_the_same() {
    let settings =
        resolve("[security]\nallow_policy_to_skip_host = false\nallow-policy-to-skip-peer = true").unwrap();
    assert!(!settings.security.allow_policy_to_skip_host && settings.security.allow_policy_to_skip_peer);
    // Inline tables and dotted keys are TOML too.
    assert_eq!(resolve("watch = { poll_interval = '3s' }"), resolve("watch.poll-interval = '3s'"));
}

#[test]
fn servers_keep_their_order_and_forms() {
    let text = format!(
        "[[server]]\nurl = 'https://SMP.example.com'\n\
         [[server]]\nname = 'two'\nurl = 'https://[::1]:8443/'\nnames = 'strict'\npin = '{FINGERPRINT}'\nrole = 'site'\n\
         [[server]]\nurl = 'https://192.0.2.1/'\npin = '00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33'"
    );
    let servers = resolve(&text).unwrap().servers;
    let seen: Vec<_> = servers.iter().map(|server| (server.name.as_str(), server.url.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("smp.example.com", "https://smp.example.com/"),
            ("two", "https://[::1]:8443/"),
            ("192.0.2.1", "https://192.0.2.1/"),
        ]
    );
    assert_eq!((servers[0].names, servers[0].pin, servers[0].role), (Names::Compat, None, Role::Management));
    let pin = Pin::Sha256(FINGERPRINT.parse().unwrap());
    assert_eq!((servers[1].names, servers[1].pin, servers[1].role), (Names::Strict, Some(pin), Role::Site));
    let mut sha1 = [0; 20];
    sha1.iter_mut().zip(0u8..16).for_each(|(byte, n)| *byte = n * 0x11);
    sha1[16..].copy_from_slice(&[0, 0x11, 0x22, 0x33]);
    assert_eq!(servers[2].pin, Some(Pin::Sha1(sha1)));
}

#[test]
fn ways_to_servers() {
    let resolved = |text: &str| resolve(text).map(drop).map_err(|error| error.message);
    for good in [
        "[proxy]\nurl = 'http://proxy:3128'\ncredentials-file = '/etc/agentd/proxy'\nno-proxy = ['*', 'a.b', '10.0.0.0/8', '::1']",
        "[proxy]\nurl = ''\ncredentials-file = ''",
        "[refresh]\nindex = '/policies/index.json?group=a'",
        "[[server]]\nurl = 'https://h'\nranges = ['10.0.0.1', '10.0.0.0/8', 'fd00::/8', '::1/128']",
    ] {
        assert_eq!(resolved(good), Ok(()), "{good}");
    }
    for (bad, words) in [
        ("[proxy]\nurl = 'proxy:3128'", "address of an HTTP proxy"),
        ("[proxy]\nurl = 'https://proxy'", "address of an HTTP proxy"),
        ("[proxy]\nurl = 'http://proxy/pac'", "address of an HTTP proxy"),
        ("[proxy]\nurl = 'http://joe:secret@proxy'", "no user name and no password"),
        ("[proxy]\ncredentials-file = '/a'", "credentials for which proxy?"),
        ("[proxy]\nno-proxy = ['a b']", "write names"),
        ("[refresh]\nindex = 'policies'", "begins with one"),
        ("[refresh]\nindex = '//evil.example/x'", "begins with one"),
        ("[refresh]\nindex = '/a b'", "begins with one"),
        ("[refresh]\ninterval = '1s'", "must be from 5s"),
        ("[refresh]\nanchors = '/var/lib/agentd/policies'", "are the same path"),
        ("[inventory]\nform = 'yaml'", "\"json\" or \"xml\""),
        ("[[server]]\nurl = 'https://h'\nranges = ['10.0.0.0/33']", "number of bits"),
        ("[[server]]\nurl = 'https://h'\nranges = ['h']", "number of bits"),
        ("[[server]]\nurl = 'https://h'\npriority = 65536", "from 0 to 65535"),
    ] {
        let message = resolved(bad).expect_err(bad);
        assert!(message.contains(words) && !message.contains("secret"), "{bad}: {message}");
    }
}

#[test]
fn durations_are_exact() {
    for (text, millis) in [
        ("1000ms", 1000),
        ("1s", 1000),
        ("90s", 90_000),
        ("2m", 120_000),
        ("3h", 10_800_000),
        ("1d", 86_400_000),
    ] {
        let settings = resolve(&format!("[watch]\npoll-interval = '{text}'")).unwrap();
        assert_eq!(settings.watch.poll_interval, Duration::from_millis(millis), "{text}");
    }
    // A poll faster than the default of the degraded one takes that with it.
    assert_eq!(
        resolve("[watch]\npoll-interval = '2s'").unwrap().watch.degraded_poll_interval,
        Duration::from_secs(2)
    );
    assert_eq!(resolve("[watch]\nsettle = '0ms'").unwrap().watch.settle, Duration::ZERO);
}

#[test]
fn layouts_and_roots() {
    let paths = |platform, text: &str, root: Option<&str>| {
        let settings = Settings::resolve_on(platform, &fragment(text).unwrap(), root.map(Path::new)).unwrap();
        let Store { bootstrap, site, merged, policies, state, .. } = settings.store;
        [
            bootstrap,
            site,
            merged,
            policies,
            state,
            settings.control.socket,
            config_path(platform, root.map(Path::new)),
        ]
        .map(|path| path.into_os_string().into_string().unwrap())
    };
    let linux = [
        "/var/lib/agentd/cainfo.pem",
        "/var/lib/agentd/cainfo-ss.pem",
        "/var/lib/agentd/cainfo-merged.pem",
        "/var/lib/agentd/policies",
        "/var/lib/agentd/state",
        "/run/agentd/control.sock",
        "/etc/agentd/agentd.toml",
    ];
    assert_eq!(paths(Platform::Linux, "", None), linux);
    assert_eq!(paths(Platform::Linux, "", Some("/tmp/r/")), linux.map(|path| format!("/tmp/r{path}")));
    let smp = [
        "/opt/altiris/notification/nsagent/etc/cainfo.pem",
        "/opt/altiris/notification/nsagent/etc/cainfo-ss.pem",
        "/opt/altiris/notification/nsagent/etc/cainfo-merged.pem",
        "/opt/altiris/notification/nsagent/var/policies",
        "/var/lib/agentd/state",
        "/run/agentd/control.sock",
        "/etc/agentd/agentd.toml",
    ];
    let text = "[store]\nlayout = 'smp'";
    assert_eq!(paths(Platform::Linux, text, None), smp);
    assert_eq!(paths(Platform::Linux, text, Some("/r")), smp.map(|path| format!("/r{path}")));
    let mac = [
        "/Library/Application Support/agentd/cainfo.pem",
        "/Library/Application Support/agentd/cainfo-ss.pem",
        "/Library/Application Support/agentd/cainfo-merged.pem",
        "/Library/Application Support/agentd/policies",
        "/Library/Application Support/agentd/state",
        "/var/run/agentd/control.sock",
        "/Library/Application Support/agentd/agentd.toml",
    ];
    assert_eq!(paths(Platform::MacOs, "", None), mac);
    assert_eq!(paths(Platform::MacOs, "", Some("/r")), mac.map(|path| format!("/r{path}")));
    // What is set singly is taken as written, whatever root and layout say.
    let set = paths(
        Platform::Linux,
        "[store]\nlayout = 'smp'\nsite = '/s.pem'\n[control]\nsocket = '/c'",
        Some("/r"),
    );
    assert_eq!((set[1].as_str(), set[5].as_str()), ("/s.pem", "/c"));
    assert_eq!(set[0], "/r/opt/altiris/notification/nsagent/etc/cainfo.pem");
    assert_eq!(default_config_path(None), config_path(Platform::CURRENT, None));
}

/// The example that packages install.
fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/agentd.toml");
    std::fs::read_to_string(path).expect("the example is part of the source")
}

/// A commented setting is `#` and a name; a comment for people is `#` and a blank.
fn uncommented(line: &str) -> &str {
    line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase())).unwrap_or(line)
}

/// The example's server: the lines after `# [[server]]` that are one.
fn example_server() -> String {
    let example = example();
    let (_, block) = example.split_once("# [[server]]\n").expect("the example shows a server");
    let keys = schema::keys("server");
    let is_setting = |line: &&str| line.split_once(" = ").is_some_and(|(key, _)| keys.contains(&key));
    let settings: Vec<_> =
        block.lines().filter_map(|line| line.strip_prefix("# ")).filter(is_setting).collect();
    format!("[[server]]\n{}\n", settings.join("\n"))
}

#[test]
fn the_example_says_the_defaults() {
    assert_eq!(resolve(&example()), Ok(defaults()), "as shipped");
    let all: String = example().lines().map(|line| format!("{}\n", uncommented(line))).collect();
    assert_ne!(all, example());
    assert_eq!(resolve(&all), Ok(defaults()), "with every default uncommented");

    let server = resolve(&example_server()).unwrap().servers.remove(0);
    let plain = resolve(&format!("[[server]]\nurl = '{}'", server.url)).unwrap().servers.remove(0);
    assert_eq!(Server { pin: None, ..server.clone() }, plain);
    assert!(server.pin.is_some());
}

#[test]
fn the_example_has_every_key_in_its_section() {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let text = format!("{}{}", example(), example_server());
    for line in text.lines().map(uncommented).filter(|line| !line.starts_with('#')) {
        if let Some(section) = line.strip_prefix('[') {
            found.push((section.trim_matches(['[', ']']).to_owned(), Vec::new()));
        } else if let (Some((key, _)), Some((_, keys))) = (line.split_once(" = "), found.last_mut()) {
            keys.push(key.to_owned());
        }
    }
    let mut expected: Vec<(String, Vec<String>)> = schema::SECTIONS
        .iter()
        .map(|(section, keys)| ((*section).to_owned(), keys.iter().map(|key| (*key).to_owned()).collect()))
        .collect();
    for (_, keys) in found.iter_mut().chain(&mut expected) {
        keys.sort();
    }
    assert_eq!(found, expected);
}

/// Every key of the schema is read: a value other than the default changes the settings.
#[test]
fn every_key_counts() {
    let pin = format!("'{FINGERPRINT}'");
    let other = |section: &str, key: &str| match (section, key) {
        ("store", "layout") => "'smp'".to_owned(),
        ("store" | "control", _) => "'/elsewhere'".to_owned(),
        ("sources", "allow-owner") => "[7]".to_owned(),
        ("sources", "trusted-paths") => "['/elsewhere']".to_owned(),
        ("sources", _) => "5000".to_owned(),
        ("watch" | "connect", _) => "'2s'".to_owned(),
        ("proxy", "credentials-file") => "'/elsewhere'\nurl = 'http://proxy:3128'".to_owned(),
        ("proxy", "no-proxy") => "['intra.example']".to_owned(),
        ("refresh", "index") | ("inventory", "path") => "'/there'".to_owned(),
        ("refresh", "anchors") => "'/elsewhere'".to_owned(),
        ("inventory", "form") => "'xml'".to_owned(),
        ("refresh" | "inventory", _) => "'7s'".to_owned(),
        ("server", "favourite") => "true".to_owned(),
        ("server", "ranges") => "['10.0.0.0/8']".to_owned(),
        ("server", "priority") => "7".to_owned(),
        ("security", "minimum-tls") => "'1.3'".to_owned(),
        ("security", "allow-policy-to-skip-host") => "false".to_owned(),
        ("security", _) => "true".to_owned(),
        ("distrust", _) => format!("[{pin}]"),
        ("guard", "retain-for") => "'90d'".to_owned(),
        ("guard", _) => "false".to_owned(),
        ("history", "generations") => "7".to_owned(),
        ("history", _) => "'90d'".to_owned(),
        ("metrics", _) => "'/elsewhere'".to_owned(),
        ("log", "level") => "'debug'".to_owned(),
        ("log", _) => "'json'".to_owned(),
        ("server", "names") => "'strict'".to_owned(),
        ("server", "role") => "'site'".to_owned(),
        ("server", "name") => "'x'".to_owned(),
        ("server", "pin") => pin.clone(),
        (section, key) => panic!("a value for {section}.{key} is missing here"),
    };
    let server = "[[server]]\nurl = 'https://h'\n";
    let plain = resolve(server).unwrap();
    for (section, keys) in schema::SECTIONS {
        for key in keys.iter().filter(|key| **key != "url") {
            let value = other(section, key);
            let text = if *section == "server" {
                format!("{server}{key} = {value}")
            } else {
                format!("[{section}]\n{key} = {value}\n{server}")
            };
            assert_ne!(resolve(&text).unwrap(), plain, "{text}");
        }
    }
}

#[test]
fn errors_name_the_file() {
    let error = parse("x = 1", Path::new("/etc/agentd/agentd.toml")).unwrap_err();
    assert_eq!((error.file, error.line, error.column), (PathBuf::from("/etc/agentd/agentd.toml"), 1, 1));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*") {
        let _either = resolve(&text).map_err(|error| error.detail());
    }

    /// The example with pieces exchanged: near enough to a configuration to reach every reader.
    #[test]
    fn damage_is_read_or_refused(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), "\\PC{0,3}"), 1..5),
    ) {
        let all: String = example().lines().map(|line| format!("{}\n", uncommented(line))).collect();
        let mut text: Vec<char> = format!("{all}{}", example_server()).chars().collect();
        for (from, length, new) in edits {
            let from = from.index(text.len());
            let to = from + length.index((text.len() - from).min(40));
            text.splice(from..to, new.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(error) = resolve(&text) {
            let lines = u32::try_from(text.lines().count()).unwrap() + 1;
            prop_assert!((1..=lines).contains(&error.line), "{}", error);
            prop_assert!(error.detail().lines().count() >= 4);
        }
    }
}
