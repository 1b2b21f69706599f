//! Statements that make the target equal to the source, row by row, and their
//! inverses, which undo them.
//!
//! The rows that differ are read again, with every column in its own exact form
//! ([`value`](crate::engine::values::value)), since less may be compared than is stored. No statement is
//! executed here: they are sent to the caller of the engine.

pub(crate) mod destination;
pub(crate) mod fit;
#[cfg(test)]
mod guarded_tests;
pub(crate) mod literal;
pub(crate) mod statement;
pub(crate) mod verify;

use std::collections::BTreeMap;

use destination::for_target;
use fit::Destination;
use shared::message::TableSpec;
use shared::options::{ColumnRule, Rounding};
use shared::outcome::{RepairAction, RepairPlan, RepairStatement};
use statement::{Change, ColumnValue, TargetColumn, TargetTable, UndoableStatement};

use crate::engine::database::constraints::Constraints;
use crate::engine::database::dialect::RepairDialect;
use crate::engine::database::kinds::database;
use crate::engine::fetch::located::{LocatedRow, values};
use crate::engine::fetch::{OwnColumns, Projection, Rows};
use crate::engine::plan::PlannedColumn;
use crate::engine::rows::differing::Differing;
use crate::engine::step::{Planned, StepContext};
use crate::engine::task::{FindingBatch, Stop};
use crate::engine::values::column::{Column, ColumnType, SideOf};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::folding::Folding;
use crate::engine::values::kind::{Kind, Resolution};
use crate::engine::values::pair::Pair;
use crate::engine::values::pairing::pairing;
use crate::engine::values::reading::Reading;
use crate::engine::values::value::{Unwritable, Value, decode};

/// Statements sent at once.
const BATCH: usize = 200;

/// Bytes of statements sent at once, unless one statement has more.
const BATCH_BYTES: usize = 1 << 20;

/// Where in an encoded row a column is that is read in its own form.
type Position = usize;

/// What is read, and how statements are made of it.
struct Repair<'a> {
    planned: &'a Planned,
    table: TargetTable,
    /// Where a side's own values are: of the source for each pair of columns, of
    /// the target for each column of its table.
    positions: Pair<Vec<Option<Position>>>,
    statements: u64,
    /// Why rows are not repaired, and how many.
    skipped: BTreeMap<String, u64>,
}

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
    let (mut repair, own) = Repair::new(planned, dialects, &constraints);
    if constraints.is_view {
        let why = "the target is a view; repair its base tables";
        repair
            .skipped
            .insert(why.to_owned(), differing.counts().total());
        return Ok(repair.finish(step.spec, constraints));
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
    Ok(repair.finish(step.spec, constraints))
}

/// How a column is read without losing anything of its value; `None` where that is
/// not possible.
fn own_form(
    (dialect, side): (&dyn RepairDialect, SideOf),
    column: &Column,
    rule: Option<&ColumnRule>,
) -> Option<(Column, Reading)> {
    let as_text = rule.is_some_and(|rule| rule.as_text);
    let base = column.declared.split('(').next().unwrap_or_default();
    // The comparison has decoded the column's text, unless it does not read it or reads it as bytes.
    let may_be_invalid =
        (rule.is_none() || as_text) && dialect.facts().utf_16_types.contains(&base);
    if may_be_invalid || (as_text && side == SideOf::Source) {
        let unfolded = Folding::of(&ColumnRule::default());
        let conversion = Some(Conversion::DatabaseText(unfolded));
        let reading = Reading::new(Kind::Text, &column.kind, conversion);
        return Some((column.clone(), reading));
    }
    if !matches!(
        column.kind,
        ColumnType::Json | ColumnType::Xml | ColumnType::Other
    ) {
        let own = pairing(column, column, &ColumnRule::default()).ok()?;
        let reading = Reading::new(own.kind, &column.kind, None);
        return Some((column.clone(), reading));
    }
    // The database's own text form, from which it restores the same value.
    let read_as = dialect.round_trip_type(column)?;
    let column = Column {
        kind: ColumnType::Text { padded: false },
        read_as: Some(read_as.to_owned()),
        ..column.clone()
    };
    let reading = Reading::new(Kind::Text, &column.kind, None);
    Some((column, reading))
}

/// Adds the own form of a column to `read`, unless it is compared in that form
/// already. Returns where the value is.
fn position(
    read: &mut Vec<(Column, Reading)>,
    (dialect, side): (&dyn RepairDialect, SideOf),
    column: &Column,
    pair: Option<(usize, &PlannedColumn)>,
) -> Option<Position> {
    let rule = pair.map(|(_, pair)| &pair.rule);
    let (own, reading) = own_form((dialect, side), column, rule)?;
    if let Some((at, pair)) = pair
        && own == *column
        && pair.rule == ColumnRule::default()
        && pair.reading(side) == reading
    {
        return Some(at);
    }
    read.push((own, reading));
    Some(read.len() - 1)
}

