//! Which rows of the two sides go together where columns have a tolerance: not
//! only whether two rows are near each other, but as many pairs as can be made.

use std::collections::VecDeque;

use shared::options::Tolerance;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::Xxh3;

use crate::engine::plan::{Plan, PlannedColumn};
use crate::engine::rows::version::{Loose, SeenRow, Version};
use crate::engine::task::Stop;
use crate::engine::values::canonical::{MalformedRow, Values};
use crate::engine::values::tolerance;
use crate::engine::values::tolerance::{Position, within};

/// Up to so many comparisons, rows under several tolerances are paired in the best way.
const MOST_COMPARED: u64 = 1 << 16;

/// The columns of a plan that have a tolerance.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nearness {
    /// Where they are in a row, in that order, and how near is near enough.
    columns: Vec<(usize, Tolerance)>,
}

impl Nearness {
    /// What the rules of the plan's columns ask.
    pub(crate) fn of(plan: &Plan) -> Self {
        let columns = plan.columns.iter().enumerate();
        Self {
            columns: columns
                .filter_map(|(at, column)| Some((at, column.rule.tolerance.clone()?)))
                .collect(),
        }
    }

    /// Whether no column has a tolerance: only equal rows are near each other.
    pub(crate) fn is_exact(&self) -> bool {
        self.columns.is_empty()
    }

    /// An encoded row with this hash, as it is remembered.
    pub(crate) fn seen(&self, hash: u128, row: &[u8]) -> Result<SeenRow, MalformedRow> {
        let mut seen = SeenRow::hashed(hash);
        if self.is_exact() {
            return Ok(seen);
        }
        let mut rest = Xxh3::new();
        let mut values = Vec::new();
        let mut loose = self.columns.iter().map(|(at, _)| *at).peekable();
        for (at, value) in Values::new(row).enumerate() {
            let value = value?;
            match loose.next_if_eq(&at) {
                Some(_) => values.extend_from_slice(value),
                None => rest.update(value),
            }
        }
        seen.loose = Some(Box::new(Loose {
            rest: rest.digest128(),
            values,
        }));
        Ok(seen)
    }

    /// Whether a row of the source and one of the target are as near as the
    /// rules ask. What is known by its hash only is near nothing.
    pub(crate) fn are_near(&self, source: &SeenRow, target: &SeenRow) -> bool {
        let (Some(source), Some(target)) = (&source.loose, &target.loose) else {
            return false;
        };
        source.rest == target.rest
            && Values::new(&source.values)
                .zip(Values::new(&target.values))
                .zip(&self.columns)
                .all(|(pair, (_, tolerance))| match pair {
                    (Ok(source), Ok(target)) => within(source, target, tolerance),
                    _ => false,
                })
    }

    /// Whether the target has what the source has: every row goes with one of the other side.
    pub(crate) fn is_copy(
        &self,
        source: &Version,
        target: &Version,
        stop: &CancellationToken,
    ) -> Result<bool, Stop> {
        if source == target {
            return Ok(true);
        }
        if self.is_exact() || source.count() != target.count() {
            return Ok(false);
        }
        let (source, target) = self.differing(source, target, stop)?;
        Ok(source.is_empty() && target.is_empty())
    }

    /// The rows of two versions of a key that go with none of the other side:
    /// equal rows go together, and of the others as [`Nearness::leave_out`] says.
    pub(crate) fn differing(
        &self,
        source: &Version,
        target: &Version,
        stop: &CancellationToken,
    ) -> Result<(Vec<SeenRow>, Vec<SeenRow>), Stop> {
        let (source, target) = source.subtract(target);
        self.leave_out(source, target, stop)
    }

