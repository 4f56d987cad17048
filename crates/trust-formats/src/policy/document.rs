//! The walk over the document: every rule that makes a file XML at all is kept here, for every element, so that a
//! damaged file is never half understood.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::errors::{Error as XmlError, IllFormedError, SyntaxError};
use quick_xml::escape::{EscapeError, ParseCharRefError, resolve_xml_entity};
use quick_xml::events::attributes::{AttrError, Attribute as XmlAttribute};
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::error::{Error, Guise};
use super::text::{Lines, is_xml_char};
use super::{Limits, Policy, elements};

/// An element's start tag, judged: unique attributes, every reference resolved.
pub(super) struct Element<'t> {
    /// Name without prefix.
    pub(super) name: &'t str,
    pub(super) line: u32,
    pub(super) attributes: Vec<Attribute<'t>>,
}

/// An attribute with its value normalised as XML 1.0 section 3.3.3 says.
pub(super) struct Attribute<'t> {
    /// Name with its prefix, if it has one.
    pub(super) name: &'t str,
    pub(super) line: u32,
    pub(super) value: Cow<'t, str>,
}

/// Reads the whole document.
pub(super) fn read(text: &str, limits: &Limits) -> Result<Policy, Error> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_comments = true;
    let mut walk = Walk { lines: Lines::of(text), limits, depth: 0, elements: 0, policy: Policy::default() };
    let mut first = true;
    loop {
        let event = match reader.read_event() {
            Ok(Event::Eof) => break,
            Ok(event) => event,
            Err(error) => return Err(walk.refuse(&error, reader.error_position())),
        };
        let blank = matches!(&event, Event::Text(text) if is_blank(text));
        match event {
            Event::Decl(declaration) if !first => {
                return Err(walk.ill_formed(&declaration, "an XML declaration that is not at the beginning"));
            }
            event => walk.event(&event)?,
        }
        first &= blank;
    }
    walk.finish()
}

struct Walk<'t> {
    lines: Lines<'t>,
    limits: &'t Limits,
    depth: usize,
    elements: usize,
    policy: Policy,
}

