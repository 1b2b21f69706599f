//! Sinks that keep the wanted rows of a scan.

use std::io;

use crate::engine::disk::{BLOCK, Partitioned, Room};
use crate::engine::rows::element::{Element, KeyForm, mix};
use crate::engine::rows::keys::{KeyFilter, KeyMap, WantedRows, partition_of};
use crate::engine::values::canonical::{RowEncoder, RowSink, Values};

/// How a row that may hold more than what is compared is identified.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
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

/// Keeps the encoded rows (or keys, where only keys are read) that are wanted.
#[derive(Debug)]
pub(crate) struct CollectSink {
    encoder: RowEncoder,
    identity: Identity,
    wanted: WantedRows,
    rows: KeyMap<CollectedRows>,
    bytes: usize,
}

/// What was found under a wanted key. Of rows that share a key only those are
/// kept that are wanted, and one besides: there may be very many of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CollectedRows {
    wanted: KeyMap<CollectedRow>,
    other: Option<CollectedRow>,
    /// There are still more rows that are not wanted.
    more: bool,
}

impl CollectedRows {
    /// The row with this hash, or what it has become: the only row that has the
    /// same key now. Where others have it too, none is known to be that row.
    #[must_use]
    pub(crate) fn of(&self, hash: u128) -> Option<&CollectedRow> {
        let alone = !self.more && self.wanted.is_empty();
        self.wanted
            .get(&hash)
            .or_else(|| self.other.as_ref().filter(|_| alone))
    }

    /// Any of the rows.
    #[must_use]
    pub(crate) fn any(self) -> Option<CollectedRow> {
        self.other.or_else(|| self.wanted.into_values().next())
    }
}

/// A row that was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CollectedRow {
    /// The encoded row.
    pub bytes: Vec<u8>,
    /// How many of the bytes, from the first, are the key.
    pub key_end: usize,
}

impl CollectSink {
    /// Collects `wanted` rows.
    #[must_use]
    pub(crate) fn new(identity: Identity, wanted: WantedRows) -> Self {
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
    pub(crate) fn into_rows(self) -> KeyMap<CollectedRows> {
        self.rows
    }

    /// The bytes of what was found.
    #[must_use]
    pub(crate) fn bytes(&self) -> usize {
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

/// Bytes before each row that [`GatherSink`] writes: key, hash, length of the key, length of the row.
pub(crate) const ROW_HEADER: usize = 16 + 16 + 4 + 4;

/// Writes the rows of wanted keys to disk, partitioned by key. Of copies of a row
/// one is enough: those of the rows written last are left out.
#[derive(Debug)]
pub(crate) struct GatherSink {
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
    pub(crate) fn new(
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
    pub(crate) fn into_rows(self) -> Partitioned {
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
