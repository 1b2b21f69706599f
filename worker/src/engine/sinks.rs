//! What becomes of the rows that a scan pushes: a sum, elements on disk, a
//! list of differences, the rows of wanted keys in memory or on disk.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::io;

use super::canonical::{RowEncoder, RowSink, Values};
use super::difference::RowDifference;
use super::differing::Differing;
use super::disk::{BLOCK, Partitioned, Room};
use super::element::{Element, KeyForm, KeyHasher, fold, mix};
use super::nearness::Nearness;
use super::scan::statement::SideOf;
use super::sketch::{self, Sketch};
use super::spill::Spill;
use super::watchlist::Sight;

/// A set of element keys.
pub type KeySet = HashSet<u128, BuildHasherDefault<KeyHasher>>;

/// A map from element keys.
pub type KeyMap<T> = HashMap<u128, T, BuildHasherDefault<KeyHasher>>;

/// Adds every row to a sketch.
#[derive(Debug)]
pub struct SketchSink {
    encoder: RowEncoder,
    form: KeyForm,
    sketch: Sketch,
    /// Rows that are not in the sketch yet.
    batch: Vec<Element>,
}

impl SketchSink {
    /// A sink over an empty sketch of `cells` cells.
    #[must_use]
    pub fn new(form: KeyForm, cells: usize) -> Self {
        Self {
            encoder: RowEncoder::default(),
            form,
            sketch: Sketch::new(cells),
            batch: Vec::new(),
        }
    }

    /// The sum of the rows.
    #[must_use]
    pub fn into_sketch(mut self) -> Sketch {
        self.sketch.add_all(&self.batch);
        self.sketch
    }
}

impl RowSink for SketchSink {
    #[inline]
    fn encoder(&mut self) -> &mut RowEncoder {
        &mut self.encoder
    }

    #[inline]
    fn end_row(&mut self) -> io::Result<()> {
        self.batch
            .push(self.form.element(self.encoder.key(), self.encoder.row()));
        if self.batch.len() == sketch::BATCH {
            self.sketch.add_all(&self.batch);
            self.batch.clear();
        }
        Ok(())
    }
}

/// Writes every row's element to disk, and sums them up again: what is compared
/// exactly may be a later state of the table than what was sketched.
#[derive(Debug)]
pub struct SpillSink {
    encoder: RowEncoder,
    form: KeyForm,
    spill: Spill,
    sum: Sketch,
}

impl SpillSink {
    /// A sink over an empty spill.
    #[must_use]
    pub fn new(form: KeyForm, partitions: usize, room: &Room) -> Self {
        Self {
            encoder: RowEncoder::default(),
            form,
            spill: Spill::new(partitions, room),
            sum: Sketch::new(0),
        }
    }

    /// The elements, and count and checksum of them.
    #[must_use]
    pub fn into_parts(self) -> (Spill, Sketch) {
        (self.spill, self.sum)
    }
}

impl RowSink for SpillSink {
    fn encoder(&mut self) -> &mut RowEncoder {
        &mut self.encoder
    }

    fn end_row(&mut self) -> io::Result<()> {
        let element = self.form.element(self.encoder.key(), self.encoder.row());
        self.sum.add(element);
        // Blocks go to the page cache; a task waits for the disk only when that is full.
        self.spill.add(element)
    }
}

/// Takes every row for one that the other side, which is empty, does not have.
#[derive(Debug)]
pub struct OneSidedSink {
    encoder: RowEncoder,
    form: KeyForm,
    side: SideOf,
    differing: Differing,
    sum: Sketch,
}

impl OneSidedSink {
    /// A sink for the rows of `side` that adds them to `differing`.
    #[must_use]
    pub fn new(form: KeyForm, side: SideOf, differing: Differing) -> Self {
        Self {
            encoder: RowEncoder::default(),
            form,
            side,
            differing,
            sum: Sketch::new(0),
        }
    }

    /// The differences, and count and checksum of the rows.
    #[must_use]
    pub fn into_parts(self) -> (Differing, Sketch) {
        (self.differing, self.sum)
    }
}

impl RowSink for OneSidedSink {
    fn encoder(&mut self) -> &mut RowEncoder {
        &mut self.encoder
    }

    fn end_row(&mut self) -> io::Result<()> {
        let Element { key, row } = self.form.element(self.encoder.key(), self.encoder.row());
        self.sum.add(Element { key, row });
        let (source, target) = match self.side {
            SideOf::Source => (Some(row), None),
            SideOf::Target => (None, Some(row)),
        };
        self.differing.push(RowDifference {
            key,
            source,
            target,
        })
    }
}