impl Walk<'_> {
    fn event(&mut self, event: &Event<'_>) -> Result<(), Error> {
        match event {
            Event::Start(tag) => {
                self.element(tag)?;
                self.depth += 1;
                let (line, limit) = (self.lines.of_part(tag), self.limits.depth);
                at_most(self.depth, limit, line, "levels of elements")
            }
            Event::Empty(tag) => self.element(tag),
            // The reader has compared the names and refused an end without a start.
            Event::End(_) => {
                self.depth -= 1;
                Ok(())
            }
            Event::Text(text) if self.depth == 0 && !is_blank(text) => {
                // A page whose head was lost, or prose before the root: the line that matters is the text's own.
                let blank = text.len() - text.trim_start().len();
                Err(self.ill_formed(&text[blank..], TEXT_OUTSIDE))
            }
            Event::CData(text) if self.depth == 0 => Err(self.ill_formed(text, TEXT_OUTSIDE)),
            Event::GeneralRef(reference) if self.depth == 0 => Err(self.ill_formed(reference, TEXT_OUTSIDE)),
            Event::GeneralRef(reference) => self.reference(reference),
            Event::DocType(content) => Err(self.doctype(content)),
            Event::Text(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::PI(_)
            | Event::Decl(_)
            | Event::Eof => Ok(()),
        }
    }

    fn finish(self) -> Result<Policy, Error> {
        let what = match (self.depth, self.elements) {
            (0, 0) => "it has no element",
            (0, _) => return Ok(self.policy),
            _ => "the end tag of an element is missing",
        };
        Err(Error::Truncated { line: self.lines.last(), what })
    }

    fn element(&mut self, tag: &BytesStart<'_>) -> Result<(), Error> {
        let line = self.lines.of_part(tag);
        let name = tag.local_name().into_inner();
        if self.elements == 0 && name.eq_ignore_ascii_case("html") {
            return Err(Error::NotXml { line, guise: Guise::Html });
        }
        if self.depth == 0 && self.elements > 0 {
            return Err(Error::NotWellFormed { line, what: "a second root element" });
        }
        if !is_name(tag.name().as_ref()) {
            return Err(Error::NotWellFormed { line, what: "a start tag without a proper name" });
        }
        let attributes = self.attributes(tag)?;
        self.elements += 1;
        at_most(self.elements, self.limits.elements, line, "elements")?;
        let element = Element { name, line, attributes };
        if self.elements == 1 {
            elements::root(&element, &mut self.policy);
        }
        elements::distrust(&element, &mut self.policy)?;
        elements::curl_ssl(&element, &mut self.policy)?;
        at_most(self.policy.curl_ssl.len(), self.limits.curl_ssl, line, "CurlSSL elements")
    }

    fn attributes<'e>(&self, tag: &'e BytesStart<'_>) -> Result<Vec<Attribute<'e>>, Error> {
        let mut attributes = Vec::new();
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|error| self.refuse_attribute(&error, tag))?;
            let name: &'e str = attribute.key.into_inner();
            let line = self.lines.of_part(name);
            at_most(attributes.len() + 1, self.limits.attributes, line, "attributes on one element")?;
            attributes.push(Attribute { name, line, value: attribute_value(&attribute, line)? });
        }
        Ok(attributes)
    }

    /// A reference in text: its value is not used, but a file with an undefined one is no XML.
    fn reference(&self, reference: &BytesRef<'_>) -> Result<(), Error> {
        let line = self.lines.of_part(reference);
        match reference.resolve_char_ref() {
            Ok(Some(c)) if is_xml_char(c) => Ok(()),
            Ok(Some(_)) => Err(Error::ControlCharacter { line }),
            Ok(None) if resolve_xml_entity(reference).is_some() => Ok(()),
            Ok(None) => Err(Error::UndefinedEntity { line }),
            Err(XmlError::Escape(error)) => Err(refuse_reference(&error, line)),
            Err(_) => Err(Error::NotWellFormed { line, what: BAD_REFERENCE }),
        }
    }

    /// No declaration is read, so that no entity of it can ever be expanded and no other file be asked for.
    fn doctype(&self, content: &str) -> Error {
        let line = self.lines.of_part(content);
        let name = content.split(|c: char| c.is_ascii_whitespace()).next().unwrap_or_default();
        if name.eq_ignore_ascii_case("html") && self.elements == 0 {
            Error::NotXml { line, guise: Guise::Html }
        } else {
            Error::Doctype { line }
        }
    }

    fn ill_formed(&self, part: &str, what: &'static str) -> Error {
        Error::NotWellFormed { line: self.lines.of_part(part), what }
    }

    /// The reader's error without the names that its own words would repeat from the file.
    fn refuse(&self, error: &XmlError, position: u64) -> Error {
        let offset = usize::try_from(position).unwrap_or(usize::MAX);
        let line = self.lines.at(offset);
        let ill_formed = |what| Error::NotWellFormed { line, what };
        match error {
            XmlError::Syntax(SyntaxError::InvalidBangMarkup) => {
                ill_formed("markup that begins with '<!' and is none")
            }
            XmlError::Syntax(SyntaxError::UnclosedDoctype) => Error::Doctype { line },
            XmlError::Syntax(error) => {
                match self.lines.text().get(offset.saturating_add(1)..).and_then(forgotten_quote) {
                    Some(value) => self.ill_formed(value, OPEN_VALUE),
                    None => Error::Truncated { line, what: unclosed(error) },
                }
            }
            XmlError::IllFormed(
                IllFormedError::MismatchedEndTag { .. } | IllFormedError::UnmatchedEndTag(_),
            ) => ill_formed("an end tag that does not match the start tag before it"),
            XmlError::IllFormed(IllFormedError::DoubleHyphenInComment) => ill_formed("'--' inside a comment"),
            XmlError::IllFormed(IllFormedError::UnclosedReference) => ill_formed(BAD_REFERENCE),
            XmlError::IllFormed(IllFormedError::MissingDoctypeName) => Error::Doctype { line },
            _ => ill_formed("the markup cannot be read"),
        }
    }

    fn refuse_attribute(&self, error: &AttrError, tag: &BytesStart<'_>) -> Error {
        let (at, what) = match *error {
            AttrError::ExpectedEq(at) => (at, "an attribute without '='"),
            AttrError::ExpectedValue(at) => (at, "an attribute without a value"),
            AttrError::UnquotedValue(at) => (at, "an attribute value without quotes"),
            AttrError::ExpectedQuote(at, _) => (at, "an attribute value without its closing quote"),
            AttrError::Duplicated(at, _) => {
                return Error::DuplicateAttribute { line: self.lines.of_part(tag.get(at..).unwrap_or(tag)) };
            }
        };
        self.ill_formed(tag.get(at..).unwrap_or(tag), what)
    }
}

