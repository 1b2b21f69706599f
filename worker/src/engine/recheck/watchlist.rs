//! All keys that are watched, however many: on disk, by key, and as many of
//! them in memory at once as fit.

use std::io;

use crate::engine::disk::{BLOCK, Partitioned, Room};
use crate::engine::error::disk;
use crate::engine::recheck::watched::Watched;
use crate::engine::rows::difference::RowDifference;
use crate::engine::rows::differing::{Differing, append, read};
use crate::engine::rows::element::mix;
use crate::engine::rows::keys::{KeyMap, KeySet, partition_of};
use crate::engine::rows::version::{SeenRow, Version, next};
use crate::engine::task::Stop;

/// Bytes of memory that watching a key takes, with both its versions.
const WATCHED: u64 = 500;

/// Files with as many partitions at the same time: the keys before and after a
/// look, and the rows of both sides that it saw.
const FILES: usize = 4;

/// Keys in memory, and what has been seen of them.
pub(crate) type Watch = KeyMap<Watched>;

/// Keys that are watched, partitioned by [`partition_of`].
#[derive(Debug)]
pub(crate) struct Watchlist {
    records: Partitioned,
    keys: u64,
    room: Room,
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

impl Watchlist {
    /// The keys of all of `differing`, as the survey found them. Where keys are
    /// `unique`, no two rows of a side share one.
    pub(crate) fn new(differing: &Differing, unique: bool, room: &Room) -> Result<Self, Stop> {
        let found = differing.counts().total();
        let partitions = room.partitions(found.saturating_mul(WATCHED), FILES);
        let mut differences = Partitioned::new(partitions, BLOCK, room.disk.clone());
        let mut reader = differing.reader();
        loop {
            let some = reader.take(4096).map_err(disk)?;
            if some.is_empty() {
                break;
            }
            for difference in some {
                let at = partition_of(difference.key, partitions);
                append(&mut differences, at, difference).map_err(disk)?;
            }
        }
        let mut list = Self::empty(partitions, room);
        for slice in slices(partitions, found, room) {
            let mut keys: KeyMap<(u64, Version, Version)> = KeyMap::default();
            for block in 0..differences.blocks(slice.partition) {
                let bytes = differences.block(slice.partition, block).map_err(disk)?;
                let mut some = std::collections::VecDeque::new();
                read(&bytes, &mut some);
                for RowDifference {
                    key,
                    source,
                    target,
                } in some
                {
                    if slice.has(key) {
                        let (number, left, right) = keys.entry(key).or_default();
                        *number += 1;
                        source
                            .map(SeenRow::hashed)
                            .into_iter()
                            .for_each(|row| left.add(row));
                        target
                            .map(SeenRow::hashed)
                            .into_iter()
                            .for_each(|row| right.add(row));
                    }
                }
            }
            for (key, (number, mut source, mut target)) in keys {
                source.sort();
                target.sort();
                let watched = if unique && number == 1 {
                    Watched::whole(source, target)
                } else {
                    Watched::in_part(number, source, target)
                };
                list.add(key, &watched).map_err(disk)?;
            }
        }
        Ok(list)
    }

    fn empty(partitions: usize, room: &Room) -> Self {
        Self {
            records: Partitioned::new(partitions, BLOCK, room.disk.clone()),
            keys: 0,
            room: room.clone(),
        }
    }

    fn add(&mut self, key: u128, watched: &Watched) -> io::Result<()> {
        let mut bytes = Vec::new();
        watched.write(&mut bytes);
        let length = bytes.len() as u64;
        let at = partition_of(key, self.records.partitions());
        self.records
            .append(at, &[&key.to_le_bytes(), &length.to_le_bytes(), &bytes])?;
        self.keys += 1;
        Ok(())
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> u64 {
        self.keys
    }

    /// How many partitions they are in.
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

    /// The keys in one partition.
    pub(crate) fn keys(&self, partition: usize) -> Result<Vec<u128>, Stop> {
        let mut keys = Vec::new();
        self.each(partition, |key, _| keys.push(key))?;
        Ok(keys)
    }

    /// Goes through all keys, a slice at a time: `revise` forgets some and
    /// learns about others, and what is left is the new list.
    pub(crate) fn revise(
        &self,
        mut revise: impl FnMut(Slice, &mut Watch) -> Result<(), Stop>,
    ) -> Result<Self, Stop> {
        let partitions = self.records.partitions();
        let mut list = Self::empty(partitions, &self.room);
        for slice in slices(partitions, self.keys, &self.room) {
            let mut watch = Watch::default();
            self.each(slice.partition, |key, mut record| {
                if slice.has(key) {
                    watch.insert(key, Watched::read(&mut record));
                }
            })?;
            if watch.is_empty() {
                continue;
            }
            revise(slice, &mut watch)?;
            for (key, watched) in &watch {
                list.add(*key, watched).map_err(disk)?;
            }
        }
        Ok(list)
    }
}

/// What a look saw of one side, partitioned as the keys are.
#[derive(Debug)]
pub(crate) struct Sight {
    rows: Partitioned,
}

impl Sight {
    /// Nothing seen yet of the keys of `list`.
    pub(crate) fn new(list: &Watchlist) -> Self {
        Self {
            rows: Partitioned::new(list.partitions(), BLOCK, list.room.disk.clone()),
        }
    }

