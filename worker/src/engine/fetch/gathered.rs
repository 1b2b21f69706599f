//! Rows that one pass over both sides has written to disk, matched with the
//! differences that they belong to, a partition at a time.

use std::collections::VecDeque;
use std::io;

use crate::engine::disk::{BLOCK, Budget, Partitioned};
use crate::engine::fetch::located::LocatedRow;
use crate::engine::fetch::matching::RowsOfKey;
use crate::engine::fetch::sinks::ROW_HEADER;
use crate::engine::rows::difference::RowDifference;
use crate::engine::rows::differing;
use crate::engine::rows::keys::{KeyMap, WantedRows, partition_of};
use crate::engine::rows::version::next;
use crate::engine::values::column::SideOf;
use crate::engine::values::pair::Pair;

/// Differences, and the rows of both sides that they may belong to.
#[derive(Debug)]
pub(crate) struct Gathered {
    differences: Partitioned,
    /// The rows that the pass has written.
    pub(crate) rows: Pair<Partitioned>,
    has_key: bool,
    memory: usize,
    next: usize,
    pending: VecDeque<RowDifference>,
    loaded: Pair<Loaded>,
}

/// A partition of one side: where its wanted rows are, and its blocks if they
/// fit in memory.
#[derive(Debug, Default)]
struct Loaded {
    positions: KeyMap<RowsOfKey<RowPosition>>,
    blocks: Option<Vec<Vec<u8>>>,
}

#[derive(Debug, Clone, Copy)]
struct RowPosition {
    block: u32,
    offset: u32,
    key_end: u32,
    length: u32,
}

impl Gathered {
    /// No differences yet, in as many partitions as the rows will be in. With
    /// `has_key` the rows begin with their keys.
    pub(crate) fn new(partitions: usize, has_key: bool, budget: &Budget) -> Self {
        let new = |partitions| Partitioned::new(partitions, BLOCK, budget.disk.clone());
        Self {
            differences: new(partitions),
            rows: Pair::of(|_| new(0)),
            has_key,
            memory: budget.memory,
            next: 0,
            pending: VecDeque::new(),
            loaded: Pair::default(),
        }
    }

    pub(crate) fn want(&mut self, difference: RowDifference) -> io::Result<()> {
        let at = partition_of(difference.key, self.differences.partitions());
        differing::append(&mut self.differences, at, difference)
    }

    /// The next rows: those of one key, and more up to `bytes` bytes of them. None
    /// at the end. Within a partition they are in the order of the differences.
    pub(crate) async fn next(&mut self, bytes: usize) -> io::Result<Vec<LocatedRow>> {
        while self.pending.is_empty() {
            if self.next == self.differences.partitions() {
                return Ok(Vec::new());
            }
            self.load(self.next).await?;
            self.next += 1;
        }
        let (mut rows, mut taken) = (Vec::<LocatedRow>::new(), 0);
        while let Some(difference) = self.pending.front().copied() {
            let is_same_key = rows
                .last()
                .is_some_and(|last| last.difference.key == difference.key);
            if taken >= bytes && !rows.is_empty() && !is_same_key {
                break;
            }
            self.pending.pop_front();
            let row = self.locate(difference)?;
            let length = |row: &Option<Vec<u8>>| row.as_ref().map_or(0, Vec::len);
            taken += size_of::<LocatedRow>() + length(&row.source) + length(&row.target);
            rows.push(row);
        }
        Ok(rows)
    }

    /// A difference of the loaded partition with its rows.
    fn locate(&self, difference: RowDifference) -> io::Result<LocatedRow> {
        let at = self.next - 1;
        let Pair { source, target } = Pair::of(|side| match difference.hash_on(side) {
            Some(hash) => self.loaded[side].row(&self.rows[side], at, difference.key, hash),
            None => Ok(None),
        })
        .transpose()?;
        let key = match source.as_ref().or(target.as_ref()) {
            Some((row, key_end)) if self.has_key => row[..*key_end].to_vec(),
            _ => Vec::new(),
        };
        Ok(LocatedRow {
            difference,
            key,
            source: source.map(|(row, _)| row),
            target: target.map(|(row, _)| row),
        })
    }

