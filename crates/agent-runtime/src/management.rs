//! The management servers, with their disk: policy refresh and inventory, by themselves and when asked.
//!
//! `agent-management` decides and speaks; here it is written down, and the store is made to follow.

pub mod daemon;
pub mod desk;
pub mod disk;
pub mod document;
pub mod errands;
pub mod facts;
pub mod report;
mod stores;

pub use stores::{InProcess, Loop, remember};
