//! The memory and disk budget of a comparison, and the records that it writes to
//! disk in partitions. The files have no names: the operating system removes them
//! when they are closed, even if the process is killed.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shared::options::EngineLimits;

use crate::engine::temporary::{SpillDirectory, TemporaryFile};

/// Bytes that one partition buffers before it writes them.
pub(crate) const BLOCK: usize = 8 * 1024;

/// The memory and disk that one comparison may use.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    /// Bytes of memory.
    pub memory: usize,
    /// Bytes on disk, of all files together.
    pub disk: DiskBudget,
}

impl Budget {
    pub(crate) fn new(limits: &EngineLimits, directory: SpillDirectory) -> Self {
        Self {
            memory: usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX),
            disk: DiskBudget {
                directory,
                ..DiskBudget::new(limits.spill_bytes)
            },
        }
    }

    /// The number of partitions for `bytes` bytes, a power of two. One partition fits
    /// in an eighth of the memory. The buffers of `files` files, each with this number
    /// of partitions, fit in a quarter. At the maximum, partitions may be larger.
    pub(crate) fn partitions(&self, bytes: u64, files: usize) -> usize {
        let aim = (self.memory / 8).clamp(BLOCK, 8 << 20) as u64;
        let most = (self.memory / 4 / (files * BLOCK)).clamp(1, 1024);
        let wanted = usize::try_from(bytes / aim + 1).unwrap_or(most);
        // Rounded down, because all buffers must fit in memory.
        let most = 1 << most.ilog2();
        wanted
            .checked_next_power_of_two()
            .map_or(most, |wanted| wanted.min(most))
    }
}

/// The limit on bytes on disk, which all files of one comparison share.
#[derive(Debug, Clone)]
pub(crate) struct DiskBudget {
    limit: u64,
    used: Arc<AtomicU64>,
    directory: SpillDirectory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the differences of this table need more than {limit} bytes of temporary files, which is the limit"
)]
pub(crate) struct SpillLimitReached {
    /// The limit in bytes.
    pub limit: u64,
}

impl DiskBudget {
    /// A budget of `limit` bytes, all of them free.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            used: Arc::default(),
            directory: SpillDirectory::default(),
        }
    }

    /// Bytes in use now.
    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> io::Result<()> {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > self.limit {
            self.give_back(bytes);
            return Err(io::Error::other(SpillLimitReached { limit: self.limit }));
        }
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Records in partitions. A partition keeps the order in which its records were
/// appended. Its last records, less than one block, stay in memory.
#[derive(Debug)]
pub(crate) struct Partitioned {
    file: Option<TemporaryFile>,
    length: u64,
    block: usize,
    budget: DiskBudget,
    partitions: Vec<Partition>,
    /// Blocks in the file that can be overwritten.
    free: Vec<Block>,
}

#[derive(Debug, Default)]
struct Partition {
    buffer: Vec<u8>,
    blocks: VecDeque<Block>,
    bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    offset: u64,
    length: u32,
}

impl Partitioned {
    /// Creates `partitions` empty partitions. Each writes to disk when its buffer has
    /// at least `block` bytes.
    pub(crate) fn new(partitions: usize, block: usize, budget: DiskBudget) -> Self {
        Self {
            file: None,
            length: 0,
            block,
            budget,
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            free: Vec::new(),
        }
    }

    /// Adds `partitions` empty partitions. Returns the index of the first of them.
    pub(crate) fn grow(&mut self, partitions: usize) -> usize {
        let first = self.partitions.len();
        self.partitions
            .resize_with(first + partitions, Partition::default);
        first
    }

    /// Drops partition `first` and all partitions after it.
    pub(crate) fn truncate(&mut self, first: usize) {
        for at in first..self.partitions.len() {
            self.clear(at);
        }
        self.partitions.truncate(first);
    }

    /// Drops the records in partition `at`.
    pub(crate) fn clear(&mut self, at: usize) {
        let cleared = std::mem::take(&mut self.partitions[at]);
        self.free.extend(cleared.blocks);
    }

    pub(crate) fn partitions(&self) -> usize {
        self.partitions.len()
    }

    /// Appends a record to partition `at`. The slices of `record` are its parts. A
    /// record is never divided between two blocks.
    ///
    /// # Errors
    ///
    /// [`SpillLimitReached`], or when the disk is full or fails.
    #[inline]
    pub(crate) fn append(&mut self, at: usize, record: &[&[u8]]) -> io::Result<()> {
        let partition = &mut self.partitions[at];
        for part in record {
            partition.buffer.extend_from_slice(part);
            partition.bytes += part.len() as u64;
        }
        if partition.buffer.len() >= self.block {
            self.flush(at)?;
        }
        Ok(())
    }

    fn flush(&mut self, at: usize) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(self.budget.directory.file()?),
        };
        let partition = &mut self.partitions[at];
        let length = u32::try_from(partition.buffer.len())
            .map_err(|_| io::Error::other("a row has more than 4 GiB"))?;
        let block = match self.free.pop_if(|free| free.length == length) {
            Some(free) => free,
            None => {
                self.budget.take(length.into())?;
                let offset = self.length;
                self.length += u64::from(length);
                Block { offset, length }
            }
        };
        file.write(&partition.buffer, block.offset)?;
        partition.blocks.push_back(block);
        partition.buffer.clear();
        // Otherwise every partition that once had a large record would keep its memory.
        partition.buffer.shrink_to(2 * self.block);
        Ok(())
    }

    /// Removes the first block from partition `at` and returns it; `None` if the
    /// partition is empty. Later writes may overwrite the block on disk.
    pub(crate) fn take(&mut self, at: usize) -> io::Result<Option<Vec<u8>>> {
        let partition = &mut self.partitions[at];
        let bytes = match (partition.blocks.pop_front(), &self.file) {
            (Some(block), Some(file)) => {
                self.free.push(block);
                file.read(block.offset, block.length as usize)?
            }
            _ => std::mem::take(&mut partition.buffer),
        };
        partition.bytes -= bytes.len() as u64;
        Ok((!bytes.is_empty()).then_some(bytes))
    }

    pub(crate) fn bytes(&self, at: usize) -> u64 {
        self.partitions[at].bytes
    }

    /// The number of blocks of partition `at`, with the one that is still in memory.
    pub(crate) fn blocks(&self, at: usize) -> usize {
        self.partitions[at].blocks.len() + 1
    }

    /// Reads block `number` of partition `at`.
    pub(crate) fn block(&self, at: usize, number: usize) -> io::Result<Cow<'_, [u8]>> {
        let partition = &self.partitions[at];
        match (partition.blocks.get(number), &self.file) {
            (Some(block), Some(file)) => file
                .read(block.offset, block.length as usize)
                .map(Cow::Owned),
            _ => Ok(Cow::Borrowed(&partition.buffer)),
        }
    }

    /// Reads `length` bytes, starting at `position`, of block `number` of partition `at`.
    pub(crate) fn part(
        &self,
        at: usize,
        number: usize,
        position: usize,
        length: usize,
    ) -> io::Result<Vec<u8>> {
        let partition = &self.partitions[at];
        match (partition.blocks.get(number), &self.file) {
            (Some(block), Some(file)) => file.read(block.offset + position as u64, length),
            _ => Ok(partition.buffer[position..position + length].to_vec()),
        }
    }
}

