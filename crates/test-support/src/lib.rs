//! For tests alone: a certificate factory, real servers and consumers, and a scratch endpoint with the real programs.
//!
//! It shares no code with the product: what it reads of a bundle it reads with its own, stricter eyes, so that a mistake
//! of ours cannot agree with itself.
#![expect(clippy::panic, reason = "a test that cannot go on stops")]

pub mod consumers;
pub mod corpus;
pub mod endpoint;
pub mod pem;
pub mod pki;
pub mod poll;
pub mod process;
pub mod search;
pub mod servers;
pub mod terminal;
pub mod time;
pub mod tools;
