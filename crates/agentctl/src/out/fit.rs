//! Text made to fit a terminal: long lines are broken between words and go on under where they began, and what has one
//! line only is shortened so that what identifies it stays.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Stands in a line where the further lines begin if it is too long; nobody ever sees it.
pub(crate) const HANG: char = '\u{1}';

/// Every line of `text` in at most `width` columns, or as it is where there is no terminal.
pub(super) fn fit(text: &str, width: Option<usize>) -> String {
    let Some(width) = width.map(|width| width.max(NARROWEST)) else { return text.replace(HANG, "") };
    let mut fitted = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        if columns(line) > width {
            Breaker::new(line, width).run(line, &mut fitted);
        } else {
            fitted.extend(line.chars().filter(|c| *c != HANG));
        }
        fitted.push_str(end);
    }
    fitted
}

/// The columns that a text takes; escape sequences take none.
pub(crate) fn columns(text: &str) -> usize {
    pieces(text).map(|piece| if piece.is_seen() { piece.text.width() } else { 0 }).sum()
}

/// `CN=Some Long…`: a name's beginning says most.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    if fits(text, most) {
        return text.to_owned();
    }
    let mut short = beginning(text, most.saturating_sub(1)).to_owned();
    short.push('…');
    short
}

/// `CN=Corp Root, O=…`, and `…, CN=Corp Root`: of a subject the common name says most, wherever it stands.
pub(crate) fn shorten_subject(subject: &str, most: usize) -> Cow<'_, str> {
    if fits(subject, most) {
        return Cow::Borrowed(subject);
    }
    Cow::Owned(match subject.rfind("CN=").filter(|at| *at > 0) {
        Some(at) if most > 6 => shorten(&format!("…, {}", &subject[at..]), most),
        _ => shorten(subject, most),
    })
}

/// `…/company/ca.pem`: of a path the end says most.
pub(crate) fn shorten_path(path: &str, most: usize) -> String {
    if fits(path, most) {
        return path.to_owned();
    }
    let tails = path.match_indices('/').map(|(at, _)| &path[at..]);
    match tails.skip(1).find(|tail| tail.width() < most) {
        Some(tail) => format!("…{tail}"),
        None => shorten(path.rsplit('/').next().unwrap_or(path), most),
    }
}

/// No character is wider than its octets are many, so most texts need not be measured.
fn fits(text: &str, most: usize) -> bool {
    text.len() <= most || text.width() <= most
}

/// The longest beginning in so many columns.
fn beginning(text: &str, most: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or_default();
        if used > most {
            return &text[..at];
        }
    }
    text
}

/// A part of a line that stays together.
#[derive(Debug, Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    kind: PieceKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PieceKind {
    /// A colour, which takes no place.
    Style,
    /// [`HANG`].
    Hang,
    Blanks,
    Word,
}

impl Piece<'_> {
    fn is_seen(self) -> bool {
        matches!(self.kind, PieceKind::Blanks | PieceKind::Word)
    }
}

/// Cuts a line into words, the blanks between them, and what is not seen.
fn pieces(line: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let (kind, length) = match first {
            ESCAPE => (PieceKind::Style, rest.find('m').map_or(rest.len(), |at| at + 1)),
            HANG => (PieceKind::Hang, HANG.len_utf8()),
            ' ' => (PieceKind::Blanks, rest.find(|c| c != ' ').unwrap_or(rest.len())),
            _ => (PieceKind::Word, rest.find([' ', ESCAPE, HANG]).unwrap_or(rest.len())),
        };
        let (text, others) = rest.split_at(length);
        rest = others;
        Some(Piece { text, kind })
    })
}

/// Breaks one line.
struct Breaker<'a> {
    width: usize,
    /// Where further lines begin.
    hang: usize,
    /// Columns of the present line that are taken.
    used: usize,
    /// Nothing but the indentation is on it.
    empty: bool,
    /// Blanks that come only if a word follows on the same line.
    blanks: &'a str,
    /// The styles that are in force.
    styles: Vec<&'a str>,
    /// So many of them have been written; the others are when a word comes.
    begun: usize,
}

impl<'a> Breaker<'a> {
    fn new(line: &str, width: usize) -> Self {
        let indent = line.len() - line.trim_start_matches(' ').len();
        let marked = line.find(HANG).map(|at| columns(&line[..at]));
        // A narrow terminal has no room for much of an indentation.
        let hang = marked.filter(|hang| *hang <= width / 2).unwrap_or((indent + 2).min(width / 2));
        Self { width, hang, used: 0, empty: true, blanks: "", styles: Vec::new(), begun: 0 }
    }

    fn run(mut self, line: &'a str, out: &mut String) {
        for piece in pieces(line) {
            match piece.kind {
                PieceKind::Hang => {}
                PieceKind::Style => {
                    if piece.text != RESET {
                        self.styles.push(piece.text);
                    } else if self.begun > 0 {
                        out.push_str(RESET);
                        self.forget_styles();
                    } else {
                        // Nothing was written in it.
                        self.forget_styles();
                    }
                }
                PieceKind::Blanks => self.blanks = piece.text,
                PieceKind::Word => self.word(piece.text, out),
            }
        }
        // A question ends with one.
        if self.used + self.blanks.len() <= self.width {
            out.push_str(self.blanks);
        }
    }