impl<'a> Repair<'a> {
    fn new(
        planned: &'a Planned,
        dialects: Pair<&'static dyn RepairDialect>,
        constraints: &Constraints,
    ) -> (Self, OwnColumns) {
        let plan = &planned.plan;
        // All that is compared comes first, so that rows can be identified.
        let compared = |side| {
            let columns = plan.columns.iter();
            columns.map(move |pair| (pair.on(side).clone(), pair.reading(side)))
        };
        let mut read = Pair::of(|side| compared(side).collect::<Vec<_>>());
        let pairs = || plan.columns.iter().enumerate();
        let source = (dialects.source, SideOf::Source);
        let of_source = pairs()
            .map(|(at, pair)| position(&mut read.source, source, &pair.source, Some((at, pair))))
            .collect();
        // The target's columns that are compared, in the plan's order, then its other ones.
        let others = planned.tables.target.columns.iter().filter(|column| {
            let is_column = |pair: &PlannedColumn| pair.target.name == column.name;
            !plan.columns.iter().any(is_column)
        });
        let target = (dialects.target, SideOf::Target);
        let (of_target, columns) = pairs()
            .map(|(at, pair)| (&pair.target, Some((at, pair))))
            .chain(others.map(|column| (column, None)))
            .map(|(column, pair)| {
                let position = position(&mut read.target, target, column, pair);
                let column = TargetColumn {
                    column: column.clone(),
                    generated: constraints.generated.contains(&column.name),
                    fixed: constraints.fixed.contains(&column.name),
                };
                (position, column)
            })
            .unzip();
        let (schema, name) = (&planned.tables.target.schema, &planned.tables.target.name);
        let repair = Self {
            planned,
            table: TargetTable {
                dialect: dialects.target,
                name: dialects.target.qualified(schema, name),
                columns,
                key: (0..plan.key_columns).collect(),
                unique: planned.is_unique_on(SideOf::Target),
                has_identity: !constraints.identity.is_empty(),
                dependents: constraints.dependents.clone(),
            },
            positions: Pair {
                source: of_source,
                target: of_target,
            },
            statements: 0,
            skipped: BTreeMap::new(),
        };
        let own = OwnColumns {
            columns: read,
            leading: plan.columns.len(),
        };
        (repair, own)
    }

    fn skip(&mut self, why: String) {
        *self.skipped.entry(why).or_default() += 1;
    }

    /// The statement for one row, if there is one.
    fn statement(&mut self, row: &LocatedRow) -> Result<Option<RepairStatement>, Stop> {
        let source = row.source.as_deref().map(values).transpose()?;
        let target = row.target.as_deref().map(values).transpose()?;
        let made = match (&source, &target) {
            (Some(source), None) if row.difference.target.is_none() => self
                .source_row(source)
                .and_then(|cells| self.table.insert(&cells))
                .map(|statement| Some((RepairAction::Insert, statement))),
            (None, Some(target)) if row.difference.source.is_none() => {
                let cells = self.target_row(target);
                self.table
                    .delete(&cells)
                    .map(|statement| Some((RepairAction::Delete, statement)))
            }
            (Some(source), Some(target)) => self
                .update(source, target)
                .map(|statement| statement.map(|statement| (RepairAction::Update, statement))),
            _ => {
                self.skip(
                    "rows changed while they were read, and are left for the next run".to_owned(),
                );
                return Ok(None);
            }
        };
        Ok(match made {
            Ok(Some((action, UndoableStatement { sql, undo }))) => Some(RepairStatement {
                action,
                key: hex::encode(&row.key),
                sql,
                undo,
            }),
            Ok(None) => None,
            Err(why) => {
                self.skip(why.to_string());
                None
            }
        })
    }

    /// What the source's value of a pair of columns is on the target.
    fn wanted(&self, at: usize, source: &[&[u8]]) -> Result<Option<Value>, Unwritable> {
        let pair = &self.planned.plan.columns[at];
        let Some(value) = self.positions.source[at].and_then(|position| source.get(position))
        else {
            return Ok(None);
        };
        let times = match pair.kind {
            Kind::Time(resolution) | Kind::Timestamp(resolution) | Kind::Instant(resolution) => {
                resolution
            }
            _ => Resolution {
                rounding: pair.rule.rounding.unwrap_or(Rounding::Truncate),
                ..Resolution::coarser(7, 7)
            },
        };
        let to = Destination {
            dialect: self.table.dialect,
            column: &pair.target,
            rule: &pair.rule,
            times,
        };
        for_target(decode(value), to).map(Some)
    }

    fn current(&self, at: usize, target: &[&[u8]]) -> Option<Value> {
        let position = self.positions.target[at]?;
        target.get(position).map(|value| decode(value))
    }

