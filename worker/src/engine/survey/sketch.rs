//! The summary of one side: row count, additive checksum, and an invertible
//! Bloom lookup table. All three are linear: sums of slices scanned anywhere
//! add up, and two sides are compared by subtraction.
//!
//! The table is that of Eppstein, Goodrich, Uyeda and Varghese, "What's the
//! Difference? Efficient Set Reconciliation without Prior Context", SIGCOMM
//! 2011, with sums modulo 2^n in place of XOR, so that rows that occur several
//! times are not lost, and with one cell in each of three parts per element,
//! which decodes with high probability up to 0.81 elements a cell (Goodrich
//! and Mitzenmacher, "Invertible Bloom Lookup Tables", 2011).
//!
//! Which cells an element is in depends on the secret key of the run and on the row's
//! hash under it. So rows cannot be chosen to share their cells.

use crate::engine::rows::element::Element;
use crate::engine::rows::hash::{CellKey, fold};
use crate::engine::values::pair::Pair;

/// Parts of the table; every element is in one cell of each.
const PARTS: usize = 3;

/// The most rows that are added at once.
pub(crate) const BATCH: usize = 1024;

/// The most steps of a decoding for each cell: a table that decodes has no more elements
/// than cells, each cell is examined once at first, and the cells of an element again
/// after it was removed.
const STEPS: usize = 1 + PARTS;

/// The fewest cells that a table has in each part.
const SMALLEST_PART: usize = 128;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cell {
    key: u128,
    row: u128,
    check: u64,
    count: i64,
}

impl Cell {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The sum of all rows of a side, or the difference of two sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sketch {
    count: i64,
    checksum: u128,
    part: usize,
    cells: Vec<Cell>,
    key: CellKey,
}

impl Sketch {
    /// An empty summary whose table has `cells` cells, rounded up. With 0 it
    /// has no table, only count and checksum. Sketches of one comparison have one key.
    pub(crate) fn new(cells: usize, key: CellKey) -> Self {
        let part = if cells == 0 {
            0
        } else {
            cells.div_ceil(PARTS).max(SMALLEST_PART)
        };
        Self {
            count: 0,
            checksum: 0,
            part,
            cells: vec![Cell::default(); part * PARTS],
            key,
        }
    }

    pub(crate) fn cells(&self) -> usize {
        self.cells.len()
    }

    /// Count and checksum without the table.
    pub(crate) fn totals(&self) -> Self {
        Self {
            count: self.count,
            checksum: self.checksum,
            part: 0,
            cells: Vec::new(),
            key: self.key,
        }
    }

    #[inline]
    pub(crate) fn add(&mut self, element: Element) {
        self.count += 1;
        self.checksum = self.checksum.wrapping_add(element.row);
        if self.part != 0 {
            self.put(element, 1);
        }
    }

    /// Adds rows. Faster than one after the other when the table is large, since
    /// only one of its parts is in use at a time.
    pub(crate) fn add_all(&mut self, elements: &[Element]) {
        let mut checks = [0; BATCH];
        let key = self.key;
        for batch in elements.chunks(BATCH) {
            for (element, check_of) in batch.iter().zip(&mut checks) {
                self.count += 1;
                self.checksum = self.checksum.wrapping_add(element.row);
                *check_of = check(*element, key);
            }
            if self.part == 0 {
                continue;
            }
            for part in 0..PARTS {
                for (element, check) in batch.iter().zip(&checks) {
                    let cell = &mut self.cells[position(*check, part, self.part)];
                    cell.key = cell.key.wrapping_add(element.key);
                    cell.row = cell.row.wrapping_add(element.row);
                    cell.check = cell.check.wrapping_add(*check);
                    cell.count += 1;
                }
            }
        }
    }

