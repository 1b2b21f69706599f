//! The rules of columns, filters and soft deletes of a `[[tables]]` entry, and `[[rules]]`.

use std::collections::BTreeMap;

use super::choices::parse_choice;
use super::error::ConfigError;
use super::nearest::one_of;
use super::section::{Section, Sources};
use super::value::{FromValue, Value, Written};
use crate::options::{ColumnRule, Encoding, Filters, GeneralRule, SoftDelete, Tolerance, Trim};
use crate::pattern::TableSelector;

/// One entry of `[[rules]]`: a rule for the columns of many tables.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleEntry {
    /// The tables of the source to which it applies; absent: all.
    pub tables: Option<TableSelector>,
    /// The conditions that columns meet, and their rule.
    pub rule: GeneralRule,
}

/// `[[rules]]`.
pub(super) fn read_general_rule(
    mut section: Section,
    sources: &mut Sources<'_>,
) -> Result<RuleEntry, ConfigError> {
    let tables = section.take(sources, "tables")?;
    let columns = section.take(sources, "columns")?;
    let declared: Option<String> = section.take(sources, "type")?;
    if columns.is_none() && declared.is_none() {
        let reason = "lacks `columns`, a pattern of names such as \"*_at\", and `type`, a declared type such as \"nchar\"; it needs one of them or both";
        return Err(section.error(sources, reason));
    }
    let rule = read_rule(&mut section, sources)?;
    if rule == ColumnRule::default() {
        let reason = "has no rule, such as `trim = \"end\"` or `ignore = true`";
        return Err(section.error(sources, reason));
    }
    Ok(RuleEntry {
        tables,
        rule: GeneralRule {
            columns,
            declared,
            rule,
        },
    })
}

/// `[tables.rules.COLUMN]`.
pub(super) fn read_rules(
    parent: &mut Section,
    sources: &mut Sources<'_>,
) -> Result<BTreeMap<String, ColumnRule>, ConfigError> {
    let mut rules = sources.section(parent, "rules")?;
    sources
        .all_sections(&mut rules)?
        .into_iter()
        .map(|(column, mut section)| Ok((column, read_rule(&mut section, sources)?)))
        .collect()
}

fn read_rule(section: &mut Section, sources: &mut Sources<'_>) -> Result<ColumnRule, ConfigError> {
    let rule = ColumnRule {
        ignore: section.take(sources, "ignore")?.unwrap_or_default(),
        precision: section.take(sources, "precision")?,
        rounding: section.take(sources, "rounding")?,
        encoding: section.take(sources, "as")?,
        scale: section.take(sources, "scale")?,
        true_words: section.take(sources, "true_words")?.unwrap_or_default(),
        false_words: section.take(sources, "false_words")?.unwrap_or_default(),
        zone: section.take(sources, "zone")?,
        trim: section.take(sources, "trim")?,
        case_insensitive: section
            .take(sources, "case_insensitive")?
            .unwrap_or_default(),
        unicode: section.take(sources, "unicode")?,
        tolerance: section.take(sources, "tolerance")?,
        as_text: section.take(sources, "as_text")?.unwrap_or_default(),
        redact: section.take(sources, "redact")?.unwrap_or_default(),
    };
    section.finish(sources)?;
    if rule.precision.is_some_and(|digits| digits > 7) {
        return Err(section.error(sources, "has a `precision` above 7 digits of a second"));
    }
    if (rule.encoding == Some(Encoding::DecimalBytes)) != rule.scale.is_some() {
        return Err(section.error(
            sources,
            "needs `scale` with as = \"decimal-bytes\", and only there",
        ));
    }
    let has_words = !(rule.true_words.is_empty() && rule.false_words.is_empty());
    if has_words && rule.encoding != Some(Encoding::BooleanText) {
        return Err(section.error(
            sources,
            "has `true_words` or `false_words`, which need as = \"boolean-text\"",
        ));
    }
    if rule.zone.is_some() && (rule.encoding.is_some() || rule.as_text) {
        return Err(section.error(
            sources,
            "cannot have `zone` together with `as` or `as_text`",
        ));
    }
    Ok(rule)
}

impl FromValue for Filters {
    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Text(both) => Ok(Self {
                source: Some(both.clone()),
                target: Some(both),
            }),
            Value::Table(mut entries) => {
                let filters = Self {
                    source: take_text(&mut entries, "source")?,
                    target: take_text(&mut entries, "target")?,
                };
                only_known(entries.keys(), &["source", "target"])?;
                Ok(filters)
            }
            other => {
                Err(other
                    .unexpected("a condition in quotes, or { source = \"…\", target = \"…\" }"))
            }
        }
    }
}

impl FromValue for SoftDelete {
    fn from_value(value: Value) -> Result<Self, String> {
        let expected =
            "a column of the target such as \"__deleted\", or { column = \"…\", value = \"…\" }";
        match value {
            Value::Text(column) => Ok(Self {
                column,
                value: None,
            }),
            Value::Table(mut entries) => {
                let column = take_text(&mut entries, "column")?
                    .ok_or_else(|| format!("lacks `column`; expected {expected}"))?;
                let value = take_text(&mut entries, "value")?;
                only_known(entries.keys(), &["column", "value"])?;
                Ok(Self { column, value })
            }
            other => Err(other.unexpected(expected)),
        }
    }
}

impl FromValue for Tolerance {
    fn from_value(value: Value) -> Result<Self, String> {
        let expected = "a tolerance such as { absolute = 0.005 } or { relative = 1e-9 }";
        let Value::Table(mut entries) = value else {
            return Err(value.unexpected(expected));
        };
        let (absolute, relative) = (entries.remove("absolute"), entries.remove("relative"));
        only_known(entries.keys(), &["absolute", "relative"])?;
        match (absolute, relative) {
            (Some(absolute), None) => {
                let text = number(absolute.value)?;
                let plain = text.parse::<f64>().is_ok_and(|number| number >= 0.0)
                    && text.chars().all(|c| c.is_ascii_digit() || c == '.');
                if plain {
                    Ok(Self::Absolute(text))
                } else {
                    Err(format!(
                        "`{text}` is not a decimal of 0 or above such as 0.005"
                    ))
                }
            }
            (None, Some(relative)) => {
                let text = number(relative.value)?;
                text.parse()
                    .ok()
                    .filter(|fraction| (0.0..=1.0).contains(fraction))
                    .map(Self::Relative)
                    .ok_or_else(|| format!("`{text}` is not a fraction from 0 to 1"))
            }
            _ => Err(format!("expected {expected}")),
        }
    }
}

fn number(value: Value) -> Result<String, String> {
    match value {
        Value::Text(text) | Value::Integer(text) | Value::Float(text) => Ok(text.replace('_', "")),
        other => Err(other.unexpected("a number")),
    }
}

impl FromValue for Trim {
    fn from_value(value: Value) -> Result<Self, String> {
        match value {
            Value::Boolean(true) => Ok(Self::Both),
            other => parse_choice(&String::from_value(other)?),
        }
    }
}

fn take_text(entries: &mut BTreeMap<String, Written>, key: &str) -> Result<Option<String>, String> {
    let written = entries.remove(key);
    written
        .map(|written| String::from_value(written.value))
        .transpose()
}

fn only_known<'a>(
    mut left: impl Iterator<Item = &'a String>,
    known: &[&str],
) -> Result<(), String> {
    match left.next() {
        None => Ok(()),
        Some(key) => Err(one_of(key, known)),
    }
}
