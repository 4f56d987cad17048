//! One table of the file: its values taken out by key, each with its place.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::error::{Error, Placed, Source};
use crate::schema;

/// A table whose keys all exist.
pub(crate) struct Section<'s, 't> {
    source: &'s Source,
    name: &'static str,
    at: Range<usize>,
    table: DeTable<'t>,
}

/// What a value in quotes becomes, or why not.
pub(crate) type Parsed<T> = Result<T, String>;

impl<'s, 't> Section<'s, 't> {
    /// The table of a section, once its keys are known to be good.
    pub(crate) fn new(
        source: &'s Source,
        name: &'static str,
        at: Range<usize>,
        table: DeTable<'t>,
    ) -> Result<Self, Error> {
        let mut unknown: Vec<_> = table
            .keys()
            .filter(|key| !known(name, key.get_ref()))
            .map(|key| (key.span().start, key))
            .collect();
        unknown.sort_by_key(|&(start, _)| start);
        if let Some((_, key)) = unknown.first() {
            let message =
                format!("unknown key \"{}\" in {}", key.get_ref().escape_debug(), schema::header(name));
            return Err(source.error(&key.span(), message).hint(schema::hint(Some(name), key.get_ref())));
        }
        Ok(Self { source, name, at, table })
    }

    /// A key that the section cannot do without.
    pub(crate) fn required<T>(&self, key: &str, value: Option<Placed<T>>) -> Result<Placed<T>, Error> {
        value.ok_or_else(|| {
            let message = format!("{} without \"{key}\"", schema::header(self.name));
            self.source.error(&self.at, message)
        })
    }

    /// A value in quotes that `parse` understands; `what` says what it should be.
    pub(crate) fn text<T>(
        &mut self,
        key: &str,
        what: &str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Result<Option<Placed<T>>, Error> {
        let Some(value) = self.take(key)? else { return Ok(None) };
        self.parsed(key, what, &value, parse).map(Some)
    }

    /// A list of values in quotes.
    pub(crate) fn texts<T>(
        &mut self,
        key: &str,
        what: &str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Result<Option<Vec<T>>, Error> {
        let Some(items) = self.list(key, what)? else { return Ok(None) };
        items
            .iter()
            .map(|item| Ok(self.parsed(key, what, item, &parse)?.value))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(
        &mut self,
        key: &str,
        words: &'static [(&'static str, T)],
    ) -> Result<Option<Placed<T>>, Error> {
        let Some(value) = self.take(key)? else { return Ok(None) };
        let list = words.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(" or ");
        let Some(text) = value.get_ref().as_str() else { return Err(self.wrong_type(key, &list, &value)) };
        match words.iter().find(|(word, _)| *word == text) {
            Some(&(_, meant)) => Ok(Some(Placed { value: meant, at: value.span() })),
            None => {
                let near = schema::nearest(&text.to_ascii_lowercase(), words.iter().map(|&(word, _)| word));
                let hint = near.map(|word| format!("did you mean \"{word}\"?"));
                Err(self.source.error(&value.span(), format!("\"{key}\" must be {list}")).hint(hint))
            }
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self, key: &str) -> Result<Option<Placed<bool>>, Error> {
        let Some(value) = self.take(key)? else { return Ok(None) };
        match value.get_ref().as_bool() {
            Some(flag) => Ok(Some(Placed { value: flag, at: value.span() })),
            None => Err(self.wrong_type(key, "true or false", &value)),
        }
    }

    /// A whole number within a range.
    pub(crate) fn number(
        &mut self,
        key: &str,
        range: &RangeInclusive<u64>,
    ) -> Result<Option<Placed<u64>>, Error> {
        let Some(value) = self.take(key)? else { return Ok(None) };
        Ok(Some(Placed { value: self.ranged(key, &value, range)?, at: value.span() }))
    }

    /// A list of whole numbers within a range.
    pub(crate) fn numbers(
        &mut self,
        key: &str,
        range: &RangeInclusive<u64>,
    ) -> Result<Option<Vec<u64>>, Error> {
        let Some(items) = self.list(key, "a list of whole numbers")? else { return Ok(None) };
        items.iter().map(|item| self.ranged(key, item, range)).collect::<Result<_, _>>().map(Some)
    }

    fn ranged(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        range: &RangeInclusive<u64>,
    ) -> Result<u64, Error> {
        let (low, high) = (range.start(), range.end());
        let what = format!("a whole number from {low} to {high}");
        let Some(integer) = value.get_ref().as_integer() else {
            return Err(self.wrong_type(key, &what, value));
        };
        u64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| self.source.error(&value.span(), format!("\"{key}\" must be {what}")))
    }

    fn list(&mut self, key: &str, what: &str) -> Result<Option<DeArray<'t>>, Error> {
        let Some(value) = self.take(key)? else { return Ok(None) };
        let span = value.span();
        match value.into_inner() {
            DeValue::Array(items) => Ok(Some(items)),
            other => {
                let what = format!("a list in brackets: {what}");
                Err(self.wrong_type(key, &what, &Spanned::new(span, other)))
            }
        }
    }

    fn parsed<T>(
        &self,
        key: &str,
        what: &str,
        value: &Spanned<DeValue<'_>>,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Result<Placed<T>, Error> {
        let Some(text) = value.get_ref().as_str() else { return Err(self.wrong_type(key, what, value)) };
        match parse(text) {
            Ok(meant) => Ok(Placed { value: meant, at: value.span() }),
            Err(why) => Err(self.source.error(&value.span(), format!("\"{key}\": {why}"))),
        }
    }

    /// Takes the value of a key, in either spelling but not in both.
    fn take(&mut self, key: &str) -> Result<Option<Spanned<DeValue<'t>>>, Error> {
        let kebab = self.table.remove_entry(key);
        let snake =
            key.contains('-').then(|| self.table.remove_entry(key.replace('-', "_").as_str())).flatten();
        match (kebab, snake) {
            (Some((first, _)), Some((second, _))) => {
                let message =
                    format!("\"{}\" and \"{}\" are the same key", first.get_ref(), second.get_ref());
                let later = if first.span().start > second.span().start { first } else { second };
                Err(self.source.error(&later.span(), message))
            }
            (kebab, snake) => Ok(kebab.or(snake).map(|(_, value)| value)),
        }
    }

    fn wrong_type(&self, key: &str, what: &str, value: &Spanned<DeValue<'_>>) -> Error {
        let message = format!("\"{key}\" must be {what}, not {}", kind(value.get_ref()));
        self.source.error(&value.span(), message)
    }
}

/// What a value is, in the words of a message.
pub(crate) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text in quotes",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Both spellings of each key, but no mixture and no capitals: what is written can then be searched for.
fn known(section: &str, key: &str) -> bool {
    schema::keys(section)
        .iter()
        .any(|known| *known == key || known.contains('-') && known.replace('-', "_") == key)
}