    #[inline]
    fn put(&mut self, element: Element, count: i64) {
        let check = check(element, self.key);
        let (key, row, check_sum) = if count < 0 {
            (
                element.key.wrapping_neg(),
                element.row.wrapping_neg(),
                check.wrapping_neg(),
            )
        } else {
            (element.key, element.row, check)
        };
        for at in positions(check, self.part) {
            let cell = &mut self.cells[at];
            cell.key = cell.key.wrapping_add(key);
            cell.row = cell.row.wrapping_add(row);
            cell.check = cell.check.wrapping_add(check_sum);
            cell.count += count;
        }
    }

    /// Rows added, less rows subtracted.
    pub(crate) fn count(&self) -> i64 {
        self.count
    }

    /// Sum of the row hashes modulo 2^128.
    pub(crate) fn checksum(&self) -> u128 {
        self.checksum
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        assert_eq!(
            (self.part, self.key),
            (other.part, other.key),
            "sketches of one comparison have one size and one key"
        );
        self.count -= other.count;
        self.checksum = self.checksum.wrapping_sub(other.checksum);
        for (cell, other) in self.cells.iter_mut().zip(&other.cells) {
            cell.key = cell.key.wrapping_sub(other.key);
            cell.row = cell.row.wrapping_sub(other.row);
            cell.check = cell.check.wrapping_sub(other.check);
            cell.count -= other.count;
        }
    }

    /// Reads the elements that only one side has out of the difference source minus target.
    /// `None` when there are too many for the table, or when a row occurs more
    /// often on one side than on the other by two or more. What is returned
    /// accounts for the whole difference: count, checksum and every cell.
    pub(crate) fn decode(mut self) -> Option<Pair<Vec<Element>>> {
        let decoded = self.peel(&mut 0)?;
        let sum = |elements: &[Element]| {
            elements
                .iter()
                .fold(0_u128, |sum, element| sum.wrapping_add(element.row))
        };
        let accounts = self.cells.iter().all(Cell::is_empty)
            && i64::try_from(decoded.source.len())
                .ok()?
                .checked_sub(i64::try_from(decoded.target.len()).ok()?)?
                == self.count
            && sum(&decoded.source).wrapping_sub(sum(&decoded.target)) == self.checksum;
        accounts.then_some(decoded)
    }

    /// Removes elements that are alone in a cell from all their cells, until there is
    /// none. `None` after more `steps` than a table that decodes needs.
    fn peel(&mut self, steps: &mut usize) -> Option<Pair<Vec<Element>>> {
        let mut decoded = Pair::<Vec<Element>>::default();
        let mut pending: Vec<usize> = (0..self.cells.len()).collect();
        while let Some(at) = pending.pop() {
            if *steps == STEPS * self.cells.len() {
                return None;
            }
            *steps += 1;
            let cell = self.cells[at];
            let element = match cell.count {
                1 => Element {
                    key: cell.key,
                    row: cell.row,
                },
                -1 => Element {
                    key: cell.key.wrapping_neg(),
                    row: cell.row.wrapping_neg(),
                },
                _ => continue,
            };
            let expected = check(element, self.key);
            let pure = cell.check
                == if cell.count == 1 {
                    expected
                } else {
                    expected.wrapping_neg()
                };
            if !pure || !positions(expected, self.part).contains(&at) {
                continue;
            }
            if cell.count == 1 {
                decoded.source.push(element)
            } else {
                decoded.target.push(element)
            }
            self.put(element, -cell.count);
            pending.extend(positions(expected, self.part));
        }
        Some(decoded)
    }
}

/// A checksum of key and row together, of 64 bits. Not linear: the check of a
/// sum is not the sum of the checks. The row's hash is a secret function of the row, so
/// that a key cannot be chosen by which one of the products is 0.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the two halves of a 128-bit number are wanted"
)]
fn check(element: Element, CellKey(secret): CellKey) -> u64 {
    let (key, row) = (element.key, element.row);
    let first = fold(row as u64 ^ secret[0], (row >> 64) as u64 ^ secret[1]);
    fold(
        first ^ key as u64 ^ secret[2],
        (key >> 64) as u64 ^ first.rotate_left(32) ^ secret[3],
    )
}

