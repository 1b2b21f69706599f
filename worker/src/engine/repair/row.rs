//! The repair of one row after the other: whether a row is repaired, by which statement,
//! and what the statements have in common.

use shared::message::TableSpec;
use shared::options::Rounding;
use shared::outcome::{RepairAction, RepairPlan, RepairStatement, Touched};

use crate::engine::database::constraints::Constraints;
use crate::engine::database::dialect::RepairDialect;
use crate::engine::database::structure::structure;
use crate::engine::fetch::OwnColumns;
use crate::engine::fetch::located::{LocatedRow, values};
use crate::engine::repair::certain::{Copies, Identification};
use crate::engine::repair::destination::for_target;
use crate::engine::repair::exchanges::Exchanges;
use crate::engine::repair::fit::Destination;
use crate::engine::repair::left_out::LeftOut;
use crate::engine::repair::reading::{Position, own_columns};
use crate::engine::repair::references::References;
use crate::engine::repair::statement::{
    Change, ColumnValue, TargetColumn, TargetTable, UndoableStatement, UniqueColumns,
};
use crate::engine::step::{Planned, StepContext};
use crate::engine::task::Stop;
use crate::engine::values::column::SideOf;
use crate::engine::values::kind::{Kind, Resolution};
use crate::engine::values::pair::Pair;
use crate::engine::values::tolerance::within;
use crate::engine::values::value::{Unwritable, Value, decode, shortened};

/// Why an update is skipped although its row has not changed.
const EXCHANGED: &str = "another row has the row's new value of a unique constraint and gives it up later, or exchanges it; the script skips such updates";

/// What is read, and how statements are made of it.
pub(crate) struct RowRepair<'a> {
    planned: &'a Planned,
    table: TargetTable,
    pub(crate) identification: Identification,
    pub(crate) copies: Copies,
    /// Where a side's own values are: of the source for each pair of columns, of
    /// the target for each column of its table.
    positions: Pair<Vec<Option<Position>>>,
    /// The most bytes of a value that is written: a statement has new and old values in
    /// several copies, and its inverse too.
    pub(crate) longest: usize,
    /// The columns of each foreign key, and how often statements touch them.
    foreign_keys: Vec<(Vec<usize>, Touched)>,
    /// Of each unique constraint, the updates so far.
    exchanges: Vec<Exchanges>,
    pub(crate) references: References,
    pub(crate) statements: u64,
    pub(crate) left_out: LeftOut,
}

impl<'a> RowRepair<'a> {
    pub(crate) fn new(
        planned: &'a Planned,
        dialects: Pair<&'static dyn RepairDialect>,
        constraints: &Constraints,
    ) -> (Self, OwnColumns) {
        let plan = &planned.plan;
        let (own, positions, columns) = own_columns(planned, dialects);
        let columns: Vec<TargetColumn> = columns
            .into_iter()
            .map(|column| TargetColumn {
                generated: constraints.generated.contains(&column.name),
                fixed: constraints.fixed.contains(&column.name),
                column,
            })
            .collect();
        let places = |names: &[String]| -> Option<Vec<usize>> {
            let place = |name: &String| {
                let mut columns = columns.iter();
                columns.position(|column| column.column.name == *name)
            };
            names.iter().map(place).collect()
        };
        let key: Vec<usize> = (0..plan.key_columns).collect();
        // The guard of the key also finds what such a constraint would refuse.
        let is_implied =
            |columns: &[usize]| !key.is_empty() && key.iter().all(|at| columns.contains(at));
        let unique_constraints: Vec<UniqueColumns> = constraints
            .unique
            .iter()
            .filter_map(|unique| {
                Some(UniqueColumns {
                    columns: places(&unique.columns)?,
                    nulls_are_equal: unique.nulls_are_equal,
                })
            })
            .filter(|unique| !is_implied(&unique.columns))
            .collect();
        let foreign_keys = constraints.foreign_keys.iter();
        let foreign_keys = foreign_keys
            .map(|key| (places(&key.columns).unwrap_or_default(), Touched::default()))
            .collect();
        let (schema, name) = (&planned.tables.target.schema, &planned.tables.target.name);
        let repair = Self {
            planned,
            identification: Identification::Copies,
            copies: Copies::default(),
            exchanges: unique_constraints
                .iter()
                .map(|_| Exchanges::default())
                .collect(),
            table: TargetTable {
                dialect: dialects.target,
                name: dialects.target.qualified(schema, name),
                columns,
                key,
                unique: planned.is_unique_on(SideOf::Target),
                has_identity: !constraints.identity.is_empty(),
                dependents: constraints.guarding(schema, name),
                unique_constraints,
            },
            positions,
            longest: usize::MAX,
            foreign_keys,
            references: References::default(),
            statements: 0,
            left_out: LeftOut::default(),
        };
        (repair, own)
    }

