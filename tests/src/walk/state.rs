//! What the tables of one side hold at one moment, and which changes of it a repair may make.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Client;

use super::shapes::{SHAPES, Shape};

/// The values of a row as text: key, other common columns, columns of the target only.
pub type Row = Vec<Option<String>>;

/// The rows of a table, each with its number of copies.
pub type Table = BTreeMap<Row, u64>;

/// The rows of all tables of a side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    is_target: bool,
    tables: Vec<Table>,
}

impl Shape {
    /// The number of columns of a row of one side.
    fn width(&self, is_target: bool) -> usize {
        self.columns(is_target).count()
    }

    fn columns(&self, is_target: bool) -> impl Iterator<Item = &'static str> {
        let more = if is_target { self.target_only } else { &[] };
        self.key.iter().chain(self.values).chain(more).copied()
    }

    /// What a difference is counted by: the key, or the whole row.
    fn identity(&self, row: &Row) -> Row {
        match self.key.len() {
            0 => row.clone(),
            columns => row[..columns].to_vec(),
        }
    }
}

fn find<'a>(table: &'a Table, shape: &Shape, identity: &Row) -> Option<&'a Row> {
    table.keys().find(|row| shape.identity(row) == *identity)
}

impl State {
    /// Reads all tables in one snapshot.
    pub async fn read(client: &Client, schema: &str, is_target: bool) -> Self {
        let mut tables = Vec::new();
        client
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            .await
            .unwrap();
        for shape in SHAPES {
            let columns: Vec<String> = shape
                .columns(is_target)
                .map(|column| format!("{column}::text"))
                .collect();
            let sql = format!("SELECT {} FROM {schema}.{}", columns.join(", "), shape.name);
            let mut table = Table::new();
            for row in client.query(&sql, &[]).await.unwrap() {
                let row = (0..row.len()).map(|at| row.get(at)).collect();
                *table.entry(row).or_default() += 1;
            }
            tables.push(table);
        }
        client.batch_execute("COMMIT").await.unwrap();
        Self { is_target, tables }
    }

    /// Checks that each change from `self` to `after` makes a row as `wanted` has it, in a row
    /// that `wanted` and `seen` had differently, and returns the number of changed rows of each
    /// table. `wanted` may lack the columns of the target only; they must stay as they are.
    ///
    /// # Errors
    ///
    /// A change that a repair must not make.
    pub fn check_repair(
        &self,
        after: &Self,
        wanted: &Self,
        seen: &Self,
    ) -> Result<BTreeMap<&'static str, u64>, String> {
        let mut changed = BTreeMap::new();
        for (at, shape) in SHAPES.iter().enumerate() {
            let tables = [self, after, wanted, seen].map(|state| &state.tables[at]);
            let count = if shape.key.is_empty() {
                check_copies(tables)
            } else {
                check_rows(shape, shape.width(wanted.is_target), tables)
            };
            changed.insert(
                shape.name,
                count.map_err(|why| format!("{}: {why}", shape.name))?,
            );
        }
        Ok(changed)
    }
}

/// Rows without a key: the number of copies moves towards that of `wanted`.
fn check_copies([before, after, wanted, seen]: [&Table; 4]) -> Result<u64, String> {
    let mut changed = 0;
    let rows: BTreeSet<&Row> = before.keys().chain(after.keys()).collect();
    for row in rows {
        let [old, new, to, from] =
            [before, after, wanted, seen].map(|table| table.get(row).copied().unwrap_or_default());
        if old == new {
            continue;
        }
        changed += old.abs_diff(new);
        if to == from {
            return Err(format!("{row:?} did not differ and became {new} of {old}"));
        }
        if new < old.min(to) || new > old.max(to) {
            return Err(format!("{row:?} became {new} of {old}, {to} are right"));
        }
    }
    Ok(changed)
}

/// Rows with a key. `width` is the number of columns that `wanted` has.
fn check_rows(
    shape: &Shape,
    width: usize,
    [before, after, wanted, seen]: [&Table; 4],
) -> Result<u64, String> {
    let mut changed = 0;
    let keys: BTreeSet<Row> = before
        .keys()
        .chain(after.keys())
        .map(|row| shape.identity(row))
        .collect();
    // Two rows, or none, with the same values in the columns that both have.
    let is_same = |one: Option<&Row>, other: Option<&Row>| {
        one.is_some() == other.is_some()
            && one.zip(other).is_none_or(|(one, other)| {
                let width = width.min(one.len()).min(other.len());
                one[..width] == other[..width]
            })
    };
    for key in keys {
        let [old, new, to, from] =
            [before, after, wanted, seen].map(|table| find(table, shape, &key));
        if old == new {
            continue;
        }
        changed += 1;
        let change = || format!("{old:?} became {new:?}, {from:?} was seen and {to:?} is right");
        if is_same(to, from) {
            return Err(format!("it did not differ: {}", change()));
        }
        match (old, new) {
            (Some(_), None) if to.is_none() => {}
            (None, Some(_)) if is_same(new, to) => {}
            (Some(old), Some(new)) => {
                let Some(to) = to else {
                    return Err(format!("it should have gone: {}", change()));
                };
                if old[width..] != new[width..] {
                    return Err(format!("other columns changed: {}", change()));
                }
                // A value that has changed since may stay.
                let each = old.iter().zip(new).zip(to);
                if each
                    .take(width)
                    .any(|((old, new), to)| new != old && new != to)
                {
                    return Err(format!("it is another value: {}", change()));
                }
            }
            _ => return Err(format!("it is wrong now: {}", change())),
        }
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(rows: &[(&str, &str)]) -> State {
        let row =
            |(id, v): &(&str, &str)| vec![Some((*id).to_owned()), Some((*v).to_owned()), None];
        let mut tables = vec![Table::new(); SHAPES.len()];
        tables[0] = rows.iter().map(|pair| (row(pair), 1)).collect();
        State {
            is_target: false,
            tables,
        }
    }

    #[test]
    fn only_differing_rows_may_become_as_the_source_has_them() {
        let source = plain(&[("1", "a"), ("2", "b"), ("3", "c")]);
        let seen = plain(&[("1", "a"), ("2", "x"), ("9", "z")]);
        let check = |after: &State| seen.check_repair(after, &source, &seen);
        assert_eq!(check(&source).unwrap()["plain"], 3);
        assert_eq!(check(&seen).unwrap()["plain"], 0);
        for wrong in [
            plain(&[("1", "b"), ("2", "x"), ("9", "z")]),
            plain(&[("1", "a"), ("2", "y"), ("9", "z")]),
            plain(&[("2", "x"), ("9", "z")]),
            plain(&[("1", "a"), ("2", "x")]).with("3", "d"),
        ] {
            assert!(check(&wrong).is_err(), "{wrong:?}");
        }
    }

    impl State {
        fn with(mut self, id: &str, v: &str) -> Self {
            let row = vec![Some(id.to_owned()), Some(v.to_owned()), None];
            self.tables[0].insert(row, 1);
            self
        }
    }
}
