//! Reads values of listed rows as the databases store them, beside the form in
//! which they are compared: digits of a second that the comparison drops, the
//! offset of a time, text before it is folded. Causes are seen in these forms.

use shared::options::ColumnRule;

use crate::engine::fetch::{OwnColumns, Projection};
use crate::engine::locate::cause::tally::Observed;
use crate::engine::plan::{Plan, PlannedColumn};
use crate::engine::tolerate::nearness::counts_as_equal;
use crate::engine::values::column::{Column, ColumnType, SideOf};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::folding::Folding;
use crate::engine::values::kind::{Kind, Resolution};
use crate::engine::values::pair::Pair;
use crate::engine::values::pairing::pairing;
use crate::engine::values::reading::Reading;

/// Where the stored forms of a column are in a row, after the columns that are compared.
#[derive(Debug, Clone, Copy, Default)]
struct Positions {
    /// The value with everything that its type holds.
    exact: Pair<Option<usize>>,
    /// A time as text, with its offset.
    clock: Pair<Option<usize>>,
}

/// The stored forms that are read beside the compared ones.
#[derive(Debug)]
pub(crate) struct StoredForms {
    positions: Vec<Positions>,
    read: Pair<Vec<(Column, Reading)>>,
    compared: usize,
}

impl StoredForms {
    pub(crate) fn of(plan: &Plan) -> Self {
        let mut read = Pair::of(|side| {
            let columns = plan.columns.iter();
            columns
                .map(|pair| (pair.on(side).clone(), pair.reading(side)))
                .collect::<Vec<_>>()
        });
        let mut add = |side: SideOf, pair: &PlannedColumn, reading: Option<Reading>| {
            let columns = &mut read[side];
            columns.push((pair.on(side).clone(), reading?));
            Some(columns.len() - 1)
        };
        let positions = plan
            .columns
            .iter()
            .map(|pair| Positions {
                exact: Pair::of(|side| add(side, pair, exact(pair, side))),
                clock: Pair::of(|side| add(side, pair, clock(pair, side))),
            })
            .collect();
        Self {
            positions,
            read,
            compared: plan.columns.len(),
        }
    }

    /// What is read of the rows.
    pub(crate) fn projection(&self) -> Projection {
        let is_compared = |columns: &Vec<(Column, Reading)>| columns.len() == self.compared;
        if is_compared(&self.read.source) && is_compared(&self.read.target) {
            return Projection::Compared;
        }
        Projection::Own(OwnColumns {
            columns: self.read.clone(),
            leading: self.compared,
        })
    }

    /// Whether a column of the key holds more than what is compared.
    pub(crate) fn has_any(&self, key_columns: usize) -> bool {
        self.positions[..key_columns]
            .iter()
            .any(|at| at.exact != Pair::default())
    }

    /// The value of the column at `at` on one side, with everything that its type holds.
    pub(crate) fn exact<'v>(&self, side: SideOf, at: usize, row: &[&'v [u8]]) -> Option<&'v [u8]> {
        let position = self.positions.get(at)?.exact[side].unwrap_or(at);
        row.get(position).copied()
    }

    /// The values of a row that is on both sides, column by column.
    pub(crate) fn observed<'v>(
        &self,
        columns: &[PlannedColumn],
        row: Pair<&[&'v [u8]]>,
    ) -> Vec<Observed<'v>> {
        let value = |side: SideOf, at: usize| row[side].get(at).copied().unwrap_or_default();
        columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let compared = Pair::of(|side| value(side, at));
                let positions = self.positions[at];
                let mut stored = Vec::new();
                if positions.exact != Pair::default() {
                    let in_form = |side: SideOf| value(side, positions.exact[side].unwrap_or(at));
                    stored.push(Pair::of(in_form));
                }
                if let Some(position) = positions.clock.source {
                    stored.push(Pair {
                        source: value(SideOf::Source, position),
                        ..compared
                    });
                }
                if let Some(position) = positions.clock.target {
                    stored.push(Pair {
                        target: value(SideOf::Target, position),
                        ..compared
                    });
                }
                let Pair { source, target } = compared;
                Observed {
                    compared,
                    stored,
                    differs: !counts_as_equal(Some(source), Some(target), column),
                }
            })
            .collect()
    }
}

/// How a value is read with everything that its type holds; `None` if it is
/// compared so.
fn exact(pair: &PlannedColumn, side: SideOf) -> Option<Reading> {
    let column = pair.on(side);
    let digits = |kind: Kind| match kind {
        Kind::Time(Resolution { digits, .. })
        | Kind::Timestamp(Resolution { digits, .. })
        | Kind::Instant(Resolution { digits, .. }) => Some(digits),
        _ => None,
    };
    match (&pair.conversions[side], digits(pair.kind)) {
        (None, Some(compared)) => {
            let own = pairing(column, column, &ColumnRule::default()).ok()?;
            let kind = match (own.kind, pair.kind) {
                // A local time that is taken for UTC.
                (Kind::Timestamp(own), Kind::Instant(_)) => Kind::Instant(own),
                (own, _) => own,
            };
            (digits(own.kind)? > compared).then(|| Reading::new(kind, &column.kind, None))
        }
        (Some(Conversion::Text(folding)), None) if !folding.is_none() => {
            let unfolded = Conversion::Text(Folding::default());
            Some(Reading {
                conversion: Some(unfolded),
                ..pair.reading(side)
            })
        }
        _ => None,
    }
}

/// How a time is read as text with its offset; `None` if the type has no offset.
fn clock(pair: &PlannedColumn, side: SideOf) -> Option<Reading> {
    let column = pair.on(side);
    let has_offset =
        matches!(column.kind, ColumnType::Instant(_)) && column.postgres_digits().is_none();
    let is_compared_as_time =
        matches!(pair.kind, Kind::Instant(_)) && pair.conversions[side].is_none();
    (has_offset && is_compared_as_time).then(|| {
        let text = Conversion::DatabaseText(Folding::default());
        Reading::new(Kind::Text, &column.kind, Some(text))
    })
}
