//! The interface between agentctl and agentd: wire types and transport (Varlink over a Unix socket).
//!
//! [`wire`] holds what both sides show, [`refusal`] what the daemon answers instead. [`socket`] binds, [`server`] serves a
//! [`server::Handler`], [`client`] asks. The interface is `io.agentd.Control`; `varlinkctl introspect` prints it, made from
//! the same structs ([`interface`]).
//!
//! The message types, the introspection and the interface language come from `zlink-core`. Its transport is not used:
//! version 0.8 reads up to 100 MiB of one request into memory, accepts file descriptors from any client, writes a reply in
//! steps of 256 bytes, each beginning again from the start, and lets one slow reader stop every other client. `frame` is
//! the transport instead: one JSON object and a NUL byte, with a bound.

pub mod client;
mod frame;
pub mod interface;
pub mod refusal;
pub mod server;
pub mod socket;
pub mod wire;

pub use client::{Client, ClientError};
pub use refusal::Refusal;
pub use server::{Ask, Handler, Limits, Options, Order, Peer, What, serve};
pub use socket::{Listener, bind, bind_after};