    fn word(&mut self, word: &str, out: &mut String) {
        let length = word.width();
        let at = self.used + self.blanks.len();
        // What begins where a further line would begin gains nothing by beginning there.
        if at + length > self.width && !self.empty && at > self.hang {
            self.break_line(out);
        }
        out.push_str(self.blanks);
        self.used += self.blanks.len();
        self.blanks = "";
        self.begin_styles(out);
        let mut rest = word;
        while self.used + rest.width() > self.width {
            let fits = beginning(rest, self.width.saturating_sub(self.used));
            let (now, later) = rest.split_at(good_cut(fits).max(first_length(rest)));
            out.push_str(now);
            self.break_line(out);
            self.begin_styles(out);
            rest = later;
        }
        out.push_str(rest);
        self.used += rest.width();
        self.empty = false;
    }

    fn break_line(&mut self, out: &mut String) {
        if self.begun > 0 {
            out.push_str(RESET);
            self.begun = 0;
        }
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', self.hang));
        self.used = self.hang;
        self.blanks = "";
        self.empty = true;
    }
}

impl Breaker<'_> {
    fn begin_styles(&mut self, out: &mut String) {
        out.extend(self.styles.iter().skip(self.begun).copied());
        self.begun = self.styles.len();
    }

    fn forget_styles(&mut self) {
        self.styles.clear();
        self.begun = 0;
    }
}

/// Where a word that is too long is cut: behind a sign that parts it anyway, if that is not too far back.
fn good_cut(fits: &str) -> usize {
    let behind = fits.rfind(['/', ',', ':', '=', '-', '.']).map_or(0, |at| at + 1);
    if behind * 2 > fits.len() { behind } else { fits.len() }
}

/// At least one character goes on each line.
fn first_length(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

const ESCAPE: char = '\u{1b}';
/// As `anstyle` ends a style.
const RESET: &str = "\u{1b}[0m";
/// Nobody reads anything in less.
const NARROWEST: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_on_where_they_should() {
        for (line, width, expected) in [
            ("short", 20, "short"),
            ("one two three four five six", 20, "one two three four\n  five six"),
            ("why  \u{1}one two three four five", 20, "why  one two three\n     four five"),
            ("    four in, and more words", 20, "    four in, and\n      more words"),
            ("label                        \u{1}far", 20, "label\n  far"),
            ("a /var/lib/agentd/cainfo-merged.pem", 20, "a /var/lib/agentd/\n  cainfo-merged.pem"),
            (
                "0123456789012345678901234567890123456789",
                20,
                "01234567890123456789\n  012345678901234567\n  89",
            ),
            ("a question that is long: ", 20, "a question that is\n  long: "),
            ("in two\nlines of which one is long", 20, "in two\nlines of which one\n  is long"),
        ] {
            assert_eq!(fit(line, Some(width)), expected, "{line:?}");
        }
        assert_eq!(fit("why  \u{1}as it is, however long it is", None), "why  as it is, however long it is");
    }

    #[test]
    fn no_line_is_too_wide_and_no_character_is_lost() {
        let text = "  \u{1}名前の長い証明書 CN=e\u{301}te\u{301}, \u{1b}[1mbold and\u{1b}[0m https://host.example:4726/a/b/c \
                    0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let plain = |text: &str| -> String {
            pieces(text)
                .filter(|piece| piece.kind == PieceKind::Word)
                .flat_map(|piece| piece.text.chars())
                .filter(|c| *c != '\n')
                .collect()
        };
        for width in 20..120 {
            let fitted = fit(text, Some(width));
            for line in fitted.lines() {
                assert!(columns(line) <= width, "{width}: {line:?}");
                // Each line ends the styles that it has.
                assert_eq!(line.contains("\u{1b}[1m"), line.contains(RESET), "{line:?}");
            }
            assert_eq!(plain(&fitted), plain(text), "{width}");
        }
    }

    #[test]
    fn what_identifies_stays() {
        for (text, most, expected) in [
            ("CN=Corp Root, O=Corp", 20, "CN=Corp Root, O=Corp"),
            ("CN=Corp Root, O=Corp", 10, "CN=Corp R…"),
            ("CN=証明書", 7, "CN=証…"),
        ] {
            assert_eq!(shorten(text, most), expected);
        }
        for (subject, expected) in [
            ("CN=Corp Root, O=A Company with a Name", "CN=Corp Root, O=A C…"),
            ("C=DE, O=A Company with a Name, CN=Root", "…, CN=Root"),
            ("C=DE, O=A Company, CN=Root of all of it", "…, CN=Root of all o…"),
            ("O=A Company that has no name in it", "O=A Company that ha…"),
        ] {
            assert_eq!(shorten_subject(subject, 20), expected);
        }
        for (path, most, expected) in [
            ("/etc/a.pem", 20, "/etc/a.pem"),
            ("/opt/company/trust/ca.pem", 20, "…/trust/ca.pem"),
            ("/opt/company/trust/a-very-long-name-of-a-file.pem", 12, "a-very-long…"),
            ("no-slash-in-this", 8, "no-slas…"),
        ] {
            assert_eq!(shorten_path(path, most), expected);
        }
    }

    #[test]
    fn wide_and_combining_characters_are_counted_as_they_are_shown() {
        for (text, expected) in [
            ("abc", 3),
            ("証明", 4),
            ("e\u{301}", 1),
            ("\u{1b}[31mred\u{1b}[0m", 3),
            ("a\u{1}b", 2),
            ("●✓✗▲…", 5),
        ] {
            assert_eq!(columns(text), expected, "{text:?}");
        }
    }
}
