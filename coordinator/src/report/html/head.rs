//! The head of the page, the verdict, and what is said of the run as a whole.

use maud::{Markup, PreEscaped, html};

use super::isolated::isolated;
use crate::report::facts::{self, Fact};
use crate::report::headline::{Headline, Tone, counts};
use crate::report::model::RunReport;
use crate::report::visible::printable;

const STYLE: &str = include_str!("style.css");

/// The page may use its own style and load nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

pub(super) fn head(report: &RunReport) -> Markup {
    let headline = Headline::of(report);
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(POLICY);
            meta name="viewport" content="width=device-width, initial-scale=1";
            title { (headline.word) ": run " (report.run_id) " of " (report.timestamp) }
            style { (PreEscaped(STYLE)) }
        }
    }
}

/// The verdict and the counts.
pub(super) fn header(report: &RunReport) -> Markup {
    let headline = Headline::of(report);
    let tone = match headline.tone {
        Tone::Equal => "equal",
        Tone::Different => "different",
        Tone::Incomplete => "incomplete",
    };
    html! {
        header class=(tone) {
            p.product { "Report of reconcile" }
            h1 { (headline.line()) }
            p { (counts(report)) }
        }
    }
}

pub(super) fn run(report: &RunReport) -> Markup {
    let mut facts: Vec<Fact> = vec![
        ("run", report.run_id.clone()),
        ("started", report.timestamp.clone()),
    ];
    facts.extend(report.trace_id.clone().map(|trace| ("trace", trace)));
    facts.extend(facts::origin(report).map(|origin| ("carried out by", origin)));
    facts.extend(facts::databases(report));
    html! {
        section {
            h2 { "Run" }
            (list(&facts))
        }
    }
}

/// What was compared.
pub(super) fn scope(report: &RunReport) -> Markup {
    let mut facts = facts::scope(report);
    let gap = report.selected_from.as_ref().and_then(|from| from.gap());
    facts.extend(gap.map(|gap| ("not compared", gap)));
    let more = &report.target_only_tables;
    if !more.is_empty() {
        facts.push(("tables only in the target", more.len().to_string()));
    }
    if facts.is_empty() {
        facts.push(("compared", "what was compared is not known".to_owned()));
    }
    html! {
        section {
            h2 { "What was compared" }
            (list(&facts))
        }
    }
}

fn list(facts: &[Fact]) -> Markup {
    html! {
        dl {
            @for (label, text) in facts {
                div { dt { (label) } dd { (isolated(&printable(text))) } }
            }
        }
    }
}