impl Drop for Partitioned {
    fn drop(&mut self) {
        self.budget.give_back(self.length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_the_budget_too() {
        let budget = DiskBudget::new(10_000);
        let mut records = Partitioned::new(2, 64, budget.clone());
        for number in 0..100_u8 {
            records
                .append(usize::from(number % 2), &[&[number], &[0; 9]])
                .unwrap();
        }
        for at in 0..2_u8 {
            let mut found = Vec::new();
            for block in 0..records.blocks(at.into()) {
                let bytes = records.block(at.into(), block).unwrap();
                assert_eq!(bytes.len() % 10, 0, "no record is in two blocks");
                found.extend(bytes.chunks(10).map(|record| record[0]));
                if let Some(first) = bytes.first() {
                    assert_eq!(records.part(at.into(), block, 0, 1).unwrap(), [*first]);
                }
            }
            let expected: Vec<u8> = (0..100).filter(|number| number % 2 == at).collect();
            assert_eq!(found, expected);
            assert_eq!(records.bytes(at.into()), 500);
        }
        assert!(budget.used() > 800, "{}", budget.used());
        drop(records);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn space_of_taken_blocks_is_reused() {
        let budget = DiskBudget::new(1024);
        let mut records = Partitioned::new(1, 64, budget.clone());
        for number in 0..130_u8 {
            records.append(0, &[&[number; 8]]).unwrap();
        }
        assert_eq!(
            budget.used(),
            1024,
            "all but two records, which are in memory"
        );
        let second = records.grow(2);
        let mut count = 0_u8;
        while let Some(block) = records.take(0).unwrap() {
            for record in block.chunks(8) {
                assert_eq!(record[0], count, "the order is kept");
                records
                    .append(second + usize::from(record[0] % 2), &[record])
                    .unwrap();
                count += 1;
            }
        }
        assert_eq!((count, records.bytes(0), budget.used()), (130, 0, 1024));
        let mut found = Vec::new();
        for at in [second, second + 1] {
            for block in 0..records.blocks(at) {
                let bytes = records.block(at, block).unwrap();
                found.extend(bytes.chunks(8).map(|record| {
                    assert_eq!(record, [record[0]; 8]);
                    assert_eq!(usize::from(record[0] % 2), at - second);
                    record[0]
                }));
            }
        }
        found.sort_unstable();
        assert!(found.into_iter().eq(0..130));
        records.truncate(second);
        for number in 0..128_u8 {
            records.append(0, &[&[number; 8]]).unwrap();
        }
        assert_eq!((records.partitions(), budget.used()), (1, 1024));
    }

    #[test]
    fn more_than_the_limit_is_an_error_that_names_it() {
        let budget = DiskBudget::new(100);
        let mut records = Partitioned::new(1, 60, budget.clone());
        records.append(0, &[&[0; 60]]).unwrap();
        let error = records.append(0, &[&[0; 60]]).unwrap_err();
        assert_eq!(
            error
                .get_ref()
                .and_then(|error| error.downcast_ref::<SpillLimitReached>()),
            Some(&SpillLimitReached { limit: 100 })
        );
        assert_eq!(budget.used(), 60);
    }

    #[test]
    fn partitions_are_a_power_of_two_whose_buffers_fit() {
        let budget = |memory| Budget {
            memory,
            disk: DiskBudget::new(0),
        };
        assert_eq!(budget(64 << 20).partitions(0, 2), 1);
        assert_eq!(budget(64 << 20).partitions(12_000_000 * 32, 2), 64);
        assert_eq!(budget(64 << 20).partitions(u64::MAX, 2), 1024);
        assert_eq!(budget(1 << 20).partitions(u64::MAX, 2), 16);
        assert_eq!(budget(0).partitions(u64::MAX, 2), 1);
    }
}
