//! `--where 'TABLE: CONDITION'`: which rows of single tables are compared.

use shared::options::Filters;
use shared::pattern::TableSelector;

use super::table_list::split;
use super::usage::UsageError;

/// A condition for tables of the source with this name or pattern. It holds on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) table: TableSelector,
    condition: String,
}

impl Condition {
    /// The conditions of both sides.
    pub(super) fn filters(&self) -> Filters {
        Filters {
            source: Some(self.condition.clone()),
            target: Some(self.condition.clone()),
        }
    }
}

/// Parses the values of the flag.
pub(super) fn parse(values: &[String]) -> Result<Vec<Condition>, UsageError> {
    values.iter().map(|value| parse_one(value)).collect()
}

fn parse_one(value: &str) -> Result<Condition, UsageError> {
    let malformed = |reason: String| UsageError::Where {
        value: value.to_owned(),
        reason,
    };
    let table = split(value, ':').next().unwrap_or_default();
    let condition = value.get(table.len() + 1..).unwrap_or_default().trim();
    if table.trim().is_empty() || condition.is_empty() {
        return Err(malformed("it lacks the table or the condition".to_owned()));
    }
    let table = table
        .parse()
        .map_err(|error: shared::pattern::PatternError| malformed(error.to_string()))?;
    Ok(Condition {
        table,
        condition: condition.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Result<Condition, String> {
        parse_one(value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_condition_follows_its_table() {
        let condition = parsed("dbo.orders: created >= '2020-01-01 10:00' ").unwrap();
        assert_eq!(condition.table, "dbo.orders".parse().unwrap());
        assert_eq!(
            condition.filters().source.as_deref(),
            Some("created >= '2020-01-01 10:00'")
        );
        let quoted = parsed("\"a:b\":x=1").unwrap();
        assert_eq!(quoted.table, "\"a:b\"".parse().unwrap());
    }

    #[test]
    fn a_value_without_table_or_condition_is_refused() {
        for value in ["orders", "orders:", ": a = 1", "\"orders: a = 1"] {
            assert!(parsed(value).unwrap_err().contains("--where"), "{value}");
        }
    }
}
