//! `agentd.toml(5)`, drawn from the commented configuration file, which a test of its own holds against the code.

use std::fmt::Write as _;

/// The page for a commented configuration.
///
/// A section is its `[name]` line under its comment; a key is a `#name = value` line under its comment; a comment that
/// stands alone is a paragraph.
pub(super) fn configuration(toml: &str) -> String {
    let mut page = String::from(HEAD);
    for block in toml.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
        let (words, settings): (Vec<&str>, Vec<&str>) =
            block.lines().partition(|line| line.starts_with("# ") || *line == "#");
        let text = paragraph(&words);
        match settings.first() {
            Some(section) if section.starts_with('[') => {
                let _written = write!(page, ".SH {}\n{text}", escape(section));
            }
            Some(_) => {
                // `[log]` is followed by its first key without an empty line between.
                for setting in &settings {
                    let _written = write!(page, ".TP\n.B {}\n", escape(setting.trim_start_matches('#')));
                }
                page.push_str(&text);
            }
            None if text.is_empty() => {}
            None => {
                let _written = write!(page, ".PP\n{text}");
            }
        }
    }
    page.push_str(TAIL);
    page
}

/// Prose flows; an example, which looks like a setting, keeps its lines.
fn paragraph(words: &[&str]) -> String {
    let mut text = String::new();
    for line in words.iter().map(|line| line.trim_start_matches('#').trim()) {
        let is_setting = line.split_once(" = ").is_some_and(|(key, _)| is_key(key)) || line.starts_with("[[");
        match line {
            "" => text.push_str(".PP\n"),
            _ if is_setting => {
                let _written = write!(text, ".PP\n.B {}\n.PP\n", escape(line));
            }
            _ => {
                let _written = writeln!(text, "{}", escape(line));
            }
        }
    }
    text
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '-' || c == '_')
}

/// Text as roff takes it: no escapes, no requests, hyphens that can be copied.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

const HEAD: &str = r#".TH AGENTD.TOML 5 "" "agentd" "File Formats"
.SH NAME
agentd.toml \- configuration of agentd and agentctl
.SH SYNOPSIS
.I /etc/agentd/agentd.toml
.SH DESCRIPTION
"#;

const TAIL: &str = ".SH SEE ALSO\n.BR agentd (8),\n.BR agentctl (1),\n.BR agentd\\-policy (5)\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_keys_and_examples() {
        let page = configuration(
            "# About.\n# More.\n\n\n# The store.\n[store]\n\n# A path\n# of .it.\n#state = \"/x-y\"\n\n# [[server]]\n#\n# Where.\n# url = \"u\"\n",
        );
        for expected in [
            ".SH DESCRIPTION\n.PP\nAbout.\nMore.\n",
            ".SH [store]\nThe store.\n",
            ".TP\n.B state = \"/x\\-y\"\nA path\nof .it.\n",
            ".PP\n.B [[server]]\n",
            ".PP\n.B url = \"u\"\n",
        ] {
            assert!(page.contains(expected), "{page}\n---\n{expected}");
        }
        assert!(configuration(".TH evil\n\\fBx").lines().all(|line| !line.starts_with(".TH evil")));
    }

    #[test]
    fn every_key_of_the_shipped_file_is_in_the_page() {
        let toml = include_str!("../../../packaging/agentd.toml");
        let page = configuration(toml);
        let mut keys = 0;
        for line in
            toml.lines().filter(|line| line.starts_with('#') && !line.starts_with("# ") && line.len() > 1)
        {
            let setting = format!(".B {}\n", escape(line.trim_start_matches('#')));
            assert!(page.contains(&setting), "{setting}");
            keys += 1;
        }
        assert!(keys > 10, "{keys} keys only");
    }
}
