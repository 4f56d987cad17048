//! A line as bash has it, cut into words: bash itself cuts it at `=` and `:` too, and keeps the quotes.

/// The words before the cursor.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// The whole ones, the command first.
    pub(super) words: Vec<String>,
    /// The one that the cursor stands at the end of.
    pub(super) current: String,
}

/// Cuts at blanks outside quotes, takes the quotes away, and leaves out what is assigned before the command.
pub(super) fn split(text: &str) -> Line {
    let mut line = Line::default();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(rest.next()),
            (None, _) if c.is_whitespace() => line.words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    line.current = word.unwrap_or_default();
    let assigned = line.words.iter().take_while(|word| is_assignment(word)).count();
    line.words.drain(..assigned);
    line
}

/// The part of a word that bash leaves as it is: up to its last break.
pub(super) fn before_last_break<'a>(word: &'a str, breaks: &str) -> &'a str {
    let is_break = |c: char| !c.is_whitespace() && !matches!(c, '\'' | '"') && breaks.contains(c);
    word.rfind(is_break).map_or("", |at| &word[..=at])
}

fn is_assignment(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_as_bash_would_pass_them() {
        for (text, words, current) in [
            ("agentctl ", &["agentctl"][..], ""),
            ("agentctl st", &["agentctl"], "st"),
            ("  agentctl  --root=/x  dif", &["agentctl", "--root=/x"], "dif"),
            ("A=1 B=2 agentctl x", &["agentctl"], "x"),
            (r#"agentctl --root "/a b" 'c d'e\ f"#, &["agentctl", "--root", "/a b"], "c de f"),
            ("agentctl '' \"", &["agentctl", ""], ""),
            (r#"agentctl "a\"b" '\'"#, &["agentctl", "a\"b"], "\\"),
            ("agentctl \\", &["agentctl"], ""),
            ("", &[], ""),
        ] {
            let line = split(text);
            assert_eq!(
                (line.words.as_slice(), line.current.as_str()),
                (words.map_owned().as_slice(), current),
                "{text}"
            );
        }
    }

    #[test]
    fn what_bash_leaves_as_it_is() {
        for (word, breaks, kept) in [
            ("gen:4", "=:", "gen:"),
            ("--to=boot", "=:", "--to="),
            ("--to=boot", " ", ""),
            ("https://mgmt.example:44", "=:", "https://mgmt.example:"),
            ("plain", " \t=:", ""),
        ] {
            assert_eq!(before_last_break(word, breaks), kept, "{word}");
        }
    }

    trait Owned {
        fn map_owned(&self) -> Vec<String>;
    }
    impl Owned for &[&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(|word| (*word).to_owned()).collect()
        }
    }
}
