//! The marks of a repair script: comment lines by which `reconcile apply` finds
//! the statements.
//!
//! They begin with a token that is drawn for each file, so that no value in a
//! statement can imitate them. The mark of a statement has a digest of it.

use super::statement::{ACTIONS, Statement, word};

pub(super) const FIRST_LINE: &str = "-- reconcile repair script, format 2";

const INACTIVE: &str = "held ";

/// Begins the mark of the last line, before the digest of all lines that belong to no statement.
pub(super) const DIGEST: &str = "digest ";

pub(super) fn line(token: &str, mark: &str) -> String {
    format!("-- {token} {mark}")
}

pub(super) fn mark_of<'a>(line: &'a [u8], token: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(b"-- ")?.strip_prefix(token.as_bytes())?;
    let mark = std::str::from_utf8(rest.strip_prefix(b" ")?).ok()?;
    Some(mark.trim_end())
}

/// The mark before a statement: its action, its key, its number and its digest.
pub(super) fn of_statement(statement: &Statement, digest: &str) -> String {
    let Statement { key, number, .. } = statement;
    let action = word(statement.action);
    let blank = if key.is_empty() { "" } else { " " };
    format!("{action}{blank}{key} #{number} {digest}")
}

/// The statement of a mark, without its SQL, and its digest.
pub(super) fn parse_statement(mark: &str) -> Option<(Statement, &str)> {
    let words: Vec<&str> = mark.split(' ').collect();
    let (name, key, number, digest) = match words.as_slice() {
        [name, number, digest] => (name, "", number, digest),
        [name, key, number, digest] => (name, *key, number, digest),
        _ => return None,
    };
    let statement = Statement {
        action: ACTIONS.into_iter().find(|action| word(*action) == *name)?,
        key: key.to_owned(),
        number: number.strip_prefix('#')?.parse().ok()?,
        sql: String::new(),
    };
    Some((statement, digest))
}

/// The mark that contains a statement, which therefore is not executed.
pub(super) fn of_inactive(statement: &Statement, digest: &str, sql: &str) -> String {
    format!("{INACTIVE}{} {sql}", of_statement(statement, digest))
}

/// The statement that a mark contains, and its digest.
pub(super) fn parse_inactive(mark: &str) -> Option<(Statement, &str)> {
    let mark = mark.strip_prefix(INACTIVE)?;
    let (mark, sql) = mark.split_at(mark.find('"')?);
    let (statement, digest) = parse_statement(mark.trim_end())?;
    let sql = serde_json::from_str(sql).ok()?;
    Some((Statement { sql, ..statement }, digest))
}
