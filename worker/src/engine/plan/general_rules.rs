//! Rules for all columns that meet a condition: which one a column has.

use shared::naming::relation;
use shared::options::{ColumnRule, GeneralRule};
use shared::pattern::NamePattern;

use crate::engine::values::column::Column;

/// Names that PostgreSQL accepts for a type, and the names that its catalog has.
const POSTGRES_NAMES: [(&str, &str); 19] = [
    ("bool", "boolean"),
    ("bpchar", "character"),
    ("char", "character"),
    ("dec", "numeric"),
    ("decimal", "numeric"),
    ("float", "double precision"),
    ("float4", "real"),
    ("float8", "double precision"),
    ("int", "integer"),
    ("int2", "smallint"),
    ("int4", "integer"),
    ("int8", "bigint"),
    ("time", "time without time zone"),
    ("timestamp", "timestamp without time zone"),
    ("timestamptz", "timestamp with time zone"),
    ("timetz", "time with time zone"),
    ("varbit", "bit varying"),
    ("varchar", "character varying"),
    ("char varying", "character varying"),
];

/// The most specific rule whose conditions a column meets: one for its name, then one for a
/// pattern of names, with more literal characters first, then one for its type alone; each with a
/// type before the same without, and with the type's length first. Of equally specific rules it is
/// the first.
///
/// A column that only the target has meets no condition of types, which are the source's.
pub(crate) fn most_specific<'a>(
    rules: &'a [GeneralRule],
    column: &Column,
    is_in_source: bool,
) -> Option<&'a ColumnRule> {
    let mut best: Option<(Specificity, &ColumnRule)> = None;
    for rule in rules {
        let type_rank = match &rule.declared {
            None => 0,
            Some(wanted) if is_in_source && is_declared_as(wanted, &column.declared) => {
                1 + u8::from(wanted.contains('('))
            }
            Some(_) => continue,
        };
        let (name_rank, literal) = match &rule.columns {
            None => (0, 0),
            Some(pattern) if !names(pattern, &column.name) => continue,
            Some(pattern) => (1 + u8::from(pattern.is_name()), pattern.literal_length()),
        };
        let specificity = (name_rank, literal, type_rank);
        if best.is_none_or(|(other, _)| specificity > other) {
            best = Some((specificity, &rule.rule));
        }
    }
    best.map(|(_, rule)| rule)
}

/// How specific the name and the type of a rule are; a higher one wins.
type Specificity = (u8, usize, u8);

/// A name stands for the columns that it finds elsewhere too, a pattern for those that it matches.
fn names(pattern: &NamePattern, column: &str) -> bool {
    pattern.matches(column) || (pattern.is_name() && relation(&pattern.name(), column).is_some())
}

/// Whether a type that the user names is the declared one, with or without its length.
fn is_declared_as(wanted: &str, declared: &str) -> bool {
    let (wanted, wanted_length) = split_length(wanted);
    let (declared, length) = split_length(declared);
    let is_other_name = POSTGRES_NAMES
        .iter()
        .any(|&(name, stored)| name == wanted && stored == declared);
    (wanted == declared || is_other_name)
        && wanted_length.is_none_or(|wanted| Some(wanted) == length)
}

/// A type in lower case without what it has in parentheses, and that without blanks:
/// `timestamp with time zone` and `3` of `timestamp(3) with time zone`.
fn split_length(declared: &str) -> (String, Option<String>) {
    let lower = declared.to_lowercase();
    let (name, length) = match lower.split_once('(') {
        None => (lower, None),
        Some((before, rest)) => {
            let (length, after) = rest.split_once(')').unwrap_or((rest, ""));
            let length: String = length.chars().filter(|c| !c.is_whitespace()).collect();
            (format!("{before} {after}"), Some(length))
        }
    };
    let words: Vec<&str> = name.split_whitespace().collect();
    (words.join(" "), length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::column::ColumnType;

    #[test]
    fn a_type_is_meant_with_and_without_its_length() {
        for (wanted, declared, expected) in [
            ("nchar", "nchar(10)", true),
            ("NCHAR(10)", "nchar(10)", true),
            ("nchar(5)", "nchar(10)", false),
            ("nchar", "nvarchar(10)", false),
            ("decimal(15,2)", "decimal(15, 2)", true),
            ("datetime2", "datetime2(7)", true),
            ("datetime", "datetime2(7)", false),
            ("timestamp", "timestamp(3) without time zone", true),
            ("timestamptz(3)", "timestamp(3) with time zone", true),
            (
                "timestamp(3) with time zone",
                "timestamp(3) with time zone",
                true,
            ),
            ("timestamp", "timestamp with time zone", false),
            ("timestamp", "timestamp", true),
            ("varchar", "character varying(20)", true),
            ("varchar(max)", "varchar(max)", true),
            ("decimal", "numeric(10,2)", true),
            ("int", "bigint", false),
            ("double  precision", "double precision", true),
            ("int", "int", true),
            ("int", "integer", true),
        ] {
            assert_eq!(
                is_declared_as(wanted, declared),
                expected,
                "{wanted} {declared}"
            );
        }
    }

    #[test]
    fn the_most_specific_rule_counts() {
        let rule = |columns: &str, declared: &str, digits: u8| GeneralRule {
            columns: (!columns.is_empty()).then(|| columns.parse().unwrap()),
            declared: (!declared.is_empty()).then(|| declared.to_owned()),
            rule: ColumnRule {
                precision: Some(digits),
                ..ColumnRule::default()
            },
        };
        let rules = [
            rule("", "datetime2", 0),
            rule("*", "", 1),
            rule("*_at", "", 2),
            rule("created*", "", 3),
            rule("created_at", "", 4),
            rule("*_at", "datetime2", 5),
            rule("", "datetime2(7)", 6),
            rule("*_on", "date", 7),
            rule("*_at", "", 8),
        ];
        let found = |rules: &[GeneralRule], name: &str, declared: &str, is_in_source| {
            let column = Column::new(name, ColumnType::Other, declared);
            most_specific(rules, &column, is_in_source).and_then(|rule| rule.precision)
        };
        let all = |name, declared| found(&rules, name, declared, true);
        assert_eq!(all("created_at", "text"), Some(4));
        assert_eq!(all("CreatedAt", "text"), Some(4));
        assert_eq!(all("created_by", "text"), Some(3));
        assert_eq!(all("sold_at", "datetime2(7)"), Some(5));
        assert_eq!(all("sold_at", "datetime"), Some(2));
        assert_eq!(all("x", "datetime2(7)"), Some(1));
        assert_eq!(all("sold_on", "datetime"), Some(1));
        assert_eq!(all("sold_on", "date"), Some(7));
        let types = [rules[0].clone(), rules[6].clone()];
        assert_eq!(found(&types, "x", "datetime2(7)", true), Some(6));
        assert_eq!(found(&types, "x", "datetime2(3)", true), Some(0));
        assert_eq!(found(&types, "x", "date", true), None);
        assert_eq!(found(&types, "x", "datetime2(7)", false), None);
        assert_eq!(found(&rules, "sold_at", "", false), Some(2));
    }
}
