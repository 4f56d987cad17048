//! The tables of `docs/VERIFICATION.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use trust_tls::Code;

use crate::oracle::{Answer, Row};
use crate::shape::Shape;

/// Holds the table of shapes against this run.
pub(crate) fn check(shapes: &[Shape], rows: &[Row]) {
    hold("live table", &table(shapes, rows));
}

/// Holds the table of codes against the code.
pub(crate) fn check_codes() {
    let mut text = "\n| code | what it says | what to do |\n|---|---|---|\n".to_owned();
    for code in Code::ALL {
        writeln!(text, "| `{}` | {} | {} |", code.code(), code.meaning(), code.remedy()).expect("memory");
    }
    text.push('\n');
    hold("codes", &text);
}

/// Writes what is between two marks where `AGENTD_WRITE_DOCS` is 1, and holds it against the document otherwise.
fn hold(name: &str, text: &str) {
    // Two tests write to one file.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().expect("nobody failed between");
    let (begin, end) =
        (format!("<!-- {name}: begin (written by a test) -->\n"), format!("<!-- {name}: end -->"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/VERIFICATION.md");
    let document = fs::read_to_string(&path).expect("docs/VERIFICATION.md");
    let (before, rest) = document.split_once(&begin).expect("the mark where the table begins");
    let (there, after) = rest.split_once(&end).expect("the mark where the table ends");
    if std::env::var_os("AGENTD_WRITE_DOCS").is_some_and(|value| value == "1") {
        fs::write(&path, format!("{before}{begin}{text}{end}{after}")).expect("the document can be written");
        return;
    }
    assert!(
        there == text,
        "docs/VERIFICATION.md: {name}: not what this run shows; AGENTD_WRITE_DOCS=1 writes it"
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
