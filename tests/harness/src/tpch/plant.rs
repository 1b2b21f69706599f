//! Changes rows of the target and records the changes.

use anyhow::ensure;
use fastrand::Rng;
use serde_json::{Map, Value};
use shared::outcome::{ColumnDifference, Difference, DifferenceKind};

use super::generate::{Row, Sample};
use super::plan::PlannedTable;
use super::side::Side;
use super::{Differences, Kind, Table};

/// Added to the last key column of an extra row; exceeds every generated key.
const BEYOND: i64 = 1_000_000_000;

/// Plants the differences that `table` defines for `wanted`, in rows of the sample.
pub(super) async fn plant(
    table: &Table,
    sample: &Sample,
    wanted: u32,
    target: &Side,
    random: Rng,
) -> anyhow::Result<PlannedTable> {
    let (modified, missing, extra) = table.planted(wanted, sample.total);
    ensure!(
        sample.rows.len() >= modified + missing + extra,
        "{} has only {} rows",
        table.name,
        sample.total
    );
    let (to_modify, rest) = sample.rows.split_at(modified);
    let (to_delete, rest) = rest.split_at(missing);
    let to_copy = &rest[..extra];

    let mut planter = Planter {
        table,
        target,
        random,
        differences: Vec::new(),
        balance: 0,
    };
    target.execute("BEGIN").await?;
    if table.differences == Differences::Multiset {
        planter.multiset(to_modify, to_delete, to_copy).await?;
    } else {
        for row in to_modify {
            planter.modify(row).await?;
        }
        for row in to_delete {
            planter.delete(row).await?;
        }
        for row in to_copy {
            planter.insert_beyond(row).await?;
        }
    }
    target.execute("COMMIT").await?;
    Ok(PlannedTable {
        name: table.name.to_owned(),
        source_count: sample.total,
        target_count: sample.total.saturating_add_signed(planter.balance),
        differences: planter.differences,
    })
}

struct Planter<'a> {
    table: &'a Table,
    target: &'a Side,
    random: Rng,
    differences: Vec<Difference>,
    /// Rows inserted less rows deleted.
    balance: i64,
}

impl Planter<'_> {
    async fn modify(&mut self, row: &Row) -> anyhow::Result<()> {
        let positions = if self.table.differences == Differences::FifthDecimal {
            vec![self.table.columns.len() - 1]
        } else {
            let others =
                (0..self.table.columns.len()).filter(|position| !self.table.key.contains(position));
            let count = if self.random.u8(..) < 64 { 2 } else { 1 };
            let mut chosen = self.random.choose_multiple(others, count);
            chosen.sort_unstable();
            chosen
        };
        let mut columns = Vec::new();
        let mut assignments = Vec::new();
        for position in positions {
            let column = self.table.columns[position];
            let value = changed(column.kind, &row[position], &mut self.random);
            assignments.push(format!("{} = {}", column.name, literal(value.as_deref())));
            columns.push(ColumnDifference {
                name: column.name.to_owned(),
                source: Value::String(row[position].clone()),
                target: value.map_or(Value::Null, Value::String),
            });
        }
        self.touch_one(&format!(
            "UPDATE {} SET {} WHERE {}",
            self.table.name,
            assignments.join(", "),
            self.key_condition(row)
        ))
        .await?;
        self.differences.push(Difference {
            kind: DifferenceKind::Modified,
            key: self.key(row),
            columns,
        });
        Ok(())
    }

    async fn delete(&mut self, row: &Row) -> anyhow::Result<()> {
        self.touch_one(&format!(
            "DELETE FROM {} WHERE {}",
            self.table.name,
            self.key_condition(row)
        ))
        .await?;
        self.balance -= 1;
        self.differences.push(Difference {
            kind: DifferenceKind::Missing,
            key: self.key(row),
            columns: Vec::new(),
        });
        Ok(())
    }

    async fn insert_beyond(&mut self, row: &Row) -> anyhow::Result<()> {
        let mut row = row.clone();
        if let Some(&last) = self.table.key.last() {
            row[last] = (row[last].parse::<i64>()? + BEYOND).to_string();
        }
        self.insert(&row).await?;
        self.differences.push(Difference {
            kind: DifferenceKind::Extra,
            key: self.key(&row),
            columns: Vec::new(),
        });
        Ok(())
    }

    /// In a table without a key a changed row counts as one missing and one extra
    /// row, and a duplicated row as one extra row.
    async fn multiset(
        &mut self,
        to_change: &[Row],
        to_delete: &[Row],
        to_double: &[Row],
    ) -> anyhow::Result<()> {
        for row in to_change {
            // Adds a cent to the balance of an account.
            let mut after = row.clone();
            after[5] = changed(Kind::Decimal, &row[5], &mut self.random).unwrap_or_default();
            self.touch_one(&format!(
                "UPDATE {} SET s_acctbal = {} WHERE {}",
                self.table.name,
                after[5],
                self.whole_row_condition(row)
            ))
            .await?;
            self.whole_row(DifferenceKind::Missing, row);
            self.whole_row(DifferenceKind::Extra, &after);
        }
        for row in to_delete {
            self.touch_one(&format!(
                "DELETE FROM {} WHERE {}",
                self.table.name,
                self.whole_row_condition(row)
            ))
            .await?;
            self.balance -= 1;
            self.whole_row(DifferenceKind::Missing, row);
        }
        for row in to_double {
            self.insert(row).await?;
            self.whole_row(DifferenceKind::Extra, row);
        }
        Ok(())
    }

    async fn insert(&mut self, row: &Row) -> anyhow::Result<()> {
        let values: Vec<String> = row.iter().map(|value| literal(Some(value))).collect();
        self.touch_one(&format!(
            "INSERT INTO {} VALUES ({})",
            self.table.name,
            values.join(", ")
        ))
        .await?;
        self.balance += 1;
        Ok(())
    }

    fn whole_row(&mut self, kind: DifferenceKind, row: &Row) {
        let columns = self.table.columns.iter().zip(row).map(|(column, value)| {
            let value = Value::String(value.clone());
            let (source, target) = if kind == DifferenceKind::Missing {
                (value, Value::Null)
            } else {
                (Value::Null, value)
            };
            ColumnDifference {
                name: column.name.to_owned(),
                source,
                target,
            }
        });
        self.differences.push(Difference {
            kind,
            key: Map::new(),
            columns: columns.collect(),
        });
    }

    async fn touch_one(&self, statement: &str) -> anyhow::Result<()> {
        let touched = self.target.execute(statement).await?;
        ensure!(touched == 1, "{touched} rows instead of one: {statement}");
        Ok(())
    }

    fn key(&self, row: &Row) -> Map<String, Value> {
        let pair = |&position: &usize| {
            (
                self.table.columns[position].name.to_owned(),
                Value::String(row[position].clone()),
            )
        };
        self.table.key.iter().map(pair).collect()
    }

    fn key_condition(&self, row: &Row) -> String {
        self.condition(row, self.table.key.iter().copied())
    }

    fn whole_row_condition(&self, row: &Row) -> String {
        self.condition(row, 0..self.table.columns.len())
    }

    fn condition(&self, row: &Row, positions: impl Iterator<Item = usize>) -> String {
        let parts: Vec<String> = positions
            .map(|position| {
                format!(
                    "{} = {}",
                    self.table.columns[position].name,
                    literal(Some(&row[position]))
                )
            })
            .collect();
        parts.join(" AND ")
    }
}

