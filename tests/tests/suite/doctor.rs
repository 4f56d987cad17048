//! `agentctl doctor`: each hurt brought about for real, found, and mended where that is safe.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use test_support::endpoint::{Endpoint, write};
use test_support::pki::{self, Recipe};
use test_support::poll;
use test_support::process::{Owned, Run, command, run};
use test_support::servers::Server;
use test_support::{time, tools};

/// The codes of what doctor finds, notes left out, and whether its exit code agrees.
#[track_caller]
fn diagnose(endpoint: &Endpoint, arguments: &[&str]) -> Vec<String> {
    codes(&endpoint.agentctl(&[&["doctor", "--json"], arguments].concat()))
}

#[track_caller]
fn codes(run: &Run) -> Vec<String> {
    let report = run.json();
    let counts = |finding: &&Value| finding["severity"] != "info";
    let list = report["findings"].as_array().expect("a list").iter();
    let codes: Vec<String> =
        list.filter(counts).map(|finding| finding["code"].as_str().expect("a code").to_owned()).collect();
    assert_eq!(run.code(), if codes.is_empty() { 0 } else { 8 }, "{report}");
    assert_eq!(report["health"] == "ok", codes.is_empty(), "{report}");
    codes
}

/// Of the notes as well.
fn finding(endpoint: &Endpoint, code: &str) -> Value {
    let report = endpoint.agentctl(&["doctor", "--json"]).json();
    let list = report["findings"].as_array().expect("a list").clone();
    list.into_iter().find(|finding| finding["code"] == code).unwrap_or_else(|| panic!("no {code}: {report}"))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a place of the test");
}

fn published(anchors: usize) -> (Endpoint, Vec<pki::Cert>) {
    let endpoint = Endpoint::new();
    let certs = pki::roots("Doctor", anchors);
    write(&endpoint.bootstrap(), pki::bundle(&certs));
    assert_eq!(endpoint.json(&["regen"])["changed"], true);
    (endpoint, certs)
}

fn with_server(endpoint: &Endpoint, url: &str) {
    let text = format!("[connect]\ntimeout = \"2s\"\n[[server]]\nname = \"mgmt\"\nurl = \"{url}\"\n");
    write(&endpoint.config(), text);
}