    /// Those rows of one key, of which none is equal to one of the other side,
    /// that are left when as many as can be are paired with a near one. In the
    /// order of their hashes; which ones are left depends on nothing but the rows.
    ///
    /// With one tolerated column this takes the time of sorting. With several
    /// it takes that of comparing each with each, and pairs are the most that
    /// can be made for up to some hundred rows on each side that have the other
    /// columns alike; of more, each row goes with the first that is near and
    /// free, so that more may be left than need be, and never fewer.
    pub(crate) fn leave_out(
        &self,
        mut source: Vec<SeenRow>,
        mut target: Vec<SeenRow>,
        stop: &CancellationToken,
    ) -> Result<(Vec<SeenRow>, Vec<SeenRow>), Stop> {
        let by_rest = |row: &SeenRow| (row.loose.as_ref().map(|loose| loose.rest), row.hash);
        source.sort_unstable_by_key(by_rest);
        target.sort_unstable_by_key(by_rest);
        let mut left = Left::default();
        if self.is_exact() {
            (left.source, left.target) = (source, target);
            return Ok(left.in_order());
        }
        let rest_of = |rows: &VecDeque<SeenRow>| rows.front().map(|row| by_rest(row).0);
        let (mut source, mut target) = (VecDeque::from(source), VecDeque::from(target));
        while let Some(rest) = rest_of(&source).into_iter().chain(rest_of(&target)).min() {
            let alike = |rows: &mut VecDeque<SeenRow>| {
                let count = rows.iter().take_while(|row| by_rest(row).0 == rest).count();
                rows.drain(..count).collect::<Vec<_>>()
            };
            let (source, target) = (alike(&mut source), alike(&mut target));
            if rest.is_none() || source.is_empty() || target.is_empty() {
                left.add(source, target);
            } else {
                self.match_up(source, target, &mut left, stop)?;
            }
        }
        Ok(left.in_order())
    }

    /// Pairs rows that have the columns without a tolerance alike.
    fn match_up(
        &self,
        source: Vec<SeenRow>,
        target: Vec<SeenRow>,
        left: &mut Left,
        stop: &CancellationToken,
    ) -> Result<(), Stop> {
        if self.columns.len() == 1 {
            return self.sweep(source, target, left, stop);
        }
        let count = |rows: &[SeenRow]| rows.iter().map(|row| row.copies).sum::<u64>();
        if count(&source).saturating_mul(count(&target)) <= MOST_COMPARED {
            self.augment(&source, &target, left);
            return Ok(());
        }
        self.take_first(source, target, left, stop)
    }

    /// One column: what is near a value is an interval, whose two ends do not
    /// fall when the value grows, so that the lowest rows go together or the
    /// lower one of them with none.
    fn sweep(
        &self,
        source: Vec<SeenRow>,
        target: Vec<SeenRow>,
        left: &mut Left,
        stop: &CancellationToken,
    ) -> Result<(), Stop> {
        let (mut source, strange) = in_order(source);
        left.source.extend(strange);
        let (mut target, strange) = in_order(target);
        left.target.extend(strange);
        while let (Some((low, a)), Some((high, b))) = (source.front_mut(), target.front_mut()) {
            if stop.is_cancelled() {
                return Err(Stop::Cancelled);
            }
            if self.are_near(a, b) {
                pair_up(a, b);
                let (source_is_used, target_is_used) = (a.copies == 0, b.copies == 0);
                if source_is_used {
                    source.pop_front();
                }
                if target_is_used {
                    target.pop_front();
                }
            } else if low < high {
                left.source.extend(source.pop_front().map(|(_, row)| row));
            } else {
                left.target.extend(target.pop_front().map(|(_, row)| row));
            }
        }
        left.source.extend(source.into_iter().map(|(_, row)| row));
        left.target.extend(target.into_iter().map(|(_, row)| row));
        Ok(())
    }

