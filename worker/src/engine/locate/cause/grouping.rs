//! Assigns the rows of a column to the causes that explain them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value as Json};
use shared::outcome::{CauseExample, CauseGroup};

use crate::engine::locate::cause::damage::{Cause, Damage, Damaged, Folds};
use crate::engine::locate::cause::evidence::{Fit, Support};
use crate::engine::locate::cause::words::{offset_dropped, zone_shifted};
use crate::engine::plan::PlannedColumn;

/// The largest number of groups; the rest is one more group.
pub(crate) const MOST_GROUPS: usize = 100;

/// Quarters of an hour by which daylight saving time changes a shift.
const DAYLIGHT: i8 = 4;

/// Rows that fit the same causes.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub rows: u64,
    /// The position of the example in the order of the rows.
    pub first: u128,
    pub example: CauseExample,
    /// How many of the values have this power of ten as their largest one.
    pub magnitudes: BTreeMap<i32, u64>,
}

impl Seen {
    pub(crate) fn none(first: u128, example: CauseExample) -> Self {
        Self {
            rows: 0,
            first,
            example,
            magnitudes: BTreeMap::new(),
        }
    }

    pub(crate) fn group(self, cause: &str, explanation: String) -> CauseGroup {
        CauseGroup {
            column: None,
            cause: cause.to_owned(),
            explanation,
            rows: self.rows,
            examined: 0,
            pairs_keys: false,
            example: self.example,
            option: None,
            also_ignores: None,
        }
    }

    /// Both together, with the first example; the own one, if both are equally early.
    pub(crate) fn merged(self, other: Self) -> Self {
        let rows = self.rows + other.rows;
        let mut magnitudes = self.magnitudes.clone();
        for (magnitude, count) in &other.magnitudes {
            *magnitudes.entry(*magnitude).or_default() += count;
        }
        let earlier = if self.first <= other.first {
            self
        } else {
            other
        };
        Self {
            rows,
            magnitudes,
            ..earlier
        }
    }

    /// Whether most of the values are less than ten times this distance.
    fn has_magnitude_of(&self, distance: f64) -> bool {
        let is_near = |(magnitude, _): &(&i32, &u64)| 10_f64.powi(**magnitude) < 10.0 * distance;
        let near: u64 = self.magnitudes.iter().filter(is_near).map(|(_, n)| n).sum();
        2 * near > self.magnitudes.values().sum()
    }
}

/// Adds a row to those of `key`. The first row by `order` is the example.
pub(crate) fn count<K: std::hash::Hash + Eq>(
    seen: &mut HashMap<K, Seen>,
    key: K,
    order: u128,
    example: impl Fn() -> CauseExample,
) -> &mut Seen {
    let none = || Seen::none(order, example());
    let seen = seen.entry(key).or_insert_with(none);
    seen.rows += 1;
    if order < seen.first {
        seen.first = order;
        seen.example = example();
    }
    seen
}

/// An example of rows: the rendered key and the rendered values of a column.
pub(crate) fn example(key: &Map<String, Json>, (source, target): (Json, Json)) -> CauseExample {
    CauseExample {
        key: key.clone(),
        source,
        target,
    }
}

/// Rows of one column that a cause explains, or several that differ in a measure only.
#[derive(Debug)]
pub(crate) struct Explained {
    /// The most frequent one first.
    causes: Vec<Cause>,
    pub seen: Seen,
}

impl Explained {
    /// What two texts differ in, if that is a rule's option.
    pub(crate) fn folds(&self) -> Option<Folds> {
        Folds::of(self.causes.first()?.damage)
    }

    /// One group of both, which a rule can ignore together.
    pub(crate) fn folded_with(self, other: Self) -> Self {
        let folds = self.folds().zip(other.folds()).map(|(a, b)| a.and(b));
        let causes = folds.map(|folds| Cause {
            damage: Damage::Folded(folds),
            side: Damaged::Target,
        });
        Self {
            causes: causes.into_iter().collect(),
            seen: self.seen.merged(other.seen),
        }
    }

