//! Which functions a condition may call. A function may wait, write, or reach another server, also
//! in a read-only transaction; those that are listed compute a value of their arguments.
//!
//! A call is a name directly before a parenthesis, by the lexical rules of the database. So it is
//! found wherever it stands, also as a table in a sub-query, and a name that is not known is
//! refused: of a function, of a table with hints, of a remote table.

use crate::engine::database::dialect::Dialect;
use crate::engine::database::filter::lexical::after_quoted;

/// Words of SQL before a parenthesis that begins no call.
const KEYWORDS: &[&str] = &[
    "all",
    "and",
    "any",
    "array",
    "as",
    "between",
    "by",
    "case",
    "distinct",
    "else",
    "except",
    "exists",
    "from",
    "having",
    "ilike",
    "in",
    "intersect",
    "join",
    "like",
    "limit",
    "not",
    "offset",
    "on",
    "or",
    "row",
    "select",
    "some",
    "then",
    "union",
    "using",
    "values",
    "when",
    "where",
];

/// Types that are written with a length or a precision.
const TYPES: &[&str] = &[
    "binary",
    "bit",
    "bpchar",
    "char",
    "character",
    "datetime2",
    "datetimeoffset",
    "dec",
    "decimal",
    "float",
    "interval",
    "nchar",
    "numeric",
    "nvarchar",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "varbinary",
    "varchar",
    "varying",
];

/// Functions of every kind of database.
pub(crate) const COMMON: &[&str] = &[
    "abs",
    "ascii",
    "avg",
    "cast",
    "ceiling",
    "coalesce",
    "concat",
    "count",
    "current_timestamp",
    "exp",
    "floor",
    "left",
    "log",
    "lower",
    "ltrim",
    "max",
    "min",
    "nullif",
    "power",
    "replace",
    "reverse",
    "right",
    "round",
    "rtrim",
    "sign",
    "sqrt",
    "substring",
    "sum",
    "translate",
    "trim",
    "upper",
];

/// The most parts of a name. SQL Server reads a table of four parts from another server.
const MOST_PARTS: usize = 3;

/// The token before the one that is read.
#[derive(Debug, Clone, Copy)]
enum Previous<'a> {
    /// A name or a word of SQL, and the number of the parts that it is the last of.
    Name {
        name: &'a [u8],
        parts: usize,
    },
    /// A point behind so many parts.
    Point {
        parts: usize,
    },
    Other,
}

impl<'a> Previous<'a> {
    fn then_name(self, name: &'a [u8]) -> Self {
        let parts = match self {
            Self::Point { parts } => parts + 1,
            Self::Name { .. } | Self::Other => 1,
        };
        Self::Name { name, parts }
    }

    fn then_point(self) -> Self {
        let parts = match self {
            Self::Name { parts, .. } => parts,
            // A part that is left out counts.
            Self::Point { parts } => parts + 1,
            Self::Other => 0,
        };
        Self::Point { parts }
    }

    fn parts(self) -> usize {
        match self {
            Self::Name { parts, .. } | Self::Point { parts } => parts,
            Self::Other => 0,
        }
    }
}

/// Goes through `text` once, which stays within its parentheses.
///
/// # Errors
///
/// What it contains that it may not: "a call of `pg_sleep`".
pub(crate) fn check(dialect: &dyn Dialect, text: &str) -> Result<(), String> {
    let mut rest = text.as_bytes();
    let mut previous = Previous::Other;
    while let [first, after_first @ ..] = rest {
        (rest, previous) = match first {
            b'(' => {
                check_call(dialect, previous)?;
                (after_first, Previous::Other)
            }
            b'\'' => (after_quoted(after_first, *first)?, Previous::Other),
            b'"' => {
                let after = after_quoted(after_first, *first)?;
                (after, previous.then_name(inside(rest, after)))
            }
            b'.' => (after_first, previous.then_point()),
            ..=b' ' => (after_first, previous),
            _ => match dialect.after_own_token(rest) {
                Some(after) => {
                    let after = after?;
                    let token = &rest[..rest.len() - after.len()];
                    let next = match token {
                        [b'[', ..] => previous.then_name(inside(rest, after)),
                        [.., b'\''] | [b'$', ..] => Previous::Other,
                        word => previous.then_name(word),
                    };
                    (after, next)
                }
                None if is_of_word(*first) => {
                    let end = rest.iter().position(|byte| !is_of_word(*byte));
                    let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
                    (after, previous.then_name(word))
                }
                None => (after_first, Previous::Other),
            },
        };
        if previous.parts() > MOST_PARTS {
            return Err(
                "a name of four parts, which may be that of a table on another server".to_owned(),
            );
        }
    }
    Ok(())
}

/// The token before `after`, without its quotes.
fn inside<'a>(rest: &'a [u8], after: &[u8]) -> &'a [u8] {
    let quoted = &rest[..rest.len() - after.len()];
    &quoted[1..quoted.len() - 1]
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'@' | b'#' | b'$') || !byte.is_ascii()
}

