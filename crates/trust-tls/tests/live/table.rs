//! The table of all shapes in `docs/VERIFICATION.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::oracle::{Answer, Row};
use crate::shape::Shape;

const BEGIN: &str = "<!-- live table: begin (written by the test) -->\n";
const END: &str = "<!-- live table: end -->";

/// Writes the table where `AGENTD_WRITE_DOCS` is 1, and holds it against the document otherwise.
pub(crate) fn check(shapes: &[Shape], rows: &[Row]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/VERIFICATION.md");
    let document = fs::read_to_string(&path).expect("docs/VERIFICATION.md");
    let (before, rest) = document.split_once(BEGIN).expect("the mark where the table begins");
    let (there, after) = rest.split_once(END).expect("the mark where the table ends");
    let table = table(shapes, rows);
    if std::env::var_os("AGENTD_WRITE_DOCS").is_some_and(|value| value == "1") {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).expect("the document can be written");
        return;
    }
    assert!(
        there == table,
        "docs/VERIFICATION.md has another table than this run; AGENTD_WRITE_DOCS=1 writes it"
    );
}

fn table(shapes: &[Shape], rows: &[Row]) -> String {
    let total = shapes.len();
    let as_curl = rows.iter().filter(|row| row.ours == row.curl).count();
    let accepts = |answer: &Answer| matches!(answer, Answer::Anchor(_) | Answer::Accepted);
    let stock = rows.iter().filter(|row| accepts(&row.stock) == accepts(&row.curl)).count();
    let mut text = format!(
        "\nOf {total} shapes, ours has curl's verdict and curl's anchor in {as_curl}; stock rustls has curl's verdict in {stock} (it \
         names no anchor).\n\n| shape | curl, anchor by anchor | stock rustls | ours |\n|---|---|---|---|\n"
    );
    for (shape, row) in shapes.iter().zip(rows) {
        let ours =
            if row.code == "ok" { row.ours.words() } else { format!("{} `{}`", row.ours.words(), row.code) };
        let mark = if shape.differs.is_some() { " (differs)" } else { "" };
        writeln!(text, "| {} | {} | {} | {ours}{mark} |", shape.name, row.curl.words(), row.stock.words())
            .expect("memory");
    }
    text.push_str("\nWhere ours differs from curl, and why:\n\n");
    for shape in shapes {
        if let Some(reason) = shape.differs {
            writeln!(text, "- **{}**: {reason}.", shape.name).expect("memory");
        }
    }
    text.push('\n');
    text
}
