//! Where the identity columns and sequences of SQL Server are, and the largest numbers in the
//! columns.

use tiberius::Row;

use crate::engine::database::dialect::Dialect as _;
use crate::engine::database::schema::{NumberState, NumberedColumn};
use crate::engine::database::sql_server::answer::{malformed, optional, required, results};
use crate::engine::database::sql_server::connection::Connection;
use crate::engine::database::sql_server::dialect::SqlServer;
use crate::engine::database::sql_server::literal::national;
use crate::engine::error::DatabaseError;

/// Reads the number that is furthest in each column, and then, in a second statement, where its
/// identity or sequence is: so it is never behind the rows that were read.
pub(crate) async fn read(
    client: &mut Connection,
    columns: &[NumberedColumn],
) -> Result<Vec<NumberState>, DatabaseError> {
    let (mut furthest, mut positions) = (Vec::new(), Vec::new());
    for (at, numbered) in columns.iter().enumerate() {
        furthest.push(select_furthest(at, numbered));
        positions.push(select_position(at, numbered));
    }
    let request = format!(
        "{}; {}",
        furthest.join(" UNION ALL "),
        positions.join(" UNION ALL ")
    );
    let [furthest, positions] = results(client.simple_query(request).await?).await?;
    let mut states = vec![NumberState::default(); columns.len()];
    for row in &furthest {
        let number = whole(row, 1)?;
        state(&mut states, row)?.furthest = number;
    }
    for (state, numbered) in states.iter_mut().zip(columns) {
        state.restart = state.furthest.map(|furthest| restart(numbered, furthest));
    }
    for row in &positions {
        let at = usize::try_from(required::<i32>(row, 0)?).unwrap_or(usize::MAX);
        let (first, last) = (whole(row, 1)?, whole(row, 2)?);
        let increment = columns.get(at).map(|column| column.numbering.increment);
        if let Some(increment) = increment {
            state(&mut states, row)?.next = next(first, last, increment);
        }
    }
    Ok(states)
}

/// The number after the last one. Without one, the first number comes next. A sequence that was
/// never used has its first number as the last one, and so has one that was used once: then the
/// later number is assumed.
fn next(first: Option<i128>, last: Option<i128>, increment: i128) -> Option<i128> {
    last.map(|last| last + increment).or(first)
}

fn state<'a>(
    states: &'a mut [NumberState],
    row: &Row,
) -> Result<&'a mut NumberState, DatabaseError> {
    let at = usize::try_from(required::<i32>(row, 0)?).unwrap_or(usize::MAX);
    states
        .get_mut(at)
        .ok_or_else(|| malformed("a number of a column that was not asked for"))
}

fn whole(row: &Row, at: usize) -> Result<Option<i128>, DatabaseError> {
    let number: Option<&str> = optional(row, at)?;
    number
        .map(|number| {
            number
                .parse()
                .map_err(|_| malformed(&format!("`{number}` in place of a whole number")))
        })
        .transpose()
}

fn select_furthest(at: usize, numbered: &NumberedColumn) -> String {
    let function = if numbered.numbering.increment > 0 {
        "MAX"
    } else {
        "MIN"
    };
    format!(
        "SELECT {at}, CAST(CAST({function}({}) AS decimal(38, 0)) AS nvarchar(40)) FROM {}{}",
        SqlServer.identifier(&numbered.column),
        SqlServer.qualified(&numbered.schema, &numbered.table),
        numbered.hint
    )
}

fn select_position(at: usize, numbered: &NumberedColumn) -> String {
    match &numbered.numbering.sequence {
        None => format!(
            "SELECT {at}, CAST(i.seed_value AS nvarchar(40)), CAST(i.last_value AS nvarchar(40)) FROM sys.identity_columns AS i \
             JOIN sys.objects AS o ON o.object_id = i.object_id JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
             WHERE s.name = {} AND o.name = {}",
            national(&numbered.schema),
            national(&numbered.table)
        ),
        Some((schema, name)) => format!(
            "SELECT {at}, CAST(q.start_value AS nvarchar(40)), CAST(q.current_value AS nvarchar(40)) FROM sys.sequences AS q \
             JOIN sys.schemas AS s ON s.schema_id = q.schema_id WHERE s.name = {} AND q.name = {}",
            national(schema),
            national(name)
        ),
    }
}

/// The statement after which the next number is the one behind `furthest`.
fn restart(numbered: &NumberedColumn, furthest: i128) -> String {
    match &numbered.numbering.sequence {
        None => format!(
            "DBCC CHECKIDENT ({}, RESEED, {furthest});",
            national(&SqlServer.qualified(&numbered.schema, &numbered.table))
        ),
        Some((schema, name)) => format!(
            "ALTER SEQUENCE {} RESTART WITH {};",
            SqlServer.qualified(schema, name),
            furthest + numbered.numbering.increment
        ),
    }
}