#[test]
fn a_healthy_endpoint_is_told_so_with_the_daemon_and_without() {
    if !tools::require(&["nginx"]) {
        return;
    }
    let mut endpoint = Endpoint::new();
    let root = Recipe::ca("Healthy").self_signed();
    let server = Server::nginx(&Recipe::leaf("localhost").issued_by(&root), &[]);
    write(&endpoint.bootstrap(), root.pem());
    with_server(&endpoint, &server.url());
    let _made = endpoint.json(&["regen"]);
    assert_eq!(diagnose(&endpoint, &[]), [""; 0]);
    endpoint.start_daemon();
    assert_eq!(diagnose(&endpoint, &[]), [""; 0]);
    let text = endpoint.agentctl(&["doctor"]).expect_code(0).out();
    for words in ["the daemon answers", "1 server reached", "the clock agrees", "nothing needs a hand"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn what_is_safe_is_mended_and_nothing_else() {
    let (endpoint, certs) = published(1);
    let state = endpoint.path("var/lib/agentd/state");
    set_mode(&state, 0o755);
    let policies = endpoint.path("var/lib/agentd/policies");
    set_mode(&policies, 0o777);
    let leftover = state.join(".state.json.agentd-new");
    write(&leftover, "half");
    let old = fs::File::options().write(true).open(&leftover).expect("ours");
    old.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("ours");
    let extra = Recipe::ca("Smuggled").self_signed();
    write(&endpoint.merged(), pki::bundle([&certs[0], &extra]));
    assert_eq!(
        diagnose(&endpoint, &[]),
        ["store-edited", "directory-open", "directory-open", "policies-unreadable"]
    );
    assert!(
        finding(&endpoint, "store-edited")["title"].as_str().expect("text").contains("1 more and 0 less")
    );
    assert_eq!(finding(&endpoint, "leftover-file")["fixable"], true);

    let refused = endpoint.agentctl(&["doctor", "--fix"]).expect_code(2);
    assert!(refused.err().contains("--yes"), "{}", refused.err());
    assert_eq!((mode(&state), leftover.exists()), (0o755, true), "nothing was asked, nothing was done");
    let _usage = endpoint.agentctl(&["doctor", "--yes"]).expect_code(2);

    let fixed = endpoint.agentctl(&["doctor", "--fix", "--yes", "--json"]).expect_code(0);
    assert_eq!(fixed.json()["fixed"].as_array().expect("a list").len(), 4, "{}", fixed.out());
    assert!(fixed.err().contains("chmod 0700"), "each is shown before: {}", fixed.err());
    assert_eq!((mode(&state), mode(&policies), leftover.exists()), (0o700, 0o755, false));
    assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs)));

    // Where a source has changed as well, the store is the operator's to make.
    let more = pki::roots("More", 2);
    write(&endpoint.bootstrap(), pki::bundle(&more));
    write(&endpoint.merged(), "nothing");
    let report = endpoint.agentctl(&["doctor", "--fix", "--yes", "--json"]).expect_code(8).json();
    assert_eq!(report["fixed"], Value::Array(Vec::new()), "{report}");
    assert_eq!(fs::read(endpoint.merged()).expect("there"), b"nothing");

    // Other shapes of an edit.
    let _made = endpoint.json(&["regen"]);
    set_mode(&endpoint.merged(), 0o600);
    assert_eq!(diagnose(&endpoint, &[]), ["store-edited", "store-closed"]);
    let elsewhere = endpoint.beside("elsewhere.pem");
    fs::rename(endpoint.merged(), &elsewhere)
        .and_then(|()| symlink(&elsewhere, endpoint.merged()))
        .expect("ours");
    assert!(diagnose(&endpoint, &[]).contains(&"store-edited".to_owned()));
    fs::remove_file(endpoint.merged()).expect("ours");
    assert_eq!(diagnose(&endpoint, &[]), ["store-edited"]);
    assert_eq!(diagnose(&endpoint, &["--fix", "--yes"]), [""; 0]);
}

#[test]
fn variables_units_and_other_agents() {
    let (endpoint, _certs) = published(1);
    let with = |name: &str, value: &str| {
        codes(&run(endpoint.agentctl_command(&["doctor", "--json"]).env(name, value)))
    };
    assert_eq!(with("SSL_CERT_FILE", "/etc/other.pem"), ["environment-overrides"]);
    assert_eq!(with("GIT_SSL_CAINFO", "/etc/other.pem"), ["environment-overrides"]);
    assert_eq!(with("SSL_CERT_FILE", &endpoint.merged().display().to_string()), [""; 0], "that is the store");
    let global = endpoint.path("etc/environment");
    write(&global, "PATH=/bin\nCURL_CA_BUNDLE=\"/etc/other.pem\"\n");
    let found = finding(&endpoint, "environment-overrides");
    assert!(found["fix"][0].as_str().expect("text").contains("/etc/environment"), "{found}");
    fs::remove_file(global).expect("ours");

    let units = endpoint.path("etc/systemd/system");
    write(&units.join("agentd.service.d/harmless.conf"), "[Service]\n# Environment=NO\nReadWritePaths=/x\n");
    assert_eq!(diagnose(&endpoint, &[]), [""; 0]);
    assert!(finding(&endpoint, "unit-overridden")["why"].as_str().expect("text").contains("ReadWritePaths"));
    write(&units.join("agentd.service.d/vital.conf"), "[Service]\nExecStart=\nExecStart=/bin/other\n");
    assert_eq!(diagnose(&endpoint, &[]), ["unit-overridden"]);
    symlink("/dev/null", units.join("agentd.service")).expect("ours");
    assert_eq!(diagnose(&endpoint, &[]), ["unit-overridden", "unit-overridden"]);
    fs::remove_dir_all(&units).expect("ours");

    write(&endpoint.path("usr/lib/systemd/system/agentd.service"), "[Service]\n");
    assert_eq!(diagnose(&endpoint, &[]), ["daemon-not-running"]);
    fs::remove_dir_all(endpoint.path("usr")).expect("ours");

    write(&endpoint.path("opt/altiris/notification/nsagent/bin/aex-configure"), "");
    assert_eq!(finding(&endpoint, "other-agent")["severity"], "info");
    write(&endpoint.path("var/lib/agentd/state/notes.txt"), "");
    assert!(finding(&endpoint, "foreign-file")["title"].as_str().expect("text").contains("notes.txt"));
}