/// How a row that may hold more than what is compared is identified.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// The table's form of keys.
    pub form: KeyForm,
    /// How many columns, from the first, are hashed; all of them where absent.
    pub leading: Option<usize>,
}

impl Identity {
    fn of(self, encoder: &RowEncoder) -> Element {
        let row = encoder.row();
        let Some(leading) = self.leading else {
            return self.form.element(encoder.key(), row);
        };
        let end = Values::new(row)
            .flatten()
            .take(leading)
            .map(<[u8]>::len)
            .sum();
        self.form.element(encoder.key(), &row[..end])
    }
}

/// The rows that are wanted: the hashes of them, by key.
pub type WantedRows = KeyMap<KeySet>;

/// Keeps the encoded rows (or keys, where only keys are read) that are wanted.
#[derive(Debug)]
pub struct CollectSink {
    encoder: RowEncoder,
    identity: Identity,
    wanted: WantedRows,
    rows: KeyMap<CollectedRows>,
    bytes: usize,
}

/// What was found under a wanted key. Of rows that share a key only those are
/// kept that are wanted, and one besides: there may be very many of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectedRows {
    wanted: KeyMap<CollectedRow>,
    other: Option<CollectedRow>,
    /// There are still more rows that are not wanted.
    more: bool,
}

impl CollectedRows {
    /// The row with this hash, or what it has become: the only row that has the
    /// same key now. Where others have it too, none is known to be that row.
    #[must_use]
    pub fn of(&self, hash: u128) -> Option<&CollectedRow> {
        let alone = !self.more && self.wanted.is_empty();
        self.wanted
            .get(&hash)
            .or_else(|| self.other.as_ref().filter(|_| alone))
    }

    /// Any of the rows.
    #[must_use]
    pub fn any(self) -> Option<CollectedRow> {
        self.other.or_else(|| self.wanted.into_values().next())
    }
}

/// A row that was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectedRow {
    /// The encoded row.
    pub bytes: Vec<u8>,
    /// How many of the bytes, from the first, are the key.
    pub key_end: usize,
}

impl CollectSink {
    /// Collects `wanted` rows.
    #[must_use]
    pub fn new(identity: Identity, wanted: WantedRows) -> Self {
        Self {
            encoder: RowEncoder::default(),
            identity,
            wanted,
            rows: KeyMap::default(),
            bytes: 0,
        }
    }

    /// What was found, by key; of copies of a row one.
    #[must_use]
    pub fn into_rows(self) -> KeyMap<CollectedRows> {
        self.rows
    }

    /// The bytes of what was found.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl RowSink for CollectSink {
    fn encoder(&mut self) -> &mut RowEncoder {
        &mut self.encoder
    }

    fn end_row(&mut self) -> io::Result<()> {
        let element = self.identity.of(&self.encoder);
        let Some(wanted) = self.wanted.get(&element.key) else {
            return Ok(());
        };
        let found = self.rows.entry(element.key).or_default();
        let row = || CollectedRow {
            bytes: self.encoder.row().to_vec(),
            key_end: self.encoder.key().len(),
        };
        let kept = if wanted.contains(&element.row) {
            found.wanted.insert(element.row, row()).is_none()
        } else if found.other.is_none() {
            found.other = Some(row());
            true
        } else {
            found.more = true;
            false
        };
        if kept {
            self.bytes += self.encoder.row().len();
        }
        Ok(())
    }
}

/// Keeps the elements of all rows under wanted keys, copies too.
#[derive(Debug)]
pub(super) struct ElementSink {
    encoder: RowEncoder,
    form: KeyForm,
    wanted: KeySet,
    elements: Vec<Element>,
}

impl ElementSink {
    /// Looks for the keys that are `wanted`, and adds to what was found before.
    pub(super) fn new(form: KeyForm, wanted: KeySet, elements: Vec<Element>) -> Self {
        Self {
            encoder: RowEncoder::default(),
            form,
            wanted,
            elements,
        }
    }

    /// What was found.
    pub(super) fn into_elements(self) -> Vec<Element> {
        self.elements
    }
}

impl RowSink for ElementSink {
    fn encoder(&mut self) -> &mut RowEncoder {
        &mut self.encoder
    }

    fn end_row(&mut self) -> io::Result<()> {
        let element = self.form.element(self.encoder.key(), self.encoder.row());
        if self.wanted.contains(&element.key) {
            self.elements.push(element);
        }
        Ok(())
    }
}

