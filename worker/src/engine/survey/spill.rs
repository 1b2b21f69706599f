//! The exact comparison, used when the sketch does not decode.
//!
//! The element of every row is written to disk, partitioned by key. Then the
//! partitions are compared in memory, one after the other. If a partition does not
//! fit in memory and has few distinct rows, the copies of each row are counted.
//! Otherwise the partition is cut again. The disk space of elements is reused once
//! they were read. So the disk never contains more than one copy of all elements.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::io;

use crate::engine::disk::{BLOCK, Budget, Partitioned};
use crate::engine::rows::difference::{RowDifference, Surplus, pair_off, surplus};
use crate::engine::rows::differing::{Differing, pair};
use crate::engine::rows::element::Element;
use crate::engine::rows::hash::{KeyHasher, mix};
use crate::engine::values::pair::Pair;

/// Bytes of an element on disk.
const ELEMENT: usize = 32;

/// The number of parts into which a partition is cut if it does not fit in memory.
const FAN_OUT: usize = 16;

/// The number of cuts by the hash of the key. Each further cut separates one key
/// from the others.
const CUTS_BY_HASH: u32 = 6;

/// The most bytes of memory that a distinct row takes when the copies of rows are
/// counted. The map takes the most while it grows.
const BALANCE: usize = 168;

/// The copies of this many distinct rows are counted even if the memory limit is lower.
const FEWEST_BALANCED: usize = 16;

/// The number of copies of a difference that are pushed between two checks for a
/// cancellation.
const COPIES_AT_ONCE: u64 = 64 * 1024;