    pub(crate) async fn check_references(
        &mut self,
        step: &mut StepContext<'_>,
    ) -> Result<(), Stop> {
        let references = &mut self.references;
        references
            .check(step, &self.table, &mut self.left_out)
            .await
    }

    fn skip(&mut self, why: impl Into<String>, row: &LocatedRow) {
        self.left_out.add(why.into(), &self.planned.plan, &row.key);
    }

    /// The statement for one row, if there is one.
    pub(crate) fn statement(&mut self, row: &LocatedRow) -> Result<Option<RepairStatement>, Stop> {
        let source = row.source.as_deref().map(values).transpose()?;
        let target = row.target.as_deref().map(values).transpose()?;
        let key = row.difference.key;
        if let Some(why) = self.copies.doubt(key, self.identification) {
            self.skip(why, row);
            return Ok(None);
        }
        let made = match (&source, &target) {
            (Some(source), None) if row.difference.target.is_none() => self
                .insert(source, row)
                .map(|statement| statement.map(|made| (RepairAction::Insert, made))),
            (None, Some(target)) if row.difference.source.is_none() => self
                .delete(target, row)
                .map(|statement| statement.map(|made| (RepairAction::Delete, made))),
            (Some(source), Some(target)) => self
                .update(source, target, row)
                .map(|statement| statement.map(|made| (RepairAction::Update, made))),
            _ => {
                let why = "rows changed while they were read, and are left for the next run";
                self.skip(why, row);
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
                self.skip(why.to_string(), row);
                None
            }
        })
    }

    fn insert(
        &mut self,
        source: &[&[u8]],
        row: &LocatedRow,
    ) -> Result<Option<UndoableStatement>, Unwritable> {
        let compared = self.planned.plan.columns.len();
        let is_needed = |column: &TargetColumn| {
            !column.generated && !column.column.nullable && !column.column.has_default
        };
        let others = &self.table.columns[compared..];
        if let Some(needed) = others.iter().find(|column| is_needed(column)) {
            let why = format!(
                "`{}` of the target is not compared, is NOT NULL and has no default, so no row can be added",
                needed.column.name
            );
            self.skip(why, row);
            return Ok(None);
        }
        if let Some(at) = self.generated_key() {
            let name = &self.table.columns[at].column.name;
            let why =
                format!("`{name}` of the key is generated by the target, so no row can be added");
            self.skip(why, row);
            return Ok(None);
        }
        let cells = self.source_row(source)?;
        let copies = self.copies_before(row, true);
        let statement = self.table.insert(&cells, copies)?;
        let value = |at: usize| {
            let mut cells = cells.iter();
            cells
                .find(|(place, _)| *place == at)
                .map(|(_, value)| value)
        };
        let references = |columns: &[usize]| {
            columns.iter().all(|at| match value(*at) {
                Some(value) => *value != Value::Null,
                None => self.table.columns[*at].column.has_default,
            })
        };
        for (columns, touched) in &mut self.foreign_keys {
            touched.rows += u64::from(references(columns));
        }
        Ok(Some(statement))
    }

    fn delete(
        &mut self,
        target: &[&[u8]],
        row: &LocatedRow,
    ) -> Result<Option<UndoableStatement>, Unwritable> {
        if let Some(why) = self.loss(target) {
            self.skip(why, row);
            return Ok(None);
        }
        let cells = self.target_row(target);
        let copies = self.copies_before(row, false);
        let statement = self.table.delete(&cells, copies)?;
        if !self.table.key.is_empty() && !self.table.dependents.on_delete.is_empty() {
            let condition = self.table.key_condition(&cells)?;
            self.references.add(row.key.clone(), condition);
        }
        let is_null = |at: &usize| cells.contains(&(*at, Value::Null));
        for (columns, touched) in &mut self.foreign_keys {
            touched.rows += u64::from(!columns.iter().any(is_null));
        }
        Ok(Some(statement))
    }

    /// Why the row must not be deleted: values that are not compared, or that cannot be
    /// read, would be lost.
    fn loss(&self, target: &[&[u8]]) -> Option<String> {
        let compared = self.planned.plan.columns.len();
        let mut lost = Vec::new();
        for (at, column) in self.table.columns.iter().enumerate() {
            let name = &column.column.name;
            match self.current(at, target) {
                _ if column.generated && !self.table.key.contains(&at) => {}
                None => {
                    return Some(format!(
                        "`{name}` of the target cannot be read exactly, so the deletion of a row could not be undone"
                    ));
                }
                Some(value) if at >= compared && value != Value::Null => {
                    lost.push(format!("`{name}`"));
                }
                Some(_) => {}
            }
        }
        let columns = match lost.as_slice() {
            [] => return None,
            [column] => format!("{column}, which is"),
            columns => format!("{}, which are", columns.join(", ")),
        };
        Some(format!(
            "the row is extra, and its deletion would lose the value of {columns} not compared; decide and delete it by hand"
        ))
    }

    /// A column of the key whose value only the target sets.
    fn generated_key(&self) -> Option<usize> {
        let mut key = self.table.key.iter().copied();
        key.find(|at| self.table.columns[*at].generated)
    }

    /// How many rows equal to `row` the target has before the next statement for it; without
    /// a meaning where the table has a key.
    fn copies_before(&mut self, row: &LocatedRow, adds: bool) -> u64 {
        match self.identification {
            Identification::Copies => self.copies.before_next(row.difference.key, adds),
            Identification::DeclaredKey | Identification::CountedKey => u64::from(!adds),
        }
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
        for_target(self.decode(value), to).map(Some)
    }

    /// A value, of which only length and hash are kept if it is too long to be written.
    fn decode(&self, value: &[u8]) -> Value {
        if value.len() > self.longest {
            shortened(value)
        } else {
            decode(value)
        }
    }

    fn current(&self, at: usize, target: &[&[u8]]) -> Option<Value> {
        let position = self.positions.target[at]?;
        target.get(position).map(|value| self.decode(value))
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
        row: &LocatedRow,
    ) -> Result<Option<UndoableStatement>, Unwritable> {
        let mut changes = Vec::new();
        let mut skipped = Vec::new();
        let compared = self.planned.plan.columns.len();
        for (at, of_target) in self.table.columns.iter().enumerate().take(compared) {
            if self.is_equal(at, source, target) {
                continue;
            }
            let name = &of_target.column.name;
            if of_target.generated {
                skipped.push(format!("`{name}` is generated by the target and differs"));
                continue;
            }
            if of_target.fixed {
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
            self.skip(why, row);
        }
        if changes.is_empty() {
            return Ok(None);
        }
        if let Some(at) = self.generated_key() {
            let name = &self.table.columns[at].column.name;
            let why = format!(
                "`{name}` of the key is generated by the target and may depend on what differs, so the row cannot be changed"
            );
            self.skip(why, row);
            return Ok(None);
        }
        let current = self.identifying(target)?;
        let statement = self.table.update(&current, &changes)?;
        for (columns, touched) in &mut self.foreign_keys {
            let is_touched = changes.iter().any(|change| columns.contains(&change.at));
            touched.updates += u64::from(is_touched);
        }
        self.add_exchanges(&current, &changes, row);
        Ok(Some(statement))
    }

    /// Whether the comparison considers the values of a pair of columns equal.
    fn is_equal(&self, at: usize, source: &[&[u8]], target: &[&[u8]]) -> bool {
        let tolerance = self.planned.plan.columns[at].rule.tolerance.as_ref();
        match (source.get(at), target.get(at), tolerance) {
            (Some(source), Some(target), Some(tolerance)) => within(source, target, tolerance),
            (source, target, _) => source == target,
        }
    }

    /// The values of a row of the target by which an update finds it, and by which it finds
    /// rows in its way.
    fn identifying(&self, target: &[&[u8]]) -> Result<Vec<ColumnValue>, Unwritable> {
        let mut cells = Vec::new();
        let mut unique = self.table.unique_constraints.iter();
        let is_unique: Vec<usize> = unique.by_ref().flat_map(|it| it.columns.clone()).collect();
        for (at, column) in self.table.columns.iter().enumerate() {
            let is_key = self.table.key.contains(&at);
            if !is_key && !is_unique.contains(&at) {
                continue;
            }
            match self.current(at, target) {
                Some(value) => cells.push((at, value)),
                None if is_key => return Err(Unwritable::NoForm(column.column.name.clone())),
                None => {}
            }
        }
        Ok(cells)
    }

    /// Notes which updates are in each other's way.
    fn add_exchanges(&mut self, current: &[ColumnValue], changes: &[Change], row: &LocatedRow) {
        let mut blocked = Vec::new();
        let unique = self.table.unique_constraints.iter();
        for (unique, exchanges) in unique.zip(&mut self.exchanges) {
            let changed = |at: &usize| changes.iter().find(|change| change.at == *at);
            if !unique.columns.iter().any(|at| changed(at).is_some()) {
                continue;
            }
            let values = |is_new: bool| {
                let value = |at: &usize| match changed(at) {
                    Some(change) if is_new => Some(&change.new),
                    Some(change) => Some(&change.old),
                    None => {
                        let known = current.iter().find(|(place, _)| place == at);
                        known.map(|(_, value)| value)
                    }
                };
                let values: Vec<&Value> =
                    unique.columns.iter().map(value).collect::<Option<_>>()?;
                if !unique.nulls_are_equal && values.contains(&&Value::Null) {
                    return None;
                }
                let text = format!("{values:?}");
                Some(self.planned.hasher.sip().hash(text.as_bytes()))
            };
            blocked.extend(exchanges.add(&row.key, values(false), values(true)));
        }
        for key in blocked {
            let plan = &self.planned.plan;
            self.left_out.add(EXCHANGED.to_owned(), plan, &key);
        }
    }

    pub(crate) fn finish(self, spec: &TableSpec, constraints: Constraints) -> RepairPlan {
        let (target, facts) = (&self.planned.tables.target, self.table.dialect.facts());
        let is_compared = |column: &String| {
            let columns = &self.planned.plan.columns;
            columns.iter().any(|pair| pair.target.name == *column)
        };
        let structure = structure(target, &constraints);
        let sequences = constraints.sequences.into_iter();
        let mut foreign_keys = constraints.foreign_keys;
        for (key, (_, touched)) in foreign_keys.iter_mut().zip(&self.foreign_keys) {
            key.touched = Some(*touched);
        }
        RepairPlan {
            kind: facts.kind,
            schema: target.schema.clone(),
            table: target.name.clone(),
            foreign_keys,
            identity_insert: facts.needs_identity_insert
                && constraints.identity.iter().any(is_compared),
            undo_identity_insert: Some(facts.needs_identity_insert && self.table.has_identity),
            sequences: sequences
                .filter(|sequence| is_compared(&sequence.column))
                .collect(),
            structure: Some(structure),
            statements: self.statements,
            notes: self.notes(spec),
        }
    }

    /// What the user should know before applying the statements.
    fn notes(&self, spec: &TableSpec) -> Vec<String> {
        let mut notes = self.left_out.notes();
        let columns = &self.table.columns;
        let has_offsets =
            |column: &TargetColumn| column.column.declared.starts_with("datetimeoffset");
        if columns.iter().any(has_offsets) {
            notes.push(
                "datetimeoffset is written in UTC: the same instants, with the offset +00:00"
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
