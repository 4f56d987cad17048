//! Whether a certificate is for a host (RFC 6125 §6, and what curl does where that is silent).

use std::net::IpAddr;

use trust_core::facts::Facts;

/// Which of a certificate's names count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameRule {
    /// Alternative names alone.
    Strict,
    /// The common name too, where there is no alternative DNS name and no alternative address: the certificate that a
    /// site most often stores has a CN and nothing else.
    #[default]
    Compat,
}

/// A host in the form in which names are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Address(IpAddr),
    Name(String),
}

impl Host {
    /// An address, with or without brackets, or a name without its trailing dot, in lower case.
    pub(crate) fn parse(host: &str) -> Self {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        match bare.parse() {
            Ok(address) => Self::Address(address),
            Err(_) => Self::Name(host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()),
        }
    }
}

/// How a certificate was found to be for a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameMatch {
    Alternative,
    CommonName,
}

pub(crate) fn match_name(facts: &Facts, host: &Host, rule: NameRule) -> Option<NameMatch> {
    let alternative = match host {
        Host::Address(address) => facts.ip_addresses.contains(address),
        Host::Name(name) => facts.dns_names.iter().any(|pattern| matches_pattern(pattern, name)),
    };
    if alternative {
        return Some(NameMatch::Alternative);
    }
    if rule == NameRule::Strict || facts.has_alternative_host {
        return None;
    }
    let common_name = facts.common_name.as_deref()?;
    let matches = match host {
        Host::Address(address) => common_name.parse() == Ok(*address),
        Host::Name(name) => matches_pattern(common_name, name),
    };
    matches.then_some(NameMatch::CommonName)
}

/// A wildcard stands for exactly one whole leftmost label, and only above two labels or more.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
    if name.is_empty() || !pattern.is_ascii() {
        return false;
    }
    match pattern.strip_prefix("*.") {
        None => !pattern.contains('*') && pattern.eq_ignore_ascii_case(name),
        Some(parent) => {
            let Some((label, rest)) = name.split_once('.') else { return false };
            !label.is_empty()
                && parent.contains('.')
                && !parent.contains('*')
                && parent.eq_ignore_ascii_case(rest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("host.example", "host.example", true),
            ("HOST.Example", "host.example", true),
            ("host.example.", "host.example", true),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "a.b.example.com", false),
            ("*.example.com", "example.com", false),
            ("*.com", "example.com", false),
            ("*", "localhost", false),
            ("a*.example.com", "ab.example.com", false),
            ("under_score.example", "under_score.example", true),
            ("", "", false),
        ] {
            assert_eq!(matches_pattern(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn hosts() {
        assert_eq!(Host::parse("[::1]"), Host::Address("::1".parse().unwrap()));
        assert_eq!(Host::parse("127.0.0.1"), Host::Address("127.0.0.1".parse().unwrap()));
        assert_eq!(Host::parse("Host.Example."), Host::Name("host.example".to_owned()));
    }
}