#[test]
fn names_states_and_files_in_the_way() {
    let endpoint = Endpoint::new();
    let twin = || Recipe::ca("Twin").no_key_ids().self_signed();
    write(&endpoint.merged(), "not ours");
    assert_eq!(
        diagnose(&endpoint, &[]),
        ["file-in-the-way", "no-anchors"].map(str::to_owned).into_iter().rev().collect::<Vec<_>>()
    );
    fs::remove_file(endpoint.merged()).expect("ours");
    write(&endpoint.bootstrap(), pki::bundle([twin(), twin()]));
    let _made = endpoint.json(&["regen"]);
    assert_eq!(diagnose(&endpoint, &[]), ["same-name-keys"]);
    write(&endpoint.bootstrap(), Recipe::ca("Alone").self_signed().pem());
    let _made = endpoint.json(&["regen"]);
    write(&endpoint.path("var/lib/agentd/state/state.json"), "{\"v\":1");
    let _made = endpoint.json(&["regen"]);
    assert_eq!(diagnose(&endpoint, &[]), ["state-put-aside"]);
}

#[test]
fn a_corpse_in_the_way_of_the_daemon() {
    let (mut endpoint, _certs) = published(1);
    endpoint.start_daemon();
    endpoint.kill_daemon();
    assert_eq!(diagnose(&endpoint, &[]), ["control-dead"]);
    if !tools::require(&["flock"]) {
        return;
    }
    let lock = endpoint.path("var/lib/agentd/state/lock");
    let mut flock = command(tools::path("flock"));
    flock.arg(&lock).args(["-c", "exec sleep 60"]);
    let holder = Owned::start(&mut flock, &endpoint.beside("flock.log"));
    let found = poll::until("the lock is held", || {
        let found = diagnose(&endpoint, &[]);
        (found != ["control-dead"]).then_some(found)
    });
    assert_eq!(found, ["lock-held"]);
    assert!(finding(&endpoint, "lock-held")["fix"][0].as_str().expect("text").starts_with("ps -fp"));
    // `flock` waits for its command, which holds the lock as well.
    let children =
        fs::read_to_string(format!("/proc/{0}/task/{0}/children", holder.id())).expect("its children");
    for child in children.split_whitespace() {
        let _ended = run(command(tools::path("kill")).arg(child));
    }
    drop(holder);
}

#[test]
fn servers_and_their_clock() {
    if !tools::require(&["nginx"]) || !time::can_be_faked() {
        return;
    }
    let (endpoint, _certs) = published(1);
    with_server(&endpoint, "https://localhost:1/");
    assert_eq!(diagnose(&endpoint, &[]), ["server-unreachable"]);
    let root = Recipe::ca("Timed").self_signed();
    let server = Server::nginx(&Recipe::leaf("localhost").issued_by(&root), &[]);
    with_server(&endpoint, &server.url());
    assert_eq!(diagnose(&endpoint, &[]), ["server-not-verified"]);
    write(&endpoint.site(), root.pem());
    let _made = endpoint.json(&["regen"]);
    let at = |offset: &str| {
        let mut agentctl = endpoint.agentctl_command(&["doctor", "--json"]);
        time::shift(&mut agentctl, offset);
        codes(&run(&mut agentctl))
    };
    assert_eq!(at("+0s"), [""; 0]);
    assert_eq!(at("+94s"), ["clock-skew"]);
    assert_eq!(at("-94s"), ["clock-skew"]);
}

