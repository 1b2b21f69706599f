//! The exact way to compare, for when the sketch does not decode: every row's
//! element goes to disk, partitioned by key; then the partitions are compared
//! one after the other in memory, and one that does not fit is cut again.

use std::io;

use super::difference::pair;
use super::differing::Differing;
use super::disk::{BLOCK, Partitioned, Room};
use super::element::{Element, mix};

/// Bytes of an element on disk.
const ELEMENT: usize = 32;

/// Into how many a partition is cut that does not fit in memory.
const FAN_OUT: usize = 16;

/// After so many cuts by key, what is left are rows of one key.
const CUTS_BY_KEY: u32 = 6;

/// After so many cuts more, by row, what is left are copies of one row.
const CUTS: u32 = 12;

/// How many partitions a comparison of `rows` rows, both sides together, is cut into.
#[must_use]
pub fn partitions_for(rows: u64, room: &Room) -> usize {
    room.partitions(rows.saturating_mul(ELEMENT as u64), 2)
}

/// The elements of one side.
#[derive(Debug)]
pub struct Spill {
    records: Partitioned,
    /// How often they have been cut before.
    cuts: u32,
}

impl Spill {
    /// An empty spill.
    #[must_use]
    pub fn new(partitions: usize, room: &Room) -> Self {
        Self::cut(partitions, room, 0)
    }

    fn cut(partitions: usize, room: &Room, cuts: u32) -> Self {
        Self {
            records: Partitioned::new(partitions, BLOCK, room.disk.clone()),
            cuts,
        }
    }

    /// Adds an element.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails, or may not hold more.
    #[inline]
    pub fn add(&mut self, element: Element) -> io::Result<()> {
        let at = bits(element, self.cuts) & (self.records.partitions() - 1);
        self.records.append(
            at,
            &[&element.key.to_le_bytes(), &element.row.to_le_bytes()],
        )
    }

    fn each(&self, at: usize, mut take: impl FnMut(Element) -> io::Result<()>) -> io::Result<()> {
        for block in 0..self.records.blocks(at) {
            for element in self.records.block(at, block)?.as_chunks::<ELEMENT>().0 {
                take(decode(element))?;
            }
        }
        Ok(())
    }

    /// Everything in one partition.
    fn read(&self, at: usize) -> io::Result<Vec<Element>> {
        let count = usize::try_from(self.records.bytes(at)).unwrap_or(0) / ELEMENT;
        let mut elements = Vec::with_capacity(count);
        self.each(at, |element| {
            elements.push(element);
            Ok(())
        })?;
        Ok(elements)
    }
}

