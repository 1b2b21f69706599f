//! Statements that make the target equal to the source, row by row, and those
//! that take them back.
//!
//! The rows that differ are fetched again, with every column in its own exact
//! form ([`value`]): what is compared may be less than what is stored. Nothing is
//! executed here; statements go to whoever keeps them.

pub(crate) mod destination;
pub(crate) mod fit;
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
use crate::engine::disk::Room;
use crate::engine::fetch::located::{LocatedRow, values};
use crate::engine::fetch::{OwnColumns, Projection, Rows};
use crate::engine::plan::PlannedColumn;
use crate::engine::rows::differing::Differing;
use crate::engine::sides::{Planned, Sides};
use crate::engine::task::{Found, Stop, TaskContext};
use crate::engine::values::column::{Column, ColumnType, SideOf};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::folding::Folding;
use crate::engine::values::kind::{Kind, Resolution};
use crate::engine::values::pairing::pairing;
use crate::engine::values::reading::Reading;
use crate::engine::values::value::{Unwritable, Value, decode};

/// Statements sent at once.
const BATCH: usize = 200;

/// Bytes of statements sent at once, unless one statement has more.
const BATCH_BYTES: usize = 1 << 20;

/// A column that is read in its own form, and where in an encoded row it is.
#[derive(Debug, Clone, Copy)]
struct Place(usize);

/// What is read, and how statements are made of it.
struct Repair<'a> {
    planned: &'a Planned,
    table: TargetTable,
    /// Of each pair of columns, where the source's own value is.
    source: Vec<Option<Place>>,
    /// Of each of the target's columns, where its own value is.
    target: Vec<Option<Place>>,
    statements: u64,
    /// Why rows are not mended, and how many.
    left: BTreeMap<String, u64>,
}

/// Makes and sends the statements for all of `differing`.
pub(crate) async fn repair(
    sides: Sides,
    planned: &Planned,
    spec: &TableSpec,
    differing: &Differing,
    room: &Room,
    context: &TaskContext,
) -> Result<(Sides, RepairPlan), Stop> {
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let dialects: (&dyn RepairDialect, &dyn RepairDialect) =
        (database(source.engine()), database(target.engine()));
    let (target, constraints) = target.constraints(&planned.target).await?;
    let sides = Sides {
        source,
        target,
        stop,
    };
    let (mut repair, own) = Repair::new(planned, dialects, &constraints);
    if constraints.is_view {
        let why = "the target is a view; repair the tables that it shows";
        repair
            .left
            .insert(why.to_owned(), differing.counts().total());
        return Ok((sides, repair.finish(spec, constraints)));
    }
    let projection = Projection::Own(own);
    let most = usize::try_from(spec.chunk_size)
        .unwrap_or(usize::MAX)
        .max(1);
    let (mut sides, mut rows) =
        Rows::open(sides, planned, &projection, differing, most, room).await?;
    let mut batch = Vec::new();
    let mut bytes = 0;
    loop {
        let chunk;
        (sides, chunk) = rows.next(sides).await?;
        if chunk.is_empty() {
            break;
        }
        for row in chunk {
            let made = repair.mend(&row)?;
            repair.statements += u64::from(made.is_some());
            bytes += made
                .as_ref()
                .map_or(0, |made| made.sql.len() + made.undo.len());
            batch.extend(made);
            if batch.len() == BATCH || bytes >= BATCH_BYTES {
                bytes = 0;
                send(std::mem::take(&mut batch), context).await?;
            }
        }
    }
    if !batch.is_empty() {
        send(batch, context).await?;
    }
    Ok((sides, repair.finish(spec, constraints)))
}

async fn send(batch: Vec<RepairStatement>, context: &TaskContext) -> Result<(), Stop> {
    // Nobody listens any more: the work is not wanted.
    context
        .findings
        .send(Found::Repair(batch))
        .await
        .map_err(|_| Stop::Cancelled)
}

/// How a column is read so that nothing of its value is lost; `None` where that cannot be done.
fn own_form(
    (dialect, side): (&dyn RepairDialect, SideOf),
    column: &Column,
    rule: Option<&ColumnRule>,
) -> Option<(Column, Reading)> {
    let as_text = rule.is_some_and(|rule| rule.as_text);
    // The comparison has not read such a text without `as_text` only if it is not compared at all.
    let doubtful = (rule.is_none() || as_text) && dialect.may_hold_unpaired_surrogates(column);
    if doubtful || (as_text && side == SideOf::Source) {
        let unfolded = Folding::of(&ColumnRule::default());
        let conversion = Some(Conversion::DatabaseText(unfolded));
        let reading = Reading::new(Kind::Text, &column.kind, conversion);
        return Some((column.clone(), reading));
    }
    let simple = matches!(
        column.kind,
        ColumnType::Bool
            | ColumnType::Int
            | ColumnType::Decimal
            | ColumnType::Money
            | ColumnType::Float32
            | ColumnType::Float64
            | ColumnType::Text { .. }
            | ColumnType::Bytes
            | ColumnType::Date
            | ColumnType::Time(_)
            | ColumnType::Timestamp(_)
            | ColumnType::DateTime
            | ColumnType::Instant(_)
            | ColumnType::Uuid
    );
    if simple {
        let own = pairing(column, column, &ColumnRule::default()).ok()?;
        let reading = Reading::new(own.kind, &column.kind, None);
        return Some((column.clone(), reading));
    }
    // The database's own text, which it reads back as the same value.
    let read_as = dialect.round_trip_type(column)?;
    let column = Column {
        kind: ColumnType::Text { padded: false },
        read_as: Some(read_as.to_owned()),
        ..column.clone()
    };
    let reading = Reading::new(Kind::Text, &column.kind, None);
    Some((column, reading))
}

