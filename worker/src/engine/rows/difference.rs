//! Differing rows: how the elements that only one side has become rows that are
//! missing, extra or modified.

use shared::outcome::DifferenceKind;

use crate::engine::rows::element::Element;
use crate::engine::values::column::SideOf;

/// A differing row, by hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RowDifference {
    /// The key, in the table's key form.
    pub key: u128,
    /// The row hash of the source; absent for an extra row.
    pub source: Option<u128>,
    /// The row hash of the target; absent for a missing row.
    pub target: Option<u128>,
}

impl RowDifference {
    pub(crate) fn kind(&self) -> DifferenceKind {
        match (self.source, self.target) {
            (Some(_), Some(_)) => DifferenceKind::Modified,
            (Some(_), None) => DifferenceKind::Missing,
            _ => DifferenceKind::Extra,
        }
    }

    pub(crate) fn hash_on(&self, side: SideOf) -> Option<u128> {
        match side {
            SideOf::Source => self.source,
            SideOf::Target => self.target,
        }
    }
}

/// Equal rows of which one side has `count` more than the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Surplus {
    pub(crate) row: u128,
    pub(crate) count: u64,
}

/// The rows of which `of` has more than `other`, in ascending order. Both are
/// sorted and of one key.
pub(crate) fn surplus<'a>(
    of: &'a [Element],
    other: &'a [Element],
) -> impl Iterator<Item = Surplus> + 'a {
    fn copies(elements: &[Element]) -> impl Iterator<Item = Surplus> {
        elements
            .chunk_by(|a, b| a.row == b.row)
            .map(|copies| Surplus {
                row: copies[0].row,
                count: copies.len() as u64,
            })
    }
    let mut others = copies(other).peekable();
    copies(of).filter_map(move |Surplus { row, count }| {
        while others.next_if(|other| other.row < row).is_some() {}
        let there = others
            .next_if(|other| other.row == row)
            .map_or(0, |other| other.count);
        let count = count.saturating_sub(there);
        (count > 0).then_some(Surplus { row, count })
    })
}

/// Pairs the surplus rows of one key, in order, and calls `found` with each pair
/// and its number of copies. Rows that remain on one side are missing or extra.
pub(crate) fn pair_off<E>(
    key: u128,
    mut source: impl Iterator<Item = Result<Surplus, E>>,
    mut target: impl Iterator<Item = Result<Surplus, E>>,
    mut found: impl FnMut(RowDifference, u64) -> Result<(), E>,
) -> Result<(), E> {
    let (mut left, mut right) = (source.next().transpose()?, target.next().transpose()?);
    while let Some(count) = [left, right]
        .into_iter()
        .flatten()
        .map(|rows| rows.count)
        .min()
    {
        let difference = RowDifference {
            key,
            source: left.map(|rows| rows.row),
            target: right.map(|rows| rows.row),
        };
        found(difference, count)?;
        subtract(&mut left, count, &mut source)?;
        subtract(&mut right, count, &mut target)?;
    }
    Ok(())
}

/// Subtracts `count` from `rows`; if none remain, continues with the next ones.
fn subtract<E>(
    rows: &mut Option<Surplus>,
    count: u64,
    rest: &mut impl Iterator<Item = Result<Surplus, E>>,
) -> Result<(), E> {
    if let Some(now) = rows {
        now.count -= count;
        if now.count == 0 {
            *rows = rest.next().transpose()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rows::differing::{Differing, pair};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn side() -> impl Strategy<Value = Vec<Element>> {
        proptest::collection::vec(
            (0_u128..12, 0_u128..3).prop_map(|(key, row)| Element { key, row }),
            0..40,
        )
    }

    proptest! {
        #[test]
        fn counts_agree_with_counting_by_key(mut source in side(), mut target in side(), limit in 0_usize..10) {
            // The long-hand answer: per key, what each side has more of.
            let mut balance: BTreeMap<u128, BTreeMap<u128, i64>> = BTreeMap::new();
            for element in &source { *balance.entry(element.key).or_default().entry(element.row).or_default() += 1; }
            for element in &target { *balance.entry(element.key).or_default().entry(element.row).or_default() -= 1; }
            let (mut missing, mut extra, mut modified) = (0, 0, 0);
            for rows in balance.values() {
                let left: i64 = rows.values().filter(|n| **n > 0).sum();
                let right: i64 = -rows.values().filter(|n| **n < 0).sum::<i64>();
                modified += left.min(right);
                missing += left - left.min(right);
                extra += right - left.min(right);
            }

            let mut differing = Differing::first(limit);
            pair(&mut source, &mut target, &mut differing).unwrap();
            let (counts, kept) = (differing.counts(), differing.listed());
            prop_assert_eq!(
                (counts.missing, counts.extra, counts.modified),
                (missing.unsigned_abs(), extra.unsigned_abs(), modified.unsigned_abs())
            );
            prop_assert_eq!(kept.len() as u64, counts.total().min(limit as u64));
            prop_assert_eq!(counts.truncated, counts.total() > limit as u64);
            prop_assert!(kept.is_sorted());
        }
    }
}
