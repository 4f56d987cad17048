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
    /// A section behind what is there would mean something else than itself.
    #[error("a [[server]] section cannot be added at its end")]
    WouldNotRead,
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
    if let Some(same) = before.servers.iter().find(|server| server.url == *new.url) {
        if same.role != new.role {
            return Err(ConfigureError::OtherRole { url: new.url.clone(), role: same.role });
        }
        return Ok(Configured::Present { name: same.name.clone() });
    }
    let name = name(&before.servers, new);
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut changed = text.to_owned();
    if !text.is_empty() {
        if !text.ends_with('\n') {
            changed.push_str(end);
        }
        changed.push_str(end);
    }
    let mut lines = vec!["[[server]]".to_owned(), format!("url = {}", quoted(new.url.as_str()))];
    if new.url.host_str() != Some(name.as_str()) {
        lines.push(format!("name = {}", quoted(&name)));
    }
    if new.role == Role::Site {
        lines.push("role = \"site\"".to_owned());
    }
    for line in lines {
        changed.push_str(&line);
        changed.push_str(end);
    }
    let after = settings(&changed, file, root)?;
    let (last, rest) = after.servers.split_last().ok_or(ConfigureError::WouldNotRead)?;
    let same_otherwise = Settings { servers: rest.to_vec(), ..after.clone() } == before;
    if last.url != *new.url || last.name != name || last.role != new.role || !same_otherwise {
        return Err(ConfigureError::WouldNotRead);
    }
    Ok(Configured::Change { text: changed, name })
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
        add_server(text, Path::new("agentd.toml"), None, &NewServer { url: &url, name, role })
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
        assert!(matches!(odd, Err(ConfigureError::Wrong(_))), "{odd:?}");
        let taken = add(&second, "https://third.example", Some("mgmt.example"), Role::Management);
        assert!(matches!(taken, Err(ConfigureError::Wrong(_))), "{taken:?}");
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
    fn a_configuration_that_is_wrong_is_left_alone() {
        for wrong in ["[lug]\n", "x", "[[server]]\n", "server = [{ url = \"https://a.example\" }]\n[log]\n"] {
            assert!(add(wrong, "https://mgmt.example", None, Role::Management).is_err(), "{wrong}");
        }
    }
}
