//! Parses lists of tables and expands their patterns.

use shared::ids::{TableName, TableNameError};
use worker::engine::CatalogTable;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    /// A table, and its target if that has another name.
    Table {
        source: TableName,
        target: Option<TableName>,
    },
    /// All tables of the source whose names match.
    Pattern(Pattern),
}

/// A name with `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// As the user wrote it.
    pub(super) text: String,
    schema: Option<String>,
    name: String,
    /// The schema of all targets, as in `sales.*=archive.*`.
    target_schema: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TableListError {
    #[error("{0}")]
    Name(#[from] TableNameError),
    #[error("`{0}` has more than one `=`; write source=target, and quote a name that contains `=`")]
    TooManyTargets(String),
    #[error(
        "`{0}` has a pattern as its target; the only pattern allowed there is `schema.*`, for tables that keep their names"
    )]
    TargetPattern(String),
    #[error("the list of tables is empty; name tables with --tables or --tables-file")]
    Empty,
    #[error("table {0} is listed twice; name it once")]
    Twice(String),
    #[error(
        "`{pattern}` matches none of the {tables} tables of {endpoint}; a pattern without a schema only matches tables of {schema}"
    )]
    NoMatch {
        pattern: String,
        tables: usize,
        endpoint: String,
        schema: String,
    },
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

fn parse_entry(text: &str) -> Result<Entry, TableListError> {
    let text = text.trim();
    let mut sides = split(text, '=');
    let source = sides.next().unwrap_or_default();
    let target = sides.next();
    if sides.next().is_some() {
        return Err(TableListError::TooManyTargets(text.to_owned()));
    }
    let name: TableName = source.parse()?;
    let target: Option<TableName> = target.map(str::parse).transpose()?;
    let target_is_pattern = target.is_some() && split(text, '=').nth(1).is_some_and(has_star);
    if !has_star(source) {
        return if target_is_pattern {
            Err(TableListError::TargetPattern(text.to_owned()))
        } else {
            Ok(Entry::Table {
                source: name,
                target,
            })
        };
    }
    let target_schema = match target {
        None => None,
        Some(TableName {
            schema: Some(schema),
            name,
        }) if name == "*" && !schema.contains('*') => Some(schema),
        Some(_) => return Err(TableListError::TargetPattern(text.to_owned())),
    };
    Ok(Entry::Pattern(Pattern {
        text: source.trim().to_owned(),
        schema: name.schema,
        name: name.name,
        target_schema,
    }))
}

fn has_star(text: &str) -> bool {
    outside_quotes(text).any(|(_, c)| c == '*')
}

fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
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

impl Pattern {
    /// The tables that match, ordered by name. A pattern without a schema only
    /// matches tables of `default_schema`.
    pub(super) fn expand<'a>(
        &self,
        catalog: &'a [CatalogTable],
        default_schema: &str,
    ) -> Vec<(TableName, Option<TableName>, &'a CatalogTable)> {
        let mut found: Vec<&CatalogTable> = catalog
            .iter()
            .filter(|table| {
                self.schema
                    .as_deref()
                    .map_or(table.schema == default_schema, |schema| {
                        matches(schema, &table.schema)
                    })
                    && matches(&self.name, &table.name)
            })
            .collect();
        found.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
        found
            .into_iter()
            .map(|table| {
                let source = TableName {
                    schema: self.schema.is_some().then(|| table.schema.clone()),
                    name: table.name.clone(),
                };
                let target = self.target_schema.clone().map(|schema| TableName {
                    schema: Some(schema),
                    name: table.name.clone(),
                });
                (source, target, table)
            })
            .collect()
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any text. Case is ignored.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut remaining) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = remaining.find(part) else {
            return false;
        };
        remaining = &remaining[at + part.len()..];
    }
    remaining.ends_with(last)
}

/// The target of a table that is listed without one: the same name, in the target's
/// default schema if the source is in its default schema.
pub(super) fn implied_target(source: &TableName, source_default_schema: &str) -> TableName {
    TableName {
        schema: source
            .schema
            .clone()
            .filter(|schema| schema != source_default_schema),
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
        assert_eq!(
            parse("a=b=c"),
            Err(TableListError::TooManyTargets("a=b=c".into()))
        );
        assert_eq!(
            parse("a=b*"),
            Err(TableListError::TargetPattern("a=b*".into()))
        );
        assert_eq!(
            parse("a*=b*"),
            Err(TableListError::TargetPattern("a*=b*".into()))
        );
        assert!(matches!(
            parse("a=").unwrap_err(),
            TableListError::Name(TableNameError::EmptyPart(_))
        ));
        assert!(matches!(
            parse("\"a").unwrap_err(),
            TableListError::Name(TableNameError::Quote(_))
        ));
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*", "abc", true),
            ("a*", "ba", false),
            ("*a*b", "xaxb", true),
            ("*a*b", "xbxa", false),
            ("a*a", "a", false),
            ("A*", "abc", true),
            ("abc", "abc", true),
            ("abc", "abcd", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_without_a_schema_matches_in_the_default_one() {
        let catalog: Vec<CatalogTable> = [("dbo", "b"), ("dbo", "a"), ("sales", "a")]
            .into_iter()
            .map(|(schema, name)| CatalogTable {
                schema: schema.into(),
                name: name.into(),
                estimated_rows: None,
            })
            .collect();
        let expand = |text: &str| -> Vec<String> {
            let Entry::Pattern(pattern) = parse(text).unwrap().remove(0) else {
                panic!("{text} is a pattern")
            };
            let found = pattern.expand(&catalog, "dbo");
            found
                .into_iter()
                .map(|(source, target, _)| format!("{source}={target:?}"))
                .collect()
        };
        assert_eq!(expand("*"), ["a=None", "b=None"]);
        assert_eq!(expand("*.a"), ["dbo.a=None", "sales.a=None"]);
        let expected = format!("sales.a={:?}", Some(name("crm.a")));
        assert_eq!(expand("sales.*=crm.*"), [expected]);
    }

    #[test]
    fn the_default_schema_of_the_source_becomes_that_of_the_target() {
        assert_eq!(implied_target(&name("dbo.a"), "dbo"), name("a"));
        assert_eq!(implied_target(&name("sales.a"), "dbo"), name("sales.a"));
        assert_eq!(implied_target(&name("a"), "dbo"), name("a"));
    }
}
