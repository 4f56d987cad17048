//! How a server stands: how good its connection is ([`lock`]), what will break and when ([`foresight`]), and the chain
//! that it presented, which both are drawn from and which is remembered ([`chains`]).
//!
//! Deciding is pure; `status`, `connect` and the daemon share it.

pub mod chains;
pub mod foresight;
pub mod lock;