    async fn load(&mut self, at: usize) -> io::Result<()> {
        for block in 0..self.differences.blocks(at) {
            differing::read(&self.differences.block(at, block)?, &mut self.pending);
        }
        let rows = self.rows.as_ref();
        let keep = rows.source.bytes(at) + rows.target.bytes(at) <= (self.memory / 4) as u64;
        let wanted = Pair::of(|side| wanted_rows(&self.pending, side));
        self.loaded = Pair::default();
        self.loaded = Pair {
            source: Loaded::new(rows.source, at, &wanted.source, keep).await?,
            target: Loaded::new(rows.target, at, &wanted.target, keep).await?,
        };
        Ok(())
    }
}

/// The rows of these differences that one side has.
pub(crate) fn wanted_rows<'a>(
    differences: impl IntoIterator<Item = &'a RowDifference>,
    side: SideOf,
) -> WantedRows {
    let mut wanted = WantedRows::default();
    for difference in differences {
        if let Some(hash) = difference.hash_on(side) {
            wanted.entry(difference.key).or_default().insert(hash);
        }
    }
    wanted
}

impl Loaded {
    async fn new(
        rows: &Partitioned,
        at: usize,
        wanted: &WantedRows,
        keep: bool,
    ) -> io::Result<Self> {
        let mut loaded = Self {
            positions: KeyMap::default(),
            blocks: keep.then(Vec::new),
        };
        for number in 0..rows.blocks(at) {
            // The rows of one key may be most of a table: other tasks run in
            // between, and a cancellation takes effect.
            tokio::task::yield_now().await;
            let bytes = rows.block(at, number)?;
            loaded.index(number, &bytes, wanted)?;
            if let Some(blocks) = &mut loaded.blocks {
                blocks.push(bytes.into_owned());
            }
        }
        Ok(loaded)
    }

    /// Records where the wanted rows of a block are.
    fn index(&mut self, block: usize, bytes: &[u8], wanted: &WantedRows) -> io::Result<()> {
        let small = |number: usize| {
            u32::try_from(number).map_err(|_| io::Error::other("a row has more than 4 GiB"))
        };
        let mut offset = 0;
        while let Some(mut header) = bytes.get(offset..offset + ROW_HEADER) {
            let key = u128::from_le_bytes(next(&mut header));
            let hash = u128::from_le_bytes(next(&mut header));
            let key_end = u32::from_le_bytes(next(&mut header));
            let length = u32::from_le_bytes(next(&mut header));
            offset += ROW_HEADER;
            if let Some(wanted) = wanted.get(&key) {
                let position = RowPosition {
                    block: small(block)?,
                    offset: small(offset)?,
                    key_end,
                    length,
                };
                let rows = self.positions.entry(key).or_default();
                rows.add(hash, wanted.contains(&hash), || position);
            }
            offset += length as usize;
        }
        Ok(())
    }

    /// The row with this hash, or what it was changed to, as
    /// [`RowsOfKey::of`] decides; and where its key ends.
    fn row(
        &self,
        rows: &Partitioned,
        at: usize,
        key: u128,
        hash: u128,
    ) -> io::Result<Option<(Vec<u8>, usize)>> {
        let Some(position) = self.positions.get(&key).and_then(|rows| rows.of(hash)) else {
            return Ok(None);
        };
        let (block, offset) = (position.block as usize, position.offset as usize);
        let length = position.length as usize;
        let bytes = match self.blocks.as_ref().and_then(|blocks| blocks.get(block)) {
            Some(bytes) => bytes[offset..offset + length].to_vec(),
            None => rows.part(at, block, offset, length)?,
        };
        Ok(Some((bytes, position.key_end as usize)))
    }
}
