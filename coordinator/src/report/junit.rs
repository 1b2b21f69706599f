//! The report as JUnit XML, for CI systems: a test case for each table. A table that differs is a
//! failure, one that was not verified is an error. The name of the class has the depth, so that a
//! passed test does not say more than was compared.
//!
//! The elements, their order and their attributes are those that the schemas of Ant's JUnit task
//! and of Jenkins have in common. Neither allows an output of a single test case in the same
//! place, so a failure's own text has the details of its table.

use maud::{Markup, PreEscaped, html};
use shared::outcome::Depth;

use super::examples::{Examples, Limits};
use super::facts::{self, Fact};
use super::headline::{Headline, counts};
use super::model::{RunReport, TableError, TableResult, cause_line, rule_line};
use super::visible::printable;
use super::wording::{
    error_line, notes, read_times, structure, summary, table_notes, title, with_errors,
};
use crate::run_state::TableStatus;

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// The host of a run whose host is not known, as the schema of Ant wants it.
const UNKNOWN_HOST: &str = "localhost";

const EXAMPLES: Limits = Limits {
    rows: 20,
    columns: 10,
};

/// Notes in the output of the suite; more of them are counted.
const MOST_NOTES: usize = 1_000;

pub(super) fn render(report: &RunReport) -> String {
    let host = report.origin.as_ref().map(|origin| printable(&origin.host));
    let host = host.filter(|host| !host.trim().is_empty());
    let host = host.unwrap_or_else(|| UNKNOWN_HOST.to_owned());
    let more = more_tables(report);
    let unverified = report.total_tables - report.successful;
    let document = html! {
        (PreEscaped(DECLARATION))
        testsuites {
            testsuite
                name="reconcile"
                package="reconcile"
                id="0"
                hostname=(host)
                timestamp=(seconds_of(&report.timestamp))
                time=(time(Some(report.duration_seconds)))
                tests=(report.total_tables + more.len())
                failures=(report.mismatched + more.len())
                errors=(unverified)
            {
                (properties(report))
                @for (result, error) in with_errors(report) { "\n" (case(report, result, error)) }
                @for table in more { "\n" (more_case(report, table)) }
                "\n" system-out { (output(report)) }
                system-err {}
            }
        }
        "\n"
    };
    xml_text(document.into_string())
}

/// A text in which the only characters that XML forbids and that are printable otherwise are
/// shown by their codes.
fn xml_text(text: String) -> String {
    if !text.contains(['\u{fffe}', '\u{ffff}']) {
        return text;
    }
    text.replace('\u{fffe}', "\\u{fffe}")
        .replace('\u{ffff}', "\\u{ffff}")
}

/// `2026-01-31T12:00:00`: the schemas want UTC without a zone, in whole seconds.
fn seconds_of(timestamp: &str) -> &str {
    timestamp.get(..19).unwrap_or(timestamp)
}

fn time(seconds: Option<f64>) -> String {
    format!("{:.3}", seconds.unwrap_or_default())
}

fn properties(report: &RunReport) -> Markup {
    let mut facts: Vec<Fact> = vec![
        ("run", report.run_id.clone()),
        ("verdict", report.verdict.as_str().to_owned()),
        ("depth", report.depth.as_str().to_owned()),
    ];
    facts.extend(facts::databases(report));
    facts.extend(facts::origin(report).map(|origin| ("carried out by", origin)));
    html! {
        properties {
            @for (name, value) in &facts { property name=(name) value=(printable(value)) {} }
        }
    }
}

fn class(depth: Depth) -> String {
    format!("reconcile.{}", depth.as_str())
}

fn case(report: &RunReport, result: &TableResult, error: Option<&TableError>) -> Markup {
    let class = class(result.depth.unwrap_or(report.depth));
    html! {
        testcase name=(title(result)) classname=(class) time=(time(result.duration_seconds)) {
            @if let Some(error) = error {
                error message=(error_line(error)) type=(printable(error.kind.as_str())) {
                    (error_body(error))
                }
            } @else if result.status == TableStatus::Mismatched {
                failure message=(summary(result)) type="Different" { (failure_body(result)) }
            }
        }
    }
}

/// The tables that only the target has, if they are a difference.
fn more_tables(report: &RunReport) -> &[String] {
    if report.strict_tables {
        &report.target_only_tables
    } else {
        &[]
    }
}

fn more_case(report: &RunReport, table: &str) -> Markup {
    html! {
        testcase name=(printable(table)) classname=(class(report.depth)) time=(time(None)) {
            failure message="only the target has this table" type="TargetOnly" {}
        }
    }
}

fn error_body(error: &TableError) -> String {
    let mut lines = vec![error_line(error)];
    for earlier in &error.history {
        let line = format!(
            "attempt {}: {}: {}",
            earlier.attempt, earlier.kind, earlier.error
        );
        lines.push(printable(&line));
    }
    lines.join("\n")
}

