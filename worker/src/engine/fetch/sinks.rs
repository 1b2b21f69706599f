//! Sinks that keep the wanted rows of a scan.

use std::io;

use crate::engine::disk::{BLOCK, Budget, Partitioned};
use crate::engine::fetch::matching::RowsOfKey;
use crate::engine::rows::element::Element;
use crate::engine::rows::hash::{RowHasher, mix};
use crate::engine::rows::keys::{KeyFilter, KeyMap, WantedRows, partition_of};
use crate::engine::values::canonical::{RowEncoder, RowSink, Values};

/// How a row that may hold more than what is compared is identified.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub hasher: RowHasher,
    /// How many columns, from the first, are hashed; all of them where absent.
    pub leading: Option<usize>,
}

impl Identity {
    pub(crate) fn of(self, encoder: &RowEncoder) -> Element {
        let row = encoder.row();
        let Some(leading) = self.leading else {
            return self.hasher.element(encoder.key(), row);
        };
        let end = Values::new(row)
            .flatten()
            .take(leading)
            .map(<[u8]>::len)
            .sum();
        self.hasher.element(encoder.key(), &row[..end])
    }
}

/// Keeps the encoded rows (or keys, where only keys are read) that are wanted.
#[derive(Debug)]
pub(crate) struct CollectSink {
    identity: Identity,
    wanted: WantedRows,
    /// The most bytes of rows that are kept.
    limit: usize,
    pub(crate) collected: Collected,
}

/// The rows that were found, by key, and their size.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) rows: KeyMap<RowsOfKey<CollectedRow>>,
    pub(crate) bytes: usize,
    /// Set if the rows exceeded the limit, with the number of keys whose rows were within it.
    /// Then no rows are kept.
    pub(crate) fitting: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CollectedRow {
    pub bytes: Vec<u8>,
    /// How many of the bytes, from the first, are the key.
    pub key_end: usize,
}

impl CollectSink {
    pub(crate) fn new(identity: Identity, wanted: WantedRows, limit: usize) -> Self {
        Self {
            identity,
            wanted,
            limit,
            collected: Collected::default(),
        }
    }
}

impl RowSink for CollectSink {
    fn end_row(&mut self, row: &RowEncoder) -> io::Result<()> {
        let element = self.identity.of(row);
        let Some(wanted) = self.wanted.get(&element.key) else {
            return Ok(());
        };
        if self.collected.fitting.is_some() {
            return Ok(());
        }
        let length = row.row().len();
        let (collected, limit) = (&mut self.collected, self.limit);
        let keys = collected.rows.len();
        let rows = collected.rows.entry(element.key).or_default();
        let is_first = rows.is_empty();
        let is_kept = rows.add(element.row, wanted.contains(&element.row), || {
            // A row that exceeds the limit is not copied.
            let fits = collected.bytes.saturating_add(length) <= limit;
            CollectedRow {
                bytes: if fits { row.row().to_vec() } else { Vec::new() },
                key_end: row.key().len(),
            }
        });
        if is_kept {
            collected.bytes = collected.bytes.saturating_add(length);
        }
        if collected.bytes > limit {
            collected.rows = KeyMap::default();
            collected.fitting = Some(if is_first {
                keys
            } else {
                keys.saturating_sub(1)
            });
        }
        Ok(())
    }
}

/// Bytes before each row that [`GatherSink`] writes: key, hash, length of the key, length of the row.
pub(crate) const ROW_HEADER: usize = 16 + 16 + 4 + 4;

/// Writes the rows of wanted keys to disk, partitioned by key. Of copies of a row
/// one is enough: those of the rows written last are left out.
#[derive(Debug)]
pub(crate) struct GatherSink {
    identity: Identity,
    wanted: std::sync::Arc<KeyFilter>,
    /// The rows, each after its [`ROW_HEADER`].
    pub(crate) rows: Partitioned,
    /// Rows that were written, each at a position derived from its hash.
    written: Vec<Option<Element>>,
}

impl GatherSink {
    pub(crate) fn new(
        identity: Identity,
        wanted: std::sync::Arc<KeyFilter>,
        partitions: usize,
        budget: &Budget,
    ) -> Self {
        Self {
            identity,
            wanted,
            rows: Partitioned::new(partitions, BLOCK, budget.disk.clone()),
            written: vec![
                None;
                1 << (budget.memory / 64 / size_of::<Option<Element>>())
                    .max(1)
                    .ilog2()
            ],
        }
    }
}

impl RowSink for GatherSink {
    fn end_row(&mut self, row: &RowEncoder) -> io::Result<()> {
        let element = self.identity.of(row);
        if !self.wanted.may_hold(element.key) {
            return Ok(());
        }
        let at = (mix(element.row) >> 32) as usize & (self.written.len() - 1);
        if self.written[at].replace(element) == Some(element) {
            return Ok(());
        }
        let length = |bytes: &[u8]| {
            u32::try_from(bytes.len())
                .map(u32::to_le_bytes)
                .map_err(|_| io::Error::other("a row has more than 4 GiB"))
        };
        let (key, row) = (row.key(), row.row());
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
