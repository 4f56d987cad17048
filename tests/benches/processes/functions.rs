//! What criterion measured of single functions, which `cargo xtask bench` runs before this.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::table::{goal, head, row, say};

/// Set by `cargo xtask bench`: where criterion left its figures.
const DIRECTORY: &str = "AGENTD_CRITERION_DIR";

const GROUPS: [&str; 5] = ["scan", "core", "engine", "anchor set", "verdict"];

/// A row for each function, a column for each size.
pub(crate) fn run() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else {
        say("\nfunctions: measured by `cargo xtask bench functions`");
        return;
    };
    let mut rows: Vec<(String, Vec<(u64, Duration)>)> = Vec::new();
    for group in entries(&directory).filter(|group| fs::metadata(group).is_ok_and(|found| found.is_dir())) {
        for function in entries(&group) {
            for size in entries(&function) {
                take(&size.join("new"), &mut rows);
            }
        }
    }
    if rows.is_empty() {
        say("\nfunctions: criterion left no figures");
        return;
    }
    let place = |name: &str| GROUPS.iter().position(|group| name.starts_with(group)).unwrap_or(GROUPS.len());
    rows.sort_by_key(|(name, _)| (place(name), name.clone()));
    let mut sizes: Vec<u64> =
        rows.iter().flat_map(|(_, spans)| spans.iter().map(|(size, _)| *size)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let columns: Vec<String> =
        ["".to_owned()].into_iter().chain(sizes.iter().map(|size| format!("{size}, µs"))).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    head("Functions, by the number of certificates (medians)", &columns);
    for (name, spans) in rows {
        let span = |size: &u64| spans.iter().find(|(of, _)| of == size).map(|(_, span)| micros(*span));
        let cells = sizes.iter().map(|size| span(size).unwrap_or_else(|| "–".to_owned()));
        row(&[name].into_iter().chain(cells).collect::<Vec<_>>());
    }
    connections(&directory);
}

/// Connections that were made in turn, a bare handshake of rustls among them.
fn connections(directory: &Path) {
    let read = fs::read(directory.join("in-turn.json")).ok();
    let Some(figures) = read.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) else { return };
    let Some(bare) = figures["bare"].as_f64() else { return };
    let anchors: Vec<(u64, f64)> = figures["anchors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|pair| Some((pair[0].as_u64()?, pair[1].as_f64()?)))
        .collect();
    head(
        "A connection and its verdict, in a process that is ready (in turn, medians)",
        &["anchors, the last one matches", "µs", "of a bare rustls handshake"],
    );
    row(&["a bare rustls handshake, one anchor".to_owned(), format!("{bare:.0}"), "1.00×".to_owned()]);
    for (count, median) in &anchors {
        row(&[count.to_string(), format!("{median:.0}"), format!("{:.2}×", median / bare)]);
    }
    let at = |wanted: u64| anchors.iter().find(|(count, _)| *count == wanted).map(|(_, median)| *median);
    if let Some((one, many)) = at(1).zip(at(10_000)) {
        let worst = anchors.iter().map(|(_, median)| median / bare).fold(0.0, f64::max);
        goal("connection: within 1.15× of a bare rustls handshake", format!("{worst:.2}×"), worst <= 1.15);
        goal(
            "connection: flat from 1 to 10,000 anchors (within a tenth)",
            format!("{:.2}×", many / one),
            many <= one * 1.1,
        );
    }
}

/// One measurement: `benchmark.json` says of what, `estimates.json` how long it took.
fn take(directory: &Path, rows: &mut Vec<(String, Vec<(u64, Duration)>)>) {
    let read =
        |name: &str| -> Option<Value> { serde_json::from_slice(&fs::read(directory.join(name)).ok()?).ok() };
    let Some((id, estimates)) = read("benchmark.json").zip(read("estimates.json")) else { return };
    let text = |field: &str| id[field].as_str().unwrap_or_default().to_owned();
    let Some(nanoseconds) = estimates["median"]["point_estimate"].as_f64() else { return };
    let Ok(size) = text("value_str").parse() else { return };
    let name = format!("{}: {}", text("group_id"), text("function_id"));
    let span = (size, Duration::from_secs_f64(nanoseconds / 1e9));
    match rows.iter_mut().find(|(known, _)| *known == name) {
        Some((_, spans)) => spans.push(span),
        None => rows.push((name, vec![span])),
    }
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn micros(span: Duration) -> String {
    let micros = span.as_secs_f64() * 1e6;
    if micros < 10.0 { format!("{micros:.2}") } else { format!("{micros:.0}") }
}
