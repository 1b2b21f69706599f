//! All keys that a recheck has not decided yet, however many: on disk, by key,
//! and as many of them in memory at once as fit.

use std::collections::VecDeque;
use std::io;

use crate::engine::disk::{BLOCK, Budget, Partitioned};
use crate::engine::error::disk;
use crate::engine::recheck::history::KeyHistory;
use crate::engine::rows::difference::RowDifference;
use crate::engine::rows::differing::{Differing, append, read};
use crate::engine::rows::hash::mix;
use crate::engine::rows::keys::{KeyMap, KeySet, partition_of};
use crate::engine::rows::version::{SeenRow, Version, next};
use crate::engine::task::Stop;
use crate::engine::values::pair::Pair;

/// Bytes of memory that a key takes, with the versions of both sides.
const KEY_IN_MEMORY: u64 = 500;

/// Files with as many partitions at the same time: the keys before and after an
/// observation, and the rows of both sides that it saw.
const FILES: usize = 4;

/// Keys in memory, and what has been seen of them.
pub(crate) type Histories = KeyMap<KeyHistory>;

/// Keys that are not decided, partitioned by [`partition_of`].
#[derive(Debug)]
pub(crate) struct PendingKeys {
    records: Partitioned,
    keys: u64,
    budget: Budget,
}

/// The keys that are in memory at once, of those in one partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slice {
    partition: usize,
    number: u64,
    of: u64,
}

impl Slice {
    fn has(&self, key: u128) -> bool {
        // Other bits than those that choose the partition.
        self.of == 1 || (mix(key) >> 8) & (self.of - 1) == self.number
    }
}

impl PendingKeys {
    /// The keys of all of `differing`, as the survey found them. With `is_unique`
    /// no two rows of a side share a key.
    pub(crate) fn new(
        differing: &Differing,
        is_unique: bool,
        budget: &Budget,
    ) -> Result<Self, Stop> {
        let count = differing.counts().total();
        let partitions = budget.partitions(count.saturating_mul(KEY_IN_MEMORY), FILES);
        let mut differences = Partitioned::new(partitions, BLOCK, budget.disk.clone());
        differing
            .for_each(|difference| {
                let at = partition_of(difference.key, partitions);
                append(&mut differences, at, difference)
            })
            .map_err(disk)?;
        let mut pending = Self::empty(partitions, budget);
        for slice in slices(partitions, count, budget) {
            for (key, surveyed) in surveyed(&differences, slice).map_err(disk)? {
                let Surveyed { number, versions } = surveyed;
                let history = if is_unique && number == 1 {
                    KeyHistory::whole(versions)
                } else {
                    KeyHistory::in_part(number, versions)
                };
                pending.add(key, &history).map_err(disk)?;
            }
        }
        Ok(pending)
    }

    fn empty(partitions: usize, budget: &Budget) -> Self {
        Self {
            records: Partitioned::new(partitions, BLOCK, budget.disk.clone()),
            keys: 0,
            budget: budget.clone(),
        }
    }

    fn add(&mut self, key: u128, history: &KeyHistory) -> io::Result<()> {
        let mut bytes = Vec::new();
        history.write(&mut bytes);
        let length = bytes.len() as u64;
        let at = partition_of(key, self.records.partitions());
        self.records
            .append(at, &[&key.to_le_bytes(), &length.to_le_bytes(), &bytes])?;
        self.keys += 1;
        Ok(())
    }

    pub(crate) fn len(&self) -> u64 {
        self.keys
    }

    pub(crate) fn partitions(&self) -> usize {
        self.records.partitions()
    }

    fn each(&self, partition: usize, mut take: impl FnMut(u128, &[u8])) -> Result<(), Stop> {
        for block in 0..self.records.blocks(partition) {
            let bytes = self.records.block(partition, block).map_err(disk)?;
            let mut rest = &*bytes;
            while !rest.is_empty() {
                let key = u128::from_le_bytes(next(&mut rest));
                let length = usize::try_from(u64::from_le_bytes(next(&mut rest)));
                let (record, after) = rest.split_at(length.expect("it was in memory"));
                rest = after;
                take(key, record);
            }
        }
        Ok(())
    }