#[test]
fn an_intermediate_that_no_server_sends_and_one_that_ends() {
    if !tools::require(&["nginx"]) {
        return;
    }
    let endpoint = Endpoint::new();
    let root = Recipe::ca("Top").self_signed();
    let issuing = Recipe::ca("Issuing").days(-10, 20).issued_by(&root);
    let server = Server::nginx(&Recipe::leaf("localhost").issued_by(&issuing), &[]);
    write(&endpoint.bootstrap(), pki::bundle([&root, &issuing]));
    with_server(&endpoint, &server.url());
    let _made = endpoint.json(&["regen"]);
    let found = diagnose(&endpoint, &[]);
    assert!(found.contains(&"anchor-expires".to_owned()), "{found:?}");
    let report = endpoint.agentctl(&["doctor", "--json"]).json();
    assert!(report.to_string().contains("Issuing"), "{report}");
}

#[test]
fn disks_that_are_full_or_read_only() {
    if !tools::require(&["unshare", "mount"]) {
        return;
    }
    let (endpoint, certs) = published(1);
    let on = |options: &str, after: &str| {
        let agentctl = endpoint.agentctl_command(&["doctor", "--json"]);
        let state = endpoint.path("var/lib/agentd");
        // A file system of our own, gone with the namespace; its content comes from the real place.
        let script = format!(
            "cp -a \"$1/.\" \"$2\" && mount -t tmpfs -o {options} none \"$1\" && cp -a \"$2/.\" \"$1\" {after} || exit 77\n\
             shift 2; exec \"$@\""
        );
        let copy = endpoint.beside("copy");
        fs::create_dir_all(&copy).expect("ours");
        let mut unshare = command(tools::path("unshare"));
        unshare
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"])
            .arg(&state)
            .arg(&copy);
        run(unshare.arg(agentctl.get_program()).args(agentctl.get_args()))
    };
    let full = on("size=1m,mode=755", "");
    if full.code() == 77 || full.err().contains("unshare") {
        let _left_out = tools::left_out("no right to a file system of our own");
        return;
    }
    assert_eq!(codes(&full), ["disk-space"]);
    assert_eq!(codes(&on("size=64m,mode=755", "&& mount -o remount,ro none \"$1\"")), ["disk-read-only"]);
    assert_eq!(endpoint.published(), Ok(pki::fingerprints(&certs)), "and nothing of it was outside");
}

#[test]
fn what_another_user_cannot_pass() {
    if !rustix::process::geteuid().is_root() {
        let _left_out = tools::left_out("only root has other users' files");
        return;
    }
    const NOBODY: u32 = 65_534;
    let (endpoint, _certs) = published(1);
    let state = endpoint.path("var/lib/agentd/state");
    for path in walk(&state) {
        chown(&path, Some(NOBODY), Some(NOBODY)).expect("ours");
    }
    let found = diagnose(&endpoint, &[]);
    assert_eq!(found, ["directory-unwritable", "directory-unwritable"], "the service's user is nobody now");
    for directory in ["var/lib/agentd", "var/lib/agentd/policies"] {
        chown(endpoint.path(directory), Some(NOBODY), Some(NOBODY)).expect("ours");
    }
    let source = endpoint.path("opt/closed/ca.pem");
    write(&source, Recipe::ca("Closed").self_signed().pem());
    set_mode(source.parent().expect("a directory"), 0o700);
    let policy = test_support::endpoint::CurlSsl { ca_info: &source.display().to_string(), ca_path: "" };
    endpoint.write_policy(test_support::endpoint::POLICY, policy);
    let found = diagnose(&endpoint, &[]);
    assert!(
        found.iter().any(|code| ["path-closed", "source-unreadable"].contains(&code.as_str())),
        "{found:?}"
    );
    set_mode(&endpoint.path("var/lib/agentd"), 0o700);
    assert!(diagnose(&endpoint, &[]).contains(&"store-closed".to_owned()));

    // Who may not ask the daemon is told what is not known.
    if tools::require(&["setpriv"]) {
        set_mode(&endpoint.path("var/lib/agentd"), 0o755);
        let mut endpoint = endpoint;
        endpoint.start_daemon();
        let agentctl = endpoint.agentctl_command(&["doctor", "--json"]);
        let mut other: Command = command(tools::path("setpriv"));
        other.args(["--reuid=65533", "--regid=65533", "--clear-groups"]);
        let found = codes(&run(other.arg(agentctl.get_program()).args(agentctl.get_args())));
        assert!(found.contains(&"control-denied".to_owned()), "{found:?}");
    }
}