    pub(crate) fn into_group(self, column: &PlannedColumn) -> Option<CauseGroup> {
        let first = *self.causes.first()?;
        let quarters = |damage: Damage| match damage {
            Damage::ZoneShifted(quarters) | Damage::OffsetDropped(quarters) => Some(quarters),
            _ => None,
        };
        let shifts: Vec<i8> = self
            .causes
            .iter()
            .filter_map(|cause| quarters(cause.damage))
            .collect();
        let explanation = match first.damage {
            Damage::ZoneShifted(_) => zone_shifted(&shifts),
            Damage::OffsetDropped(_) => offset_dropped(first.side, &shifts),
            _ => first.explanation(),
        };
        let is_too_wide = first
            .tolerance(column)
            .is_some_and(|distance| self.seen.has_magnitude_of(distance));
        let option = first.option(column).filter(|_| !is_too_wide);
        let also_ignores = option.as_ref().and(first.also_ignores(column));
        Some(CauseGroup {
            column: Some(column.source.name.clone()),
            option,
            also_ignores,
            ..self.seen.group(first.name(), explanation)
        })
    }
}

/// Whether rows of both causes are one group: the same shift in summer and in
/// winter, or offsets that were dropped.
fn are_of_one_group(a: Cause, b: Cause) -> bool {
    match (a.damage, b.damage) {
        (Damage::ZoneShifted(a), Damage::ZoneShifted(b)) => {
            a.abs_diff(b) == DAYLIGHT.unsigned_abs()
        }
        (Damage::OffsetDropped(_), Damage::OffsetDropped(_)) => a.side == b.side && a != b,
        _ => false,
    }
}

/// Assigns sets of rows to causes: repeatedly to the cause that fits most of the
/// remaining rows, the most specific one of several. A cause whose rows do not
/// suffice, where `differing` values of the column differ, is left out, and its rows
/// may be explained by another one.
pub(crate) fn grouped(mut sets: Vec<(Vec<Fit>, Seen)>, differing: u64) -> Vec<Explained> {
    let mut groups = Vec::new();
    loop {
        let support = support(&sets);
        let joined = |cause: Cause| joined(cause, &support);
        let suffices = |causes: &[Cause]| {
            let all = causes.iter().filter_map(|cause| support.get(cause));
            all.fold(Support::default(), |sum, one| sum.and(*one))
                .suffices(differing)
        };
        let best = support
            .iter()
            .filter(|(cause, _)| suffices(&joined(**cause)))
            .min_by_key(|(cause, support)| (Reverse(support.rows), cause.rank()));
        let Some((best, _)) = best else {
            return groups;
        };
        let causes = joined(*best);
        let is_taken =
            |(fits, _): &(Vec<Fit>, Seen)| fits.iter().any(|fit| causes.contains(&fit.cause));
        let (taken, left): (Vec<_>, Vec<_>) = sets.into_iter().partition(is_taken);
        sets = left;
        let seen = taken.into_iter().map(|(_, seen)| seen);
        groups.extend(
            seen.reduce(Seen::merged)
                .map(|seen| Explained { causes, seen }),
        );
        if groups.len() > MOST_GROUPS {
            // These groups are not listed one by one.
            groups.extend(sets.into_iter().filter_map(|(fits, seen)| {
                let mut alone = fits.iter().map(|fit| fit.cause);
                let cause = alone.find(|cause| suffices(&[*cause]))?;
                let causes = vec![cause];
                Some(Explained { causes, seen })
            }));
            return groups;
        }
    }
}

fn support(sets: &[(Vec<Fit>, Seen)]) -> HashMap<Cause, Support> {
    let mut support: HashMap<Cause, Support> = HashMap::new();
    for (fits, seen) in sets {
        for fit in fits {
            let of_cause = support.entry(fit.cause).or_default();
            of_cause.add(fit.weight, seen.rows);
        }
    }
    support
}

/// The cause and those that are of one group with it, the most frequent first.
fn joined(cause: Cause, support: &HashMap<Cause, Support>) -> Vec<Cause> {
    if !matches!(
        cause.damage,
        Damage::ZoneShifted(_) | Damage::OffsetDropped(_)
    ) {
        return vec![cause];
    }
    let mut others: Vec<(Cause, u64)> = support
        .iter()
        .filter(|(other, _)| are_of_one_group(cause, **other))
        .map(|(other, support)| (*other, support.rows))
        .collect();
    others.sort_by_key(|(other, rows)| (Reverse(*rows), *other));
    if matches!(cause.damage, Damage::ZoneShifted(_)) {
        // There is one other shift, in summer or in winter.
        others.truncate(1);
    }
    std::iter::once(cause)
        .chain(others.into_iter().map(|(other, _)| other))
        .collect()
}
