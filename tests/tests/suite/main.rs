//! The release binaries, driven from outside: `cargo xtask test` builds them first.
//!
//! One binary for all suites, so that the whole is linked once. No test measures time; what takes time is waited for
//! until a deadline that only a failing test reaches.

mod alone;
#[cfg(test)]
mod at_a_terminal;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod batch;
#[cfg(test)]
mod blindness;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod completions;
#[cfg(test)]
mod connect;
#[cfg(test)]
mod corpora;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod durable;
#[cfg(test)]
mod enroll;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod fetch;
#[cfg(test)]
mod foresight;
#[cfg(test)]
mod guard;
#[cfg(test)]
mod history;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod macos_scripts;
#[cfg(test)]
mod management;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod nothing_changed;
#[cfg(test)]
mod odd_inputs;
#[cfg(test)]
mod playground;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod servers;
#[cfg(test)]
mod service_manager;
#[cfg(test)]
mod signals;
#[cfg(test)]
mod time_of_day;
#[cfg(test)]
mod with_and_without_daemon;
