//! BEGIN and END markers (RFC 7468 §2), wherever in a line they stand.

use memchr::memmem;

/// What opens and closes a marker.
const DASHES: usize = 5;
const BEGIN: &[u8] = b"BEGIN ";
const END: &[u8] = b"END ";
/// The whole opening of a block.
const OPENING: &[u8] = b"-----BEGIN ";
/// Longer than any label that is in use; what is longer is prose with dashes.
const MAX_LABEL: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Begin,
    End,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Marker<'a> {
    pub(super) kind: Kind,
    pub(super) start: usize,
    /// Behind the closing dashes, or behind the opening where those are missing.
    pub(super) end: usize,
    /// `None` where the closing dashes are missing.
    pub(super) label: Option<&'a [u8]>,
    /// The text ends before the marker does.
    pub(super) cut: bool,
}

/// The first marker that starts at `from` or later.
pub(super) fn next(text: &[u8], from: usize) -> Option<Marker<'_>> {
    let mut from = from;
    loop {
        let row = from + memchr::memchr(b'-', &text[from..])?;
        let word = row + dashes(&text[row..]);
        // Of a longer row, the last dashes open: a row is stepped over whole, so that megabytes of them cost one look.
        if word - row >= DASHES
            && let Some(kind) = kind_of(&text[word..])
        {
            return Some(marker(text, kind, word));
        }
        from = word;
    }
}

/// True if a block is opened in these bytes.
pub(super) fn has_begin(bytes: &[u8]) -> bool {
    memmem::find(bytes, OPENING).is_some()
}

/// True if the text ends within the opening of a marker that stands at the start of a line.
pub(super) fn is_cut_in_opening(text: &[u8]) -> bool {
    let tail = &text[text.len().saturating_sub(OPENING.len())..];
    let line = memchr::memrchr2(b'\n', b'\r', tail).map(|end| &tail[end + 1..]);
    let line = line.or((tail.len() == text.len()).then_some(tail));
    line.is_some_and(|line| !line.is_empty() && OPENING.starts_with(line))
}

fn kind_of(text: &[u8]) -> Option<Kind> {
    if text.starts_with(BEGIN) {
        Some(Kind::Begin)
    } else if text.starts_with(END) {
        Some(Kind::End)
    } else {
        None
    }
}

/// The marker whose word, BEGIN or END, is at `word`.
fn marker(text: &[u8], kind: Kind, word: usize) -> Marker<'_> {
    let start = word - DASHES;
    let opening = match kind {
        Kind::Begin => word + BEGIN.len(),
        Kind::End => word + END.len(),
    };
    let window = &text[opening..text.len().min(opening + MAX_LABEL + DASHES)];
    let line = memchr::memchr2(b'\n', b'\r', window).map_or(window, |end| &window[..end]);
    let length = line.windows(DASHES).position(|five| five == &OPENING[..DASHES]);
    let Some(length) = length.filter(|length| *length > 0) else {
        let cut = opening + line.len() == text.len();
        return Marker { kind, start, end: opening, label: None, cut };
    };
    let closing = opening + length;
    let row_end = closing + dashes(&text[closing..]);
    // Where the row opens the next marker too, the last five dashes are that one's; files that were glued by hand have
    // less than ten between their blocks.
    let end = if kind_of(&text[row_end..]).is_some() { row_end - DASHES } else { row_end };
    Marker { kind, start, end, label: Some(text[opening..closing].trim_ascii()), cut: false }
}

fn dashes(text: &[u8]) -> usize {
    text.iter().position(|byte| *byte != b'-').unwrap_or(text.len())
}
