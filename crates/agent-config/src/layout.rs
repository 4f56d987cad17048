//! Where everything lies when nobody says otherwise.

use std::path::{Path, PathBuf};

use crate::settings::Store;

/// A set of default places for the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// The system's own place for such files: `/var/lib/agentd`, on macOS `/Library/Application Support/agentd`.
    #[default]
    Default,
    /// The places of the SMP Agent for Unix, Linux and Mac, so that its certificates and policies are used where they
    /// are. Our own state stays at the default place: that agent knows nothing of it.
    Smp,
}

/// The operating systems whose conventions differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    Linux,
    MacOs,
}

impl Platform {
    pub(crate) const CURRENT: Self = if cfg!(target_os = "macos") { Self::MacOs } else { Self::Linux };

    fn data(self) -> &'static str {
        match self {
            Self::Linux => "/var/lib/agentd",
            Self::MacOs => "/Library/Application Support/agentd",
        }
    }

    fn config(self) -> &'static str {
        match self {
            Self::Linux => "/etc/agentd/agentd.toml",
            Self::MacOs => "/Library/Application Support/agentd/agentd.toml",
        }
    }

    fn socket(self) -> &'static str {
        match self {
            Self::Linux => "/run/agentd/control.sock",
            Self::MacOs => "/var/run/agentd/control.sock",
        }
    }
}

/// The configuration file that is read when none is named; under `root` if there is one, which must be absolute.
#[must_use]
pub fn default_config_path(root: Option<&Path>) -> PathBuf {
    config_path(Platform::CURRENT, root)
}

pub(crate) fn config_path(platform: Platform, root: Option<&Path>) -> PathBuf {
    under(root, platform.config())
}

pub(crate) fn socket(platform: Platform, root: Option<&Path>) -> PathBuf {
    under(root, platform.socket())
}

/// The directory of the anchors that policies bring with them.
pub(crate) fn anchors(platform: Platform, root: Option<&Path>) -> PathBuf {
    under(root, platform.data()).join("anchors")
}

/// The store's places in a layout.
pub(crate) fn store(layout: Layout, platform: Platform, root: Option<&Path>) -> Store {
    let data = under(root, platform.data());
    let (certificates, policies) = match layout {
        Layout::Default => (data.clone(), data.join("policies")),
        Layout::Smp => (under(root, SMP_CERTIFICATES), under(root, SMP_POLICIES)),
    };
    Store {
        layout,
        bootstrap: certificates.join("cainfo.pem"),
        site: certificates.join("cainfo-ss.pem"),
        merged: certificates.join("cainfo-merged.pem"),
        policies,
        state: data.join("state"),
    }
}

/// A default place, under `root` if there is one.
fn under(root: Option<&Path>, path: &str) -> PathBuf {
    match root {
        Some(root) => root.join(path.trim_start_matches('/')),
        None => PathBuf::from(path),
    }
}

const SMP_CERTIFICATES: &str = "/opt/altiris/notification/nsagent/etc";
const SMP_POLICIES: &str = "/opt/altiris/notification/nsagent/var/policies";
