//! Rows that one pass over both sides has written to disk, brought together
//! with the differences that they belong to, a partition at a time.

use std::collections::VecDeque;
use std::io;

use crate::engine::disk::{BLOCK, Partitioned, Room};
use crate::engine::fetch::located::LocatedRow;
use crate::engine::fetch::sinks::ROW_HEADER;
use crate::engine::rows::difference::RowDifference;
use crate::engine::rows::differing;
use crate::engine::rows::keys::{KeyMap, WantedRows, partition_of};

/// Differences, and the rows of both sides that they may belong to.
#[derive(Debug)]
pub(crate) struct Gathered {
    differences: Partitioned,
    source: Partitioned,
    target: Partitioned,
    keyed: bool,
    memory: usize,
    next: usize,
    waiting: VecDeque<RowDifference>,
    left: Loaded,
    right: Loaded,
}

/// A partition of one side: where its wanted rows are; and its blocks, if they
/// fit in memory.
#[derive(Debug, Default)]
struct Loaded {
    places: KeyMap<Places>,
    blocks: Option<Vec<Vec<u8>>>,
}

/// Where the rows of a key are. Of rows that share a key only the wanted ones
/// are taken down, by hash, and one besides: there may be very many of them.
#[derive(Debug, Default)]
struct Places {
    wanted: KeyMap<Place>,
    other: Option<Place>,
    /// There are still more rows that are not wanted.
    more: bool,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    block: u32,
    position: u32,
    key_end: u32,
    length: u32,
}

impl Gathered {
    /// No differences yet, in as many partitions as the rows will be in. Rows
    /// of a table that is not `keyed` have no key to tell.
    pub(crate) fn new(partitions: usize, keyed: bool, room: &Room) -> Self {
        let none = || Partitioned::new(0, BLOCK, room.disk.clone());
        Self {
            differences: Partitioned::new(partitions, BLOCK, room.disk.clone()),
            source: none(),
            target: none(),
            keyed,
            memory: room.memory,
            next: 0,
            waiting: VecDeque::new(),
            left: Loaded::default(),
            right: Loaded::default(),
        }
    }

    /// The rows of `difference` are wanted.
    pub(crate) fn want(&mut self, difference: RowDifference) -> io::Result<()> {
        let at = partition_of(difference.key, self.differences.partitions());
        differing::append(&mut self.differences, at, difference)
    }

    /// These are the rows of the source and of the target.
    pub(crate) fn found(&mut self, source: Partitioned, target: Partitioned) {
        (self.source, self.target) = (source, target);
    }

    /// The next rows: those of one key, and more up to `bytes` bytes of them. None
    /// at the end. Within a partition they are in the order of the differences.
    pub(crate) async fn next(&mut self, bytes: usize) -> io::Result<Vec<LocatedRow>> {
        while self.waiting.is_empty() {
            if self.next == self.differences.partitions() {
                return Ok(Vec::new());
            }
            self.load(self.next).await?;
            self.next += 1;
        }
        let at = self.next - 1;
        let (mut rows, mut taken) = (Vec::<LocatedRow>::new(), 0);
        while let Some(difference) = self.waiting.front().copied() {
            let is_same_key = rows
                .last()
                .is_some_and(|last| last.difference.key == difference.key);
            if taken >= bytes && !rows.is_empty() && !is_same_key {
                break;
            }
            self.waiting.pop_front();
            let source = self
                .left
                .row(&self.source, at, difference.key, difference.source)?;
            let target = self
                .right
                .row(&self.target, at, difference.key, difference.target)?;
            let key = match source.as_ref().or(target.as_ref()) {
                Some((row, key_end)) if self.keyed => row[..*key_end].to_vec(),
                _ => Vec::new(),
            };
            let row = LocatedRow {
                difference,
                key,
                source: source.map(|(row, _)| row),
                target: target.map(|(row, _)| row),
            };
            let length = |row: &Option<Vec<u8>>| row.as_ref().map_or(0, Vec::len);
            taken += size_of::<LocatedRow>() + length(&row.source) + length(&row.target);
            rows.push(row);
        }
        Ok(rows)
    }

    async fn load(&mut self, at: usize) -> io::Result<()> {
        for block in 0..self.differences.blocks(at) {
            differing::read(&self.differences.block(at, block)?, &mut self.waiting);
        }
        let wanted = |side: fn(&RowDifference) -> Option<u128>| {
            let mut wanted = WantedRows::default();
            for difference in &self.waiting {
                if let Some(hash) = side(difference) {
                    wanted.entry(difference.key).or_default().insert(hash);
                }
            }
            wanted
        };
        let (source, target) = (wanted(|row| row.source), wanted(|row| row.target));
        let keep = self.source.bytes(at) + self.target.bytes(at) <= (self.memory / 4) as u64;
        self.left = Loaded::default();
        self.right = Loaded::default();
        self.left = Loaded::new(&self.source, at, &source, keep).await?;
        self.right = Loaded::new(&self.target, at, &target, keep).await?;
        Ok(())
    }
}

impl Loaded {
    async fn new(
        rows: &Partitioned,
        at: usize,
        wanted: &WantedRows,
        keep: bool,
    ) -> io::Result<Self> {
        let mut places: KeyMap<Places> = KeyMap::default();
        let mut blocks = keep.then(Vec::new);
        for number in 0..rows.blocks(at) {
            // The rows of one key may be most of a table: others have their turn,
            // and who gives up is heard.
            tokio::task::yield_now().await;
            let bytes = rows.block(at, number)?;
            let mut position = 0;
            while let Some(header) = bytes.get(position..position + ROW_HEADER) {
                let (key, hash) = (number_at(header, 0), number_at(header, 16));
                let (key_end, length) = (length_at(header, 32), length_at(header, 36));
                position += ROW_HEADER;
                if let Some(wanted) = wanted.get(&key) {
                    let small = |number: usize| {
                        u32::try_from(number)
                            .map_err(|_| io::Error::other("a row has more than 4 GiB"))
                    };
                    let place = Place {
                        block: small(number)?,
                        position: small(position)?,
                        key_end,
                        length,
                    };
                    let found = places.entry(key).or_default();
                    if wanted.contains(&hash) {
                        found.wanted.insert(hash, place);
                    } else if found.other.is_none() {
                        found.other = Some(place);
                    } else {
                        found.more = true;
                    }
                }
                position += length as usize;
            }
            if let Some(blocks) = &mut blocks {
                blocks.push(bytes.into_owned());
            }
        }
        Ok(Self { places, blocks })
    }

    /// The row with this hash, or what it has become: the only row that has the
    /// same key now; and where its key ends.
    fn row(
        &self,
        rows: &Partitioned,
        at: usize,
        key: u128,
        hash: Option<u128>,
    ) -> io::Result<Option<(Vec<u8>, usize)>> {
        let (Some(hash), Some(found)) = (hash, self.places.get(&key)) else {
            return Ok(None);
        };
        let alone = !found.more && found.wanted.is_empty();
        let place = found
            .wanted
            .get(&hash)
            .or_else(|| found.other.as_ref().filter(|_| alone));
        let Some(place) = place else { return Ok(None) };
        let (block, position) = (place.block as usize, place.position as usize);
        let length = place.length as usize;
        let bytes = match self.blocks.as_ref().and_then(|blocks| blocks.get(block)) {
            Some(bytes) => bytes[position..position + length].to_vec(),
            None => rows.part(at, block, position, length)?,
        };
        Ok(Some((bytes, place.key_end as usize)))
    }
}

fn number_at(header: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(header[at..at + 16].try_into().expect("16 bytes"))
}

fn length_at(header: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes"))
}
