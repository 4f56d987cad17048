//! Tables in Markdown on stdout, so that a run can be put beside another.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What was printed since it was last taken.
static PRINTED: Mutex<String> = Mutex::new(String::new());

/// What the figures say of the goals, and whether it is so.
static GOALS: Mutex<Vec<(String, String, bool)>> = Mutex::new(Vec::new());

/// Notes how a goal stands.
pub(crate) fn goal(goal: impl Into<String>, now: String, met: bool) {
    GOALS.lock().unwrap_or_else(PoisonError::into_inner).push((goal.into(), now, met));
}

/// Prints how the goals stand that were noted.
pub(crate) fn goals() {
    let noted = std::mem::take(&mut *GOALS.lock().unwrap_or_else(PoisonError::into_inner));
    if noted.is_empty() {
        return;
    }
    head("Goals", &["goal", "in this run", ""]);
    for (goal, now, met) in noted {
        row(&[goal, now, if met { "met" } else { "**missed**" }.to_owned()]);
    }
}

/// Takes what was printed.
pub(crate) fn printed() -> String {
    std::mem::take(&mut *PRINTED.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Prints one line or more.
pub(crate) fn say(text: &str) {
    let mut printed = PRINTED.lock().unwrap_or_else(PoisonError::into_inner);
    printed.push_str(text);
    printed.push('\n');
    drop(printed);
    let mut out = std::io::stdout();
    // Nobody to tell where stdout is closed; lines are wanted while the bench goes on.
    let _closed = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Prints a line that belongs to the run and not to its figures.
pub(crate) fn remark(text: &str) {
    let mut out = std::io::stdout();
    let _closed = writeln!(out, "\n{text}").and_then(|()| out.flush());
}

/// Prints the head of a table.
pub(crate) fn head(title: &str, columns: &[&str]) {
    say(&format!("\n### {title}\n\n| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len())));
}

/// Prints a row of it.
pub(crate) fn row(cells: &[String]) {
    say(&format!("| {} |", cells.join(" | ")));
}

/// Milliseconds, with as many digits as they deserve.
pub(crate) fn ms(span: Duration) -> String {
    let ms = span.as_secs_f64() * 1e3;
    if ms < 10.0 {
        format!("{ms:.2}")
    } else if ms < 100.0 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.0}")
    }
}

/// How many times `base` a span is.
pub(crate) fn times(span: Duration, base: Duration) -> String {
    let ratio = span.as_secs_f64() / base.as_secs_f64();
    if ratio < 10.0 { format!("{ratio:.2}×") } else { format!("{ratio:.0}×") }
}
