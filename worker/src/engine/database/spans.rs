//! Spans of a comparison's steps: which database, which statement, how many
//! rows, and what went wrong.

use shared::endpoint::Endpoint;
use shared::telemetry::trace::context;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::engine::database::kinds::database;
use crate::engine::task::Stop;
use crate::engine::values::column::SideOf;

/// The longest statement that a span shows, in characters.
const LONGEST: usize = 2_000;

/// The span of one statement that reads rows of a side.
pub(crate) fn reading(side: SideOf, endpoint: &Endpoint, statement: &str) -> Span {
    macro_rules! scan {
        ($name:literal) => {
            tracing::info_span!(
                $name,
                otel.kind = "client",
                db.system = Empty,
                db.namespace = endpoint.database,
                endpoint = endpoint.name,
                db.query.text = Empty,
                rows = Empty,
            )
        };
    }
    let span = match side {
        SideOf::Source => scan!("scan.source"),
        SideOf::Target => scan!("scan.target"),
    };
    // A disabled span does not parse the statement.
    if !span.is_disabled() {
        span.record("db.system", database(endpoint.kind).facts().trace_name);
        span.record("db.query.text", without_values(statement));
    }
    span
}

/// Tells the span of the statement that just ran how many rows came.
pub(crate) fn rows(count: u64) {
    Span::current().record("rows", count);
}

/// Does `work` within `span`, and records its failure there.
pub(crate) async fn within<T>(
    span: Span,
    work: impl Future<Output = Result<T, Stop>>,
) -> Result<T, Stop> {
    let done = work.instrument(span.clone()).await;
    if let Err(Stop::Failed(failure)) = &done {
        context::fail(&span, &failure.kind, &failure.message);
    }
    done
}

/// `statement` with `?` for every text, number and parameter of its condition,
/// and for every text before that. Repeated alternatives are shown twice at the
/// most, and no more than 2,000 characters.
fn without_values(statement: &str) -> String {
    let mut shown = String::with_capacity(statement.len().min(LONGEST));
    let mut rest = statement.chars().peekable();
    let mut in_condition = false;
    let mut before = ' ';
    while let Some(c) = rest.next() {
        match c {
            '\'' => {
                // A doubled quote is part of the text.
                while let Some(inner) = rest.next() {
                    if inner == '\'' && rest.next_if_eq(&'\'').is_none() {
                        break;
                    }
                }
                shown.push('?');
            }
            '"' | '[' => {
                let end = if c == '[' { ']' } else { '"' };
                shown.push(c);
                while let Some(inner) = rest.next() {
                    shown.push(inner);
                    if inner == end {
                        match rest.next_if_eq(&end) {
                            Some(doubled) => shown.push(doubled),
                            None => break,
                        }
                    }
                }
            }
            '@' if in_condition => {
                while rest.next_if(|c| c.is_alphanumeric() || *c == '_').is_some() {}
                shown.push('?');
            }
            '0'..='9' if in_condition && !is_word(before) => {
                while rest.next_if(|c| is_word(*c) || *c == '.').is_some() {}
                shown.push('?');
            }
            _ => {
                shown.push(c);
                in_condition |= shown.ends_with(" WHERE ");
            }
        }
        before = c;
    }
    let mut alternatives: Vec<&str> = shown.split(" OR ").collect();
    alternatives.dedup();
    let text = alternatives.join(" OR ");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::without_values;

    #[test]
    fn no_value_of_a_row_is_shown() {
        let cases = [
            (
                r#"SELECT "id", "v1"::numeric(38, 4) FROM "public"."o 1's""#,
                r#"SELECT "id", "v1"::numeric(38, 4) FROM "public"."o 1's""#,
            ),
            (
                r#"SELECT "a""1" FROM t WHERE ("id" = 17) OR ("id" = -18.5e3) OR ("id" = 19)"#,
                r#"SELECT "a""1" FROM t WHERE ("id" = ?) OR ("id" = -?) OR ("id" = ?)"#,
            ),
            (
                "SELECT a FROM t WHERE (k = 'it''s 1' AND l = E'x') OR (k = '' AND l = E'y')",
                "SELECT a FROM t WHERE (k = ? AND l = E?) OR (k = ? AND l = E?)",
            ),
            (
                "SELECT [a]]1] FROM [dbo].[t] WHERE ([id] = @P1 AND [n] = @P2) OR ([id] = @P3 AND [n] = @P4) OR ([id] = @P5 AND [n] = @P6)",
                "SELECT [a]]1] FROM [dbo].[t] WHERE ([id] = ? AND [n] = ?) OR ([id] = ? AND [n] = ?)",
            ),
            ("SELECT 'secret' WHERE a = 'cut off", "SELECT ? WHERE a = ?"),
            (
                "SELECT t1.c2 FROM t1 WHERE t1.c2 = 3",
                "SELECT t1.c2 FROM t1 WHERE t1.c2 = ?",
            ),
        ];
        for (statement, shown) in cases {
            assert_eq!(without_values(statement), shown);
        }
    }

    #[test]
    fn a_thousand_keys_are_shown_as_two_and_the_rest_is_cut() {
        let keys: Vec<String> = (0..1000).map(|key| format!("(id = {key})")).collect();
        let statement = format!("SELECT id FROM t WHERE {}", keys.join(" OR "));
        assert_eq!(
            without_values(&statement),
            "SELECT id FROM t WHERE (id = ?) OR (id = ?)"
        );
        let long = without_values(&"ä".repeat(3_000));
        assert_eq!(long.chars().count(), 2_001);
        assert!(long.ends_with('…'));
    }
}
