//! The marks of a repair script: comment lines by which `reconcile apply` finds
//! the statements.
//!
//! They begin with a token that is drawn for each file, so that no value in a
//! statement can imitate them.

use shared::outcome::RepairAction;

use super::statement::{ACTIONS, Statement};

pub(super) const FIRST_LINE: &str = "-- reconcile repair script, format 1";

const INACTIVE: &str = "held ";

/// Begins the mark of the last line, before the digest of all other lines.
pub(super) const DIGEST: &str = "digest ";

pub(super) fn line(token: &str, mark: &str) -> String {
    format!("-- {token} {mark}")
}

pub(super) fn mark_of<'a>(line: &'a [u8], token: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(b"-- ")?.strip_prefix(token.as_bytes())?;
    let mark = std::str::from_utf8(rest.strip_prefix(b" ")?).ok()?;
    Some(mark.trim_end())
}

fn word(action: RepairAction) -> &'static str {
    match action {
        RepairAction::Delete => "delete",
        RepairAction::Update => "update",
        RepairAction::Insert => "insert",
    }
}

/// The mark before a statement: its action, its key and its number.
pub(super) fn of_statement(statement: &Statement) -> String {
    let Statement { key, number, .. } = statement;
    let action = word(statement.action);
    let blank = if key.is_empty() { "" } else { " " };
    format!("{action}{blank}{key} #{number}")
}

/// The statement of a mark, without its SQL, and whether the mark has its
/// number: former versions did not write numbers.
pub(super) fn parse_statement(mark: &str) -> Option<(Statement, bool)> {
    let mut words = mark.split(' ');
    let name = words.next()?;
    let action = ACTIONS.into_iter().find(|action| word(*action) == name)?;
    let (mut key, mut number) = (String::new(), None);
    for word in words {
        match word.strip_prefix('#') {
            Some(digits) => number = Some(digits.parse().ok()?),
            None => key = word.to_owned(),
        }
    }
    let statement = Statement {
        action,
        key,
        number: number.unwrap_or_default(),
        sql: String::new(),
    };
    Some((statement, number.is_some()))
}

/// The mark that contains a statement, which therefore is not executed.
pub(super) fn of_inactive(statement: &Statement, sql: &str) -> String {
    format!("{INACTIVE}{} {sql}", of_statement(statement))
}

pub(super) fn parse_inactive(mark: &str) -> Option<Statement> {
    let mark = mark.strip_prefix(INACTIVE)?;
    let (mark, sql) = mark.split_at(mark.find('"')?);
    let (statement, _) = parse_statement(mark.trim_end())?;
    Some(Statement {
        sql: serde_json::from_str(sql).ok()?,
        ..statement
    })
}