#[test]
fn groups_and_access_lists_of_the_services_user() {
    if !rustix::process::geteuid().is_root() {
        let _left_out = tools::left_out("only root has other users' files");
        return;
    }
    if !tools::require(&["setfacl"]) {
        return;
    }
    const SERVICE: u32 = 4242;
    const GROUP: u32 = 4343;
    let (endpoint, _certs) = published(1);
    for path in walk(&endpoint.path("var/lib/agentd")) {
        chown(&path, Some(SERVICE), Some(SERVICE)).expect("ours");
    }
    for directory in ["", "/policies"] {
        let path = endpoint.path(&format!("var/lib/agentd{directory}"));
        chown(path, Some(SERVICE), Some(SERVICE)).expect("ours");
    }
    // A source that only a group may read, as a site keeps its own, with the rules waived for it.
    let source = endpoint.path("opt/site/ca.pem");
    write(&source, Recipe::ca("Grouped").self_signed().pem());
    let site = source.parent().expect("a directory");
    for (path, mode) in [(site, 0o750), (&*source, 0o640)] {
        chown(path, Some(0), Some(GROUP)).expect("ours");
        set_mode(path, mode);
    }
    write(&endpoint.config(), format!("[sources]\ntrusted-paths = [\"{}\"]\n", site.display()));
    let curl_ssl = test_support::endpoint::CurlSsl { ca_info: &source.display().to_string(), ca_path: "" };
    endpoint.write_policy(test_support::endpoint::POLICY, curl_ssl);
    let is_closed = || diagnose(&endpoint, &[]).contains(&"path-closed".to_owned());

    assert!(is_closed(), "nobody has said that the user is in that group");
    let why = finding(&endpoint, "path-closed")["why"].as_str().expect("text").to_owned();
    assert!(why.contains("group 4242 alone"), "{why}");
    write(&endpoint.path("etc/passwd"), format!("agentd:x:{SERVICE}:{SERVICE}::/:/bin/false\n"));
    write(&endpoint.path("etc/group"), format!("site:x:{GROUP}:agentd\n"));
    assert!(!is_closed(), "a member of the group");
    write(&endpoint.path("etc/group"), format!("site:x:{GROUP}:\n"));
    assert!(is_closed());
    let drop_in = endpoint.path("etc/systemd/system/agentd.service.d/group.conf");
    write(&drop_in, "[Service]\nSupplementaryGroups=site\n");
    assert!(!is_closed(), "the unit says so");
    fs::remove_file(drop_in).expect("ours");

    // And what the finding says is what the system does.
    setfacl(&["-m", "u:4242:rx"], site);
    assert!(is_closed(), "the directory lets the user in, the file does not");
    setfacl(&["-m", "u:4242:r"], &source);
    assert!(!is_closed(), "an access list lets the user in");
    assert!(can_read(SERVICE, &source));
    setfacl(&["-m", "m::-"], &source);
    assert!(is_closed(), "its mask does not");
    assert!(!can_read(SERVICE, &source));
}

