//! System calls that fail: those that write with every error, once and from then on, of the others a sample.

use reliability::errno::{COMMON, Extent, sweep};
use reliability::scene::{Action, Control, Past};
use test_support::tools;

const SHORT: Extent = Extent { errnos: COMMON, step: 23, workers: 2 };

#[test]
fn a_regeneration_with_failing_calls_keeps_a_good_bundle_says_so_and_recovers() {
    if tools::require(&["strace"]) {
        let figures = sweep("a regeneration", Past::Changed, &Action::agentctl(&["regen"]), SHORT);
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
