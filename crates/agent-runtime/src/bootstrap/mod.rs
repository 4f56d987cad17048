//! Bootstrap: taking a server's certificate into a source of the store, by its fingerprint.
//!
//! What is decided is pure: whether a fingerprint is of the presented chain ([`Wanted`]), which certificate of it is meant
//! ([`choose`]), and what becomes of the file ([`append`], [`replace`]). The edge is [`Sources`]: it reads the file by the
//! rules of every source, and puts the new one in its place durably, under a lock of its own: the daemon, which holds the
//! store's, never writes a source.

mod choose;
mod configure;
mod edit;
mod fingerprint;
mod sources;
#[cfg(test)]
mod tests;

pub use choose::{Choice, ChooseError, Pick, choose, outlook, pick, typed};
pub use configure::{ConfigureError, Configured, NewServer, add_server};
pub use edit::{Addition, Change, Edit, EditError, append, replace};
pub use fingerprint::{How, Wanted, WantedError};
pub use sources::{Snapshot, Sources, SourcesError};
