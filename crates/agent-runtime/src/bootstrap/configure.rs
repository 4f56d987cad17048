//! A server in the text of the configuration: added behind what is there, which stays octet by octet.

use std::path::Path;

use agent_config::{Error, Role, Server, Settings, parse};
use url::Url;

/// What is to be added.
#[derive(Debug, Clone)]
pub struct NewServer<'a> {
    /// Its address.
    pub url: &'a Url,
    /// Its name; the host where none is given.
    pub name: Option<&'a str>,
    /// What it is.
    pub role: Role,
    /// Path of the policies' index on the server; `None` to leave that as it is.
    pub index: Option<&'a str>,
    /// Path on the server that takes inventory; `None` to leave that as it is.
    pub inventory: Option<&'a str>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Configured {
    /// Nothing: it is configured already, under this name.
    Present {
        /// The name.
        name: String,
    },
    /// The configuration's new text.
    Change {
        /// All of it.
        text: String,
        /// The server's name.
        name: String,
    },
}

/// Why a server cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// The configuration is wrong as it is, or would be with it.
    #[error("{}", .0.detail())]
    Wrong(Error),
    /// The same address is there as another role.
    #[error("{url} is configured already, as a {} server", role_word(*role))]
    OtherRole {
        /// The address.
        url: Url,
        /// What it is there.
        role: Role,
    },
    /// A path on the servers is there already, and another one.
    #[error("{key} is set already, to \"{value}\"")]
    OtherPath {
        /// The key, with its section.
        key: &'static str,
        /// What it is there.
        value: String,
    },
    /// A section behind what is there would mean something else than itself.
    #[error("a section cannot be added at its end: perhaps there is one of its name")]
    WouldNotRead {
        /// What was to be added.
        lines: Vec<String>,
    },
}

/// Adds a server. `text` is the configuration in `file`, empty where there is none.
///
/// # Errors
/// [`ConfigureError`] where the outcome would be anything but the same settings and this server as the last.
pub fn add_server(
    text: &str,
    file: &Path,
    root: Option<&Path>,
    new: &NewServer<'_>,
) -> Result<Configured, ConfigureError> {
    let before = settings(text, file, root)?;
    let same = before.servers.iter().find(|server| server.url == *new.url);
    if let Some(same) = same.filter(|same| same.role != new.role) {
        return Err(ConfigureError::OtherRole { url: new.url.clone(), role: same.role });
    }
    let name = same.map_or_else(|| name(&before.servers, new), |same| same.name.clone());
    let mut lines = Vec::new();
    lines.extend(path_lines("refresh", "index", before.refresh.index.as_deref(), new.index)?);
    lines.extend(path_lines("inventory", "path", before.inventory.path.as_deref(), new.inventory)?);
    if same.is_none() {
        lines.extend(server_lines(new, &name));
    }
    if lines.is_empty() {
        return Ok(Configured::Present { name });
    }
    let changed = with_lines(text, &lines);
    // Wrong together though each was right alone: a section that is there already.
    let after =
        settings(&changed, file, root).map_err(|_| ConfigureError::WouldNotRead { lines: lines.clone() })?;
    let servers = after.servers.len() - usize::from(same.is_none());
    let mut expected = before.clone();
    expected.servers.extend(after.servers.get(servers..).unwrap_or_default().iter().cloned());
    expected.refresh.index = new.index.map(str::to_owned).or(expected.refresh.index);
    expected.inventory.path = new.inventory.map(str::to_owned).or(expected.inventory.path);
    let has_it = after
        .servers
        .iter()
        .any(|server| server.url == *new.url && server.name == name && server.role == new.role);
    if after != expected || !has_it {
        return Err(ConfigureError::WouldNotRead { lines });
    }
    Ok(Configured::Change { text: changed, name })
}

/// A path on the servers, where there is none yet.
fn path_lines(
    section: &'static str,
    key: &'static str,
    present: Option<&str>,
    wanted: Option<&str>,
) -> Result<Vec<String>, ConfigureError> {
    match (present, wanted) {
        (Some(present), Some(wanted)) if present != wanted => Err(ConfigureError::OtherPath {
            key: if section == "refresh" { "[refresh] index" } else { "[inventory] path" },
            value: present.to_owned(),
        }),
        (None, Some(wanted)) => {
            Ok(vec![format!("[{section}]"), format!("{key} = {}", quoted(wanted)), String::new()])
        }
        _ => Ok(Vec::new()),
    }
}

fn server_lines(new: &NewServer<'_>, name: &str) -> Vec<String> {
    let mut lines = vec!["[[server]]".to_owned(), format!("url = {}", quoted(new.url.as_str()))];
    if new.url.host_str() != Some(name) {
        lines.push(format!("name = {}", quoted(name)));
    }
    if new.role == Role::Site {
        lines.push("role = \"site\"".to_owned());
    }
    lines
}

/// The lines behind a text, in its own kind of line ends.
fn with_lines(text: &str, lines: &[String]) -> String {
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut changed = text.to_owned();
    if !text.is_empty() {
        if !text.ends_with('\n') {
            changed.push_str(end);
        }
        changed.push_str(end);
    }
    for line in lines {
        changed.push_str(line);
        changed.push_str(end);
    }
    changed
}

fn settings(text: &str, file: &Path, root: Option<&Path>) -> Result<Settings, ConfigureError> {
    let fragment = parse(text, file).map_err(ConfigureError::Wrong)?;
    Settings::resolve(&fragment, root).map_err(ConfigureError::Wrong)
}

