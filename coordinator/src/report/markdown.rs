//! The report as Markdown, as GitHub and GitLab render it, for the summary of a job. It is not
//! larger than such a summary may be: what a part leaves out is counted in that part.

use super::examples::{Examples, Limits};
use super::facts::{self, Fact};
use super::headline::{Headline, counts};
use super::limits::limits;
use super::model::{RunReport, TableResult, cause_line, rule_line};
use super::slowest::{duration, slowest};
use super::visible::printable;
use super::wording::{
    error_line, notes, plural, status_word, structure, summary, title, with_errors,
};
use crate::run_state::TableStatus;

/// Bytes of the document. The summary of a job on GitHub may have 1 MiB.
const LIMIT: usize = 1_000_000;

/// Bytes that are kept for the headings and the lines that count what is left out.
const RESERVE: usize = 20_000;

const MOST_CAUSES: usize = 5;

/// Missing columns of one table.
const MOST_COLUMNS: usize = 10;

const EXAMPLES: Limits = Limits {
    rows: 5,
    columns: 4,
};

pub(super) fn render(report: &RunReport) -> String {
    let mut page = Page::default();
    page.line(&format!("## {}", escape(&Headline::of(report).line())));
    page.line("");
    page.line(&escape(&counts(report)));
    page.line("");
    facts(&mut page, report);
    unverified(&mut page, report);
    different(&mut page, report);
    slow_tables(&mut page, report);
    limited_tables(&mut page, report);
    let notes: Vec<String> = notes(report)
        .iter()
        .map(|note| format!("- {}\n", escape(note)))
        .collect();
    page.folded("Notes", "", &notes);
    let tables = report.results.iter().map(table_row);
    let tables: Vec<String> = tables.collect();
    page.folded("All tables", TABLE_HEAD, &tables);
    page.text
}

/// The document so far.
#[derive(Debug, Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }

    fn heading(&mut self, heading: &str) {
        self.line(&format!("\n### {heading}\n"));
    }

    /// The items, as far as they fit, and how many do not.
    fn items(&mut self, items: &[String]) {
        let mut shown = 0;
        for item in items {
            if self.text.len() + item.len() > LIMIT - RESERVE {
                break;
            }
            self.text += item;
            shown += 1;
        }
        if shown < items.len() {
            let more = items.len() - shown;
            self.line(&format!(
                "\n… and {more} more, which are in the JSON report\n"
            ));
        }
    }

    /// A part that is closed at first.
    fn folded(&mut self, summary: &str, head: &str, items: &[String]) {
        if items.is_empty() {
            return;
        }
        self.line(&format!(
            "\n<details><summary>{summary} ({})</summary>\n",
            items.len()
        ));
        self.text += head;
        self.items(items);
        self.line("\n</details>");
    }
}

fn facts(page: &mut Page, report: &RunReport) {
    let mut facts: Vec<Fact> = vec![("run", format!("{} of {}", report.run_id, report.timestamp))];
    facts.extend(facts::origin(report).map(|origin| ("by", origin)));
    facts.extend(facts::databases(report));
    facts.extend(facts::scope(report));
    for (label, text) in facts {
        page.line(&format!("- **{label}**: {}", escape(&printable(&text))));
    }
}

