//! Matches rows of the two sides under the tolerances of their columns: as many
//! pairs of near rows as possible.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;

use shared::options::Tolerance;
use siphasher::sip128::Hasher128 as _;
use tokio_util::sync::CancellationToken;

use crate::engine::plan::PlannedColumn;
use crate::engine::rows::hash::SipKey;
use crate::engine::rows::version::{SeenRow, Tolerated, Version};
use crate::engine::step::Planned;
use crate::engine::task::Stop;
use crate::engine::values::canonical::{MalformedRow, Values};
use crate::engine::values::tolerance::{Position, within};

/// Up to this many comparisons, the largest number of pairs is found also under
/// several tolerances.
const MAX_COMPARISONS: u64 = 1 << 16;

/// The columns of a plan that have a tolerance.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(Default))]
pub(crate) struct Nearness {
    /// Their positions in a row, ascending, and their tolerances.
    columns: Vec<(usize, Tolerance)>,
    /// Hashes the other columns.
    sip: SipKey,
}

impl Nearness {
    /// The tolerances in the rules of the plan's columns.
    pub(crate) fn of(planned: &Planned) -> Self {
        let columns = planned.plan.columns.iter().enumerate();
        Self {
            sip: planned.hasher.sip(),
            columns: columns
                .filter_map(|(at, column)| Some((at, column.rule.tolerance.clone()?)))
                .collect(),
        }
    }

    /// Whether no column has a tolerance: only equal rows are near each other.
    pub(crate) fn is_exact(&self) -> bool {
        self.columns.is_empty()
    }

    /// An encoded row with this hash, in the form in which it is kept.
    pub(crate) fn seen(&self, hash: u128, row: &[u8]) -> Result<SeenRow, MalformedRow> {
        let mut seen = SeenRow::hashed(hash);
        if self.is_exact() {
            return Ok(seen);
        }
        let mut exact = self.sip.hasher();
        let mut values = Vec::new();
        let mut columns = self.columns.iter().map(|(at, _)| *at).peekable();
        for (at, value) in Values::new(row).enumerate() {
            let value = value?;
            match columns.next_if_eq(&at) {
                Some(_) => values.extend_from_slice(value),
                None => exact.write(value),
            }
        }
        seen.tolerated = Some(Box::new(Tolerated {
            exact: exact.finish128().as_u128(),
            values,
        }));
        Ok(seen)
    }

    /// Whether a row of the source and one of the target are near each other. A
    /// row of which only the hash is known is near no row.
    pub(crate) fn are_near(&self, source: &SeenRow, target: &SeenRow) -> bool {
        let (Some(source), Some(target)) = (&source.tolerated, &target.tolerated) else {
            return false;
        };
        source.exact == target.exact
            && Values::new(&source.values)
                .zip(Values::new(&target.values))
                .zip(&self.columns)
                .all(|(pair, (_, tolerance))| match pair {
                    (Ok(source), Ok(target)) => within(source, target, tolerance),
                    _ => false,
                })
    }

    /// Whether every row of either side can be paired with one of the other side.
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

    /// The rows of two versions of a key that cannot be paired: equal rows are
    /// paired first, then near ones by [`Nearness::leave_out`].
    pub(crate) fn differing(
        &self,
        source: &Version,
        target: &Version,
        stop: &CancellationToken,
    ) -> Result<(Vec<SeenRow>, Vec<SeenRow>), Stop> {
        let (source, target) = source.subtract(target);
        self.leave_out(source, target, stop)
    }

