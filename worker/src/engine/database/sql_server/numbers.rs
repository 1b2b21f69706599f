//! Where the identity columns and sequences of SQL Server are, and the largest numbers in the
//! columns.

use std::collections::BTreeMap;

use tiberius::Row;

use crate::engine::database::dialect::Dialect as _;
use crate::engine::database::schema::{NumberState, NumberedColumn, QualifiedName};
use crate::engine::database::sql_server::answer::{malformed, optional, required, results, text};
use crate::engine::database::sql_server::connection::Connection;
use crate::engine::database::sql_server::dialect::SqlServer;
use crate::engine::database::sql_server::literal::national;
use crate::engine::error::DatabaseError;

/// All sequences: a default names one, and there are few.
const SEQUENCES: &str = "\
SELECT s.name, q.name, CAST(q.start_value AS nvarchar(40)), CAST(q.current_value AS nvarchar(40)) \
FROM sys.sequences AS q JOIN sys.schemas AS s ON s.schema_id = q.schema_id";

/// Reads the number that is furthest in each column, and then, in later statements, where the
/// identity columns and sequences are: so they are never behind the rows that were read.
pub(crate) async fn read(
    client: &mut Connection,
    columns: &[NumberedColumn],
) -> Result<Vec<NumberState>, DatabaseError> {
    let selects = columns.iter().enumerate();
    let selects: Vec<String> = selects.map(|(at, column)| select(at, column)).collect();
    let objects: Vec<String> = columns
        .iter()
        .map(|column| column.object.to_string())
        .collect();
    let request = format!(
        "{}; SELECT CAST(i.object_id AS int), CAST(i.seed_value AS nvarchar(40)), CAST(i.last_value AS nvarchar(40)) \
         FROM sys.identity_columns AS i WHERE i.object_id IN ({}); {SEQUENCES}",
        selects.join(" UNION ALL "),
        objects.join(", ")
    );
    let [furthest, identities, sequences] = results(client.simple_query(request).await?).await?;
    let mut positions = Positions::default();
    for row in &identities {
        let object = i64::from(required::<i32>(row, 0)?);
        positions
            .identities
            .insert(object, (whole(row, 1)?, whole(row, 2)?));
    }
    for row in &sequences {
        let name = (text(row, 0)?, text(row, 1)?);
        positions
            .sequences
            .insert(name, (whole(row, 2)?, whole(row, 3)?));
    }
    let mut states: Vec<NumberState> = columns
        .iter()
        .map(|numbered| NumberState {
            next: positions.next(numbered),
            ..NumberState::default()
        })
        .collect();
    for row in &furthest {
        let at = usize::try_from(required::<i32>(row, 0)?).unwrap_or(usize::MAX);
        let (Some(state), Some(numbered)) = (states.get_mut(at), columns.get(at)) else {
            return Err(malformed("a number of a column that was not asked for"));
        };
        state.furthest = whole(row, 1)?;
        state.restart = state.furthest.map(|furthest| restart(numbered, furthest));
    }
    Ok(states)
}

/// The first and the last number of identity columns, by table, and of sequences.
#[derive(Debug, Default)]
struct Positions {
    identities: BTreeMap<i64, (Option<i128>, Option<i128>)>,
    sequences: BTreeMap<QualifiedName, (Option<i128>, Option<i128>)>,
}

impl Positions {
    /// A table has at most one identity column.
    fn next(&self, numbered: &NumberedColumn) -> Option<i128> {
        let (first, last) = match &numbered.numbering.sequence {
            None => self.identities.get(&numbered.object)?,
            Some(name) => self.sequences.get(name)?,
        };
        next(*first, *last, numbered.numbering.increment)
    }
}

/// The number after the last one; without a last one, the first number. A sequence that was never
/// used has its first number as the last one, and so has one that was used once: then the later
/// number is assumed.
fn next(first: Option<i128>, last: Option<i128>, increment: i128) -> Option<i128> {
    last.map(|last| last + increment).or(first)
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

fn select(at: usize, numbered: &NumberedColumn) -> String {
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
