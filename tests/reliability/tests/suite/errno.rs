//! System calls that fail: those that write with every error, once and from then on, of the others a sample.

use reliability::errno::sweep;
use reliability::scene::{Action, Past};
use test_support::tools;

#[test]
fn a_regeneration_with_failing_calls_keeps_a_good_bundle_says_so_and_recovers() {
    if tools::require(&["strace"]) {
        let figures = sweep("a regeneration", Past::Changed, &Action::agentctl(&["regen"]), 23, 2);
        println!("{figures}");
        figures.assert_good();
    }
}