    pub(crate) fn keys(&self, partition: usize) -> Result<Vec<u128>, Stop> {
        let mut keys = Vec::new();
        self.each(partition, |key, _| keys.push(key))?;
        Ok(keys)
    }

    pub(crate) fn any(&self, is_meant: impl Fn(u128) -> bool) -> Result<bool, Stop> {
        for partition in 0..self.partitions() {
            if self.keys(partition)?.into_iter().any(&is_meant) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Passes all keys to `revise`, a slice at a time. Returns the keys that it
    /// leaves in the slices.
    pub(crate) fn revise(
        &self,
        mut revise: impl FnMut(Slice, &mut Histories) -> Result<(), Stop>,
    ) -> Result<Self, Stop> {
        let partitions = self.records.partitions();
        let mut pending = Self::empty(partitions, &self.budget);
        for slice in slices(partitions, self.keys, &self.budget) {
            let mut histories = Histories::default();
            self.each(slice.partition, |key, mut record| {
                if slice.has(key) {
                    histories.insert(key, KeyHistory::read(&mut record));
                }
            })?;
            if histories.is_empty() {
                continue;
            }
            revise(slice, &mut histories)?;
            for (key, history) in &histories {
                pending.add(*key, history).map_err(disk)?;
            }
        }
        Ok(pending)
    }
}

/// What the survey found under a key: how many differences, and their rows.
#[derive(Default)]
struct Surveyed {
    number: u64,
    versions: Pair<Version>,
}

/// What the survey found under the keys of a slice.
fn surveyed(differences: &Partitioned, slice: Slice) -> io::Result<KeyMap<Surveyed>> {
    let mut keys: KeyMap<Surveyed> = KeyMap::default();
    let mut block = VecDeque::new();
    for number in 0..differences.blocks(slice.partition) {
        read(&differences.block(slice.partition, number)?, &mut block);
        let of_slice = block
            .drain(..)
            .filter(|difference| slice.has(difference.key));
        for RowDifference {
            key,
            source,
            target,
        } in of_slice
        {
            let Surveyed { number, versions } = keys.entry(key).or_default();
            *number += 1;
            if let Some(hash) = source {
                versions.source.add(SeenRow::hashed(hash));
            }
            if let Some(hash) = target {
                versions.target.add(SeenRow::hashed(hash));
            }
        }
    }
    for Surveyed { versions, .. } in keys.values_mut() {
        versions.source.sort();
        versions.target.sort();
    }
    Ok(keys)
}

/// The rows that one observation saw on one side, partitioned as the keys are.
#[derive(Debug)]
pub(crate) struct SeenRows {
    rows: Partitioned,
}

impl SeenRows {
    /// No rows yet of the keys of `pending`.
    pub(crate) fn new(pending: &PendingKeys) -> Self {
        let disk = pending.budget.disk.clone();
        Self {
            rows: Partitioned::new(pending.partitions(), BLOCK, disk),
        }
    }

    /// Records a row that was seen under `key`.
    pub(crate) fn add(&mut self, key: u128, row: &SeenRow) -> io::Result<()> {
        let mut bytes = key.to_le_bytes().to_vec();
        row.write(&mut bytes);
        let at = partition_of(key, self.rows.partitions());
        self.rows.append(at, &[&bytes])
    }

    fn each(&self, partition: usize, mut take: impl FnMut(u128, SeenRow)) -> Result<(), Stop> {
        for block in 0..self.rows.blocks(partition) {
            let bytes = self.rows.block(partition, block).map_err(disk)?;
            let mut rest = &*bytes;
            while !rest.is_empty() {
                let key = u128::from_le_bytes(next(&mut rest));
                take(key, SeenRow::read(&mut rest));
            }
        }
        Ok(())
    }

    /// The keys in one partition under which a row was seen.
    pub(crate) fn keys(&self, partition: usize) -> Result<KeySet, Stop> {
        let mut keys = KeySet::default();
        self.each(partition, |key, _| {
            keys.insert(key);
        })?;
        Ok(keys)
    }

    /// The versions of the keys in `histories`, which are those of `slice`. A key
    /// without rows is not among them.
    pub(crate) fn versions(
        &self,
        slice: Slice,
        histories: &Histories,
    ) -> Result<KeyMap<Version>, Stop> {
        let mut versions: KeyMap<Version> = KeyMap::default();
        self.each(slice.partition, |key, row| {
            if histories.contains_key(&key) {
                versions.entry(key).or_default().add(row);
            }
        })?;
        versions.values_mut().for_each(Version::sort);
        Ok(versions)
    }
}

/// Slices that fit in memory, when so many keys are in so many partitions.
fn slices(partitions: usize, keys: u64, budget: &Budget) -> impl Iterator<Item = Slice> + use<> {
    let fit = (budget.memory as u64 / 4).max(64 * KEY_IN_MEMORY);
    let of = (keys.saturating_mul(KEY_IN_MEMORY) / partitions as u64 / fit + 1).next_power_of_two();
    (0..partitions).flat_map(move |partition| {
        (0..of).map(move |number| Slice {
            partition,
            number,
            of,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::disk::DiskBudget;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn budget(memory: usize) -> Budget {
        Budget {
            memory,
            disk: DiskBudget::new(64 << 20),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Every key is in one slice, with all its differences, wherever these
        /// were found, and is still there when the list was revised.
        #[test]
        fn a_key_is_pending_once_with_all_its_differences(keys in proptest::collection::vec(0_u128..900, 0..3000), memory in prop_oneof![Just(0_usize), Just(200_000), Just(1 << 20)], forgotten in 1_u128..5) {
            let budget = budget(memory);
            let mut differing = Differing::all(0, &budget);
            let mut expected: BTreeMap<u128, u64> = BTreeMap::new();
            for (at, key) in keys.iter().enumerate() {
                differing.push(RowDifference { key: *key, source: Some(at as u128), target: None }).unwrap();
                *expected.entry(*key).or_default() += 1;
            }
            let pending = PendingKeys::new(&differing, false, &budget).unwrap();
            prop_assert_eq!(pending.len(), expected.len() as u64);
            let mut found: BTreeMap<u128, u64> = BTreeMap::new();
            let pending = pending.revise(|_, histories| {
                for (key, history) in &*histories {
                    assert!(found.insert(*key, history.differences()).is_none(), "{key} is in two slices");
                }
                histories.retain(|key, _| key % forgotten == 0);
                Ok(())
            }).unwrap();
            prop_assert_eq!(&found, &expected);
            let mut left: Vec<u128> = (0..pending.partitions()).flat_map(|at| pending.keys(at).unwrap()).collect();
            left.sort_unstable();
            expected.retain(|key, _| key % forgotten == 0);
            prop_assert_eq!(left, expected.into_keys().collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_was_seen_of_a_key_is_seen_in_its_slice() {
        let budget = budget(0);
        let mut differing = Differing::all(0, &budget);
        for key in 0..5000 {
            let source = Some(key + 1);
            differing
                .push(RowDifference {
                    key,
                    source,
                    target: None,
                })
                .unwrap();
        }
        let pending = PendingKeys::new(&differing, true, &budget).unwrap();
        let mut seen_rows = SeenRows::new(&pending);
        for key in (0..10_000).chain(0..10) {
            seen_rows.add(key, &SeenRow::hashed(7 * key)).unwrap();
        }
        let mut seen = 0;
        let mut slices = 0;
        pending
            .revise(|slice, histories| {
                let versions = seen_rows.versions(slice, histories)?;
                for (key, version) in &versions {
                    assert_eq!(version.count(), if *key < 10 { 2 } else { 1 });
                    assert_eq!(version.distinct(), 1);
                }
                seen += versions.len();
                slices += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, 5000);
        assert!(slices > 10, "{slices}");
    }
}