fn unverified(page: &mut Page, report: &RunReport) {
    let rows: Vec<String> = with_errors(report)
        .filter_map(|(result, error)| {
            let cells = [
                title(result),
                status_word(result).to_owned(),
                error_line(error?),
            ];
            Some(row(&cells))
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    page.heading("Not verified");
    page.text += "| Table | Result | Reason |\n|---|---|---|\n";
    page.items(&rows);
}

fn different(page: &mut Page, report: &RunReport) {
    let results = report.results.iter();
    let mismatched: Vec<&TableResult> = results
        .filter(|result| result.status == TableStatus::Mismatched)
        .collect();
    if !mismatched.is_empty() {
        page.heading("Different");
        page.text += TABLE_HEAD;
        let rows: Vec<String> = mismatched.iter().map(|result| table_row(result)).collect();
        page.items(&rows);
        let details: Vec<String> = mismatched.iter().map(|result| details(result)).collect();
        page.items(&details);
    }
    if report.strict_tables && !report.target_only_tables.is_empty() {
        page.heading("Tables that only the target has");
        let tables = report.target_only_tables.iter();
        let tables: Vec<String> = tables
            .map(|table| format!("- {}\n", escape(&printable(table))))
            .collect();
        page.items(&tables);
    }
}

const TABLE_HEAD: &str = "| Table | Result | Source rows | Target rows | Missing | Extra | Modified |\n\
     |---|---|--:|--:|--:|--:|--:|\n";

fn table_row(result: &TableResult) -> String {
    let number = |number: Option<u64>| number.map(|it| it.to_string()).unwrap_or_default();
    row(&[
        title(result),
        status_word(result).to_owned(),
        number(result.source_count),
        number(result.target_count),
        number(result.missing),
        number(result.extra),
        number(result.modified),
    ])
}

fn row(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| escape(cell)).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// What is known of a table that differs.
fn details(result: &TableResult) -> String {
    let mut lines = vec![summary(result)];
    let structure = structure(result, MOST_COLUMNS).into_iter();
    lines.extend(structure.map(|line| format!("structure: {line}")));
    let examples = Examples::of(result, EXAMPLES);
    lines.extend(examples.rows.iter().map(|row| row.line()));
    if !examples.rows.is_empty() && examples.hidden > 0 {
        lines.push(format!("… and {} more", examples.hidden));
    }
    for cause in result.causes.iter().take(MOST_CAUSES) {
        let rule = rule_line(cause).map(|rule| format!(" ({rule})"));
        let rule = rule.unwrap_or_default();
        lines.push(printable(&format!("cause: {}{rule}", cause_line(cause))));
    }
    if result.causes.len() > MOST_CAUSES {
        let more = plural(result.causes.len() - MOST_CAUSES, "more cause");
        lines.push(format!("… and {more}"));
    }
    let lines: Vec<String> = lines
        .iter()
        .map(|line| format!("- {}\n", escape(line)))
        .collect();
    format!(
        "\n<details><summary>{}</summary>\n\n{}\n</details>\n",
        escape_html(&title(result)),
        lines.concat()
    )
}

fn slow_tables(page: &mut Page, report: &RunReport) {
    let slow: Vec<String> = slowest(report)
        .into_iter()
        .map(|(result, seconds)| {
            let line = format!("{}: {}", title(result), duration(seconds));
            format!("- {}\n", escape(&line))
        })
        .collect();
    page.folded("Slowest tables", "", &slow);
}

fn limited_tables(page: &mut Page, report: &RunReport) {
    let lines = report.results.iter().flat_map(|result| {
        let title = title(result);
        let limits = limits(result).into_iter();
        limits.map(move |limit| format!("- {}\n", escape(&format!("{title}: {limit}"))))
    });
    let lines: Vec<String> = lines.collect();
    page.folded("Limits of the comparison", "", &lines);
}

/// A text in which no character has a meaning in Markdown, in HTML or in a table.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '&' => escaped += "&amp;",
            // Two blanks are one in Markdown, and the values of rows may begin with one.
            ' ' if characters.peek() == Some(&' ') => escaped += "&nbsp;",
            // It would begin a link or the name of an emoji.
            ':' if characters.peek().is_some_and(|next| *next != ' ') => escaped += "\\:",
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '+' | '-' | '.'
            | '!' | '|' | '~' | '$' | '@' | '^' | '=' => {
                escaped.push('\\');
                escaped.push(character);
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

/// The same for a text within an HTML element, where Markdown is not parsed.
fn escape_html(text: &str) -> String {
    maud::html! { (text) }.into_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

    use super::*;
    use crate::report::samples::{filled_with, large, mixed};

    fn events(text: &str) -> Vec<Event<'_>> {
        Parser::new_ext(text, Options::ENABLE_GFM | Options::ENABLE_TABLES).collect()
    }

    /// The texts of the first column of the first table.
    fn first_column(events: &[Event<'_>]) -> Vec<String> {
        let begin = events
            .iter()
            .position(|it| matches!(it, Event::Start(Tag::Table(_))));
        let mut cells = Vec::new();
        let mut column = 0;
        for event in events.iter().skip(begin.unwrap_or(0)) {
            match event {
                Event::End(TagEnd::Table) => break,
                Event::Start(Tag::TableHead | Tag::TableRow) => column = 0,
                Event::Start(Tag::TableCell) if column == 0 => cells.push(String::new()),
                Event::End(TagEnd::TableCell) => column += 1,
                Event::Text(text) if column == 0 => {
                    if let Some(cell) = cells.last_mut() {
                        cell.push_str(text);
                    }
                }
                _ => {}
            }
        }
        cells
    }

    #[test]
    fn it_begins_with_the_verdict_and_has_what_needs_attention() {
        let text = mixed().to_markdown();
        assert!(
            text.starts_with("## INCOMPLETE: 2 of 4 tables could not be verified; 1 different\n"),
            "{text}"
        );
        for words in [
            "| t2 | failed | TableNotFound: TableNotFound happened |\n",
            "| t1 | different | 10 | 10 | 0 | 0 | 1 |\n",
            "<details><summary>All tables (4)</summary>\n",
        ] {
            assert!(text.contains(words), "no {words} in {text}");
        }
    }

    #[test]
    fn it_is_never_larger_than_the_summary_of_a_job() {
        let text = large(3_000).to_markdown();
        assert!(text.len() < 1 << 20, "{} bytes", text.len());
        assert!(text.contains("more, which are in the JSON report"));
        assert_eq!(
            text.matches("<details>").count(),
            text.matches("</details>").count()
        );
    }

    proptest! {
        /// No text is Markdown or HTML, and the cells of a table have it as it is.
        #[test]
        fn no_text_is_markup(text in prop_oneof![
            "[<>&\"'/a-z= |`*_#\\[\\]()!~:@.-]{1,20}",
            any::<String>(),
            Just("</details><script>x</script>".to_owned()),
            Just("| x | ``` ~~~ $x$".to_owned()),
        ]) {
            let report = filled_with(&text);
            let markdown = report.to_markdown();
            let events = events(&markdown);
            for event in &events {
                match event {
                    Event::Html(html) | Event::InlineHtml(html) => {
                        let known = ["<details><summary>", "</details>"];
                        prop_assert!(known.iter().any(|it| html.trim().starts_with(it)), "{}", html);
                        prop_assert!(!html.contains("<script"), "{}", html);
                    }
                    Event::Code(_) | Event::Start(Tag::Link { .. } | Tag::Image { .. } | Tag::CodeBlock(_) | Tag::BlockQuote(_)) => {
                        prop_assert!(false, "{:?} in {}", event, markdown);
                    }
                    _ => {}
                }
            }
            let column = first_column(&events);
            let expected = title(&report.results[1]).replace('\u{a0}', " ");
            let found = column.get(1).map(|cell| cell.replace('\u{a0}', " "));
            prop_assert_eq!(found.as_deref().map(str::trim), Some(expected.trim()));
        }
    }
}
