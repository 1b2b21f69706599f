//! Connection strings of `key=value` pairs that semicolons separate: ADO.NET, ODBC, and the
//! properties of JDBC URLs of SQL Server.

use super::connection::Pairs;
use crate::secret::Secret;

/// How values are quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quoting {
    /// `"…"` or `'…'`; the mark within is doubled (ADO.NET, "Connection String Syntax").
    Marks,
    /// `{…}`; the closing brace within is doubled (ODBC, "SQLDriverConnect"; JDBC of SQL Server).
    Braces,
}

/// How `text` quotes its values: ODBC's strings name a driver or a data source.
pub(super) fn quoting(text: &str) -> Quoting {
    let is_odbc = text.split(';').any(|part| {
        let key = part.split('=').next().unwrap_or_default().trim();
        key.eq_ignore_ascii_case("driver") || key.eq_ignore_ascii_case("dsn")
    });
    if is_odbc {
        Quoting::Braces
    } else {
        Quoting::Marks
    }
}

/// Takes `text` apart into its keys and values.
///
/// # Errors
///
/// The message contains nothing of the text, which may be part of a password.
pub(super) fn parse(text: &str, quoting: Quoting) -> Result<Pairs, String> {
    let mut pairs = Pairs::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ';' || c.is_whitespace());
        if rest.is_empty() {
            return Ok(pairs);
        }
        let key_end = rest.find(['=', ';']).unwrap_or(rest.len());
        if !rest[key_end..].starts_with('=') {
            return Err(format!("a part is no key=value; {}", advice(quoting)));
        }
        let key = rest[..key_end].trim().to_owned();
        let (value, after) = value(rest[key_end + 1..].trim_start(), quoting)?;
        pairs.push((key, Secret::new(value)));
        rest = after;
    }
}

/// What to write around a value with special characters.
fn advice(quoting: Quoting) -> &'static str {
    match quoting {
        Quoting::Marks => {
            "quote a value that contains a semicolon, as in Password=\"a;b\", and write \" within as \"\""
        }
        Quoting::Braces => {
            "quote a value that contains a semicolon, as in {a;b}, and write } within as }}"
        }
    }
}

/// The value at the beginning of `text`, and what follows it.
fn value(text: &str, quoting: Quoting) -> Result<(String, &str), String> {
    let close = match (quoting, text.chars().next()) {
        (Quoting::Marks, Some(mark @ ('"' | '\''))) => mark,
        (Quoting::Braces, Some('{')) => '}',
        _ => {
            let end = text.find(';').unwrap_or(text.len());
            return Ok((text[..end].trim_end().to_owned(), &text[end..]));
        }
    };
    let mut value = String::new();
    let mut rest = &text[1..];
    loop {
        let Some(end) = rest.find(close) else {
            return Err(format!("a quoted value has no closing {close}"));
        };
        value.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        if !rest.starts_with(close) {
            break;
        }
        value.push(close);
        rest = &rest[1..];
    }
    let rest = rest.trim_start();
    if !rest.is_empty() && !rest.starts_with(';') {
        return Err(format!(
            "a quoted value is not followed by a semicolon; write {close} within it as {close}{close}"
        ));
    }
    Ok((value, rest))
}