/// The name that was given, or the host; with the port where another server of the host has that name.
fn name(servers: &[Server], new: &NewServer<'_>) -> String {
    let host = new.url.host_str().unwrap_or_default();
    match new.name {
        Some(name) => name.to_owned(),
        None if servers.iter().any(|server| server.name == host) => {
            let host: String = host.chars().filter(|c| !"[]".contains(*c)).collect();
            format!("{}-{}", host.replace(':', "-"), new.url.port_or_known_default().unwrap_or(HTTPS))
        }
        None => host.to_owned(),
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if character.is_control() => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Management => "management",
        Role::Site => "site",
    }
}

const HTTPS: u16 = 443;

#[cfg(test)]
mod tests {
    use super::*;

    fn add(text: &str, url: &str, name: Option<&str>, role: Role) -> Result<Configured, ConfigureError> {
        let url = Url::parse(url).unwrap();
        let new = NewServer { url: &url, name, role, index: None, inventory: None };
        add_server(text, Path::new("agentd.toml"), None, &new)
    }

    fn changed(text: &str, url: &str, name: Option<&str>) -> (String, String) {
        match add(text, url, name, Role::Management).unwrap() {
            Configured::Change { text, name } => (text, name),
            Configured::Present { name } => panic!("{name} is there"),
        }
    }

    #[test]
    fn what_is_there_stays_and_the_server_is_the_last() {
        for before in [
            "",
            "# mine\n[log]\nlevel = \"debug\" # why not\n",
            "[log]\nlevel = \"debug\"",
            "[log]\r\nlevel = \"debug\"\r\n",
            "[[server]]\nurl = \"https://other.example\"\npin = \"\"\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\"\"\n",
            "# a comment without an end",
        ] {
            let (text, name) = changed(before, "https://mgmt.example:4726", None);
            assert!(text.starts_with(before), "{text}");
            assert_eq!(name, "mgmt.example");
            if before.contains("\r\n") {
                assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{text:?}");
            }
            let again = add(&text, "https://mgmt.example:4726/", None, Role::Management).unwrap();
            assert_eq!(again, Configured::Present { name });
        }
    }

    #[test]
    fn names_stay_unique_and_roles_are_kept() {
        let (first, _) = changed("", "https://mgmt.example", None);
        let (second, name) = changed(&first, "https://mgmt.example:8443", None);
        assert_eq!(name, "mgmt.example-8443");
        let (_, name) = changed(&second, "https://third.example", Some("third"));
        assert_eq!(name, "third");
        let odd = add(&second, "https://third.example", Some("a \"third\""), Role::Management);
        assert!(matches!(odd, Err(ConfigureError::WouldNotRead { .. })), "{odd:?}");
        let taken = add(&second, "https://third.example", Some("mgmt.example"), Role::Management);
        assert!(matches!(taken, Err(ConfigureError::WouldNotRead { .. })), "{taken:?}");
        let other = add(&second, "https://mgmt.example", None, Role::Site);
        assert!(matches!(other, Err(ConfigureError::OtherRole { role: Role::Management, .. })), "{other:?}");
        let Configured::Change { text, .. } = add("", "https://ss.example", None, Role::Site).unwrap() else {
            panic!("it was not there");
        };
        assert_eq!(settings(&text, Path::new("x"), None).unwrap().servers[0].role, Role::Site);
        let (text, _) = changed("", "https://[::1]:8443", None);
        assert!(text.contains("https://[::1]:8443/"), "{text}");
    }

    #[test]
    fn paths_are_added_once_and_never_changed() {
        let url = Url::parse("https://mgmt.example").unwrap();
        let with = |text: &str, index, inventory| {
            let new = NewServer { url: &url, name: None, role: Role::Management, index, inventory };
            add_server(text, Path::new("agentd.toml"), None, &new)
        };
        let Configured::Change { text, .. } = with("# mine", Some("/p/index.json"), Some("/i")).unwrap()
        else {
            panic!("it was not there");
        };
        let all = settings(&text, Path::new("x"), None).unwrap();
        assert_eq!(all.refresh.index.as_deref(), Some("/p/index.json"));
        assert_eq!((all.inventory.path.as_deref(), all.servers.len()), (Some("/i"), 1));
        for (index, inventory) in [(None, None), (Some("/p/index.json"), Some("/i")), (None, Some("/i"))] {
            assert!(matches!(with(&text, index, inventory), Ok(Configured::Present { .. })));
        }
        let other = with(&text, Some("/other.json"), None);
        assert!(matches!(other, Err(ConfigureError::OtherPath { key: "[refresh] index", .. })), "{other:?}");
        // A section that is there cannot be opened again: the lines are for a person to put in.
        let open = with("[refresh]\ninterval = \"1h\"\n", Some("/p/index.json"), None);
        assert!(
            matches!(&open, Err(ConfigureError::WouldNotRead { lines }) if lines[1].contains("/p/index.json")),
            "{open:?}"
        );
    }

    #[test]
    fn a_configuration_that_is_wrong_is_left_alone() {
        for wrong in ["[lug]\n", "x", "[[server]]\n", "server = [{ url = \"https://a.example\" }]\n[log]\n"] {
            assert!(add(wrong, "https://mgmt.example", None, Role::Management).is_err(), "{wrong}");
        }
    }
}