/// Which keys a sink wants.
#[derive(Debug)]
pub(super) enum Wanted {
    /// These.
    Exactly(KeySet),
    /// These, and by chance some others, which whoever reads the rows leaves out.
    Roughly(std::sync::Arc<KeyFilter>),
}

/// Takes down which rows there are under wanted keys.
#[derive(Debug)]
pub(super) struct SightSink {
    encoder: RowEncoder,
    form: KeyForm,
    nearness: std::sync::Arc<Nearness>,
    wanted: Wanted,
    sight: Sight,
}

impl SightSink {
    /// Looks for the keys that are `wanted`, and adds to what was seen before.
    pub(super) fn new(
        form: KeyForm,
        nearness: std::sync::Arc<Nearness>,
        wanted: Wanted,
        sight: Sight,
    ) -> Self {
        Self {
            encoder: RowEncoder::default(),
            form,
            nearness,
            wanted,
            sight,
        }
    }

    /// What was seen.
    pub(super) fn into_sight(self) -> Sight {
        self.sight
    }
}

impl RowSink for SightSink {
    fn encoder(&mut self) -> &mut RowEncoder {
        &mut self.encoder
    }

    fn end_row(&mut self) -> io::Result<()> {
        let Element { key, row } = self.form.element(self.encoder.key(), self.encoder.row());
        let is_wanted = match &self.wanted {
            Wanted::Exactly(keys) => keys.contains(&key),
            Wanted::Roughly(keys) => keys.may_hold(key),
        };
        if !is_wanted {
            return Ok(());
        }
        let seen = self.nearness.seen(row, self.encoder.row());
        self.sight.add(key, &seen.map_err(io::Error::other)?)
    }
}

/// Bits of a [`KeyFilter`] for each key, where memory allows.
const BITS_OF_KEY: u64 = 64;

/// How many of them are set, at most: then, of ten million other keys, not one is
/// taken in by chance, and more would be more work for each that is wanted.
const MOST_PLACES: u32 = 8;

/// A Bloom filter: a set of keys in a fixed number of bits, which may take a key
/// in that is not in it.
#[derive(Debug, Clone)]
pub struct KeyFilter {
    words: Vec<u64>,
    /// How many bits stand for a key.
    places: u32,
}

impl KeyFilter {
    /// An empty set for about `keys` keys, in at most `memory` bytes.
    #[must_use]
    pub fn new(keys: u64, memory: usize) -> Self {
        let most = 1 << (memory / size_of::<u64>()).max(1).ilog2();
        let wanted = keys.saturating_mul(BITS_OF_KEY) / u64::from(u64::BITS);
        let words = usize::try_from(wanted)
            .ok()
            .and_then(|words| words.max(64).checked_next_power_of_two())
            .map_or(most, |words| words.min(most));
        // With ln 2 of its bits for each key a filter takes in the fewest others.
        let bits = words as u64 * u64::from(u64::BITS);
        let places = (bits / keys.max(1)).saturating_mul(7) / 10;
        Self {
            words: vec![0; words],
            places: u32::try_from(places)
                .unwrap_or(u32::MAX)
                .clamp(1, MOST_PLACES),
        }
    }

    /// Takes `key` in.
    pub fn insert(&mut self, key: u128) {
        let length = self.words.len();
        for (word, bit) in places(key, length).take(self.places as usize) {
            self.words[word] |= bit;
        }
    }

    /// Whether `key` may have been taken in.
    #[inline]
    #[must_use]
    pub fn may_hold(&self, key: u128) -> bool {
        places(key, self.words.len())
            .take(self.places as usize)
            .all(|(word, bit)| self.words[word] & bit != 0)
    }
}

/// Places of a key in a number of words that is a power of two, as many as one likes.
#[inline]
fn places(key: u128, words: usize) -> impl Iterator<Item = (usize, u64)> {
    let next = |hash: &u64| Some(fold(hash ^ 0x9E37_79B9_7F4A_7C15, 0xD6E8_FEB8_6659_FD93));
    std::iter::successors(Some(mix(key)), next)
        .map(move |hash| ((hash >> 6) as usize & (words - 1), 1 << (hash & 63)))
}

/// The partition, of a power of two of them, that a key's rows are in.
#[must_use]
pub fn partition_of(key: u128, partitions: usize) -> usize {
    (mix(key) >> 40) as usize & (partitions - 1)
}

/// Bytes before each row that [`GatherSink`] writes: key, hash, length of the key, length of the row.
pub const ROW_HEADER: usize = 16 + 16 + 4 + 4;

