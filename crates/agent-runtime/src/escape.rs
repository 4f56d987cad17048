//! Paths in messages.

use std::path::Path;

/// A path as it may stand in a message: a name may hold line breaks, the commands of a terminal, and characters that
/// reverse what follows them.
#[must_use]
pub fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for character in path.to_string_lossy().chars() {
        if character.is_control() || is_invisible(character) {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

/// A path for a shell: in quotes where it has to be.
#[must_use]
pub fn quoted(path: &Path) -> String {
    let text = escaped(path);
    let plain = |character: char| character.is_alphanumeric() || "/._-+,:@%".contains(character);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Line and paragraph separators, joiners and marks of direction.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_act_on_a_terminal_is_spelt_out() {
        assert_eq!(escaped(Path::new("/a b/ä\u{1b}[2J\n\u{202e}x")), "/a b/ä\\u{1b}[2J\\n\\u{202e}x");
    }
}
