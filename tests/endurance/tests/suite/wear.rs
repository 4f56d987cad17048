//! One test after the other would be the best measure of each; side by side they are each other's load.

use std::time::Duration;

use endurance::{kills, readers, soak, storm};

#[test]
fn a_storm_of_changes() {
    let figures = storm::storm(20_000, 1);
    println!("{figures}");
    figures.assert_good();
}

#[test]
fn more_events_than_the_system_keeps() {
    let Some(figures) = storm::overflow() else { return };
    println!("{figures}");
    figures.assert_good();
}

#[test]
fn no_reader_sees_a_torn_bundle() {
    let figures = readers::readers(50_000, 40);
    println!("{figures}");
    figures.assert_good();
    let control = readers::control(20_000);
    println!("{control}");
    assert!(!control.broken.is_empty(), "a writer in place is not found torn: the readers prove nothing");
}

#[test]
fn killed_at_any_time() {
    let figures = kills::kills(50);
    println!("{figures}");
    figures.assert_good();
}

#[test]
fn nothing_grows() {
    let figures = soak::soak(Duration::from_secs(20));
    println!("{figures}");
    figures.assert_good();
}