    /// As many pairs as can be made: rows give way to each other along
    /// augmenting paths (Kuhn's algorithm for bipartite matching).
    fn augment(&self, source: &[SeenRow], target: &[SeenRow], left: &mut Left) {
        let each = |rows: &[SeenRow]| -> Vec<SeenRow> {
            let one = |row: &SeenRow| SeenRow {
                copies: 1,
                ..row.clone()
            };
            rows.iter()
                .flat_map(|row| (0..row.copies).map(move |_| one(row)))
                .collect()
        };
        let (source, target) = (each(source), each(target));
        let near: Vec<Vec<usize>> = source
            .iter()
            .map(|row| {
                (0..target.len())
                    .filter(|at| self.are_near(row, &target[*at]))
                    .collect()
            })
            .collect();
        let mut taken: Vec<Option<usize>> = vec![None; target.len()];
        for (at, row) in source.iter().enumerate() {
            if !find_place(at, &near, &mut taken, &mut vec![false; target.len()]) {
                left.source.push(row.clone());
            }
        }
        let free = target.into_iter().zip(&taken);
        left.target
            .extend(free.filter_map(|(row, taken)| taken.is_none().then_some(row)));
    }

    fn take_first(
        &self,
        source: Vec<SeenRow>,
        mut target: Vec<SeenRow>,
        left: &mut Left,
        stop: &CancellationToken,
    ) -> Result<(), Stop> {
        for mut row in source {
            if stop.is_cancelled() {
                return Err(Stop::Cancelled);
            }
            for other in &mut target {
                if row.copies == 0 {
                    break;
                }
                if other.copies > 0 && self.are_near(&row, other) {
                    pair_up(&mut row, other);
                }
            }
            if row.copies > 0 {
                left.source.push(row);
            }
        }
        left.target
            .extend(target.into_iter().filter(|row| row.copies > 0));
        Ok(())
    }
}

/// Takes as many copies away from both as there are of either.
fn pair_up(source: &mut SeenRow, target: &mut SeenRow) {
    let pairs = source.copies.min(target.copies);
    source.copies -= pairs;
    target.copies -= pairs;
}

/// Rows in the order of their one tolerated value, and those that have none to order.
fn in_order(rows: Vec<SeenRow>) -> (VecDeque<(Position, SeenRow)>, Vec<SeenRow>) {
    let (mut ordered, mut strange) = (Vec::new(), Vec::new());
    for row in rows {
        let position = row
            .loose
            .as_ref()
            .and_then(|loose| Position::of(&loose.values));
        match position {
            Some(position) => ordered.push((position, row)),
            None => strange.push(row),
        }
    }
    ordered.sort_by(|(a, _), (b, _)| Position::cmp(a, b));
    (ordered.into(), strange)
}

/// Finds a target for source `at`; others move to another one where they can.
/// `tried` are targets that were asked before.
fn find_place(
    at: usize,
    near: &[Vec<usize>],
    taken: &mut [Option<usize>],
    tried: &mut [bool],
) -> bool {
    for &place in &near[at] {
        if std::mem::replace(&mut tried[place], true) {
            continue;
        }
        if taken[place].is_none_or(|other| find_place(other, near, taken, tried)) {
            taken[place] = Some(at);
            return true;
        }
    }
    false
}

/// Rows that go with none of the other side.
#[derive(Debug, Default)]
struct Left {
    source: Vec<SeenRow>,
    target: Vec<SeenRow>,
}

impl Left {
    fn add(&mut self, source: Vec<SeenRow>, target: Vec<SeenRow>) {
        self.source.extend(source);
        self.target.extend(target);
    }

    fn in_order(mut self) -> (Vec<SeenRow>, Vec<SeenRow>) {
        self.source.sort_unstable_by_key(|row| row.hash);
        self.target.sort_unstable_by_key(|row| row.hash);
        (self.source, self.target)
    }
}

