//! Where the sequences of PostgreSQL are, and the largest numbers in their columns.

use tokio_postgres::{Client, Row};

use crate::engine::database::dialect::Dialect as _;
use crate::engine::database::postgres::dialect::Postgres;
use crate::engine::database::postgres::literal::quoted;
use crate::engine::database::schema::{NumberState, NumberedColumn};
use crate::engine::error::DatabaseError;

/// Reads each sequence with the number in its column that is furthest, in one statement. A
/// sequence is not part of the snapshot: it is never behind the rows that the statement sees.
pub(crate) async fn read(
    client: &Client,
    columns: &[NumberedColumn],
) -> Result<Vec<NumberState>, DatabaseError> {
    let selects: Result<Vec<String>, _> = columns.iter().enumerate().map(select).collect();
    let statement = format!("{} ORDER BY 1", selects?.join(" UNION ALL "));
    let rows = client.query(&statement, &[]).await?;
    if rows.len() != columns.len() {
        return Err(malformed("a sequence that has not exactly one row"));
    }
    rows.iter()
        .zip(columns)
        .map(|(row, numbered)| state(row, numbered))
        .collect()
}

fn select((at, numbered): (usize, &NumberedColumn)) -> Result<String, DatabaseError> {
    let furthest = if numbered.numbering.increment > 0 {
        "max"
    } else {
        "min"
    };
    Ok(format!(
        "SELECT {at}, trunc((SELECT {furthest}({}) FROM {})::numeric)::text, q.last_value, q.is_called FROM {} AS q",
        Postgres.identifier(&numbered.column),
        Postgres.qualified(&numbered.schema, &numbered.table),
        sequence(numbered)?
    ))
}

fn state(row: &Row, numbered: &NumberedColumn) -> Result<NumberState, DatabaseError> {
    let furthest = row.try_get::<_, Option<&str>>(1)?;
    let furthest: Option<i128> = furthest.and_then(|number| number.parse().ok());
    let (last, is_called): (i64, bool) = (row.try_get(2)?, row.try_get(3)?);
    let step = if is_called {
        numbered.numbering.increment
    } else {
        0
    };
    let sequence = quoted(&sequence(numbered)?);
    Ok(NumberState {
        next: Some(i128::from(last) + step),
        furthest,
        restart: furthest
            .map(|furthest| format!("SELECT pg_catalog.setval({sequence}, {furthest}, true);")),
    })
}

fn sequence(numbered: &NumberedColumn) -> Result<String, DatabaseError> {
    let sequence = numbered.numbering.sequence.as_ref();
    sequence
        .map(|(schema, name)| Postgres.qualified(schema, name))
        .ok_or_else(|| malformed("a numbered column without a sequence"))
}

fn malformed(what: &str) -> DatabaseError {
    DatabaseError::Malformed(what.to_owned())
}