#[test]
fn who_may_write_by_an_access_list_is_seen_and_the_remedy_mends_it() {
    if !rustix::process::geteuid().is_root() {
        let _left_out = tools::left_out("only root has files that another user may write to");
        return;
    }
    if !tools::require(&["setfacl", "setpriv"]) {
        return;
    }
    let (endpoint, _certs) = published(1);
    let policy = endpoint.path("opt/site/ca.pem");
    write(&policy, Recipe::ca("Listed").self_signed().pem());
    let curl_ssl = test_support::endpoint::CurlSsl { ca_info: &policy.display().to_string(), ca_path: "" };
    endpoint.write_policy(test_support::endpoint::POLICY, curl_ssl);
    assert_eq!(endpoint.json(&["regen"])["changed"], true);
    let refused = || endpoint.agentctl(&["sources", "--json"]).out().contains("writable-by-others");
    let site = policy.parent().expect("a directory").to_owned();
    for (path, list) in
        [(&policy, "u:4242:rw"), (&policy, "g:4242:rw"), (&site, "u:4242:rwx"), (&site, "d:o::rwx")]
    {
        setfacl(&["-m", list], path);
        // What a directory hands down to new files says nothing of itself.
        let is_grant = !list.starts_with("d:");
        assert_eq!(refused(), is_grant, "{list} on {}", path.display());
        let _remedy = run(command(tools::path("chmod")).arg("go-w").arg(path)).expect_code(0);
        assert!(!refused(), "{list}: the remedy that the message names");
        let mut writer = command(tools::path("setpriv"));
        writer.args(["--reuid=4242", "--regid=4242", "--clear-groups", "test", "-w"]);
        assert_ne!(run(writer.arg(path)).code(), 0, "{list}: nobody else may write any more");
        setfacl(&["-b"], path);
    }
    setfacl(&["-m", "u:4242:rw,m::r"], &policy);
    assert!(!refused(), "what the mask takes away is not granted");
}

#[test]
fn what_root_makes_before_the_first_start_is_the_services() {
    if !rustix::process::geteuid().is_root() {
        let _left_out = tools::left_out("only root has other users' files");
        return;
    }
    const SERVICE: u32 = 4242;
    let endpoint = Endpoint::new();
    write(&endpoint.bootstrap(), pki::bundle(pki::roots("Early", 1)));
    let store = endpoint.path("var/lib/agentd");
    // As the package leaves it: its user's, and no state yet.
    for path in walk(&store).into_iter().chain([store.clone()]) {
        chown(path, Some(SERVICE), Some(SERVICE)).expect("ours");
    }
    assert!(!store.join("state").exists());
    assert_eq!(endpoint.json(&["regen"])["changed"], true, "its owner is trusted before there is a state");
    let mut made = walk(&store);
    made.extend(["state", "state/snapshots", "state/generations"].map(|name| store.join(name)));
    for path in made {
        let owner = fs::metadata(&path).expect("there").uid();
        assert_eq!(owner, SERVICE, "{} would be closed to the service", path.display());
    }
    assert_eq!(diagnose(&endpoint, &[]), [""; 0]);
}

/// Whether a user without groups reads a file.
fn can_read(uid: u32, path: &Path) -> bool {
    let mut reader = command(tools::path("setpriv"));
    reader.args([&format!("--reuid={uid}"), &format!("--regid={uid}"), "--clear-groups", "cat"]);
    run(reader.arg(path)).code() == 0
}

#[track_caller]
fn setfacl(arguments: &[&str], path: &Path) {
    let _set = run(command(tools::path("setfacl")).args(arguments).arg(path)).expect_code(0);
}

fn walk(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut all = vec![directory.to_owned()];
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() { all.extend(walk(&entry.path())) } else { all.push(entry.path()) }
    }
    all
}