fn attribute_value<'e>(attribute: &XmlAttribute<'e>, line: u32) -> Result<Cow<'e, str>, Error> {
    if !is_name(attribute.key.as_ref()) {
        return Err(Error::NotWellFormed { line, what: "an attribute without a proper name" });
    }
    // What a forgotten closing quote looks like: the value runs on into the next tag.
    if attribute.value.contains('<') {
        return Err(Error::NotWellFormed { line, what: OPEN_VALUE });
    }
    let value = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(|error| match error {
        XmlError::Escape(error) => refuse_reference(&error, line),
        _ => Error::NotWellFormed { line, what: BAD_REFERENCE },
    })?;
    if value.chars().all(is_xml_char) { Ok(value) } else { Err(Error::ControlCharacter { line }) }
}

fn refuse_reference(error: &EscapeError, line: u32) -> Error {
    match error {
        EscapeError::UnrecognizedEntity(..) => Error::UndefinedEntity { line },
        EscapeError::InvalidCharRef(ParseCharRefError::IllegalCharacter(_)) => {
            Error::ControlCharacter { line }
        }
        EscapeError::UnterminatedEntity(_)
        | EscapeError::InvalidCharRef(_)
        | EscapeError::TooManyNestedEntities => Error::NotWellFormed { line, what: BAD_REFERENCE },
    }
}

/// The value that swallows the next tag, if the tag that does not end has one: then the file is not cut off, a quote is
/// missing. Comments and the like have no quotes to forget.
fn forgotten_quote(tag: &str) -> Option<&str> {
    let before = &tag[..tag.find('<')?];
    if tag.starts_with(['!', '?']) { None } else { before.rfind(['"', '\'']).map(|at| &tag[at..]) }
}

fn unclosed(error: &SyntaxError) -> &'static str {
    match error {
        SyntaxError::UnclosedPI => "a processing instruction does not end",
        SyntaxError::UnclosedXmlDecl => "the XML declaration does not end",
        SyntaxError::UnclosedComment => "a comment does not end",
        SyntaxError::UnclosedCData => "a CDATA section does not end",
        SyntaxError::UnclosedSingleQuotedAttributeValue | SyntaxError::UnclosedDoubleQuotedAttributeValue => {
            "an attribute value does not end"
        }
        SyntaxError::UnclosedTag | SyntaxError::UnclosedDoctype | SyntaxError::InvalidBangMarkup => {
            "a tag does not end"
        }
    }
}

fn at_most(count: usize, limit: usize, line: u32, what: &'static str) -> Result<(), Error> {
    if count > limit { Err(Error::TooMany { line, what, limit }) } else { Ok(()) }
}

/// Enough of XML's names to catch markup gone wrong: no punctuation of the markup itself, no digit in front.
fn is_name(name: &str) -> bool {
    let mark = |c: char| c.is_ascii_punctuation() && !matches!(c, ':' | '_' | '-' | '.');
    !name.is_empty()
        && !name.contains(mark)
        && !name.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.')
}

/// XML's own white space: a no-break space is text.
fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
}

const OPEN_VALUE: &str = "'<' in an attribute value: a closing quote may be missing";
const TEXT_OUTSIDE: &str = "text outside the root element";
const BAD_REFERENCE: &str = "'&' that begins no proper reference";