    /// Those rows of one key that remain unmatched after as many near rows as
    /// possible have been paired, in the order of their hashes. No row of the
    /// source equals one of the target. The result depends on nothing but the rows.
    ///
    /// With one tolerated column this takes the time of sorting. With several
    /// columns all candidates are compared. The number of pairs is then the
    /// largest possible for up to some hundred rows on each side whose other
    /// columns are equal; with more rows, each row is paired with the first near
    /// one, and more rows than necessary may remain.
    pub(crate) fn leave_out(
        &self,
        mut source: Vec<SeenRow>,
        mut target: Vec<SeenRow>,
        stop: &CancellationToken,
    ) -> Result<(Vec<SeenRow>, Vec<SeenRow>), Stop> {
        let exact = |row: &SeenRow| row.tolerated.as_ref().map(|row| row.exact);
        source.sort_unstable_by_key(exact);
        target.sort_unstable_by_key(exact);
        let mut unmatched = (Vec::new(), Vec::new());
        let mut targets = target.chunk_by(|a, b| exact(a) == exact(b)).peekable();
        for sources in source.chunk_by(|a, b| exact(a) == exact(b)) {
            let exact_of_source = exact(&sources[0]);
            while let Some(alone) = targets.next_if(|rows| exact(&rows[0]) < exact_of_source) {
                unmatched.1.extend_from_slice(alone);
            }
            match targets.next_if(|rows| exact(&rows[0]) == exact_of_source) {
                Some(targets) if exact_of_source.is_some() => {
                    let mut matching = Matching::new(self, sources, targets);
                    matching.run(stop)?;
                    unmatched
                        .0
                        .extend(matching.sources.into_iter().filter_map(Row::unmatched));
                    unmatched
                        .1
                        .extend(matching.targets.into_iter().filter_map(Row::unmatched));
                }
                targets => {
                    unmatched.0.extend_from_slice(sources);
                    unmatched.1.extend_from_slice(targets.unwrap_or_default());
                }
            }
        }
        targets.for_each(|alone| unmatched.1.extend_from_slice(alone));
        unmatched.0.sort_unstable_by_key(|row| row.hash);
        unmatched.1.sort_unstable_by_key(|row| row.hash);
        Ok(unmatched)
    }
}

/// A row that is to be matched; `row.copies` are those that are not matched.
struct Row {
    /// Where its first tolerated value is among those of the column, and the value.
    first: (Option<Position>, Vec<u8>),
    row: SeenRow,
}

impl Row {
    fn sorted(rows: &[SeenRow]) -> Vec<Self> {
        let ordered = |row: &SeenRow| {
            let values = row.tolerated.as_ref().map_or(&[][..], |row| &row.values);
            let value = Values::new(values).find_map(Result::ok).unwrap_or_default();
            Self {
                first: (Position::of(value), value.to_vec()),
                row: row.clone(),
            }
        };
        let mut rows: Vec<Self> = rows.iter().map(ordered).collect();
        rows.sort_unstable_by(|a, b| (&a.first, a.row.hash).cmp(&(&b.first, b.row.hash)));
        rows
    }

    fn unmatched(self) -> Option<SeenRow> {
        (self.row.copies > 0).then_some(self.row)
    }
}

/// A matching of rows whose columns without a tolerance are equal.
///
/// The rows are sorted by their first tolerated value. The rows near a value are
/// an interval whose two ends do not decrease when the value grows. So with one
/// tolerated column, taking for each source row the first near targets gives the
/// largest number of pairs. With several columns that number is found along
/// augmenting paths, on which pairs are exchanged (Kuhn's algorithm for bipartite
/// matching, with copies as capacities).
struct Matching<'a> {
    nearness: &'a Nearness,
    sources: Vec<Row>,
    targets: Vec<Row>,
    /// Whether pairs may be exchanged. Then the next two fields are kept.
    augments: bool,
    /// For each source row, the targets that are near it.
    candidates: Vec<Vec<usize>>,
    /// For each target, the source rows that it is paired with, and the copies.
    pairs: Vec<BTreeMap<usize, u64>>,
}

impl<'a> Matching<'a> {
    fn new(nearness: &'a Nearness, source: &[SeenRow], target: &[SeenRow]) -> Self {
        let copies = |rows: &[SeenRow]| rows.iter().map(|row| row.copies).sum::<u64>();
        let comparisons = copies(source).saturating_mul(copies(target));
        Self {
            nearness,
            sources: Row::sorted(source),
            targets: Row::sorted(target),
            augments: nearness.columns.len() > 1 && comparisons <= MAX_COMPARISONS,
            candidates: Vec::new(),
            pairs: vec![BTreeMap::new(); target.len()],
        }
    }

