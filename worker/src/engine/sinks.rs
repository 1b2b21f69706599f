//! What becomes of the rows that a scan pushes: a sum, elements on disk, a
//! list of differences, the rows of wanted keys in memory or on disk.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::io;

use super::canonical::{RowEncoder, RowSink, Values};
use super::difference::RowDifference;
use super::differing::Differing;
use super::disk::{BLOCK, Partitioned, Room};
use super::element::{Element, KeyForm, KeyHasher, mix};
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

/// Keeps the encoded rows (or keys, where only keys are read) of wanted keys.
#[derive(Debug)]
pub struct CollectSink {
    encoder: RowEncoder,
    identity: Identity,
    wanted: KeySet,
    rows: KeyMap<Vec<CollectedRow>>,
    bytes: usize,
}

/// A row that was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectedRow {
    /// The encoded row.
    pub bytes: Vec<u8>,
    /// How many of the bytes, from the first, are the key.
    pub key_end: usize,
    /// The hash of what identifies the row beside its key.
    pub hash: u128,
}

impl CollectSink {
    /// Collects the rows whose element key is in `wanted`.
    #[must_use]
    pub fn new(identity: Identity, wanted: KeySet) -> Self {
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
    pub fn into_rows(self) -> KeyMap<Vec<CollectedRow>> {
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
        if self.wanted.contains(&element.key) {
            let rows = self.rows.entry(element.key).or_default();
            if rows.iter().all(|row| row.hash != element.row) {
                self.bytes += self.encoder.row().len();
                rows.push(CollectedRow {
                    bytes: self.encoder.row().to_vec(),
                    key_end: self.encoder.key().len(),
                    hash: element.row,
                });
            }
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

/// A set of keys in a fixed number of bits: it may take a key in that is not in it.
#[derive(Debug, Clone)]
pub struct KeyFilter {
    bits: Vec<u64>,
}

impl KeyFilter {
    /// An empty set for about `keys` keys, in at most `memory` bytes.
    #[must_use]
    pub fn new(keys: u64, memory: usize) -> Self {
        let most = (memory / 8).clamp(64, 1 << 20);
        // 16 bits a key: of 17 other keys one is taken in by chance.
        let wanted = usize::try_from(keys / 4).unwrap_or(most).clamp(64, most);
        Self {
            bits: vec![0; 1 << wanted.ilog2()],
        }
    }

    /// Takes `key` in.
    pub fn insert(&mut self, key: u128) {
        let (word, bit) = self.place(key);
        self.bits[word] |= bit;
    }

    /// Whether `key` may have been taken in.
    #[inline]
    #[must_use]
    pub fn may_hold(&self, key: u128) -> bool {
        let (word, bit) = self.place(key);
        self.bits[word] & bit != 0
    }

    #[inline]
    fn place(&self, key: u128) -> (usize, u64) {
        let hash = mix(key);
        (
            (hash >> 6) as usize & (self.bits.len() - 1),
            1 << (hash & 63),
        )
    }
}

/// The partition, of a power of two of them, that a key's rows are in.
#[must_use]
pub fn partition_of(key: u128, partitions: usize) -> usize {
    (mix(key) >> 40) as usize & (partitions - 1)
}

/// Bytes before each row that [`GatherSink`] writes: key, hash, length of the key, length of the row.
pub const ROW_HEADER: usize = 16 + 16 + 4 + 4;

/// Writes the rows of wanted keys to disk, partitioned by key.
#[derive(Debug)]
pub struct GatherSink {
    encoder: RowEncoder,
    identity: Identity,
    wanted: std::sync::Arc<KeyFilter>,
    rows: Partitioned,
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
