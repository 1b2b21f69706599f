//! Whether a text stays inside the parentheses that it is put in, by the
//! lexical rules of the database that reads it and not by a parser's of many
//! dialects: where they read one character in another way, a text could end
//! its statement and begin one of its own.

use shared::endpoint::DatabaseKind;

const NO_END: &str = "a quotation that does not end";

/// Goes through `text` once: parentheses must be balanced, and outside of
/// quotations there must be no comment and no `;`.
///
/// # Errors
///
/// What is in it that may lead out.
pub(crate) fn check(engine: DatabaseKind, text: &str) -> Result<(), &'static str> {
    let mut rest = text.as_bytes();
    let mut open = 0_usize;
    while !rest.is_empty() {
        rest = match (engine, rest) {
            // Both databases begin a comment here also within an operator.
            (_, [b'-', b'-', ..] | [b'/', b'*', ..]) => return Err("a comment"),
            (_, [b';', ..]) => return Err("`;`"),
            (_, [b'(', after @ ..]) => {
                open += 1;
                after
            }
            (_, [b')', after @ ..]) => {
                open = open.checked_sub(1).ok_or("a `)` that closes nothing")?;
                after
            }
            (_, [quote @ (b'\'' | b'"'), after @ ..]) => after_quoted(after, *quote)?,
            (DatabaseKind::SqlServer, [b'[', after @ ..]) => after_quoted(after, b']')?,
            (DatabaseKind::Postgres, [b'$', ..]) => after_dollar_quoted(rest)?,
            (DatabaseKind::Postgres, [first, ..]) if is_of_word(*first) => after_word(rest)?,
            _ => &rest[1..],
        };
    }
    if open > 0 {
        return Err("a `(` that is not closed");
    }
    Ok(())
}

/// What follows a quotation that ends with `close`; twice it stands for itself.
fn after_quoted(mut text: &[u8], close: u8) -> Result<&[u8], &'static str> {
    loop {
        let at = text.iter().position(|byte| *byte == close).ok_or(NO_END)?;
        text = &text[at + 1..];
        match text {
            [next, after @ ..] if *next == close => text = after,
            _ => return Ok(text),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOTH: [DatabaseKind; 2] = [DatabaseKind::Postgres, DatabaseKind::SqlServer];

    #[test]
    fn quotations_hold_whatever_they_like() {
        for engine in BOTH {
            for text in [
                "a = '--' AND (b = ')')",
                "a = 'it''s ; ('",
                "\"a;\"\"(\" = 1",
            ] {
                assert_eq!(check(engine, text), Ok(()), "{text} in {engine:?}");
            }
        }
        for text in [
            r"a = E'\'; --' AND b = e'('''",
            r"a = '\' AND b = nameE'\'",
            "a = $$ ; ( ' $x$ $$ AND b = $é_1$ $$ ) $é_1$",
            "a$b$c = 1",
            "date'2020-01-01' < d",
            "U&'\\0041''(' = x'1'",
        ] {
            assert_eq!(check(DatabaseKind::Postgres, text), Ok(()), "{text}");
        }
        for text in ["[a;]](] = N'--'", r"x'\' = 1", r"a = E'\'"] {
            assert_eq!(check(DatabaseKind::SqlServer, text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_leads_out_is_named() {
        for engine in BOTH {
            for (text, what) in [
                ("a = 1) OR (1 = 1", "a `)` that closes nothing"),
                ("(a = 1", "a `(` that is not closed"),
                ("a = 1 %-- x", "a comment"),
                ("a </* b */ 1", "a comment"),
                ("a = 1; b", "`;`"),
                ("a = 'x", NO_END),
                ("a = 'x''", NO_END),
                ("\"a = 1", NO_END),
            ] {
                assert_eq!(check(engine, text), Err(what), "{text} in {engine:?}");
            }
        }
        for (text, what) in [
            (r"a = E'\'", NO_END),
            (r"a = é.E'\'", NO_END),
            ("a = E'x'\n'\\'') --'", "a string in two parts"),
            (r"a = 1E'\'", "a string directly behind a number"),
            ("a = 1$b$", "a `$` behind a number"),
            ("a = $b$ $c$", NO_END),
            ("a = $1", "a `$` that begins no quotation"),
            ("a = $1$ $1$", "a `$` that begins no quotation"),
        ] {
            assert_eq!(check(DatabaseKind::Postgres, text), Err(what), "{text}");
        }
        assert_eq!(check(DatabaseKind::SqlServer, "[a = 1"), Err(NO_END));
        assert_eq!(check(DatabaseKind::SqlServer, "[a]]"), Err(NO_END));
    }

    /// Reads one character after the other, knowing only quotations that end
    /// with the mark they are given by: `None` where something leads out.
    fn depth(text: &str, marks: &[(char, char)]) -> Option<usize> {
        let (mut inside, mut depth, mut before) = (None, 0_usize, ' ');
        for character in text.chars() {
            // A mark that is doubled ends its quotation and begins another one.
            match inside {
                Some(close) if character == close => (inside, before) = (None, ' '),
                Some(_) => {}
                None => {
                    inside = marks
                        .iter()
                        .find(|(open, _)| *open == character)
                        .map(|(_, close)| *close);
                    depth = match (before, character) {
                        ('-', '-') | ('/', '*') | (_, ';') => return None,
                        (_, '(') => depth + 1,
                        (_, ')') => depth.checked_sub(1)?,
                        _ => depth,
                    };
                    before = character;
                }
            }
        }
        inside.is_none().then_some(depth)
    }

    /// A quotation of PostgreSQL that stands for a text, whatever is in it.
    fn quoted(text: &str, how: u8) -> String {
        match how {
            0 => format!("'{}'", text.replace('\'', "''")),
            1 => format!("\"{}\"", text.replace('"', "\"\"")),
            2 => format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
            _ => format!("$t${}$t$", text.replace("$t$", "")),
        }
    }

    proptest! {
        #[test]
        fn two_readings_of_sql_server_agree(text in "[a(\\[\\])'\"; /*-]{0,16}|\\PC{0,20}") {
            // A doubled `]` does not begin another quotation as other marks do.
            prop_assume!(!text.contains("]]"));
            let marks = [('\'', '\''), ('"', '"'), ('[', ']')];
            prop_assert_eq!(check(DatabaseKind::SqlServer, &text).is_ok(), depth(&text, &marks) == Some(0));
        }

        #[test]
        fn two_readings_of_postgresql_agree(text in "[a()'\"; /*|<%-]{0,16}|\\PC{0,20}") {
            // What only one of the readings knows.
            prop_assume!(!text.contains(['e', 'E', '$']));
            prop_assume!(!text.contains(|c: char| c.is_ascii_digit()));
            let marks = [('\'', '\''), ('"', '"')];
            prop_assert_eq!(check(DatabaseKind::Postgres, &text).is_ok(), depth(&text, &marks) == Some(0));
        }

        #[test]
        fn only_what_is_outside_of_quotations_counts(
            parts in proptest::collection::vec(("[a()=; /*-]{0,4}", "[a()'\"\\\\;$/*-]{0,8}", 0_u8..4), 0..5),
        ) {
            let (mut text, mut outside) = (String::new(), String::new());
            for (plain, content, how) in &parts {
                text.push_str(&format!("{plain} {} = ", quoted(content, *how)));
                outside.push_str(&format!("{plain} = "));
            }
            prop_assert_eq!(check(DatabaseKind::Postgres, &text).is_ok(), depth(&outside, &[]) == Some(0));
        }
    }
}