    fn run(&mut self, stop: &CancellationToken) -> Result<(), Stop> {
        let Some((_, tolerance)) = self.nearness.columns.first() else {
            return Ok(());
        };
        // No target before this one can be paired with this or a later source row.
        let mut start = 0;
        for at in 0..self.sources.len() {
            if stop.is_cancelled() {
                return Err(Stop::Cancelled);
            }
            let source = &self.sources[at];
            let is_near = |target: &Row| within(&source.first.1, &target.first.1, tolerance);
            while self.targets.get(start).is_some_and(|target| {
                (target.row.copies == 0 && !self.augments)
                    || (target.first < source.first && !is_near(target))
            }) {
                start += 1;
            }
            let mut candidates = Vec::new();
            let mut free = 0;
            for (place, target) in self.targets.iter().enumerate().skip(start) {
                if !is_near(target) || (!self.augments && free >= source.row.copies) {
                    break;
                }
                let is_available = self.augments || target.row.copies > 0;
                if is_available && self.nearness.are_near(&source.row, &target.row) {
                    candidates.push(place);
                    free += target.row.copies;
                }
            }
            if self.augments {
                self.candidates.push(candidates);
                while self.sources[at].row.copies > 0 {
                    let most = self.sources[at].row.copies;
                    let paired = self.augment(at, most, &mut BTreeSet::new());
                    if paired == 0 {
                        break;
                    }
                    self.sources[at].row.copies -= paired;
                }
            } else {
                for place in candidates {
                    let (source, target) =
                        (&mut self.sources[at].row, &mut self.targets[place].row);
                    let paired = source.copies.min(target.copies);
                    source.copies -= paired;
                    target.copies -= paired;
                }
            }
        }
        Ok(())
    }

    /// Pairs at most `most` further copies of source row `at`, moving other
    /// source rows to other targets where that makes it possible. Returns how
    /// many. `visited` are the targets that this search has tried.
    fn augment(&mut self, at: usize, most: u64, visited: &mut BTreeSet<usize>) -> u64 {
        for place in self.candidates[at].clone() {
            if !visited.insert(place) {
                continue;
            }
            let free = most.min(self.targets[place].row.copies);
            let moved = if free > 0 {
                self.targets[place].row.copies -= free;
                free
            } else {
                self.move_away(place, most, visited)
            };
            if moved > 0 {
                *self.pairs[place].entry(at).or_default() += moved;
                return moved;
            }
        }
        0
    }

    /// Moves at most `most` copies of one source row from target `place` to
    /// another target. Returns how many.
    fn move_away(&mut self, place: usize, most: u64, visited: &mut BTreeSet<usize>) -> u64 {
        for (other, copies) in self.pairs[place].clone() {
            let moved = self.augment(other, most.min(copies), visited);
            if moved > 0 {
                match copies - moved {
                    0 => self.pairs[place].remove(&other),
                    rest => self.pairs[place].insert(other, rest),
                };
                return moved;
            }
        }
        0
    }
}

/// Whether two encoded values of a column are equal, or within its tolerance.
pub(crate) fn counts_as_equal(
    source: Option<&[u8]>,
    target: Option<&[u8]>,
    column: &PlannedColumn,
) -> bool {
    source == target
        || match (&column.rule.tolerance, source, target) {
            (Some(tolerance), Some(source), Some(target)) => within(source, target, tolerance),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::values::canonical::RowEncoder;
    use proptest::prelude::*;

    fn nearness(tolerances: &[Tolerance]) -> Nearness {
        let columns = tolerances.iter().cloned().enumerate();
        Nearness {
            columns: columns.map(|(at, limit)| (at + 1, limit)).collect(),
            ..Nearness::default()
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
            let hash = nearness.sip.hash(encoder.row());
            nearness.seen(hash, encoder.row()).unwrap()
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
