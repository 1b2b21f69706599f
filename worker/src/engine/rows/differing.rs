//! The differing rows of a table: their counts, the sum of their hashes, the first
//! ones by key, and, if they are needed, all of them, on disk if they are many.

use std::collections::{BinaryHeap, VecDeque};
use std::io;

use shared::outcome::{DifferenceKind, RowCounts};

use crate::engine::disk::{Budget, Partitioned};
use crate::engine::rows::difference::{RowDifference, pair_off, surplus};
use crate::engine::rows::element::Element;
use crate::engine::rows::version::next;

/// The first byte of a difference on disk: the sides that have the row.
const SOURCE: u8 = 1;
const TARGET: u8 = 2;

/// Up to this many rows of one key are read together.
const LARGEST_GROUP: usize = 4096;

/// How many differences are read at once where they are all read.
const AT_ONCE: usize = 4096;

#[derive(Debug)]
pub(crate) struct Differing {
    counts: RowCounts,
    sum: u128,
    limit: usize,
    first: BinaryHeap<RowDifference>,
    all: Option<(Partitioned, Budget)>,
}

impl Differing {
    /// Keeps the first `limit` by key, in whatever order they are added.
    pub(crate) fn first(limit: usize) -> Self {
        Self {
            counts: RowCounts {
                missing: 0,
                extra: 0,
                modified: 0,
                settled: 0,
                truncated: false,
            },
            sum: 0,
            limit,
            first: BinaryHeap::new(),
            all: None,
        }
    }

    /// Keeps all of them, and the first `limit` at hand.
    pub(crate) fn all(limit: usize, budget: &Budget) -> Self {
        let block = (budget.memory / 32).clamp(4 << 10, 1 << 20);
        let all = Partitioned::new(1, block, budget.disk.clone());
        Self {
            all: Some((all, budget.clone())),
            ..Self::first(limit)
        }
    }

    /// An empty set with the same limits.
    pub(crate) fn like(&self) -> Self {
        match &self.all {
            Some((_, budget)) => Self::all(self.limit, budget),
            None => Self::first(self.limit),
        }
    }

    /// Adds a difference. The differences of a key that both sides have must be
    /// added one after the other, modified rows first.
    pub(crate) fn push(&mut self, difference: RowDifference) -> io::Result<()> {
        self.push_copies(difference, 1)
    }

    pub(crate) fn push_copies(&mut self, difference: RowDifference, count: u64) -> io::Result<()> {
        match difference.kind() {
            DifferenceKind::Missing => self.counts.missing += count,
            DifferenceKind::Extra => self.counts.extra += count,
            DifferenceKind::Modified => self.counts.modified += count,
        }
        let (source, target) = (difference.source, difference.target);
        let one = source.unwrap_or(0).wrapping_sub(target.unwrap_or(0));
        self.sum = self.sum.wrapping_add(one.wrapping_mul(count.into()));
        if let Some((all, _)) = &mut self.all {
            for _ in 0..count {
                append(all, 0, difference)?;
            }
        }
        // No more than `limit` of them can be among the first ones.
        for _ in 0..count.min(self.limit as u64) {
            if self.first.len() < self.limit {
                self.first.push(difference);
            } else if let Some(mut largest) = self.first.peek_mut()
                && difference < *largest
            {
                *largest = difference;
            } else {
                break;
            }
        }
        self.counts.truncated = self.counts.total() > self.limit as u64;
        Ok(())
    }

    pub(crate) fn counts(&self) -> RowCounts {
        self.counts
    }

    /// The sum of the source's row hashes minus that of the target's, modulo 2^128.
    pub(crate) fn sum(&self) -> u128 {
        self.sum
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counts.total() == 0
    }

    /// The first ones, in the order of their keys.
    pub(crate) fn listed(&self) -> Vec<RowDifference> {
        self.first.clone().into_sorted_vec()
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        assert!(
            self.all.is_some() || !self.counts.truncated,
            "all differences are read only where all were kept"
        );
        let waiting = match &self.all {
            Some(_) => Vec::new(),
            None => self.first.clone().into_sorted_vec(),
        };
        Reader {
            of: self,
            block: 0,
            waiting: waiting.into(),
        }
    }

    /// Calls `each` with all of them, in the order in which they were taken in.
    pub(crate) fn for_each(
        &self,
        mut each: impl FnMut(RowDifference) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut reader = self.reader();
        loop {
            let some = reader.take(AT_ONCE)?;
            if some.is_empty() {
                return Ok(());
            }
            some.into_iter().try_for_each(&mut each)?;
        }
    }
}

pub(crate) fn append(
    into: &mut Partitioned,
    at: usize,
    difference: RowDifference,
) -> io::Result<()> {
    let key = difference.key.to_le_bytes();
    let source = difference.source.unwrap_or_default().to_le_bytes();
    let target = difference.target.unwrap_or_default().to_le_bytes();
    match difference.kind() {
        DifferenceKind::Modified => into.append(at, &[&[SOURCE | TARGET], &key, &source, &target]),
        DifferenceKind::Missing => into.append(at, &[&[SOURCE], &key, &source]),
        DifferenceKind::Extra => into.append(at, &[&[TARGET], &key, &target]),
    }
}

/// Reads differences in the order in which they were added.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    of: &'a Differing,
    block: usize,
    waiting: VecDeque<RowDifference>,
}

