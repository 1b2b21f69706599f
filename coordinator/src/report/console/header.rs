//! The first lines: the verdict in the words of its depth, the counts, and what was compared.

use super::page::{GREEN, Page, RED, YELLOW};
use crate::report::facts;
use crate::report::headline::{Headline, Tone, counts};
use crate::report::model::RunReport;
use crate::report::visible::printable;

pub(super) fn header(page: &mut Page, report: &RunReport) {
    verdict(page, report);
    page.line("", &counts(report));
    origin(page, report);
    for (label, text) in facts::scope(report) {
        page.dim("", &format!("{label}: {text}"));
    }
}

fn verdict(page: &mut Page, report: &RunReport) {
    let headline = Headline::of(report);
    let colour = match headline.tone {
        Tone::Equal => GREEN,
        Tone::Different => RED,
        Tone::Incomplete => YELLOW,
    };
    let word = page.paint(headline.word, colour);
    page.line("", &format!("{word}{}{}", headline.words, headline.gaps));
}

fn origin(page: &mut Page, report: &RunReport) {
    let mut line = format!("run {} of {}", report.run_id, report.timestamp);
    if let Some(trace) = &report.trace_id {
        line.push_str(", trace ");
        line.push_str(trace);
    }
    page.dim("", &line);
    if let Some(origin) = facts::origin(report) {
        page.dim("", &printable(&format!("by {origin}")));
    }
    for (side, line) in facts::databases(report) {
        page.dim("", &printable(&format!("{side}: {line}")));
    }
}
