//! Licence expressions (SPDX 2.3 annex D), as far as packages use them.

use std::collections::BTreeSet;

/// Whether a package with this expression may be used where these licences are allowed.
///
/// The old form `MIT/Apache-2.0` means OR. A licence with an exception counts as its own: `A WITH B` is allowed where
/// that whole text is.
pub(crate) fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, allowed };
    let verdict = parser.any_of();
    match (verdict, parser.words) {
        (Some(verdict), []) => Ok(verdict),
        _ => Err(format!("not a licence expression: {expression}")),
    }
}

struct Parser<'a> {
    words: &'a [&'a str],
    allowed: &'a BTreeSet<String>,
}

impl Parser<'_> {
    fn any_of(&mut self) -> Option<bool> {
        let mut verdict = self.all_of()?;
        while self.take("OR") {
            verdict |= self.all_of()?;
        }
        Some(verdict)
    }

    fn all_of(&mut self) -> Option<bool> {
        let mut verdict = self.one()?;
        while self.take("AND") {
            verdict &= self.one()?;
        }
        Some(verdict)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let verdict = self.any_of()?;
            return self.take(")").then_some(verdict);
        }
        let name = self.word()?;
        let name = if self.take("WITH") { format!("{name} WITH {}", self.word()?) } else { name };
        Some(self.allowed.contains(&name))
    }

    fn take(&mut self, word: &str) -> bool {
        match self.words.split_first() {
            Some((first, rest)) if *first == word => {
                self.words = rest;
                true
            }
            _ => false,
        }
    }

    fn word(&mut self) -> Option<String> {
        let (first, rest) = self.words.split_first()?;
        if matches!(*first, "(" | ")" | "AND" | "OR" | "WITH") {
            return None;
        }
        self.words = rest;
        Some((*first).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judges_expressions() {
        let allowed: BTreeSet<String> =
            ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
        for (expression, expected) in [
            ("MIT", Some(true)),
            ("GPL-3.0", Some(false)),
            ("GPL-3.0 OR MIT", Some(true)),
            ("GPL-3.0/MIT", Some(true)),
            ("MIT AND GPL-3.0", Some(false)),
            ("MIT AND ISC", Some(true)),
            ("ISC AND (GPL-3.0 OR MIT)", Some(true)),
            // AND binds more tightly.
            ("MIT OR ISC AND GPL-3.0", Some(true)),
            ("(MIT OR ISC) AND GPL-3.0", Some(false)),
            ("Apache-2.0 WITH LLVM-exception", Some(true)),
            ("Apache-2.0", Some(false)),
            ("", None),
            ("MIT OR", None),
            ("(MIT", None),
            ("MIT MIT", None),
        ] {
            assert_eq!(is_allowed(expression, &allowed).ok(), expected, "{expression}");
        }
    }
}
