//! Whether a condition stays inside the parentheses around it, by the lexical
//! rules of the database that reads it. A parser of many dialects is not
//! enough: where it reads one character differently, a condition could end its
//! statement and begin another one.

use crate::engine::database::dialect::Dialect;

pub(crate) const NO_END: &str = "a quotation that does not end";

/// Goes through `text` once: parentheses must be balanced, and outside of
/// quotations there must be no comment and no `;`.
pub(crate) fn check(dialect: &dyn Dialect, text: &str) -> Result<(), &'static str> {
    let mut rest = text.as_bytes();
    let mut open = 0_usize;
    while !rest.is_empty() {
        rest = match rest {
            // The databases begin a comment here also within an operator.
            [b'-', b'-', ..] | [b'/', b'*', ..] => return Err("a comment"),
            [b';', ..] => return Err("`;`"),
            [b'(', after @ ..] => {
                open += 1;
                after
            }
            [b')', after @ ..] => {
                open = open.checked_sub(1).ok_or("a `)` that closes nothing")?;
                after
            }
            [quote @ (b'\'' | b'"'), after @ ..] => after_quoted(after, *quote)?,
            _ => match dialect.after_own_token(rest) {
                Some(after) => after?,
                None => &rest[1..],
            },
        };
    }
    if open > 0 {
        return Err("a `(` that is not closed");
    }
    Ok(())
}

/// What follows a quotation that ends with `close`; twice it stands for itself.
pub(crate) fn after_quoted(mut text: &[u8], close: u8) -> Result<&[u8], &'static str> {
    loop {
        let at = text.iter().position(|byte| *byte == close).ok_or(NO_END)?;
        text = &text[at + 1..];
        match text {
            [next, after @ ..] if *next == close => text = after,
            _ => return Ok(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::endpoint::DatabaseKind;

    use super::*;
    use crate::engine::database::kinds::database;
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
                assert_eq!(
                    check(database(engine), text),
                    Ok(()),
                    "{text} in {engine:?}"
                );
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
            assert_eq!(
                check(database(DatabaseKind::Postgres), text),
                Ok(()),
                "{text}"
            );
        }
        for text in ["[a;]](] = N'--'", r"x'\' = 1", r"a = E'\'"] {
            assert_eq!(
                check(database(DatabaseKind::SqlServer), text),
                Ok(()),
                "{text}"
            );
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
                assert_eq!(
                    check(database(engine), text),
                    Err(what),
                    "{text} in {engine:?}"
                );
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
            assert_eq!(
                check(database(DatabaseKind::Postgres), text),
                Err(what),
                "{text}"
            );
        }
        assert_eq!(
            check(database(DatabaseKind::SqlServer), "[a = 1"),
            Err(NO_END)
        );
        assert_eq!(
            check(database(DatabaseKind::SqlServer), "[a]]"),
            Err(NO_END)
        );
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
            prop_assert_eq!(check(database(DatabaseKind::SqlServer), &text).is_ok(), depth(&text, &marks) == Some(0));
        }

        #[test]
        fn two_readings_of_postgresql_agree(text in "[a()'\"; /*|<%-]{0,16}|\\PC{0,20}") {
            // What only one of the readings knows.
            prop_assume!(!text.contains(['e', 'E', '$']));
            prop_assume!(!text.contains(|c: char| c.is_ascii_digit()));
            let marks = [('\'', '\''), ('"', '"')];
            prop_assert_eq!(check(database(DatabaseKind::Postgres), &text).is_ok(), depth(&text, &marks) == Some(0));
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
            prop_assert_eq!(check(database(DatabaseKind::Postgres), &text).is_ok(), depth(&outside, &[]) == Some(0));
        }
    }
}
