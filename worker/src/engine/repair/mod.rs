//! Statements that make the target equal to the source, row by row, and their
//! inverses, which undo them.
//!
//! The rows that differ are read again, with every column in its own exact form
//! ([`value`](crate::engine::values::value)), since less may be compared than is stored. No statement is
//! executed here: they are sent to the caller of the engine.

pub(crate) mod certain;
pub(crate) mod destination;
pub(crate) mod exchanges;
pub(crate) mod fit;
#[cfg(test)]
mod guarded_tests;
pub(crate) mod left_out;
pub(crate) mod literal;
pub(crate) mod reading;
pub(crate) mod references;
pub(crate) mod row;
pub(crate) mod statement;
pub(crate) mod verify;

use certain::{Copies, Identification};
use row::RowRepair;

use shared::outcome::RepairPlan;

use crate::engine::database::constraints::Constraints;
use crate::engine::database::dialect::RepairDialect;
use crate::engine::database::kinds::database;
use crate::engine::fetch::{Projection, Rows};
use crate::engine::rows::differing::Differing;
use crate::engine::step::{Planned, StepContext};
use crate::engine::task::{FindingBatch, Stop};
use crate::engine::values::column::SideOf;

/// Statements sent at once.
const BATCH: usize = 200;

/// Bytes of statements sent at once, unless one statement has more.
const BATCH_BYTES: usize = 1 << 20;

pub(crate) async fn repair(
    step: &mut StepContext<'_>,
    differing: &Differing,
) -> Result<RepairPlan, Stop> {
    let planned = step.planned;
    let target = step.sides.side(SideOf::Target);
    let constraints = target.constraints(&planned.tables.target).await?;
    let dialects = step
        .sides
        .kinds()
        .map(|kind| -> &'static dyn RepairDialect { database(kind) });
    let (mut repair, own) = RowRepair::new(planned, dialects, &constraints);
    repair.longest = step.budget.memory / 16;
    let keyless = step.spec.options.repair_keyless;
    let identified = match obstacle(planned, &constraints) {
        Some(why) => Err(why),
        None => Identification::of(planned, keyless),
    };
    match identified {
        Ok(identification) => repair.identification = identification,
        Err(why) => {
            repair.left_out.add_all(why, differing.counts().total());
            return Ok(repair.finish(step.spec, constraints));
        }
    }
    match Copies::count(step, repair.identification, &own, differing).await? {
        Some(copies) => repair.copies = copies,
        None => {
            let why = "the rows under so many keys cannot be counted within --memory-limit; raise it, or declare the key unique on both sides";
            repair.left_out.add_all(why, differing.counts().total());
            return Ok(repair.finish(step.spec, constraints));
        }
    }
    let mut rows = Rows::open(step, &Projection::Own(own), differing).await?;
    let mut batch = Vec::new();
    let mut bytes = 0;
    loop {
        let chunk = rows.next(step).await?;
        if chunk.is_empty() {
            break;
        }
        for row in chunk {
            let Some(statement) = repair.statement(&row)? else {
                continue;
            };
            repair.statements += 1;
            if repair.references.is_full() {
                repair.check_references(step).await?;
            }
            bytes += statement.sql.len() + statement.undo.len();
            batch.push(statement);
            if batch.len() == BATCH || bytes >= BATCH_BYTES {
                bytes = 0;
                let batch = std::mem::take(&mut batch);
                step.task.send(FindingBatch::Repair(batch)).await?;
            }
        }
    }
    if !batch.is_empty() {
        step.task.send(FindingBatch::Repair(batch)).await?;
    }
    repair.check_references(step).await?;
    Ok(repair.finish(step.spec, constraints))
}

/// Why no row of the table can be repaired.
fn obstacle(planned: &Planned, constraints: &Constraints) -> Option<&'static str> {
    if constraints.is_view {
        return Some("the target is a view; repair its base tables");
    }
    if constraints.is_inherited {
        return Some(
            "the target has inheritance children, whose rows are compared as its own; compare and repair each of these tables by itself",
        );
    }
    if !constraints.instead_of_triggers.is_empty() {
        return Some(
            "the target has INSTEAD OF triggers, which decide what a change does; disable them, or repair the table by hand",
        );
    }
    let table = &planned.tables.target;
    if table.columns.iter().any(|column| column.masked) {
        return Some(
            "a column of the target is masked for the endpoint's user; grant UNMASK to it",
        );
    }
    // A line of a script must not begin with a part of a name.
    let columns = table
        .columns
        .iter()
        .flat_map(|column| [&column.name, &column.declared]);
    let mut names = [&table.schema, &table.name]
        .into_iter()
        .chain(columns)
        .map(String::as_str)
        .chain(constraints.names());
    names
        .any(|name| name.contains(char::is_control))
        .then_some("a name in the target has a control character, which a script cannot contain")
}
