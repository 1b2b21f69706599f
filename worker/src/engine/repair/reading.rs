//! How the columns of both sides are read for a repair: each in its own exact form, since
//! less may be compared than is stored.

use shared::options::ColumnRule;

use crate::engine::database::dialect::RepairDialect;
use crate::engine::fetch::OwnColumns;
use crate::engine::plan::PlannedColumn;
use crate::engine::step::Planned;
use crate::engine::values::column::{Column, ColumnType, SideOf};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::folding::Folding;
use crate::engine::values::kind::Kind;
use crate::engine::values::pair::Pair;
use crate::engine::values::pairing::pairing;
use crate::engine::values::reading::Reading;

/// Where in an encoded row a column is that is read in its own form.
pub(crate) type Position = usize;

/// What is read of both sides; where each pair's column of the source and each column of
/// the target is in it; and the columns of the target: first those that are compared, in
/// the plan's order, then its other ones.
pub(crate) fn own_columns(
    planned: &Planned,
    dialects: Pair<&'static dyn RepairDialect>,
) -> (OwnColumns, Pair<Vec<Option<Position>>>, Vec<Column>) {
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
            (position, column.clone())
        })
        .unzip();
    let own = OwnColumns {
        columns: read,
        leading: plan.columns.len(),
    };
    let positions = Pair {
        source: of_source,
        target: of_target,
    };
    (own, positions, columns)
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
