//! Inserts rows into a SQL Server by INSERT statements.

use std::fmt::Write as _;

use anyhow::Context;

use super::sql_server::SqlServer;
use super::{Column, Kind};

/// The most rows that SQL Server takes in one statement.
const ROWS: u64 = 1000;

/// Collects rows into statements.
pub(super) struct Inserter<'a> {
    session: &'a mut SqlServer,
    table: String,
    columns: &'static [Column],
    statement: String,
    /// Rows in the statement.
    waiting: u64,
    /// Rows that the server has taken.
    stored: u64,
}

impl<'a> Inserter<'a> {
    pub(super) fn new(
        session: &'a mut SqlServer,
        table: String,
        columns: &'static [Column],
    ) -> Self {
        Self {
            session,
            table,
            columns,
            statement: String::new(),
            waiting: 0,
            stored: 0,
        }
    }

    /// Takes whole lines, values separated by `|`.
    pub(super) async fn send(&mut self, lines: &[u8]) -> anyhow::Result<()> {
        for line in std::str::from_utf8(lines)?.lines() {
            if self.waiting == 0 {
                self.statement = format!(
                    "INSERT INTO {} ({}) VALUES ",
                    self.table,
                    column_list(self.columns)
                );
            } else {
                self.statement.push_str(", ");
            }
            add_row(&mut self.statement, self.columns, line);
            self.waiting += 1;
            if self.waiting == ROWS {
                self.flush().await?;
            }
        }
        Ok(())
    }

    pub(super) async fn finish(mut self) -> anyhow::Result<u64> {
        self.flush().await?;
        Ok(self.stored)
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        if self.waiting == 0 {
            return Ok(());
        }
        // As a batch and not as a parameter of `sp_executesql`: no plan is worth keeping.
        self.session
            .simple_query(self.statement.as_str())
            .await
            .with_context(|| format!("cannot insert into {}", self.table))?
            .into_results()
            .await
            .with_context(|| format!("cannot insert into {}", self.table))?;
        self.stored += self.waiting;
        self.waiting = 0;
        Ok(())
    }
}

fn add_row(statement: &mut String, columns: &[Column], line: &str) {
    let values = columns.iter().zip(line.split('|'));
    for (position, (column, value)) in values.enumerate() {
        statement.push_str(if position == 0 { "(" } else { ", " });
        match column.kind {
            Kind::BigInt | Kind::Int | Kind::Decimal => statement.push_str(value),
            Kind::Char(_) | Kind::Varchar(_) | Kind::Date | Kind::Timestamp => {
                write!(statement, "'{}'", value.replace('\'', "''"))
                    .expect("writing to a String cannot fail");
            }
        }
    }
    statement.push(')');
}

pub(super) fn column_list(columns: &[Column]) -> String {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_and_numbers_are_not() {
        let column = |kind| Column { name: "c", kind };
        let columns = [
            column(Kind::BigInt),
            column(Kind::Decimal),
            column(Kind::Varchar(9)),
            column(Kind::Date),
        ];
        let mut statement = String::new();
        add_row(&mut statement, &columns, "7|-1.50|it's|1996-02-29");
        assert_eq!(statement, "(7, -1.50, 'it''s', '1996-02-29')");
    }
}
