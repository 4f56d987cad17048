//! A source that cannot be read is not an empty source: what it held stays in use, and that is said.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::{Expected, Scene, has_problem};
use test_support::endpoint::write;
use test_support::pki;
use test_support::process::{command, run};
use test_support::tools;

#[test]
fn no_permission() {
    if !tools::require(&["setpriv"]) {
        return;
    }
    let scene = settled();
    fs::set_permissions(scene.endpoint.site(), fs::Permissions::from_mode(0o000)).expect("a file of ours");
    // Root reads everything until it gives that up.
    let agentctl = scene.endpoint.agentctl_command(&["regen", "--json"]);
    let mut setpriv = command(tools::path("setpriv"));
    if rustix::process::geteuid().is_root() {
        setpriv.args([
            "--bounding-set=-dac_override,-dac_read_search",
            "--inh-caps=-dac_override,-dac_read_search",
        ]);
    }
    setpriv.arg("--").arg(agentctl.get_program()).args(agentctl.get_args());
    let report = run(&mut setpriv).expect_code(0).json();
    assert_eq!(report["sources"][1]["state"], "stale", "{report}");
    assert_eq!(report["changed"], false);
    kept(&scene);
}

#[test]
fn a_directory_in_its_place() {
    let scene = settled();
    fs::remove_file(scene.endpoint.site())
        .and_then(|()| fs::create_dir(scene.endpoint.site()))
        .expect("a place of ours");
    stale(&scene);
}

#[test]
fn a_fifo_in_its_place() {
    if !tools::require(&["mkfifo"]) {
        return;
    }
    let scene = settled();
    fs::remove_file(scene.endpoint.site()).expect("a file of ours");
    let _made = run(command(tools::path("mkfifo")).arg(scene.endpoint.site())).expect_code(0);
    stale(&scene);
}

#[test]
fn a_loop_of_symbolic_links() {
    let scene = settled();
    fs::remove_file(scene.endpoint.site()).expect("a file of ours");
    symlink(scene.endpoint.site(), scene.endpoint.site()).expect("a place of ours");
    stale(&scene);
}

#[test]
fn a_file_that_everybody_may_write() {
    let scene = settled();
    write(&scene.endpoint.site(), pki::bundle(&scene.good[..1]));
    fs::set_permissions(scene.endpoint.site(), fs::Permissions::from_mode(0o666)).expect("a file of ours");
    stale(&scene);
}

#[test]
fn a_file_larger_than_the_limit() {
    let scene = settled();
    write(&scene.endpoint.config(), "[sources]\nmax-bytes = 8192\n");
    let long = format!("{}\n{}", "# a comment ".repeat(1_000), scene.good[0].pem());
    write(&scene.endpoint.site(), long);
    stale(&scene);
}

#[test]
fn a_dangling_symbolic_link() {
    let scene = settled();
    fs::remove_file(scene.endpoint.site()).expect("a file of ours");
    symlink(scene.endpoint.beside("nowhere.pem"), scene.endpoint.site()).expect("a place of ours");
    let report = scene.endpoint.json(&["regen"]);
    let state = report["sources"][1]["state"].as_str();
    assert!(state == Some("missing") || state == Some("stale"), "it is said: {report}");
    let published = scene.endpoint.published().expect("a bundle");
    for cert in scene.bootstrap.iter().chain(&scene.policy) {
        assert!(published.contains(&cert.sha256()), "the other sources count");
    }
    scene.check_consumers();
}

/// An endpoint whose three sources have been published.
fn settled() -> Scene {
    let scene = Scene::new();
    write(&scene.endpoint.site(), pki::bundle(&scene.good));
    scene.check_regen(&Expected { anchors: scene.all_good(), ..Expected::default() });
    scene
}

#[track_caller]
fn stale(scene: &Scene) {
    let report = scene.endpoint.json(&["regen"]);
    assert_eq!(report["sources"][1]["state"], "stale", "{report}");
    assert!(
        report["sources"][1]["error"]["message"].as_str().is_some_and(|message| !message.is_empty()),
        "{report}"
    );
    kept(scene);
    assert!(
        has_problem(
            &scene.endpoint.json(&["status"]),
            "source-unreadable",
            &[&scene.endpoint.site().display().to_string()]
        ),
        "status says so"
    );
}

#[track_caller]
fn kept(scene: &Scene) {
    assert_eq!(scene.endpoint.published(), Ok(scene.everything(&scene.all_good())));
}