/// The element's cell in each part.
#[inline]
fn positions(check: u64, size: usize) -> [usize; PARTS] {
    std::array::from_fn(|part| position(check, part, size))
}

/// The element's cell in one part of `size` cells.
#[inline]
fn position(check: u64, part: usize, size: usize) -> usize {
    let mut bits = check;
    for factor in [0xD134_2543_DE82_EF95_u64, 0xAF25_1AF3_B0F0_25B5]
        .into_iter()
        .take(part)
    {
        bits = bits.wrapping_mul(factor).rotate_left(32);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the product's upper half is below `size`"
    )]
    let at = ((u128::from(bits) * size as u128) >> 64) as usize;
    part * size + at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rows::element::KeyForm;
    use crate::engine::rows::hash::{RowHasher, mix};
    use crate::engine::values::canonical::RowEncoder;
    use proptest::prelude::*;
    use shared::hash_key::HashKey;
    use std::collections::HashMap;

    const KEY: CellKey = CellKey([
        0xA076_1D64_78BD_642F,
        0xE703_7ED1_A0B4_28DB,
        0x8EBC_6AF0_9C88_C6E3,
        0x5899_65CC_7537_4CC3,
    ]);

    const OTHER_KEY: CellKey = CellKey([
        0x9E37_79B9_7F4A_7C15,
        0xBF58_476D_1CE4_E5B9,
        0x94D0_49BB_1331_11EB,
        0xD6E8_FEB8_6659_FD93,
    ]);

    fn elements(range: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Element>> {
        // Few distinct keys and rows, so that keys repeat with other rows.
        proptest::collection::vec((0_u128..500, 0_u128..3), range).prop_map(|pairs| {
            pairs
                .into_iter()
                .map(|(key, row)| Element {
                    key,
                    row: u128::from(mix(key * 7 + row)) * 0x1_0000_0001,
                })
                .collect()
        })
    }

    fn sketch(elements: &[Element], cells: usize) -> Sketch {
        sketch_with(elements, cells, KEY)
    }

    fn sketch_with(elements: &[Element], cells: usize, key: CellKey) -> Sketch {
        let mut sketch = Sketch::new(cells, key);
        for element in elements {
            sketch.add(*element);
        }
        sketch
    }

    /// Source minus target as multisets, by counting.
    fn expected(source: &[Element], target: &[Element]) -> HashMap<Element, i64> {
        let mut counts = HashMap::new();
        for element in source {
            *counts.entry(*element).or_default() += 1;
        }
        for element in target {
            *counts.entry(*element).or_default() -= 1;
        }
        counts.retain(|_, count| *count != 0);
        counts
    }

    proptest! {
        #[test]
        fn what_decodes_is_exactly_the_difference(
            common in elements(0..200),
            source in elements(0..60),
            target in elements(0..60),
        ) {
            let left: Vec<_> = common.iter().chain(&source).copied().collect();
            let right: Vec<_> = target.iter().chain(common.iter().rev()).copied().collect();
            let decode = |key| {
                let mut difference = sketch_with(&left, 600, key);
                difference.subtract(&sketch_with(&right, 600, key));
                difference.decode()
            };
            let expected = expected(&left, &right);
            // Two elements in the same cells cannot be decoded. Under another key they are in others.
            match decode(KEY).or_else(|| decode(OTHER_KEY)) {
                Some(decoded) => {
                    let mut found = HashMap::new();
                    for element in decoded.source { *found.entry(element).or_default() += 1_i64; }
                    for element in decoded.target { *found.entry(element).or_default() -= 1_i64; }
                    prop_assert_eq!(found, expected);
                }
                None => prop_assert!(expected.values().any(|count| count.abs() > 1), "a small difference did not decode: {:?}", expected),
            }
        }

        #[test]
        fn adding_all_is_adding_each(all in elements(0..40), copies in 0_usize..60, cells in prop_oneof![Just(0_usize), Just(400)]) {
            let all = all.repeat(copies);
            let mut at_once = Sketch::new(cells, KEY);
            at_once.add_all(&all);
            prop_assert_eq!(at_once, sketch(&all, cells));
        }

        #[test]
        fn slices_add_up_in_any_order(all in elements(0..100), cut in 0_usize..100) {
            let cut = cut.min(all.len());
            let mut difference = sketch(&all, 400);
            difference.subtract(&sketch(&all[cut..], 400));
            difference.subtract(&sketch(&all[..cut], 400));
            prop_assert_eq!(difference, Sketch::new(400, KEY));
        }

        #[test]
        fn too_many_differences_are_never_answered(source in proptest::collection::hash_set(any::<u128>(), 500..600)) {
            let elements: Vec<_> = source.into_iter().map(|row| Element { key: row ^ 1, row }).collect();
            prop_assert_eq!(sketch(&elements, 3 * SMALLEST_PART).decode(), None);
        }
    }

    #[test]
    fn three_quarters_of_the_cells_decode() {
        for seed in 0..50_u64 {
            let mut random = fastrand::Rng::with_seed(seed);
            let elements: Vec<_> = (0..12_000)
                .map(|_| Element {
                    key: random.u128(..),
                    row: random.u128(..),
                })
                .collect();
            let decoded = sketch(&elements, 16_384)
                .decode()
                .expect("0.73 elements a cell decode");
            assert_eq!(decoded.source.len(), 12_000, "seed {seed}");
        }
    }

    /// UUIDs that differ in their upper half only, with any lower half: the values from
    /// which keys were once mixed give the product 0.
    fn patterned(lower: u64, count: u64) -> (Sketch, CellKey) {
        let hasher = RowHasher::new(KeyForm::Uuid, &HashKey::generate());
        let mut sketch = Sketch::new(16_384, hasher.cells());
        let mut encoder = RowEncoder::default();
        for upper in 0..count {
            let uuid = u128::from(upper) << 64 | u128::from(lower);
            encoder.start_row();
            encoder.uuid(&uuid.to_be_bytes());
            encoder.end_key();
            encoder.int(1);
            sketch.add(hasher.element(encoder.key(), encoder.row()));
        }
        (sketch, hasher.cells())
    }

    #[test]
    fn uuids_of_one_pattern_decode_like_others() {
        for lower in [0x9E37_79B9_7F4A_7C15, 0x8EBC_6AF0_9C88_C6E3, 0] {
            let (sketch, _) = patterned(lower, 12_000);
            let cells = sketch.cells();
            let mut steps = 0;
            let decoded = sketch.clone().peel(&mut steps).unwrap();
            assert_eq!(decoded.source.len(), 12_000);
            assert_eq!(steps, cells + PARTS * 12_000);
            assert!(sketch.decode().is_some());
        }
    }

    #[test]
    fn decoding_ends_when_it_is_given_up() {
        // Too many elements: few cells hold one element.
        let (mut sketch, key) = patterned(0x9E37_79B9_7F4A_7C15, 60_000);
        let (mut steps, most) = (0, STEPS * sketch.cells());
        assert!(sketch.clone().decode().is_none());
        sketch.peel(&mut steps);
        assert!(steps <= most, "{steps} of {most}");

        // An element in one of its three cells only: each removal creates the next one.
        let mut sketch = Sketch::new(16_384, key);
        let element = Element { key: 1, row: 2 };
        sketch.put(element, 1);
        for at in &positions(check(element, key), sketch.part)[1..] {
            sketch.cells[*at] = Cell::default();
        }
        let mut steps = 0;
        assert!(sketch.clone().decode().is_none());
        assert!(sketch.peel(&mut steps).is_none());
        assert_eq!(steps, STEPS * sketch.cells());
    }
}
