//! PostgreSQL's own tokens: words, numbers and quotations that others lack.

use crate::engine::database::filter::lexical::NO_END;

/// What follows the token at the start of `text`, if PostgreSQL has a rule of its own for it.
pub(crate) fn after_own_token(text: &[u8]) -> Option<Result<&[u8], &'static str>> {
    match text {
        [b'$', ..] => Some(after_dollar_quoted(text)),
        [first, ..] if is_of_word(*first) => Some(after_word(text)),
        _ => None,
    }
}

/// Letters, digits and what else PostgreSQL takes for a part of a name: all
/// characters beyond ASCII too.
fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

/// What follows a name, a number or a string with escapes in PostgreSQL's SQL.
fn after_word(text: &[u8]) -> Result<&[u8], &'static str> {
    let length = text
        .iter()
        .position(|byte| !is_of_word(*byte))
        .unwrap_or(text.len());
    let (word, after) = text.split_at(length);
    match (word, after) {
        ([b'e' | b'E'], [b'\'', after @ ..]) => after_escaped(after),
        // Where such a number ends depends on the server's version, and with
        // it whether a string has escapes or a `$` begins one.
        ([b'0'..=b'9', ..], _) if word.contains(&b'$') => Err("a `$` behind a number"),
        ([b'0'..=b'9', ..], [b'\'', ..]) if !word.iter().all(u8::is_ascii_digit) => {
            Err("a string directly behind a number")
        }
        _ => Ok(after),
    }
}

/// What follows `E'…'`, where a backslash takes the next character's meaning.
fn after_escaped(mut text: &[u8]) -> Result<&[u8], &'static str> {
    loop {
        text = match text {
            [b'\\', _, after @ ..] | [b'\'', b'\'', after @ ..] => after,
            [b'\'', after @ ..] => {
                let next = after
                    .iter()
                    .find(|byte| !byte.is_ascii_whitespace() && **byte != b'\x0B');
                // The same string with its escapes goes on in the next line.
                return if next == Some(&b'\'') {
                    Err("a string in two parts")
                } else {
                    Ok(after)
                };
            }
            [_, after @ ..] => after,
            [] => return Err(NO_END),
        };
    }
}

/// What follows `$tag$…$tag$`.
fn after_dollar_quoted(text: &[u8]) -> Result<&[u8], &'static str> {
    let parameter = "a `$` that begins no quotation";
    let second = text[1..].iter().position(|byte| *byte == b'$');
    let (delimiter, after) = text.split_at(second.ok_or(parameter)? + 2);
    let tag = &delimiter[1..delimiter.len() - 1];
    if tag.first().is_some_and(u8::is_ascii_digit) || !tag.iter().all(|byte| is_of_word(*byte)) {
        return Err(parameter);
    }
    let at = after
        .windows(delimiter.len())
        .position(|bytes| bytes == delimiter)
        .ok_or(NO_END)?;
    Ok(&after[at + delimiter.len()..])
}