impl Reader<'_> {
    /// The next differences, about `count` of them; none at the end. Differences of
    /// one key that were added together are returned together, up to a limit.
    pub(crate) fn take(&mut self, count: usize) -> io::Result<Vec<RowDifference>> {
        let mut taken: Vec<RowDifference> = Vec::new();
        while let Some(next) = self.peek()? {
            let same = taken.last().is_some_and(|last| last.key == next.key);
            if taken.len() >= count && !(same && taken.len() < count + LARGEST_GROUP) {
                break;
            }
            self.waiting.pop_front();
            taken.push(next);
        }
        Ok(taken)
    }

    fn peek(&mut self) -> io::Result<Option<RowDifference>> {
        let Some((all, _)) = &self.of.all else {
            return Ok(self.waiting.front().copied());
        };
        while self.waiting.is_empty() && self.block < all.blocks(0) {
            let bytes = all.block(0, self.block)?;
            self.block += 1;
            read(&bytes, &mut self.waiting);
        }
        Ok(self.waiting.front().copied())
    }
}

/// Reads the differences in a block that [`append`] wrote.
pub(crate) fn read(mut bytes: &[u8], into: &mut VecDeque<RowDifference>) {
    let number = |bytes: &mut &[u8]| u128::from_le_bytes(next(bytes));
    while let Some((sides, rest)) = bytes.split_first() {
        bytes = rest;
        let key = number(&mut bytes);
        let source = (sides & SOURCE != 0).then(|| number(&mut bytes));
        let target = (sides & TARGET != 0).then(|| number(&mut bytes));
        into.push_back(RowDifference {
            key,
            source,
            target,
        });
    }
}

/// Adds the differences between the elements of two sides. Equal elements cancel
/// each other, each as often as it occurs. The remaining elements of a key are
/// paired: pairs are modified rows, the rest is missing or extra.
///
/// Sorts both slices.
pub(crate) fn pair(
    source: &mut [Element],
    target: &mut [Element],
    differing: &mut Differing,
) -> io::Result<()> {
    source.sort_unstable();
    target.sort_unstable();
    let (mut source, mut target) = (&*source, &*target);
    while let Some(key) = source
        .first()
        .into_iter()
        .chain(target.first())
        .map(|element| element.key)
        .min()
    {
        // Fast path for equal elements with a unique key.
        if let ([a, ..], [b, ..]) = (source, target)
            && a == b
            && source.get(1).is_none_or(|next| next.key != key)
            && target.get(1).is_none_or(|next| next.key != key)
        {
            (source, target) = (&source[1..], &target[1..]);
            continue;
        }
        let (left, right) = (of_key(&mut source, key), of_key(&mut target, key));
        pair_off(
            key,
            surplus(left, right).map(Ok),
            surplus(right, left).map(Ok),
            |difference, count| differing.push_copies(difference, count),
        )?;
    }
    Ok(())
}

/// Splits the elements of one key off the front.
pub(crate) fn of_key<'a>(elements: &mut &'a [Element], key: u128) -> &'a [Element] {
    let count = elements
        .iter()
        .take_while(|element| element.key == key)
        .count();
    let (these, rest) = elements.split_at(count);
    *elements = rest;
    these
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::disk::DiskBudget;
    use proptest::prelude::*;

    fn difference() -> impl Strategy<Value = RowDifference> {
        let hash = || proptest::option::of(any::<u128>());
        (0_u128..50, hash(), any::<u128>(), hash()).prop_map(|(key, source, some, target)| {
            RowDifference {
                key,
                source: source.or(target.is_none().then_some(some)),
                target,
            }
        })
    }

    proptest! {
        #[test]
        fn copies_at_once_are_copies_one_by_one(differences in proptest::collection::vec((difference(), 1_u64..30), 0..60), limit in 0_usize..50) {
            let budget = Budget { memory: 0, disk: DiskBudget::new(1 << 20) };
            let (mut at_once, mut one_by_one) = (Differing::all(limit, &budget), Differing::all(limit, &budget));
            for (difference, count) in differences {
                at_once.push_copies(difference, count).unwrap();
                for _ in 0..count {
                    one_by_one.push(difference).unwrap();
                }
            }
            prop_assert_eq!(at_once.counts(), one_by_one.counts());
            prop_assert_eq!(at_once.sum(), one_by_one.sum());
            prop_assert_eq!(at_once.listed(), one_by_one.listed());
            prop_assert_eq!(at_once.reader().take(10_000).unwrap(), one_by_one.reader().take(10_000).unwrap());
        }

        #[test]
        fn what_goes_in_comes_out(mut differences in proptest::collection::vec(difference(), 0..600), limit in 0_usize..20, chunk in 1_usize..50) {
            differences.sort_by_key(|difference| difference.key);
            let budget = Budget { memory: 0, disk: DiskBudget::new(1 << 20) };
            let mut all = Differing::all(limit, &budget);
            for difference in &differences {
                all.push(*difference).unwrap();
            }
            let mut found: Vec<RowDifference> = Vec::new();
            let mut reader = all.reader();
            loop {
                let taken = reader.take(chunk).unwrap();
                let Some(first) = taken.first() else { break };
                prop_assert!(found.last().is_none_or(|last| last.key != first.key), "a key is torn apart");
                found.extend(taken);
            }
            prop_assert_eq!(&found, &differences);
            prop_assert_eq!(all.counts().total(), differences.len() as u64);
            prop_assert_eq!(all.counts().truncated, differences.len() > limit);
            differences.sort_unstable();
            differences.truncate(limit);
            prop_assert_eq!(all.listed(), differences);
        }
    }
}
