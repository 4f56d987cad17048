//! `cargo xtask tidy`: what neither the compiler nor clippy checks.

mod direction;
mod documents;
mod files;
mod unused;

use crate::run::say;
use crate::workspace;

/// Judges the workspace and names everything that is not tidy.
pub(crate) fn run() -> Result<(), String> {
    let files = workspace::files()?;
    let graph = workspace::graph()?;
    let mut complaints = direction::check(&graph);
    complaints.extend(unused::check(&graph, &files));
    complaints.extend(files::check(&files));
    complaints.extend(documents::check(&files));
    if !complaints.is_empty() {
        return Err(format!("not tidy:\n  {}", complaints.join("\n  ")));
    }
    say(&format!("tidy: {} files", files.len()));
    Ok(())
}
