//! The commands, a file each.

pub(crate) mod anchors;
pub(crate) mod audit;
pub(crate) mod completions;
pub(crate) mod connect;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod enroll;
pub(crate) mod fetch;
pub(crate) mod history;
pub(crate) mod inventory;
pub(crate) mod lint;
pub(crate) mod metrics;
pub(crate) mod order;
pub(crate) mod refresh;
pub(crate) mod regen;
pub(crate) mod sources;
pub(crate) mod status;
pub(crate) mod verify;
pub(crate) mod watch;
