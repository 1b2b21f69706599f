//! Parses lists of tables.

use shared::ids::TableName;
use shared::naming::POSTGRES_NAME_BYTES;
use shared::pattern::{
    PatternError, TablePattern, TableSelector, TargetPattern, TargetSelector, check_target,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A table, and its target if that has another name.
    Table {
        source: TableName,
        target: Option<TableName>,
    },
    /// All tables of the source whose names match, and what their targets are called if that is
    /// not the same.
    Pattern {
        source: TablePattern,
        target: Option<TargetPattern>,
    },
    /// These tables are left out, whatever lists them.
    Exclusion(TableSelector),
}

impl Entry {
    /// # Errors
    ///
    /// When the target cannot belong to the source.
    pub(super) fn new(
        source: TableSelector,
        target: Option<TargetSelector>,
    ) -> Result<Self, PatternError> {
        check_target(&source, target.as_ref())?;
        Ok(match source {
            TableSelector::Name(source) => Self::Table {
                source,
                target: match target {
                    Some(TargetSelector::Name(name)) => Some(name),
                    Some(TargetSelector::Pattern(_)) | None => None,
                },
            },
            TableSelector::Pattern(source) => Self::Pattern {
                source,
                target: match target {
                    Some(TargetSelector::Pattern(pattern)) => Some(pattern),
                    Some(TargetSelector::Name(_)) | None => None,
                },
            },
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TableListError {
    #[error("{0}")]
    Name(#[from] PatternError),
    #[error("`{0}` has more than one `=`; write source=target, and quote a name that contains `=`")]
    TooManyTargets(String),
    #[error("`{0}` leaves tables out, so it has no target; write it without `=`")]
    ExcludedTarget(String),
    #[error("the list of tables is empty; name tables with --tables or --tables-file")]
    Empty,
    #[error("no table is left of the list: all are excluded")]
    AllExcluded,
    #[error("table {0} is listed twice; name it once")]
    Twice(String),
    #[error(
        "table {source_table} is listed twice: its targets {one} and {other} are both {target} of the target database{hint}"
    )]
    OneTarget {
        source_table: String,
        one: String,
        other: String,
        target: String,
        hint: &'static str,
    },
    #[error(
        "`{pattern}` matches none of the {tables} tables of {endpoint}; {}a pattern without a schema only matches tables of {schema}",
        nearest.as_ref().map(|nearest| format!("did you mean {nearest}? ")).unwrap_or_default()
    )]
    NoMatch {
        pattern: String,
        tables: usize,
        endpoint: String,
        schema: String,
        nearest: Option<String>,
    },
    #[error("`{pattern}` matches only {left_out}; list a table or view by its name to compare it")]
    OnlyLeftOut { pattern: String, left_out: String },
}

/// Why names that differ may be one name.
pub(super) fn cut_hint<'a>(names: impl IntoIterator<Item = &'a TableName>) -> &'static str {
    let is_long = |name: &TableName| name.name.len() > POSTGRES_NAME_BYTES;
    if names.into_iter().any(is_long) {
        "; PostgreSQL keeps 63 bytes of a name"
    } else {
        ""
    }
}

/// Parses a list that is separated by commas. Blank entries are skipped.
pub(super) fn parse(list: &str) -> Result<Vec<Entry>, TableListError> {
    split(list, ',')
        .filter(|entry| !entry.trim().is_empty())
        .map(parse_entry)
        .collect()
}

/// Parses a file with one entry per line. Blank lines and comments, from `#` to the end of
/// the line, are skipped.
pub(super) fn parse_file(text: &str) -> Result<Vec<Entry>, TableListError> {
    text.trim_start_matches('\u{feff}')
        .lines()
        .map(|line| split(line, '#').next().unwrap_or_default())
        .filter(|line| !line.trim().is_empty())
        .map(parse)
        .collect::<Result<Vec<_>, _>>()
        .map(|lines| lines.into_iter().flatten().collect())
}