fn failure_body(result: &TableResult) -> String {
    let mut lines = vec![summary(result)];
    let structure = structure(result, usize::MAX).into_iter();
    lines.extend(structure.map(|line| format!("structure: {line}")));
    let examples = Examples::of(result, EXAMPLES);
    lines.extend(examples.rows.iter().map(|row| row.line()));
    if !examples.rows.is_empty() && examples.hidden > 0 {
        lines.push(format!("… and {} more", examples.hidden));
    }
    for cause in &result.causes {
        lines.push(printable(&format!("cause: {}", cause_line(cause))));
        lines.extend(rule_line(cause).map(|rule| printable(&rule)));
    }
    lines.extend(table_notes(result));
    lines.extend(read_times(result).map(|times| format!("read: {times}")));
    lines.join("\n")
}

/// What is said of the run as a whole.
fn output(report: &RunReport) -> String {
    let mut lines = vec![Headline::of(report).line(), counts(report)];
    let facts = facts::scope(report).into_iter();
    lines.extend(facts.map(|(label, text)| printable(&format!("{label}: {text}"))));
    let notes = notes(report);
    lines.extend(notes.iter().take(MOST_NOTES).cloned());
    if notes.len() > MOST_NOTES {
        lines.push(format!("… and {} more notes", notes.len() - MOST_NOTES));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use roxmltree::{Document, Node};

    use crate::report::samples::{filled_with, mixed};
    use crate::report::visible::printable;

    fn elements<'a>(document: &'a Document<'_>, name: &str) -> Vec<Node<'a, 'a>> {
        let all = document.descendants();
        all.filter(|node| node.has_tag_name(name)).collect()
    }

    #[test]
    fn every_table_is_a_case() {
        let text = mixed().to_junit();
        let document = Document::parse(&text).unwrap();
        let [suite] = elements(&document, "testsuite")[..] else {
            panic!("one suite: {text}");
        };
        let attribute = |name: &str| suite.attribute(name).unwrap();
        assert_eq!(
            [
                "tests",
                "failures",
                "errors",
                "timestamp",
                "hostname",
                "time"
            ]
            .map(attribute),
            ["4", "1", "2", "2023-11-14T22:13:20", "host1", "2.345"]
        );
        let cases = elements(&document, "testcase");
        let names: Vec<_> = cases
            .iter()
            .map(|case| {
                let result = case.first_element_child();
                let result = result.map(|it| (it.tag_name().name(), it.attribute("type").unwrap()));
                (case.attribute("name").unwrap(), result)
            })
            .collect();
        assert_eq!(
            names,
            [
                ("t0", None),
                ("t1", Some(("failure", "Different"))),
                ("t2", Some(("error", "TableNotFound"))),
                ("t3", Some(("error", "CancelledError"))),
            ]
        );
        assert_eq!(cases[0].attribute("classname"), Some("reconcile.rows"));
        let details = elements(&document, "failure")[0].text().unwrap();
        assert!(details.contains("modified  id=7  v: "), "{details}");
        let output = elements(&document, "system-out")[0].text().unwrap();
        assert!(output.starts_with("INCOMPLETE: 2 of 4 tables"), "{output}");
    }

    #[test]
    fn a_table_that_only_the_target_has_is_a_failure_where_it_is_a_difference() {
        let mut report = filled_with("t");
        let failures = |text: &str| {
            let document = Document::parse(text).unwrap();
            let suite = elements(&document, "testsuite")[0];
            let all = ["tests", "failures"].map(|it| suite.attribute(it).unwrap().to_owned());
            (all, elements(&document, "testcase").len())
        };
        let expected = ["3", "2"].map(str::to_owned);
        assert_eq!(failures(&report.to_junit()), (expected, 3));
        report.strict_tables = false;
        let expected = ["2", "1"].map(str::to_owned);
        assert_eq!(failures(&report.to_junit()), (expected, 2));
    }

    proptest! {
        /// Every text is read back as it was, in attributes and in elements.
        #[test]
        fn no_text_is_markup(text in prop_oneof![
            "[<>&\"'/a-z= \\]-]{0,20}",
            any::<String>(),
            Just("]]></failure>\u{fffe}\u{0}\r\n\t".to_owned()),
        ]) {
            let junit = filled_with(&text).to_junit();
            let document = Document::parse(&junit).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(elements(&document, "testcase").len(), 3);
            let error = elements(&document, "error")[0];
            prop_assert!(error.text().unwrap().contains(&super::xml_text(printable(&text))));
            prop_assert_eq!(document.root_element().children().filter(Node::is_element).count(), 1);
        }
    }
}
