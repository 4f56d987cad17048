//! What `enroll` did, step by step.

use std::io::{self, Write};

use serde::Serialize;

use super::Done;
use crate::error::Error;
use crate::exit::Exit;
use crate::out::{BAD, BOLD, DIM, GOOD, HANG, Page, WARN, styled};

/// The report.
#[derive(Debug, Serialize)]
pub(super) struct EnrollReport {
    /// Version of this document: 1.
    v: u32,
    url: String,
    /// Every step is done.
    complete: bool,
    steps: Vec<Step>,
    /// The document of `fetch`; null where that failed.
    #[serde(rename = "fetch")]
    pub(super) fetched: Option<serde_json::Value>,
    #[serde(skip)]
    failure: Option<Error>,
}

#[derive(Debug, Serialize)]
struct Step {
    /// `fetch`, `configuration`, `connection`, `policy` or `inventory`.
    step: &'static str,
    /// `done`, `already`, `skipped` or `failed`.
    result: &'static str,
    detail: String,
    /// What to do about it.
    fix: Vec<String>,
}

impl EnrollReport {
    pub(super) fn new(url: &str) -> Self {
        Self { v: 1, url: url.to_owned(), complete: true, steps: Vec::new(), fetched: None, failure: None }
    }

    /// Takes a step in; true where it is done.
    pub(super) fn step(&mut self, step: &'static str, done: Result<Done, Error>) -> bool {
        let (result, detail, fix, failure) = match done {
            Ok(Done { result, detail, fix }) => (result.word(), detail, fix, None),
            Err(error) => ("failed", error.what.clone(), error.hints.clone(), Some(error)),
        };
        self.steps.push(Step { step, result, detail, fix });
        self.complete &= failure.is_none();
        let went_well = failure.is_none();
        // The first failure decides how the command ends.
        if self.failure.is_none() {
            self.failure = failure;
        }
        went_well
    }

    /// The error of a command line that cannot be carried out at all.
    pub(super) fn take_usage_error(&mut self) -> Option<Error> {
        let begun = self.steps.iter().any(|step| step.result != "failed");
        if begun { None } else { self.failure.take_if(|error| error.exit == Exit::Usage) }
    }

    pub(super) fn exit(&self) -> Exit {
        self.failure.as_ref().map_or(Exit::Done, |error| error.exit)
    }
}

/// A line for each step.
pub(super) fn render(report: &EnrollReport, out: &mut Page) -> io::Result<()> {
    for step in &report.steps {
        let mark = match step.result {
            "done" => styled(GOOD, "✓"),
            "already" => styled(GOOD, "="),
            "skipped" => styled(DIM, "-"),
            _ => styled(BAD, "✗"),
        };
        writeln!(out, "{mark} {:<13} {HANG}{}", step.step, step.detail)?;
        for fix in &step.fix {
            writeln!(out, "    fix  {HANG}{fix}")?;
        }
    }
    if report.complete {
        writeln!(out, "{} is enrolled", styled(BOLD, &report.url))
    } else {
        writeln!(
            out,
            "{} {HANG}{} is not enrolled yet: what is done stays; mend what failed and run the same command again",
            styled(WARN, "!"),
            report.url
        )
    }
}