/// The number of partitions for a comparison of `rows` rows of both sides together.
pub(crate) fn partitions_for(rows: u64, budget: &Budget) -> usize {
    budget.partitions(rows.saturating_mul(ELEMENT as u64), 2)
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfinished {
    #[error("cancelled")]
    Cancelled,
    #[error(transparent)]
    Disk(#[from] io::Error),
}

#[derive(Debug)]
pub(crate) struct Spill {
    records: Partitioned,
}

impl Spill {
    pub(crate) fn new(partitions: usize, budget: &Budget) -> Self {
        Self {
            records: Partitioned::new(partitions, BLOCK, budget.disk.clone()),
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, element: Element) -> io::Result<()> {
        let at = by_hash(element.key, 0) & (self.records.partitions() - 1);
        append(&mut self.records, at, element)
    }
}

/// The bits that choose a partition. Each cut uses other bits.
#[inline]
fn by_hash(key: u128, cuts: u32) -> usize {
    (mix(key.wrapping_mul(u128::from(2 * cuts + 1))) >> 32) as usize
}

#[inline]
fn append(records: &mut Partitioned, at: usize, element: Element) -> io::Result<()> {
    records.append(
        at,
        &[&element.key.to_le_bytes(), &element.row.to_le_bytes()],
    )
}

fn elements(block: &[u8]) -> impl Iterator<Item = Element> {
    block.as_chunks::<ELEMENT>().0.iter().map(decode)
}

fn decode(bytes: &[u8; ELEMENT]) -> Element {
    let half = |range: std::ops::Range<usize>| {
        u128::from_le_bytes(bytes[range].try_into().expect("16 bytes"))
    };
    Element {
        key: half(0..16),
        row: half(16..32),
    }
}

/// Compares two spills with the same number of partitions, within the memory of
/// `budget`. Checks `is_cancelled` before every partition. If a partition does not
/// fit in memory, also checks it before every block.
pub(crate) fn compare(
    spills: Pair<Spill>,
    budget: &Budget,
    is_cancelled: &dyn Fn() -> bool,
    differing: &mut Differing,
) -> Result<(), Unfinished> {
    let records = spills.map(|spill| spill.records);
    let partitions = records.source.partitions();
    assert_eq!(
        partitions,
        records.target.partitions(),
        "spills of one comparison are cut alike"
    );
    let mut comparison = Comparison {
        records,
        memory: budget.memory,
        is_cancelled,
        differing,
    };
    for at in 0..partitions {
        comparison.partition(at, 1, None)?;
    }
    Ok(())
}

struct Comparison<'a> {
    records: Pair<Partitioned>,
    memory: usize,
    is_cancelled: &'a dyn Fn() -> bool,
    differing: &'a mut Differing,
}

/// The contents of a partition that does not fit in memory.
enum Contents {
    /// Few distinct rows. The number is how many more copies of the row the source
    /// has than the target. Rows with the number 0 are left out. The rows are sorted.
    Few(Vec<(Element, i64)>),
    /// Several keys. The field is one of them.
    Keys(u128),
    /// Rows of one key. `low` and `high` are their lowest and highest hash.
    OneKey { key: u128, low: u128, high: u128 },
}

impl Comparison<'_> {
    /// Compares a partition. `cuts` is the number of its next cut, from 1.
    ///
    /// If the rows of one key do not fit in one partition, they are cut into several.
    /// Then `remains` is set: rows that only one side has are written to the
    /// partition `remains` of that side, in order.
    fn partition(
        &mut self,
        at: usize,
        cuts: u32,
        remains: Option<usize>,
    ) -> Result<(), Unfinished> {
        check(self.is_cancelled)?;
        let Pair { source, target } = self.records.as_ref().map(|side| side.bytes(at));
        if source + target <= (self.memory / 4) as u64 {
            return Ok(self.in_memory(at, remains)?);
        }
        match (self.contents(at)?, remains) {
            (Contents::Few(balance), _) => {
                self.records.source.clear(at);
                self.records.target.clear(at);
                self.added_up(&balance, remains)
            }
            (Contents::Keys(_), _) if cuts <= CUTS_BY_HASH => {
                self.cut(at, cuts, remains, |element| by_hash(element.key, cuts))
            }
            (Contents::Keys(key), _) => {
                self.cut(at, cuts, remains, |element| usize::from(element.key == key))
            }
            (Contents::OneKey { key, .. }, None) => self.one_key(at, cuts, key),
            (Contents::OneKey { low, high, .. }, Some(_)) => {
                // The highest bits in which the hashes differ: the rows stay in order.
                let differing = u128::BITS - (low ^ high).leading_zeros();
                let shift = differing.saturating_sub(FAN_OUT.ilog2());
                self.cut(at, cuts, remains, |element| (element.row >> shift) as usize)
            }
        }
    }

    fn in_memory(&mut self, at: usize, remains: Option<usize>) -> io::Result<()> {
        let mut left = read(&mut self.records.source, at)?;
        let mut right = read(&mut self.records.target, at)?;
        let Some(remains) = remains else {
            return pair(&mut left, &mut right, self.differing);
        };
        left.sort_unstable();
        right.sort_unstable();
        keep(&mut self.records.source, remains, surplus(&left, &right))?;
        keep(&mut self.records.target, remains, surplus(&right, &left))
    }

    fn added_up(
        &mut self,
        balance: &[(Element, i64)],
        remains: Option<usize>,
    ) -> Result<(), Unfinished> {
        fn of(side: i64, rows: &[(Element, i64)]) -> impl Iterator<Item = Surplus> {
            rows.iter().filter_map(move |(Element { row, .. }, count)| {
                let count = u64::try_from(side * count).ok()?;
                Some(Surplus { row: *row, count })
            })
        }
        if let Some(remains) = remains {
            keep(&mut self.records.source, remains, of(1, balance))?;
            keep(&mut self.records.target, remains, of(-1, balance))?;
            return Ok(());
        }
        for rows in balance.chunk_by(|(a, _), (b, _)| a.key == b.key) {
            let (left, right) = (of(1, rows).map(Ok), of(-1, rows).map(Ok));
            pair_off(rows[0].0.key, left, right, |difference, count| {
                push(self.differing, difference, count, self.is_cancelled)
            })?;
        }
        Ok(())
    }

    /// Compares a partition whose rows have one key. It collects the rows that only
    /// one side has, and pairs those of the source with those of the target.
    fn one_key(&mut self, at: usize, cuts: u32, key: u128) -> Result<(), Unfinished> {
        let remains = self.grow(1);
        self.partition(at, cuts, Some(remains))?;
        let Pair { source, target } = self.records.as_ref().map(|side| kept(side, remains));
        pair_off(key, source, target, |difference, count| {
            push(self.differing, difference, count, self.is_cancelled)
        })?;
        self.truncate(remains);
        Ok(())
    }

    /// Moves the elements of a partition to new partitions, and compares these in
    /// their order. The lowest bits of `choose` select the new partition.
    fn cut(
        &mut self,
        at: usize,
        cuts: u32,
        remains: Option<usize>,
        choose: impl Fn(Element) -> usize,
    ) -> Result<(), Unfinished> {
        let first = self.grow(FAN_OUT);
        for records in [&mut self.records.source, &mut self.records.target] {
            while let Some(block) = records.take(at)? {
                check(self.is_cancelled)?;
                for element in elements(&block) {
                    append(records, first + (choose(element) & (FAN_OUT - 1)), element)?;
                }
            }
        }
        for at in first..first + FAN_OUT {
            self.partition(at, cuts + 1, remains)?;
        }
        self.truncate(first);
        Ok(())
    }

    /// Reads as much of a partition as is needed to decide how to compare it.
    fn contents(&self, at: usize) -> Result<Contents, Unfinished> {
        let most = (self.memory / 4 / BALANCE).max(FEWEST_BALANCED);
        let mut balance = HashMap::<Element, i64, BuildHasherDefault<KeyHasher>>::default();
        let mut is_few = true;
        let both = |bits| Element {
            key: bits,
            row: bits,
        };
        let (mut low, mut high) = (both(u128::MAX), both(0));
        for (records, one) in [(&self.records.source, 1), (&self.records.target, -1)] {
            for block in 0..records.blocks(at) {
                check(self.is_cancelled)?;
                for element in elements(&records.block(at, block)?) {
                    (low, high) = (low.min(element), high.max(element));
                    if is_few {
                        *balance.entry(element).or_default() += one;
                        is_few = balance.len() <= most;
                    }
                    if !is_few && low.key != high.key {
                        return Ok(Contents::Keys(low.key));
                    }
                }
            }
        }
        if !is_few {
            return Ok(Contents::OneKey {
                key: low.key,
                low: low.row,
                high: high.row,
            });
        }
        let mut balance: Vec<_> = balance
            .into_iter()
            .filter(|(_, count)| *count != 0)
            .collect();
        balance.sort_unstable();
        Ok(Contents::Few(balance))
    }

    fn grow(&mut self, partitions: usize) -> usize {
        self.records.source.grow(partitions);
        self.records.target.grow(partitions)
    }

    fn truncate(&mut self, first: usize) {
        self.records.source.truncate(first);
        self.records.target.truncate(first);
    }
}

fn check(is_cancelled: &dyn Fn() -> bool) -> Result<(), Unfinished> {
    if is_cancelled() {
        return Err(Unfinished::Cancelled);
    }
    Ok(())
}

/// Pushes a difference that occurs `count` times.
fn push(
    differing: &mut Differing,
    difference: RowDifference,
    mut count: u64,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<(), Unfinished> {
    while count > 0 {
        check(is_cancelled)?;
        let now = count.min(COPIES_AT_ONCE);
        differing.push_copies(difference, now)?;
        count -= now;
    }
    Ok(())
}

/// Takes all elements out of a partition.
fn read(records: &mut Partitioned, at: usize) -> io::Result<Vec<Element>> {
    let count = usize::try_from(records.bytes(at)).unwrap_or(0) / ELEMENT;
    let mut all = Vec::with_capacity(count);
    while let Some(block) = records.take(at)? {
        all.extend(elements(&block));
    }
    Ok(all)
}

/// Writes rows of one key to partition `at`, with their count in place of the key.
fn keep(
    records: &mut Partitioned,
    at: usize,
    rows: impl Iterator<Item = Surplus>,
) -> io::Result<()> {
    for Surplus { row, count } in rows {
        let key = count.into();
        append(records, at, Element { key, row })?;
    }
    Ok(())
}

/// The rows that [`keep`] wrote to partition `at`, in their order.
fn kept(records: &Partitioned, at: usize) -> impl Iterator<Item = Result<Surplus, Unfinished>> {
    let rows = move |block| -> io::Result<Vec<Surplus>> {
        let bytes = records.block(at, block)?;
        let rows = elements(&bytes).map(|Element { key, row }| {
            let count = u64::try_from(key).map_err(io::Error::other)?;
            Ok(Surplus { row, count })
        });
        rows.collect()
    };
    (0..records.blocks(at)).flat_map(move |block| match rows(block) {
        Ok(rows) => rows.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error.into())],
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::engine::disk::DiskBudget;
    use proptest::prelude::*;

    fn side() -> impl Strategy<Value = Vec<Element>> {
        // Many keys, and one key that many rows have: some rows are equal, the others differ.
        let key = prop_oneof![0_u128..900, Just(7_u128)];
        let row = prop_oneof![
            (0_u128..40).prop_map(|row| row * row),
            (0_u128..3_000).prop_map(|row| row.wrapping_mul(u128::MAX / 3_001)),
        ];
        proptest::collection::vec(
            (key, row).prop_map(|(key, row)| Element { key, row }),
            0..2_000,
        )
    }

    fn budget(memory: usize) -> Budget {
        Budget {
            memory,
            disk: DiskBudget::new(1 << 30),
        }
    }

    fn spill(
        elements: impl IntoIterator<Item = Element>,
        partitions: usize,
        budget: &Budget,
    ) -> Spill {
        let mut spill = Spill::new(partitions, budget);
        for element in elements {
            spill.add(element).unwrap();
        }
        spill
    }

    /// Compares both sides. The limit on disk is the size of all elements.
    fn compare_all(
        source: impl IntoIterator<Item = Element>,
        target: impl IntoIterator<Item = Element>,
        partitions: usize,
        memory: usize,
    ) -> Differing {
        compare_after(1, source, target, partitions, memory)
    }

    /// The same with `cuts` as the number of the next cut.
    fn compare_after(
        cuts: u32,
        source: impl IntoIterator<Item = Element>,
        target: impl IntoIterator<Item = Element>,
        partitions: usize,
        memory: usize,
    ) -> Differing {
        let (source, target) = (Vec::from_iter(source), Vec::from_iter(target));
        let budget = Budget {
            memory,
            disk: DiskBudget::new(((source.len() + target.len()) * ELEMENT) as u64),
        };
        let records = Pair {
            source: spill(source, partitions, &budget).records,
            target: spill(target, partitions, &budget).records,
        };
        let mut differing = Differing::first(100);
        let mut comparison = Comparison {
            records,
            memory,
            is_cancelled: &|| false,
            differing: &mut differing,
        };
        for at in 0..partitions {
            comparison.partition(at, cuts, None).unwrap();
        }
        assert_eq!(comparison.records.source.partitions(), partitions);
        differing
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn comparing_on_disk_is_comparing_in_memory(
            mut source in side(),
            mut target in side(),
            partitions in 0_u32..4,
            memory in prop_oneof![Just(2_000_usize), Just(20_000), Just(1 << 20)],
            cuts in prop_oneof![Just(1_u32), Just(CUTS_BY_HASH), Just(CUTS_BY_HASH + 1)],
        ) {
            let on_disk = compare_after(cuts, source.clone(), target.clone(), 1 << partitions, memory);
            let mut in_memory = Differing::first(100);
            pair(&mut source, &mut target, &mut in_memory).unwrap();
            prop_assert_eq!(on_disk.counts(), in_memory.counts());
            prop_assert_eq!(on_disk.sum(), in_memory.sum());
            prop_assert_eq!(on_disk.listed(), in_memory.listed());
        }

        #[test]
        fn it_ends_wherever_it_is_cancelled(
            source in side(),
            target in side(),
            memory in prop_oneof![Just(2_000_usize), Just(20_000), Just(1 << 20)],
            after in any::<proptest::sample::Index>(),
        ) {
            let asked = Cell::new(0_usize);
            let cancelled_after = |most: usize| {
                asked.set(0);
                let budget = budget(memory);
                let (left, right) = (spill(source.clone(), 4, &budget), spill(target.clone(), 4, &budget));
                let is_cancelled = || {
                    asked.set(asked.get() + 1);
                    asked.get() > most
                };
                let compared = compare(Pair { source: left, target: right }, &budget, &is_cancelled, &mut Differing::first(10));
                prop_assert_eq!(budget.disk.used(), 0);
                Ok(compared)
            };
            prop_assert!(cancelled_after(usize::MAX)?.is_ok());
            let all = asked.get();
            prop_assert!(all >= 4, "it is asked at every partition");
            let most = after.index(all);
            prop_assert!(matches!(cancelled_after(most)?, Err(Unfinished::Cancelled)));
            prop_assert_eq!(asked.get(), most + 1, "nothing is done after that");
        }
    }

    fn copies(count: usize) -> impl Iterator<Item = Element> {
        std::iter::repeat_n(Element { key: 1, row: 2 }, count)
    }

    #[test]
    fn copies_of_one_row_need_no_memory_and_no_disk_for_each() {
        for (source, target) in [(50_000, 50_003), (400_000, 1), (0, 400_000)] {
            let differing = compare_all(copies(source), copies(target), 4, 64 << 10);
            let counts = differing.counts();
            assert_eq!(
                (counts.missing, counts.extra, counts.modified),
                (
                    source.saturating_sub(target) as u64,
                    target.saturating_sub(source) as u64,
                    0
                )
            );
        }
    }

    #[test]
    fn copies_among_other_rows_of_their_key_and_of_others() {
        let others = |keys: u128| {
            (0..20_000_u128).map(move |row| Element {
                key: row % keys,
                row: u128::from(mix(row)) << 64 | u128::from(mix(!row)),
            })
        };
        for keys in [1, 2, 20_000] {
            let differing = compare_all(
                copies(50_000).chain(others(keys).skip(3)),
                copies(49_990).chain(others(keys)),
                4,
                64 << 10,
            );
            let counts = differing.counts();
            let all = (counts.missing, counts.extra, counts.modified);
            // Only the target has three of the rows. One of them may have key 1, as the copies do.
            let expected = if keys == 1 { (10, 3, 0) } else { (9, 2, 1) };
            assert_eq!(all, expected, "{keys} keys");
        }
    }

    #[test]
    fn it_ends_among_the_copies_of_one_difference() {
        let budget = budget(64 << 10);
        let (left, right) = (spill(copies(300_000), 1, &budget), spill([], 1, &budget));
        let before = budget.disk.used();
        let mut differing = Differing::all(0, &budget);
        let is_cancelled = || budget.disk.used() > before + (1 << 20);
        let compared = compare(
            Pair {
                source: left,
                target: right,
            },
            &budget,
            &is_cancelled,
            &mut differing,
        );
        assert!(matches!(compared, Err(Unfinished::Cancelled)));
        assert!((30_000..200_000).contains(&differing.counts().missing));
    }
}