/// Whether two encoded values of a column are equal, or as near as its rule asks.
pub(crate) fn counts_as_equal(
    source: Option<&[u8]>,
    target: Option<&[u8]>,
    column: &PlannedColumn,
) -> bool {
    source == target
        || match (&column.rule.tolerance, source, target) {
            (Some(tolerance), Some(source), Some(target)) => {
                tolerance::within(source, target, tolerance)
            }
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::canonical::RowEncoder;
    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_128;

    fn nearness(tolerances: &[Tolerance]) -> Nearness {
        let columns = tolerances.iter().cloned().enumerate();
        Nearness {
            columns: columns.map(|(at, limit)| (at + 1, limit)).collect(),
        }
    }

    fn absolute(limit: u8) -> Tolerance {
        Tolerance::Absolute(limit.to_string())
    }

    /// Rows of a key, a value for each tolerance, and one that must be equal.
    fn rows(nearness: &Nearness, values: &[(i64, i64, i64)]) -> Version {
        let seen = |(a, b, rest): &(i64, i64, i64)| {
            let mut encoder = RowEncoder::default();
            encoder.int(7);
            encoder.end_key();
            encoder.int(*a);
            if nearness.columns.len() == 2 {
                encoder.int(*b);
            }
            encoder.int(*rest);
            nearness
                .seen(xxh3_128(encoder.row()), encoder.row())
                .unwrap()
        };
        Version::from(values.iter().map(seen).collect::<Vec<_>>())
    }

    /// The most pairs, by trying all.
    fn most_pairs(near: &dyn Fn(usize, usize) -> bool, at: usize, source: usize, free: u32) -> u32 {
        if at == source {
            return 0;
        }
        let without = most_pairs(near, at + 1, source, free);
        (0..32)
            .filter(|place| free & (1 << place) != 0 && near(at, *place))
            .map(|place| 1 + most_pairs(near, at + 1, source, free & !(1 << place)))
            .fold(without, u32::max)
    }

    fn check(tolerances: &[Tolerance], source: &[(i64, i64, i64)], target: &[(i64, i64, i64)]) {
        let nearness = nearness(tolerances);
        let stop = CancellationToken::new();
        let (left, right) = (rows(&nearness, source), rows(&nearness, target));
        let (left, right) = left.subtract(&right);
        let expand = |rows: &[SeenRow]| -> Vec<SeenRow> {
            rows.iter()
                .flat_map(|row| vec![row.clone(); usize::try_from(row.copies).unwrap()])
                .collect()
        };
        let (all_left, all_right) = (expand(&left), expand(&right));
        let near = |a: usize, b: usize| nearness.are_near(&all_left[a], &all_right[b]);
        let most = most_pairs(&near, 0, all_left.len(), (1 << all_right.len()) - 1) as usize;
        let mut reversed = (left.clone(), right.clone());
        reversed.0.reverse();
        reversed.1.reverse();
        let found = nearness.leave_out(left, right, &stop).unwrap();
        assert_eq!(expand(&found.0).len(), all_left.len() - most);
        assert_eq!(expand(&found.1).len(), all_right.len() - most);
        // The order in which rows come makes no difference.
        let again = nearness.leave_out(reversed.0, reversed.1, &stop).unwrap();
        assert_eq!(again, found);
    }

    fn some_rows() -> impl Strategy<Value = Vec<(i64, i64, i64)>> {
        proptest::collection::vec((-8_i64..8, 0_i64..4, 0_i64..2), 0..6)
    }

    proptest! {
        #[test]
        fn as_many_rows_as_can_are_paired(source in some_rows(), target in some_rows(), limit in 0_u8..4, fraction in 0.0..=1.0_f64) {
            check(&[absolute(limit)], &source, &target);
            check(&[Tolerance::Relative(fraction)], &source, &target);
            check(&[Tolerance::Relative(1.0)], &source, &target);
            check(&[absolute(limit), absolute(1)], &source, &target);
        }
    }

    #[test]
    fn many_rows_under_two_tolerances_are_paired_too_and_can_be_cancelled() {
        let nearness = nearness(&[absolute(1), absolute(1)]);
        let stop = CancellationToken::new();
        let many = |offset| {
            let values: Vec<_> = (0..400).map(|at| (at * 10 + offset, offset, 0)).collect();
            rows(&nearness, &values)
        };
        assert!(nearness.is_copy(&many(0), &many(1), &stop).unwrap());
        assert!(!nearness.is_copy(&many(0), &many(2), &stop).unwrap());
        stop.cancel();
        let cancelled = nearness.is_copy(&many(0), &many(1), &stop);
        assert_eq!(cancelled, Err(Stop::Cancelled));
    }
}