/// Writes the rows of wanted keys to disk, partitioned by key. Of copies of a row
/// one is enough: those of the rows written last are left out.
#[derive(Debug)]
pub struct GatherSink {
    encoder: RowEncoder,
    identity: Identity,
    wanted: std::sync::Arc<KeyFilter>,
    rows: Partitioned,
    /// Rows that were written, each in the place that its hash says.
    written: Vec<Option<Element>>,
}

impl GatherSink {
    /// Gathers the rows of the keys in `wanted`.
    #[must_use]
    pub fn new(
        identity: Identity,
        wanted: std::sync::Arc<KeyFilter>,
        partitions: usize,
        room: &Room,
    ) -> Self {
        Self {
            encoder: RowEncoder::default(),
            identity,
            wanted,
            rows: Partitioned::new(partitions, BLOCK, room.disk.clone()),
            written: vec![
                None;
                1 << (room.memory / 64 / size_of::<Option<Element>>())
                    .max(1)
                    .ilog2()
            ],
        }
    }

    /// The rows, each after its [`ROW_HEADER`].
    #[must_use]
    pub fn into_rows(self) -> Partitioned {
        self.rows
    }
}

impl RowSink for GatherSink {
    fn encoder(&mut self) -> &mut RowEncoder {
        &mut self.encoder
    }

    fn end_row(&mut self) -> io::Result<()> {
        let element = self.identity.of(&self.encoder);
        if !self.wanted.may_hold(element.key) {
            return Ok(());
        }
        let place = (mix(element.row) >> 32) as usize & (self.written.len() - 1);
        if self.written[place].replace(element) == Some(element) {
            return Ok(());
        }
        let length = |bytes: &[u8]| {
            u32::try_from(bytes.len())
                .map(u32::to_le_bytes)
                .map_err(|_| io::Error::other("a row has more than 4 GiB"))
        };
        let (key, row) = (self.encoder.key(), self.encoder.row());
        let at = partition_of(element.key, self.rows.partitions());
        self.rows.append(
            at,
            &[
                &element.key.to_le_bytes(),
                &element.row.to_le_bytes(),
                &length(key)?,
                &length(row)?,
                row,
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Keys as tables have them: numbers in a row, and hashes.
    fn keys(form: KeyForm, from: u64, step: u64, count: u64) -> impl Iterator<Item = u128> {
        (0..count).map(move |at| {
            let number = from.wrapping_add(at.wrapping_mul(step)).to_be_bytes();
            form.key(&number)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_filter_takes_hardly_another_key_in_where_memory_allows(
            form in prop_oneof![Just(KeyForm::Compact), Just(KeyForm::WholeRow)],
            count in 1_u64..5_000,
            from in any::<u64>(),
            step in prop_oneof![Just(1_u64), any::<u64>().prop_map(|step| step | 1)],
        ) {
            let mut filter = KeyFilter::new(count, 8 << 20);
            keys(form, from, step, count).for_each(|key| filter.insert(key));
            prop_assert!(keys(form, from, step, count).all(|key| filter.may_hold(key)));
            let others = keys(form, from.wrapping_add(count.wrapping_mul(step)), step, 100_000);
            prop_assert!(others.filter(|key| filter.may_hold(*key)).count() <= 2);
            prop_assert!(filter.words.len() as u64 <= 64.max(2 * count), "no larger than needed");
        }

        #[test]
        fn a_filter_makes_the_best_of_little_memory(
            count in 10_000_u64..40_000,
            memory in 8_usize..64 << 10,
            from in any::<u64>(),
        ) {
            let mut filter = KeyFilter::new(count, memory);
            prop_assert!(filter.words.len() * 8 <= memory);
            keys(KeyForm::Compact, from, 1, count).for_each(|key| filter.insert(key));
            prop_assert!(keys(KeyForm::Compact, from, 1, count).all(|key| filter.may_hold(key)));
            let others = keys(KeyForm::Compact, from.wrapping_add(count), 1, 20_000);
            let taken = others.filter(|key| filter.may_hold(*key)).count();
            // The best that a Bloom filter can do is 0.6185 to the power of the bits of a key.
            #[expect(clippy::cast_precision_loss, reason = "a rate and not a count")]
            let (bits, rate) = (
                (filter.words.len() * 64) as f64 / count as f64,
                taken as f64 / 20_000.0,
            );
            let best = 0.6185_f64.powf(bits);
            prop_assert!(rate <= 1.3 * best + 0.005, "{rate} at {bits} bits a key");
        }
    }
}