    /// Takes a row down that was seen under `key`.
    pub(crate) fn add(&mut self, key: u128, row: &SeenRow) -> io::Result<()> {
        let mut bytes = key.to_le_bytes().to_vec();
        row.write(&mut bytes);
        let at = partition_of(key, self.rows.partitions());
        self.rows.append(at, &[&bytes])
    }

    /// The keys in one partition under which a row was seen.
    pub(crate) fn keys(&self, partition: usize) -> Result<KeySet, Stop> {
        let mut keys = KeySet::default();
        for block in 0..self.rows.blocks(partition) {
            let bytes = self.rows.block(partition, block).map_err(disk)?;
            let mut rest = &*bytes;
            while !rest.is_empty() {
                keys.insert(u128::from_le_bytes(next(&mut rest)));
                SeenRow::read(&mut rest);
            }
        }
        Ok(keys)
    }

    /// The versions of the keys in `watch`, which are those of `slice`; what is
    /// absent is not among them.
    pub(crate) fn versions(&self, slice: Slice, watch: &Watch) -> Result<KeyMap<Version>, Stop> {
        let mut versions: KeyMap<Version> = KeyMap::default();
        for block in 0..self.rows.blocks(slice.partition) {
            let bytes = self.rows.block(slice.partition, block).map_err(disk)?;
            let mut rest = &*bytes;
            while !rest.is_empty() {
                let key = u128::from_le_bytes(next(&mut rest));
                let row = SeenRow::read(&mut rest);
                if watch.contains_key(&key) {
                    versions.entry(key).or_default().add(row);
                }
            }
        }
        versions.values_mut().for_each(Version::sort);
        Ok(versions)
    }
}

/// Slices that fit in memory, when so many keys are in so many partitions.
fn slices(partitions: usize, keys: u64, room: &Room) -> impl Iterator<Item = Slice> + use<> {
    let fit = (room.memory as u64 / 4).max(64 * WATCHED);
    let of = (keys.saturating_mul(WATCHED) / partitions as u64 / fit + 1).next_power_of_two();
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

    fn room(memory: usize) -> Room {
        Room {
            memory,
            disk: DiskBudget::new(64 << 20),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Every key is in one slice, with all its differences, wherever these
        /// were found, and is still there when the list was revised.
        #[test]
        fn a_key_is_watched_once_with_all_its_differences(keys in proptest::collection::vec(0_u128..900, 0..3000), memory in prop_oneof![Just(0_usize), Just(200_000), Just(1 << 20)], forgotten in 1_u128..5) {
            let room = room(memory);
            let mut differing = Differing::all(0, &room);
            let mut expected: BTreeMap<u128, u64> = BTreeMap::new();
            for (at, key) in keys.iter().enumerate() {
                differing.push(RowDifference { key: *key, source: Some(at as u128), target: None }).unwrap();
                *expected.entry(*key).or_default() += 1;
            }
            let list = Watchlist::new(&differing, false, &room).unwrap();
            prop_assert_eq!(list.len(), expected.len() as u64);
            let mut found: BTreeMap<u128, u64> = BTreeMap::new();
            let list = list.revise(|_, watch| {
                for (key, watched) in &*watch {
                    assert!(found.insert(*key, watched.differences()).is_none(), "{key} is in two slices");
                }
                watch.retain(|key, _| key % forgotten == 0);
                Ok(())
            }).unwrap();
            prop_assert_eq!(&found, &expected);
            let mut left: Vec<u128> = (0..list.partitions()).flat_map(|at| list.keys(at).unwrap()).collect();
            left.sort_unstable();
            expected.retain(|key, _| key % forgotten == 0);
            prop_assert_eq!(left, expected.into_keys().collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_was_seen_of_a_key_is_seen_in_its_slice() {
        let room = room(0);
        let mut differing = Differing::all(0, &room);
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
        let list = Watchlist::new(&differing, true, &room).unwrap();
        let mut sight = Sight::new(&list);
        for key in (0..10_000).chain(0..10) {
            sight.add(key, &SeenRow::hashed(7 * key)).unwrap();
        }
        let mut seen = 0;
        let mut slices = 0;
        list.revise(|slice, watch| {
            let versions = sight.versions(slice, watch)?;
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
