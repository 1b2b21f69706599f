//! The sinks of a survey: they turn rows into a sketch, into elements on disk, or
//! into differences.

use std::io;

use crate::engine::disk::Budget;
use crate::engine::rows::difference::RowDifference;
use crate::engine::rows::differing::Differing;
use crate::engine::rows::element::Element;
use crate::engine::rows::hash::RowHasher;
use crate::engine::survey::sketch;
use crate::engine::survey::sketch::Sketch;
use crate::engine::survey::spill::Spill;
use crate::engine::values::canonical::{RowEncoder, RowSink};
use crate::engine::values::column::SideOf;

/// Adds every row to a sketch.
#[derive(Debug)]
pub(crate) struct SketchSink {
    hasher: RowHasher,
    sketch: Sketch,
    /// Rows that are not in the sketch yet.
    batch: Vec<Element>,
}

impl SketchSink {
    pub(crate) fn new(hasher: RowHasher, cells: usize) -> Self {
        Self {
            hasher,
            sketch: Sketch::new(cells, hasher.cells()),
            batch: Vec::new(),
        }
    }

    /// The sum of the rows.
    pub(crate) fn into_sketch(mut self) -> Sketch {
        self.sketch.add_all(&self.batch);
        self.sketch
    }
}

impl RowSink for SketchSink {
    #[inline]
    fn end_row(&mut self, row: &RowEncoder) -> io::Result<()> {
        self.batch.push(self.hasher.element(row.key(), row.row()));
        if self.batch.len() == sketch::BATCH {
            self.sketch.add_all(&self.batch);
            self.batch.clear();
        }
        Ok(())
    }
}

/// Writes every row's element to disk, and sums the elements up again, since the
/// exact comparison may read a later state of the table than the sketch.
#[derive(Debug)]
pub(crate) struct SpillSink {
    hasher: RowHasher,
    pub(crate) spill: Spill,
    /// Count and checksum of the rows.
    pub(crate) sum: Sketch,
}

impl SpillSink {
    pub(crate) fn new(hasher: RowHasher, partitions: usize, budget: &Budget) -> Self {
        Self {
            hasher,
            spill: Spill::new(partitions, budget),
            sum: Sketch::new(0, hasher.cells()),
        }
    }
}

impl RowSink for SpillSink {
    fn end_row(&mut self, row: &RowEncoder) -> io::Result<()> {
        let element = self.hasher.element(row.key(), row.row());
        self.sum.add(element);
        // The page cache takes blocks; a task waits for the disk only when it is full.
        self.spill.add(element)
    }
}

/// Records every row as a difference, since the other side is empty.
#[derive(Debug)]
pub(crate) struct OneSidedSink {
    hasher: RowHasher,
    side: SideOf,
    pub(crate) differing: Differing,
    /// Count and checksum of the rows.
    pub(crate) sum: Sketch,
}

impl OneSidedSink {
    pub(crate) fn new(hasher: RowHasher, side: SideOf, differing: Differing) -> Self {
        Self {
            hasher,
            side,
            differing,
            sum: Sketch::new(0, hasher.cells()),
        }
    }
}

impl RowSink for OneSidedSink {
    fn end_row(&mut self, row: &RowEncoder) -> io::Result<()> {
        let Element { key, row } = self.hasher.element(row.key(), row.row());
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