    /// A row of the target as the source has it.
    fn source_row(&self, source: &[&[u8]]) -> Result<Vec<ColumnValue>, Unwritable> {
        let mut cells = Vec::new();
        for at in 0..self.planned.plan.columns.len() {
            if self.table.columns[at].generated {
                continue;
            }
            let Some(value) = self.wanted(at, source)? else {
                let name = self.planned.plan.columns[at].target.name.clone();
                return Err(Unwritable::NoForm(name));
            };
            cells.push((at, value));
        }
        Ok(cells)
    }

    /// A row of the target as it is, with all its columns.
    fn target_row(&self, target: &[&[u8]]) -> Vec<ColumnValue> {
        (0..self.table.columns.len())
            .filter_map(|at| Some((at, self.current(at, target)?)))
            .collect()
    }

    fn update(
        &mut self,
        source: &[&[u8]],
        target: &[&[u8]],
    ) -> Result<Option<UndoableStatement>, Unwritable> {
        let mut changes = Vec::new();
        let mut skipped = Vec::new();
        for (
            at,
            TargetColumn {
                column,
                generated,
                fixed,
            },
        ) in self
            .table
            .columns
            .iter()
            .enumerate()
            .take(self.planned.plan.columns.len())
        {
            if source.get(at) == target.get(at) {
                continue;
            }
            let name = &column.name;
            if *generated {
                skipped.push(format!("`{name}` is generated by the target and differs"));
                continue;
            }
            if *fixed {
                skipped.push(format!(
                    "`{name}` is an identity column, which cannot be changed, and differs"
                ));
                continue;
            }
            match (self.wanted(at, source)?, self.current(at, target)) {
                (Some(new), Some(old)) if new != old => changes.push(Change { at, old, new }),
                (Some(_), Some(_)) => skipped.push(format!(
                    "`{name}` differs in a way that the target's type does not keep"
                )),
                _ => skipped.push(format!("`{name}` has a type that cannot be written")),
            }
        }
        for why in skipped {
            self.skip(why);
        }
        if changes.is_empty() {
            return Ok(None);
        }
        // Without a unique key a row is identified by all its values.
        let known: Vec<ColumnValue> = if self.table.unique {
            let key = self.table.key.iter();
            key.filter_map(|at| Some((*at, self.current(*at, target)?)))
                .collect()
        } else {
            let is_changed = |at: usize| changes.iter().any(|change| change.at == at);
            // Generated columns may change along.
            let is_generated = |at: usize| self.table.columns[at].generated;
            let mut cells = self.target_row(target);
            cells.retain(|(at, _)| !is_changed(*at) && !is_generated(*at));
            cells
        };
        self.table.update(&known, &changes).map(Some)
    }

    fn finish(self, spec: &TableSpec, constraints: Constraints) -> RepairPlan {
        let (target, facts) = (&self.planned.tables.target, self.table.dialect.facts());
        let is_compared = |column: &String| {
            let columns = &self.planned.plan.columns;
            columns.iter().any(|pair| pair.target.name == *column)
        };
        let sequences = constraints.sequences.into_iter();
        RepairPlan {
            kind: facts.kind,
            schema: target.schema.clone(),
            table: target.name.clone(),
            foreign_keys: constraints.foreign_keys,
            identity_insert: facts.needs_identity_insert
                && constraints.identity.iter().any(is_compared),
            undo_identity_insert: Some(facts.needs_identity_insert && self.table.has_identity),
            sequences: sequences
                .filter(|sequence| is_compared(&sequence.column))
                .collect(),
            statements: self.statements,
            notes: self.notes(spec),
        }
    }

    /// What the user should know before applying the statements.
    fn notes(&self, spec: &TableSpec) -> Vec<String> {
        let mut notes: Vec<String> = self
            .skipped
            .iter()
            .map(|(why, rows)| format!("{rows} not repaired: {why}"))
            .collect();
        let columns = &self.table.columns;
        let unread: Vec<&str> = columns
            .iter()
            .zip(&self.positions.target)
            .filter(|(_, position)| position.is_none())
            .map(|(column, _)| column.column.name.as_str())
            .collect();
        if !unread.is_empty() {
            notes.push(format!(
                "the undo script cannot restore {} of rows that the repair deletes",
                unread.join(", ")
            ));
        }
        let has_offsets =
            |column: &TargetColumn| column.column.declared.starts_with("datetimeoffset");
        if columns.iter().any(has_offsets) {
            notes.push(
                "datetimeoffset is written in UTC: the same instants, with the offset +00:00"
                    .to_owned(),
            );
        }
        if !self.table.unique {
            notes.push(
                "no unique key on the target: inserts are not guarded, apply the script once"
                    .to_owned(),
            );
        }
        let options = &spec.options;
        if options.filters.target.is_some() || options.soft_delete.is_some() {
            notes.push(
                "rows of the target that a filter or a soft delete leaves out are not touched; where one has the key of a missing row, that row is skipped"
                    .to_owned(),
            );
        }
        notes
    }
}
