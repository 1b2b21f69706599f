//! libpq's connection strings of keywords and values: `host=db dbname='the shop'`.
//!
//! The grammar is that of PostgreSQL's documentation, "Connection Strings": values are separated
//! by blanks, quoted by `'`, and a backslash takes the next character as it is.

use std::iter::Peekable;
use std::str::Chars;

use super::connection::Pairs;
use crate::secret::Secret;

/// Takes `text` apart into its keywords and values.
///
/// # Errors
///
/// The message contains nothing of the text, which may be part of a password.
pub(super) fn parse(text: &str) -> Result<Pairs, String> {
    let mut rest = text.chars().peekable();
    let mut pairs = Pairs::new();
    loop {
        skip_blanks(&mut rest);
        if rest.peek().is_none() {
            return Ok(pairs);
        }
        let mut keyword = String::new();
        while let Some(c) = rest.next_if(|c| *c != '=' && !c.is_whitespace()) {
            keyword.push(c);
        }
        skip_blanks(&mut rest);
        if keyword.is_empty() || rest.next_if_eq(&'=').is_none() {
            return Err("a part is no keyword=value; quote a value that contains blanks, as in password='a b', and write ' as \\' and \\ as \\\\".to_owned());
        }
        skip_blanks(&mut rest);
        pairs.push((keyword, Secret::new(value(&mut rest)?)));
    }
}

fn value(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let mut value = String::new();
    let is_quoted = rest.next_if_eq(&'\'').is_some();
    loop {
        match rest.peek().copied() {
            None if is_quoted => return Err("a quoted value has no closing '".to_owned()),
            None => return Ok(value),
            Some('\'') if is_quoted => {
                rest.next();
                return Ok(value);
            }
            Some(c) if c.is_whitespace() && !is_quoted => return Ok(value),
            Some('\\') => {
                rest.next();
                value.extend(rest.next());
            }
            Some(c) => {
                rest.next();
                value.push(c);
            }
        }
    }
}

fn skip_blanks(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| c.is_whitespace()).is_some() {}
}
