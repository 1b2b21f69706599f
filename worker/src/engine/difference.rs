//! From elements that the two sides do not share to rows that are missing,
//! extra or modified.

use std::io;

use super::differing::Differing;
use super::element::Element;
use shared::outcome::DifferenceKind;

/// One row that differs, by hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowDifference {
    /// The key, in the table's key form.
    pub key: u128,
    /// The source's row hash; absent for an extra row.
    pub source: Option<u128>,
    /// The target's row hash; absent for a missing row.
    pub target: Option<u128>,
}

impl RowDifference {
    /// On which side the row is.
    #[must_use]
    pub fn kind(&self) -> DifferenceKind {
        match (self.source, self.target) {
            (Some(_), Some(_)) => DifferenceKind::Modified,
            (Some(_), None) => DifferenceKind::Missing,
            _ => DifferenceKind::Extra,
        }
    }
}

/// Pairs what is left of the two sides by key: a key on both sides is a
/// modified row. Elements that both sides have cancel each other, each as often
/// as it occurs. A key that occurs several times on a side gives as many
/// modified rows as can be paired, and the rest is missing or extra.
///
/// Sorts both slices.
///
/// # Errors
///
/// As [`Differing::push`].
pub fn pair(
    source: &mut [Element],
    target: &mut [Element],
    differing: &mut Differing,
) -> io::Result<()> {
    source.sort_unstable();
    target.sort_unstable();
    let (mut source, mut target) = (&*source, &*target);
    let (mut only_source, mut only_target) = (Vec::new(), Vec::new());
    while let Some(key) = source
        .first()
        .into_iter()
        .chain(target.first())
        .map(|element| element.key)
        .min()
    {
        let of_key = |elements: &mut &[Element]| {
            let count = elements
                .iter()
                .take_while(|element| element.key == key)
                .count();
            let (these, rest) = elements.split_at(count);
            *elements = rest;
            these.to_vec()
        };
        let (left, right) = match (source, target) {
            // The common case of large, almost equal sides, without allocating.
            ([a, ..], [b, ..])
                if a == b
                    && source.get(1).is_none_or(|next| next.key != key)
                    && target.get(1).is_none_or(|next| next.key != key) =>
            {
                (source, target) = (&source[1..], &target[1..]);
                continue;
            }
            _ => (of_key(&mut source), of_key(&mut target)),
        };
        subtract_sorted(&left, &right, &mut only_source, &mut only_target);
        let pairs = only_source.len().max(only_target.len());
        for at in 0..pairs {
            differing.push(RowDifference {
                key,
                source: only_source.get(at).copied(),
                target: only_target.get(at).copied(),
            })?;
        }
        only_source.clear();
        only_target.clear();
    }
    Ok(())
}

/// Row hashes of one key that only one side has, as multisets.
fn subtract_sorted(
    source: &[Element],
    target: &[Element],
    only_source: &mut Vec<u128>,
    only_target: &mut Vec<u128>,
) {
    let (mut left, mut right) = (source.iter().peekable(), target.iter().peekable());
    loop {
        match (left.peek(), right.peek()) {
            (Some(a), Some(b)) if a.row == b.row => {
                left.next();
                right.next();
            }
            (Some(a), b) if b.is_none_or(|b| a.row < b.row) => {
                only_source.push(a.row);
                left.next();
            }
            (_, Some(b)) => {
                only_target.push(b.row);
                right.next();
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
