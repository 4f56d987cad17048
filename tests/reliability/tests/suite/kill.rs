//! SIGKILL at every system call of a regeneration, a first start and a rollback; of the recoveries a sample.

use reliability::kill::{Extent, sweep};
use reliability::scene::{Action, Control, Past};
use test_support::tools;

const SHORT: Extent = Extent { recovery_step: 60, workers: 2 };

#[test]
fn a_regeneration_killed_anywhere_leaves_the_old_bundle_or_the_new() {
    if tools::require(&["strace"]) {
        let figures = sweep("a regeneration", Past::Changed, &Action::agentctl(&["regen"]), SHORT);
        println!("{figures}");
        figures.assert_good();
    }
}

#[test]
fn a_first_start_killed_anywhere_leaves_no_bundle_or_the_new() {
    if tools::require(&["strace"]) {
        let figures = sweep("a first start", Past::Nothing, &Action::agentctl(&["regen"]), SHORT);
        println!("{figures}");
        figures.assert_good();
    }
}

#[test]
fn a_rollback_killed_anywhere_is_done_or_not_and_stays() {
    if tools::require(&["strace"]) {
        let figures = sweep(
            "a rollback",
            Past::Settled,
            &Action::agentctl(&["rollback", "1"]),
            Extent { recovery_step: 120, ..SHORT },
        );
        println!("{figures}");
        figures.assert_good();
    }
}

#[test]
fn a_writer_in_place_does_not_pass() {
    if tools::require(&["strace"]) {
        let figures = sweep("control: in place", Past::Changed, &Action::Control(Control::InPlace), SHORT);
        println!("{figures}");
        assert!(
            figures.broken.iter().any(|why| why.contains("torn")),
            "the sweep sees a torn bundle: {figures}"
        );
    }
}
