//! The report as one HTML page, to be read without a network, printed and signed. It contains no
//! script, and nothing is loaded from elsewhere. The number of bytes is bounded for a given number
//! of tables: what a part leaves out is counted in that part.

mod budget;
mod different;
mod head;
mod isolated;
mod limits;
mod overview;
#[cfg(test)]
mod tests;
mod unverified;

use maud::{DOCTYPE, Markup, html};

use super::model::RunReport;
use super::wording::notes;
use budget::Budget;
use isolated::isolated;

/// Bytes of all notes.
const NOTES: usize = 150_000;

pub(super) fn render(report: &RunReport) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            (head::head(report))
            body {
                (head::header(report))
                main {
                    (head::run(report))
                    (head::scope(report))
                    (limits::limits_of(report))
                    (unverified::unverified(report))
                    (different::different(report))
                    (notes_of(report))
                    (overview::slow_tables(report))
                    (overview::tables(report))
                    (approval())
                }
            }
        }
    };
    page.into_string()
}

fn notes_of(report: &RunReport) -> Markup {
    let notes = notes(report);
    if notes.is_empty() {
        return html! {};
    }
    let mut budget = Budget(NOTES);
    let items = budget.fit(notes.iter().map(|note| html! { li { (isolated(note)) } }));
    html! {
        section {
            h2 { "Notes" }
            ul { @for item in &items.shown { (item) } }
            (items.omission("notes", "the JSON report has all of them"))
        }
    }
}

/// Where people sign.
fn approval() -> Markup {
    html! {
        section.approval {
            h2 { "Approval" }
            p {
                "By signing, you confirm that you have read this report, and that it covers what \
                 it lists under “What was compared”, within the limits that it names, and no more."
            }
            table {
                caption { "Signatures" }
                thead { tr {
                    th scope="col" { "Role" }
                    th scope="col" { "Name" }
                    th scope="col" { "Date" }
                    th scope="col" { "Signature" }
                } }
                tbody {
                    @for role in ["Carried out by", "Approved by"] {
                        tr { th scope="row" { (role) } td {} td {} td {} }
                    }
                }
            }
        }
    }
}