fn literal(value: Option<&str>) -> String {
    value.map_or_else(
        || "NULL".to_owned(),
        |value| format!("'{}'", value.replace('\'', "''")),
    )
}

/// The smallest change that a comparison could overlook: one unit in the last
/// place, the case of one letter, the next day, or NULL instead of a text.
fn changed(kind: Kind, value: &str, random: &mut Rng) -> Option<String> {
    match kind {
        Kind::BigInt | Kind::Int => Some(
            value
                .parse::<i64>()
                .map_or_else(|_| "1".to_owned(), |number| (number + 1).to_string()),
        ),
        Kind::Decimal => Some(add_a_cent(value)),
        Kind::Char(_) | Kind::Varchar(_) => match random.u8(0..3) {
            0 => None,
            1 => Some(flip_case(value)),
            _ => {
                let mut value = value.to_owned();
                value.pop();
                Some(value + "#")
            }
        },
        Kind::Date => {
            let day: chrono::NaiveDate = value.parse().unwrap_or_default();
            day.succ_opt().map(|day| day.to_string())
        }
        Kind::Timestamp => {
            let (whole, decimals) = value.split_at(value.len() - 2);
            let fifth = decimals.as_bytes()[0] - b'0';
            Some(format!("{whole}{}{}", (fifth + 1) % 10, &decimals[1..]))
        }
    }
}

fn add_a_cent(value: &str) -> String {
    let cents = if value.contains('.') {
        value.replace('.', "")
    } else {
        format!("{value}00")
    };
    let cents = cents.parse::<i64>().unwrap_or_default() + 1;
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

/// Changes the case of the first letter, or appends a letter if there is none.
fn flip_case(value: &str) -> String {
    let Some((position, letter)) = value
        .char_indices()
        .find(|(_, letter)| letter.is_ascii_alphabetic())
    else {
        return format!("{}x", &value[1..]);
    };
    let flipped = if letter.is_ascii_lowercase() {
        letter.to_ascii_uppercase()
    } else {
        letter.to_ascii_lowercase()
    };
    format!("{}{flipped}{}", &value[..position], &value[position + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_the_smallest_possible() {
        let mut random = Rng::with_seed(1);
        assert_eq!(add_a_cent("-0.01"), "0.00");
        assert_eq!(add_a_cent("-12.34"), "-12.33");
        assert_eq!(add_a_cent("17"), "17.01");
        assert_eq!(add_a_cent("99.99"), "100.00");
        assert_eq!(flip_case("aBc"), "ABc");
        assert_eq!(flip_case("12-34"), "2-34x");
        assert_eq!(
            changed(Kind::Date, "1996-02-29", &mut random).unwrap(),
            "1996-03-01"
        );
        assert_eq!(
            changed(Kind::Timestamp, "1996-02-29 01:02:03.123496", &mut random).unwrap(),
            "1996-02-29 01:02:03.123406"
        );
    }
}
