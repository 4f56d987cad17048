//! agentd.toml: fragments to inputs to settings, with errors that name file, line and column.
//!
//! ```text
//!  text ──parse──► Fragment ──resolve──► Settings
//! ```
//! A [`Fragment`] is what one file says, each value checked by itself and with its place. [`Settings`] is what counts:
//! every default applied, every rule between values kept. Values only: the caller reads the file, and nothing here
//! looks at the machine.

mod error;
mod fragment;
mod layout;
mod schema;
mod section;
mod settings;
mod values;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use fragment::{Fragment, parse};
pub use layout::{Layout, default_config_path};
pub use settings::{
    Connect, Control, Distrust, Inventory, InventoryForm, Level, Log, LogFormat, Metrics, Names, Pin, Proxy,
    Refresh, Role, Security, Server, Settings, Sources, Store, TlsVersion, Watch,
};
