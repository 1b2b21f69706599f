//! What becomes of the rows that a scan pushes.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::io;

use super::canonical::{RowEncoder, RowSink};
use super::element::{KeyForm, KeyHasher};
use super::sketch::Sketch;
use super::spill::Spill;

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
}

impl SketchSink {
    /// A sink over an empty sketch of `cells` cells.
    #[must_use]
    pub fn new(form: KeyForm, cells: usize) -> Self {
        Self {
            encoder: RowEncoder::default(),
            form,
            sketch: Sketch::new(cells),
        }
    }

    /// The sum of the rows.
    #[must_use]
    pub fn into_sketch(self) -> Sketch {
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
        self.sketch
            .add(self.form.element(self.encoder.key(), self.encoder.row()));
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
    ///
    /// # Errors
    ///
    /// When no temporary file can be made.
    pub fn new(form: KeyForm, partitions: usize) -> io::Result<Self> {
        Ok(Self {
            encoder: RowEncoder::default(),
            form,
            spill: Spill::new(partitions)?,
            sum: Sketch::new(0),
        })
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

/// Keeps the encoded rows (or keys, where only keys are read) of wanted keys.
#[derive(Debug)]
pub struct CollectSink {
    encoder: RowEncoder,
    form: KeyForm,
    wanted: KeySet,
    rows: KeyMap<Vec<CollectedRow>>,
}

/// A row that was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectedRow {
    /// The encoded row.
    pub bytes: Vec<u8>,
    /// How many of the bytes, from the first, are the key.
    pub key_end: usize,
    /// The hash of the row.
    pub hash: u128,
}

impl CollectSink {
    /// Collects the rows whose element key is in `wanted`.
    #[must_use]
    pub fn new(form: KeyForm, wanted: KeySet) -> Self {
        Self {
            encoder: RowEncoder::default(),
            form,
            wanted,
            rows: KeyMap::default(),
        }
    }

    /// What was found, by key.
    #[must_use]
    pub fn into_rows(self) -> KeyMap<Vec<CollectedRow>> {
        self.rows
    }
}

impl RowSink for CollectSink {
    fn encoder(&mut self) -> &mut RowEncoder {
        &mut self.encoder
    }

    fn end_row(&mut self) -> io::Result<()> {
        let element = self.form.element(self.encoder.key(), self.encoder.row());
        if self.wanted.contains(&element.key) {
            let row = CollectedRow {
                bytes: self.encoder.row().to_vec(),
                key_end: self.encoder.key().len(),
                hash: element.row,
            };
            self.rows.entry(element.key).or_default().push(row);
        }
        Ok(())
    }
}
