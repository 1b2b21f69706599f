//! The exact way to compare, for when the sketch does not decode: every row's
//! element goes to disk, partitioned by key; then the partitions are compared
//! one after the other in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::difference::{DifferenceList, pair};
use super::element::{Element, mix};

/// Bytes of an element on disk.
const ELEMENT: usize = 32;

/// Bytes that one partition collects before it writes.
const BLOCK: usize = 8 * 1024;

/// Bytes of a partition, both sides together, that are aimed at.
const PARTITION: u64 = 8 * 1024 * 1024;

/// The most partitions there are: their buffers take 8 MiB a side.
const MOST_PARTITIONS: u64 = 1024;

/// How many partitions a comparison of `rows` rows, both sides together, is cut into.
#[must_use]
pub fn partitions_for(rows: u64) -> usize {
    let wanted = (rows.saturating_mul(ELEMENT as u64) / PARTITION + 1)
        .next_power_of_two()
        .min(MOST_PARTITIONS);
    usize::try_from(wanted).expect("at most 1024")
}

/// The elements of one side on disk, in a file without a name that the system
/// removes when it is closed, however the process ends.
#[derive(Debug)]
pub struct Spill {
    file: File,
    length: u64,
    partitions: Vec<Partition>,
}

#[derive(Debug, Default)]
struct Partition {
    buffer: Vec<u8>,
    blocks: Vec<Block>,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    offset: u64,
    length: usize,
}

impl Spill {
    /// An empty spill in the directory for temporary files (`TMPDIR`).
    ///
    /// # Errors
    ///
    /// When no file can be made there.
    pub fn new(partitions: usize) -> io::Result<Self> {
        Ok(Self {
            file: tempfile::tempfile()?,
            length: 0,
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
        })
    }

    /// Adds an element.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails.
    pub fn add(&mut self, element: Element) -> io::Result<()> {
        // The upper bits choose: the count of partitions is a power of two.
        let hash = mix(element.key) >> 32;
        let at = hash as usize & (self.partitions.len() - 1);
        let partition = &mut self.partitions[at];
        partition
            .buffer
            .extend_from_slice(&element.key.to_le_bytes());
        partition
            .buffer
            .extend_from_slice(&element.row.to_le_bytes());
        if partition.buffer.len() >= BLOCK {
            partition.flush(&self.file, &mut self.length)?;
        }
        Ok(())
    }

    /// Everything in one partition.
    fn read(&mut self, at: usize) -> io::Result<Vec<Element>> {
        let partition = &mut self.partitions[at];
        let mut bytes = vec![0; partition.blocks.iter().map(|block| block.length).sum()];
        let mut start = 0;
        for block in &partition.blocks {
            self.file
                .read_exact_at(&mut bytes[start..start + block.length], block.offset)?;
            start += block.length;
        }
        bytes.append(&mut partition.buffer);
        Ok(bytes.as_chunks::<ELEMENT>().0.iter().map(decode).collect())
    }
}

impl Partition {
    fn flush(&mut self, file: &File, length: &mut u64) -> io::Result<()> {
        file.write_all_at(&self.buffer, *length)?;
        self.blocks.push(Block {
            offset: *length,
            length: self.buffer.len(),
        });
        *length += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
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
/// # Errors
///
/// When the disk fails.
///
/// # Panics
///
/// When the numbers of partitions differ.
pub fn compare(
    source: &mut Spill,
    target: &mut Spill,
    list: &mut DifferenceList,
) -> io::Result<()> {
    assert_eq!(
        source.partitions.len(),
        target.partitions.len(),
        "spills of one comparison are cut alike"
    );
    for at in 0..source.partitions.len() {
        pair(&mut source.read(at)?, &mut target.read(at)?, list);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn side() -> impl Strategy<Value = Vec<Element>> {
        proptest::collection::vec(
            (0_u128..900, 0_u128..2).prop_map(|(key, row)| Element { key, row }),
            0..2_000,
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn comparing_on_disk_is_comparing_in_memory(mut source in side(), mut target in side(), partitions in 0_u32..4) {
            let spill = |elements: &[Element]| {
                let mut spill = Spill::new(1 << partitions).unwrap();
                for element in elements {
                    spill.add(*element).unwrap();
                }
                spill
            };
            let (mut left, mut right) = (spill(&source), spill(&target));
            let mut on_disk = DifferenceList::new(100);
            compare(&mut left, &mut right, &mut on_disk).unwrap();

            let mut in_memory = DifferenceList::new(100);
            pair(&mut source, &mut target, &mut in_memory);
            prop_assert_eq!(on_disk.finish(), in_memory.finish());
        }
    }

    #[test]
    fn a_partition_has_a_bounded_share() {
        assert_eq!(partitions_for(0), 1);
        assert_eq!(partitions_for(12_000_000), 64);
        assert_eq!(partitions_for(u64::MAX), 1024);
    }
}
