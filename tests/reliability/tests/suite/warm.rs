//! A running daemon, killed and with failing calls: where it writes, and a sample of the rest.

use reliability::warm::{Extent, faults, kills};
use test_support::tools;

// The turns that threads take are not the same in every run: one point in three may be missed.

#[test]
fn a_running_daemon_killed_anywhere_leaves_the_old_bundle_or_the_new() {
    if tools::require(&["strace"]) {
        let figures = kills(Extent { step: 6, workers: 3 });
        println!("{figures}");
        figures.assert_good_but_for(3);
    }
}

#[test]
fn a_running_daemon_with_failing_calls_lives_says_so_and_recovers_by_itself() {
    if tools::require(&["strace"]) {
        let figures = faults(Extent { step: 24, workers: 4 });
        println!("{figures}");
        figures.assert_good_but_for(3);
    }
}