/// The bits that choose a partition: others at each cut.
#[inline]
fn bits(element: Element, cuts: u32) -> usize {
    match cuts {
        // The first cut is into up to 1024.
        0 => (mix(element.key) >> 32) as usize,
        1..=CUTS_BY_KEY => (mix(element.key.wrapping_mul(u128::from(2 * cuts + 1))) >> 32) as usize,
        _ => (mix(element.row.wrapping_mul(u128::from(2 * cuts + 1))) >> 32) as usize,
    }
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

/// Compares two spills with the same number of partitions.
///
/// Memory is bounded by `room` but for one case: a key that so many rows have
/// that they do not fit, of which those that only one side has are in memory.
///
/// # Errors
///
/// When the disk fails or may not hold more.
///
/// # Panics
///
/// When the numbers of partitions differ.
pub fn compare(
    source: &Spill,
    target: &Spill,
    room: &Room,
    differing: &mut Differing,
) -> io::Result<()> {
    assert_eq!(
        source.records.partitions(),
        target.records.partitions(),
        "spills of one comparison are cut alike"
    );
    for at in 0..source.records.partitions() {
        let bytes = source.records.bytes(at) + target.records.bytes(at);
        if bytes == 0 {
            continue;
        }
        if bytes <= (room.memory / 4) as u64 {
            pair(&mut source.read(at)?, &mut target.read(at)?, differing)?;
            continue;
        }
        let cuts = source.cuts + 1;
        if cuts <= CUTS_BY_KEY {
            let (left, right) = cut_again(source, target, at, room, cuts)?;
            compare(&left, &right, room, differing)?;
            continue;
        }
        let (mut only_source, mut only_target) = (Vec::new(), Vec::new());
        subtract(source, target, at, room, &mut only_source, &mut only_target)?;
        pair(&mut only_source, &mut only_target, differing)?;
    }
    Ok(())
}

fn cut_again(
    source: &Spill,
    target: &Spill,
    at: usize,
    room: &Room,
    cuts: u32,
) -> io::Result<(Spill, Spill)> {
    let (mut left, mut right) = (
        Spill::cut(FAN_OUT, room, cuts),
        Spill::cut(FAN_OUT, room, cuts),
    );
    source.each(at, |element| left.add(element))?;
    target.each(at, |element| right.add(element))?;
    Ok((left, right))
}

/// What only one side has of a partition whose keys cannot be told apart by
/// cutting: equal rows are brought together by cutting by row.
fn subtract(
    source: &Spill,
    target: &Spill,
    at: usize,
    room: &Room,
    only_source: &mut Vec<Element>,
    only_target: &mut Vec<Element>,
) -> io::Result<()> {
    let bytes = source.records.bytes(at) + target.records.bytes(at);
    if source.cuts < CUTS && bytes > (room.memory / 4) as u64 {
        let (left, right) = cut_again(source, target, at, room, source.cuts + 1)?;
        for at in 0..FAN_OUT {
            subtract(&left, &right, at, room, only_source, only_target)?;
        }
        return Ok(());
    }
    let mut balance: std::collections::HashMap<Element, i64> = std::collections::HashMap::new();
    source.each(at, |element| {
        *balance.entry(element).or_default() += 1;
        Ok(())
    })?;
    target.each(at, |element| {
        *balance.entry(element).or_default() -= 1;
        Ok(())
    })?;
    for (element, count) in balance {
        let into = if count > 0 {
            &mut *only_source
        } else {
            &mut *only_target
        };
        into.extend((0..count.unsigned_abs()).map(|_| element));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::disk::DiskBudget;
    use super::*;
    use proptest::prelude::*;

    fn side() -> impl Strategy<Value = Vec<Element>> {
        // Many keys, and one that many rows have.
        let key = prop_oneof![0_u128..900, Just(7_u128)];
        proptest::collection::vec(
            (key, 0_u128..40).prop_map(|(key, row)| Element {
                key,
                row: row * row,
            }),
            0..2_000,
        )
    }

    fn room(memory: usize) -> Room {
        Room {
            memory,
            disk: DiskBudget::new(1 << 30),
        }
    }

    fn spill(elements: &[Element], partitions: usize, room: &Room) -> Spill {
        let mut spill = Spill::new(partitions, room);
        for element in elements {
            spill.add(*element).unwrap();
        }
        spill
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn comparing_on_disk_is_comparing_in_memory(
            mut source in side(),
            mut target in side(),
            partitions in 0_u32..4,
            memory in prop_oneof![Just(2_000_usize), Just(20_000), Just(1 << 20)],
        ) {
            let room = room(memory);
            let (left, right) = (spill(&source, 1 << partitions, &room), spill(&target, 1 << partitions, &room));
            let mut on_disk = Differing::first(100);
            compare(&left, &right, &room, &mut on_disk).unwrap();

            let mut in_memory = Differing::first(100);
            pair(&mut source, &mut target, &mut in_memory).unwrap();
            prop_assert_eq!(on_disk.counts(), in_memory.counts());
            prop_assert_eq!(on_disk.sum(), in_memory.sum());
            prop_assert_eq!(on_disk.listed(), in_memory.listed());
        }
    }

    #[test]
    fn copies_of_one_row_need_no_memory_for_each() {
        let room = room(64 << 10);
        let rows = |count| vec![Element { key: 1, row: 2 }; count];
        let (left, right) = (
            spill(&rows(50_000), 4, &room),
            spill(&rows(50_003), 4, &room),
        );
        let mut differing = Differing::first(10);
        compare(&left, &right, &room, &mut differing).unwrap();
        let counts = differing.counts();
        assert_eq!((counts.missing, counts.extra, counts.modified), (0, 3, 0));
        drop((left, right));
        assert_eq!(room.disk.used(), 0);
    }
}