/// Parses a list of tables that are left out.
pub(super) fn parse_exclusions(list: &str) -> Result<Vec<TableSelector>, TableListError> {
    split(list, ',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(parse_exclusion)
        .collect()
}

fn parse_exclusion(text: &str) -> Result<TableSelector, TableListError> {
    if split(text, '=').nth(1).is_some() {
        return Err(TableListError::ExcludedTarget(text.to_owned()));
    }
    Ok(text.parse()?)
}

fn parse_entry(text: &str) -> Result<Entry, TableListError> {
    let text = text.trim();
    if let Some(excluded) = text.strip_prefix('!') {
        return parse_exclusion(excluded).map(Entry::Exclusion);
    }
    let mut sides = split(text, '=');
    let source: TableSelector = sides.next().unwrap_or_default().parse()?;
    let target = sides.next().map(str::parse).transpose()?;
    if sides.next().is_some() {
        return Err(TableListError::TooManyTargets(text.to_owned()));
    }
    Ok(Entry::new(source, target)?)
}

/// The parts of a text between the characters `at` that are outside quotes.
pub(super) fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let mut ends: Vec<usize> = outside_quotes(text)
        .filter(|&(_, c)| c == at)
        .map(|(end, _)| end)
        .collect();
    ends.push(text.len());
    let mut start = 0;
    ends.into_iter().map(move |end| {
        let part = &text[start..end];
        start = (end + at.len_utf8()).min(text.len());
        part
    })
}

/// The characters outside "…" and […], with their positions. A doubled closing
/// character is part of the name.
fn outside_quotes(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut closing = None;
    let mut chars = text.char_indices().peekable();
    std::iter::from_fn(move || {
        loop {
            let (at, c) = chars.next()?;
            match closing {
                None => {
                    closing = match c {
                        '"' => Some('"'),
                        '[' => Some(']'),
                        _ => return Some((at, c)),
                    };
                }
                Some(close) if c == close => {
                    if chars.peek().is_some_and(|&(_, next)| next == close) {
                        chars.next();
                    } else {
                        closing = None;
                    }
                }
                Some(_) => {}
            }
        }
    })
}

/// The target of a table that is listed without one: the same name, in the target's
/// default schema if the source is in its default schema, in whatever case that is written.
pub(super) fn implied_target(source: &TableName, source_default_schema: &str) -> TableName {
    TableName {
        schema: source
            .schema
            .clone()
            .filter(|schema| schema.to_lowercase() != source_default_schema.to_lowercase()),
        name: source.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> TableName {
        text.parse().unwrap()
    }

    fn table(source: &str, target: Option<&str>) -> Entry {
        Entry::Table {
            source: name(source),
            target: target.map(name),
        }
    }

    #[test]
    fn a_list_is_split_at_commas_outside_quotes() {
        assert_eq!(
            parse(" a , dbo.b=c,, \"x,y=z*\" , [p]],q].[r] ,").unwrap(),
            [
                table("a", None),
                table("dbo.b", Some("c")),
                table("\"x,y=z*\"", None),
                table("[p]],q].[r]", None)
            ]
        );
        assert_eq!(parse(" , ").unwrap(), []);
    }

    #[test]
    fn a_file_has_comments_and_blank_lines() {
        let text = "\u{feff}# all of sales\r\n  sales.orders # big\r\n\r\na, b\n\"c#d\"=e\n";
        assert_eq!(
            parse_file(text).unwrap(),
            [
                table("sales.orders", None),
                table("a", None),
                table("b", None),
                table("\"c#d\"", Some("e"))
            ]
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (list, word) in [
            ("a=b=c", "more than one `=`"),
            ("a=b*", "none that it can stand for"),
            ("a*=b", "`b` is one"),
            ("a*=b*c*", "one `*`"),
            ("!a=b", "write it without `=`"),
            ("!", "empty"),
            ("a=", "empty"),
            ("\"a", "quote"),
            ("a[b", "without `]`"),
        ] {
            let message = parse(list).unwrap_err().to_string();
            assert!(message.contains(word), "{list}: {message}");
        }
        assert!(parse_exclusions("a=b").is_err());
    }

    #[test]
    fn patterns_and_exclusions_are_told_from_names() {
        let entries = parse("dbo.*=x.s_*, !tmp_[0-9]*, [a*], !\"b,c\"").unwrap();
        assert!(
            matches!(
                entries.as_slice(),
                [
                    Entry::Pattern {
                        target: Some(_),
                        ..
                    },
                    Entry::Exclusion(TableSelector::Pattern(_)),
                    Entry::Table { target: None, .. },
                    Entry::Exclusion(TableSelector::Name(_)),
                ]
            ),
            "{entries:?}"
        );
        assert_eq!(parse_exclusions(" a*,, \"b,c\" ").unwrap().len(), 2);
    }

    #[test]
    fn the_default_schema_of_the_source_becomes_that_of_the_target() {
        assert_eq!(implied_target(&name("dbo.a"), "dbo"), name("a"));
        assert_eq!(implied_target(&name("DBO.a"), "dbo"), name("a"));
        assert_eq!(implied_target(&name("sales.a"), "dbo"), name("sales.a"));
        assert_eq!(implied_target(&name("a"), "dbo"), name("a"));
    }
}