/// Finds room for the own form of a column, unless what is compared is that form already.
fn place(
    read: &mut Vec<(Column, Reading)>,
    (dialect, side): (&dyn RepairDialect, SideOf),
    column: &Column,
    pair: Option<(usize, &PlannedColumn)>,
) -> Option<Place> {
    let rule = pair.map(|(_, pair)| &pair.rule);
    let (own, reading) = own_form((dialect, side), column, rule)?;
    if let Some((at, pair)) = pair
        && own == *column
        && pair.rule == ColumnRule::default()
        && pair.reading(side) == reading
    {
        return Some(Place(at));
    }
    read.push((own, reading));
    Some(Place(read.len() - 1))
}

impl<'a> Repair<'a> {
    fn new(
        planned: &'a Planned,
        (source_dialect, dialect): (&dyn RepairDialect, &'static dyn RepairDialect),
        constraints: &Constraints,
    ) -> (Self, OwnColumns) {
        let plan = &planned.plan;
        // All that is compared comes first, so that rows can be told apart.
        let mut own = OwnColumns {
            source: Vec::new(),
            target: Vec::new(),
            leading: plan.columns.len(),
        };
        for pair in &plan.columns {
            let compared = |side| (pair.on(side).clone(), pair.reading(side));
            own.source.push(compared(SideOf::Source));
            own.target.push(compared(SideOf::Target));
        }
        let source = plan
            .columns
            .iter()
            .enumerate()
            .map(|(at, pair)| {
                place(
                    &mut own.source,
                    (source_dialect, SideOf::Source),
                    &pair.source,
                    Some((at, pair)),
                )
            })
            .collect();
        // Those that are compared first, in the plan's order, then the target's other ones.
        let others = planned.target.columns.iter().filter(|column| {
            !plan
                .columns
                .iter()
                .any(|pair| pair.target.name == column.name)
        });
        let mut columns = Vec::new();
        let mut target = Vec::new();
        let pairs = plan.columns.iter().enumerate();
        let with_pairs = pairs.map(|(at, pair)| (&pair.target, Some((at, pair))));
        for (column, pair) in with_pairs.chain(others.map(|column| (column, None))) {
            target.push(place(
                &mut own.target,
                (dialect, SideOf::Target),
                column,
                pair,
            ));
            columns.push(TargetColumn {
                column: column.clone(),
                generated: constraints.generated.contains(&column.name),
                fixed: constraints.fixed.contains(&column.name),
            });
        }
        let key: Vec<usize> = (0..plan.key_columns).collect();
        let unique = plan.key_columns > 0
            && planned.target.keys.iter().any(|known| {
                known.iter().all(|name| {
                    plan.columns[..plan.key_columns]
                        .iter()
                        .any(|pair| pair.target.name == *name)
                })
            });
        let repair = Self {
            planned,
            table: TargetTable {
                dialect,
                name: dialect.qualified(&planned.target.schema, &planned.target.name),
                columns,
                key,
                unique,
                has_identity: !constraints.identity.is_empty(),
                dependents: constraints.dependents.clone(),
            },
            source,
            target,
            statements: 0,
            left: BTreeMap::new(),
        };
        (repair, own)
    }

    fn leave(&mut self, why: String) {
        *self.left.entry(why).or_default() += 1;
    }

    /// The statement for one row, if there is one.
    fn mend(&mut self, row: &LocatedRow) -> Result<Option<RepairStatement>, Stop> {
        let source = row.source.as_deref().map(values).transpose()?;
        let target = row.target.as_deref().map(values).transpose()?;
        let made = match (&source, &target) {
            (Some(source), None) if row.difference.target.is_none() => self
                .source_row(source)
                .and_then(|cells| self.table.insert(&cells))
                .map(|mend| Some((RepairAction::Insert, mend))),
            (None, Some(target)) if row.difference.source.is_none() => {
                let cells = self.target_row(target);
                self.table
                    .delete(&cells)
                    .map(|mend| Some((RepairAction::Delete, mend)))
            }
            (Some(source), Some(target)) => self
                .update(source, target)
                .map(|mend| mend.map(|mend| (RepairAction::Update, mend))),
            _ => {
                self.leave(
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
                self.leave(why.to_string());
                None
            }
        })
    }

    /// What the source's value of a pair of columns is on the target.
    fn wanted(&self, at: usize, source: &[&[u8]]) -> Result<Option<Value>, Unwritable> {
        let pair = &self.planned.plan.columns[at];
        let Some(value) = self.source[at].and_then(|Place(place)| source.get(place)) else {
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

    fn seen(&self, at: usize, target: &[&[u8]]) -> Option<Value> {
        let Place(place) = self.target[at]?;
        target.get(place).map(|value| decode(value))
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
            .filter_map(|at| Some((at, self.seen(at, target)?)))
            .collect()
    }

    fn update(
        &mut self,
        source: &[&[u8]],
        target: &[&[u8]],
    ) -> Result<Option<UndoableStatement>, Unwritable> {
        let columns = &self.planned.plan.columns;
        let mut changes = Vec::new();
        let mut kept = Vec::new();
        for (at, pair) in columns.iter().enumerate() {
            if source.get(at) == target.get(at) {
                continue;
            }
            let column = &self.table.columns[at];
            if column.generated {
                kept.push(format!(
                    "`{}` is made by the target and differs",
                    pair.target.name
                ));
                continue;
            }
            if column.fixed {
                kept.push(format!(
                    "`{}` is an identity column, which cannot be changed, and differs",
                    pair.target.name
                ));
                continue;
            }
            match (self.wanted(at, source)?, self.seen(at, target)) {
                (Some(new), Some(old)) if new != old => changes.push(Change { at, old, new }),
                (Some(_), Some(_)) => kept.push(format!(
                    "`{}` differs in a way that the target's type does not keep",
                    pair.target.name
                )),
                _ => kept.push(format!(
                    "`{}` has a type that cannot be written",
                    pair.target.name
                )),
            }
        }
        for why in kept {
            self.leave(why);
        }
        if changes.is_empty() {
            return Ok(None);
        }
        // Without a key of its own a row is known by all that was seen of it.
        let known: Vec<ColumnValue> = if self.table.unique {
            let key = self.table.key.iter();
            key.filter_map(|at| Some((*at, self.seen(*at, target)?)))
                .collect()
        } else {
            let changed = |at: usize| changes.iter().any(|change| change.at == at);
            // What the target makes may change along.
            let made = |at: usize| self.table.columns[at].generated;
            let mut cells = self.target_row(target);
            cells.retain(|(at, _)| !changed(*at) && !made(*at));
            cells
        };
        self.table.update(&known, &changes).map(Some)
    }

    fn finish(self, spec: &TableSpec, constraints: Constraints) -> RepairPlan {
        let mut notes: Vec<String> = self
            .left
            .into_iter()
            .map(|(why, rows)| format!("{rows} not repaired: {why}"))
            .collect();
        let unread: Vec<&str> = self
            .table
            .columns
            .iter()
            .zip(&self.target)
            .filter(|(_, place)| place.is_none())
            .map(|(column, _)| column.column.name.as_str())
            .collect();
        if !unread.is_empty() {
            notes.push(format!(
                "the undo script cannot bring back {} of rows that the repair deletes",
                unread.join(", ")
            ));
        }
        if self
            .table
            .columns
            .iter()
            .any(|column| column.column.declared.starts_with("datetimeoffset"))
        {
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
        RepairPlan {
            engine: self.table.dialect.kind(),
            schema: self.planned.target.schema.clone(),
            table: self.planned.target.name.clone(),
            foreign_keys: constraints.foreign_keys,
            identity_insert: self.table.dialect.needs_identity_insert()
                && self
                    .planned
                    .plan
                    .columns
                    .iter()
                    .any(|pair| constraints.identity.contains(&pair.target.name)),
            undo_identity_insert: Some(
                self.table.dialect.needs_identity_insert() && self.table.has_identity,
            ),
            sequences: constraints
                .sequences
                .into_iter()
                .filter(|sequence| {
                    let columns = &self.planned.plan.columns;
                    columns
                        .iter()
                        .any(|pair| pair.target.name == sequence.column)
                })
                .collect(),
            statements: self.statements,
            notes,
        }
    }
}

#[cfg(test)]
mod testing {
    use crate::engine::values::column::Column;
    use crate::engine::values::column::ColumnType;

    /// A column for tests.
    pub(crate) fn column(name: &str, kind: ColumnType, declared: &str) -> Column {
        Column {
            name: name.to_owned(),
            kind,
            declared: declared.to_owned(),
            nullable: true,
            read_as: None,
            repertoire: crate::engine::values::column::Repertoire::default(),
        }
    }
}
