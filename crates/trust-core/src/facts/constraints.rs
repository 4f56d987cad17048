//! Name constraints as far as they speak of hosts (RFC 5280 §4.2.1.10).

use x509_parser::extensions::{GeneralName, GeneralSubtree, NameConstraints as Parsed};

/// What a CA may issue for. Path building judges alternative names by the certificate itself; this is for what it does
/// not look at: a common name that stands in for them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NameConstraints {
    /// DNS subtrees, one of which a name has to lie in; any name may where there are none.
    permitted_dns: Box<[Box<str>]>,
    /// DNS subtrees that no name may lie in.
    excluded_dns: Box<[Box<str>]>,
    /// There are subtrees of addresses.
    addresses: bool,
}

impl NameConstraints {
    pub(super) fn of(parsed: &Parsed<'_>) -> Self {
        let subtrees = [&parsed.permitted_subtrees, &parsed.excluded_subtrees];
        Self {
            permitted_dns: dns(parsed.permitted_subtrees.as_deref()),
            excluded_dns: dns(parsed.excluded_subtrees.as_deref()),
            addresses: subtrees
                .into_iter()
                .flatten()
                .flatten()
                .any(|subtree| matches!(subtree.base, GeneralName::IPAddress(_))),
        }
    }

    /// They limit DNS names or addresses.
    #[must_use]
    pub fn concern_hosts(&self) -> bool {
        self.addresses || !self.permitted_dns.is_empty() || !self.excluded_dns.is_empty()
    }

    /// A DNS name lies within them.
    #[must_use]
    pub fn allow_dns_name(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let permitted = self.permitted_dns.is_empty() || self.permitted_dns.iter().any(|tree| within(&name, tree));
        permitted && !self.excluded_dns.iter().any(|tree| within(&name, tree))
    }
}

fn dns(subtrees: Option<&[GeneralSubtree<'_>]>) -> Box<[Box<str>]> {
    let names = subtrees.into_iter().flatten().filter_map(|subtree| match subtree.base {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase().into()),
        _ => None,
    });
    names.collect()
}

/// The subtree's own name, and all below it. One that begins with a dot leaves its own name out, as OpenSSL reads it.
fn within(name: &str, subtree: &str) -> bool {
    let Some(above) = name.len().checked_sub(subtree.len()) else { return false };
    name.ends_with(subtree)
        && (above == 0 || subtree.is_empty() || subtree.starts_with('.') || name.as_bytes()[above - 1] == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subtrees() {
        for (name, subtree, expected) in [
            ("host.corp.example", "corp.example", true),
            ("corp.example", "corp.example", true),
            ("evilcorp.example", "corp.example", false),
            ("host.corp.example", ".corp.example", true),
            ("corp.example", ".corp.example", false),
            ("anything", "", true),
            ("example", "corp.example", false),
        ] {
            assert_eq!(within(name, subtree), expected, "{name} {subtree}");
        }
    }
}
