//! Every section and key that exists: what an unknown one is compared with.

/// The sections with their keys, in the order of the example file.
pub(crate) const SECTIONS: &[(&str, &[&str])] = &[
    ("store", &["layout", "bootstrap", "site", "merged", "policies", "state"]),
    ("control", &["socket"]),
    ("sources", &["allow-owner", "trusted-paths", "max-bytes", "max-certificates"]),
    ("watch", &["poll-interval", "degraded-poll-interval", "settle"]),
    ("security", &["allow-policy-to-skip-host", "allow-policy-to-skip-peer", "minimum-tls"]),
    ("distrust", &["fingerprints"]),
    ("guard", &["enabled", "retain-for", "archive"]),
    ("history", &["generations", "max-age"]),
    ("log", &["level", "format"]),
    ("metrics", &["textfile"]),
    ("connect", &["timeout", "first-byte-timeout", "body-timeout", "check-interval"]),
    ("proxy", &["url", "credentials-file", "no-proxy"]),
    ("refresh", &["index", "interval", "longest-pause", "anchors"]),
    ("inventory", &["path", "interval", "form"]),
    ("server", &["name", "url", "names", "pin", "role", "favourite", "ranges", "priority"]),
];

/// The section whose entries are a list: written `[[server]]`.
pub(crate) const LIST: &str = "server";

/// The keys of a section.
pub(crate) fn keys(section: &str) -> &'static [&'static str] {
    SECTIONS.iter().find(|(name, _)| *name == section).map_or(&[], |(_, keys)| keys)
}

/// How a section's header is written.
pub(crate) fn header(section: &str) -> String {
    if section == LIST { format!("[[{section}]]") } else { format!("[{section}]") }
}

/// What was probably meant by an unknown key of a section, or by an unknown name at the top (`section` is `None`).
pub(crate) fn hint(section: Option<&str>, unknown: &str) -> Option<String> {
    let name = canonical(unknown);
    let sections = SECTIONS.iter().map(|&(section, _)| section);
    let near = match section {
        Some(section) => nearest(&name, keys(section).iter().copied()).map(|key| format!("\"{key}\"")),
        None => nearest(&name, sections).map(header),
    };
    near.map(|near| format!("did you mean {near}?")).or_else(|| {
        let elsewhere: Vec<String> = SECTIONS
            .iter()
            .filter(|(_, keys)| keys.contains(&name.as_str()))
            .map(|&(name, _)| header(name))
            .collect();
        (!elsewhere.is_empty()).then(|| format!("it belongs in {}", elsewhere.join(" or ")))
    })
}

/// The candidate that differs from the text by no more than typing errors.
pub(crate) fn nearest(text: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(text, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= (candidate.len() / 3).max(1))
        .min()
        .map(|(_, candidate)| candidate)
}

/// A key as the schema has it: both spellings, `a-b` and `a_b`, are good.
pub(crate) fn canonical(key: &str) -> String {
    key.to_ascii_lowercase().replace('_', "-")
}