fn check_call(dialect: &dyn Dialect, previous: Previous<'_>) -> Result<(), String> {
    let Previous::Name { name, parts } = previous else {
        return Ok(());
    };
    let name = String::from_utf8_lossy(name).to_lowercase();
    let own = dialect.facts().functions;
    let is_known = [KEYWORDS, TYPES, COMMON, own]
        .iter()
        .any(|list| list.contains(&&*name));
    if is_known && parts == 1 {
        return Ok(());
    }
    Err(format!("a call of `{name}`"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::endpoint::DatabaseKind;

    use super::*;
    use crate::engine::database::kinds::database;

    const BOTH: [DatabaseKind; 2] = [DatabaseKind::Postgres, DatabaseKind::SqlServer];

    fn refused(kind: DatabaseKind, text: &str) -> Option<String> {
        check(database(kind), text).err()
    }

    #[test]
    fn what_computes_a_value_passes() {
        for kind in BOTH {
            for text in [
                "lower(name) <> 'pg_sleep(1)'",
                "LOWER (name) = 'x' AND (a = 1 OR b IN (1, 2))",
                "coalesce(a, 0) BETWEEN (1) AND (2)",
                "id IN (SELECT max(id) FROM dbo.other AS o WHERE (o.x = 1))",
                "CAST(a AS decimal(10, 2)) > 1",
                "db.dbo.t = 1",
                "1.5 > (a) AND a >.5",
            ] {
                assert_eq!(refused(kind, text), None, "{text} in {kind:?}");
            }
        }
        for text in [
            "a::numeric(5,2) = 1 AND date_trunc('day', d) = now()",
            "v = E'\\'(' AND n = $$ f( $$",
        ] {
            assert_eq!(refused(DatabaseKind::Postgres, text), None, "{text}");
        }
        for text in [
            "[a(] = N'f(' AND YEAR(d) = 2020",
            "d > DATEADD(day, -1, SYSUTCDATETIME())",
        ] {
            assert_eq!(refused(DatabaseKind::SqlServer, text), None, "{text}");
        }
    }

    fn expect_refusals(kind: DatabaseKind, cases: &[(&str, &str)]) {
        for (text, named) in cases {
            let refused = refused(kind, text).unwrap_or_else(|| panic!("{text} passes"));
            assert!(refused.contains(named), "{text}: {refused}");
        }
    }

    #[test]
    fn other_calls_on_postgres_are_refused_by_name() {
        let cases = [
            ("pg_sleep(9) IS NULL", "`pg_sleep`"),
            ("a = 1 AND PG_SLEEP\n\t(9) IS NULL", "`pg_sleep`"),
            ("\"pg_sleep\"(9) IS NULL", "`pg_sleep`"),
            ("U&\"\\0070g_sleep\"(9) IS NULL", "0070g_sleep`"),
            ("pg_sleep\u{b}(9) IS NULL", "`pg_sleep`"),
            ("pg_catalog.lower(a) = 'a'", "`lower`"),
            ("id IN (SELECT id FROM dblink('h', 'q') t)", "`dblink`"),
            ("a OPERATOR(public.=) 1", "`operator`"),
            (
                "query_to_xml('x', true, true, '') IS NULL",
                "`query_to_xml`",
            ),
            ("repeat('x', 1000000000) = a", "`repeat`"),
        ];
        expect_refusals(DatabaseKind::Postgres, &cases);
    }

    #[test]
    fn other_calls_on_sql_server_are_refused_by_name() {
        let cases = [
            ("1 IN (SELECT 1 FROM OPENQUERY(s, 'q'))", "`openquery`"),
            (
                "1 IN (SELECT 1 FROM OPENROWSET ('p', 'q') r)",
                "`openrowset`",
            ),
            ("[OPENROWSET]('p') = 1", "`openrowset`"),
            ("dbo.f(a) = 1", "`f`"),
            ("master..xp_cmdshell('x') = 1", "`xp_cmdshell`"),
            ("x.value('(/a)[1]', 'int') = 1", "`value`"),
            ("EXISTS (SELECT 1 FROM t WITH (TABLOCKX))", "`with`"),
            ("EXISTS (SELECT 1 FROM t (TABLOCKX))", "`t`"),
            ("EXISTS (SELECT 1 FROM srv.db.dbo.t)", "four parts"),
            ("EXISTS (SELECT 1 FROM srv.db..[t])", "four parts"),
            ("EXISTS (SELECT 1 FROM srv...t)", "four parts"),
        ];
        expect_refusals(DatabaseKind::SqlServer, &cases);
    }

    #[test]
    fn the_lists_are_sorted_and_hold_nothing_that_waits_or_reaches_out() {
        for kind in BOTH {
            let own = database(kind).facts().functions;
            for list in [KEYWORDS, TYPES, COMMON, own] {
                assert!(list.is_sorted(), "{list:?}");
                for name in list {
                    let bad = [
                        "sleep", "link", "open", "xp_", "sp_", "lock", "file", "set", "exec",
                    ];
                    let is_bad = bad.iter().any(|bad| name.contains(bad));
                    assert!(
                        !is_bad
                            || [
                                "datetimeoffset",
                                "offset",
                                "sysdatetimeoffset",
                                "octet_length",
                                "switchoffset",
                                "todatetimeoffset",
                                "datediff_big"
                            ]
                            .contains(name),
                        "{name}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn a_call_is_found_behind_any_blanks_and_in_any_depth(
            before in "[ (]{0,5}(a = 1 AND )?",
            blanks in "[ \t\n\r]{0,3}",
            name in "pg_sleep|OPENQUERY|\"dblink\"|xp_cmdshell|waitfor",
        ) {
            for kind in BOTH {
                let text = format!("{before}{name}{blanks}(1)");
                prop_assert!(refused(kind, &text).is_some(), "{}", text);
            }
        }

        #[test]
        fn any_text_is_checked_without_a_panic(text in "[a-z0-9 ()='\"\\[\\];@$,.<>*/+-]{0,40}|\\PC{0,20}") {
            for kind in BOTH {
                prop_assert!(refused(kind, &text).is_none_or(|what| !what.is_empty()));
            }
        }
    }
}
