//! A sink that records the rows under the pending keys of a recheck.

use std::io;
use std::sync::Arc;

use crate::engine::recheck::pending::SeenRows;
use crate::engine::rows::element::Element;
use crate::engine::rows::hash::RowHasher;
use crate::engine::rows::keys::{KeyFilter, KeySet};
use crate::engine::tolerate::nearness::Nearness;
use crate::engine::values::canonical::{RowEncoder, RowSink};

#[derive(Debug)]
pub(crate) enum WantedKeys {
    Exact(KeySet),
    /// These, and by chance some others, whose rows are ignored later.
    Approximate(Arc<KeyFilter>),
}

/// Records which rows there are under wanted keys.
#[derive(Debug)]
pub(crate) struct SeenSink {
    pub(crate) hasher: RowHasher,
    pub(crate) nearness: Arc<Nearness>,
    pub(crate) wanted: WantedKeys,
    pub(crate) seen: SeenRows,
}

impl RowSink for SeenSink {
    fn end_row(&mut self, encoded: &RowEncoder) -> io::Result<()> {
        let Element { key, row } = self.hasher.element(encoded.key(), encoded.row());
        let is_wanted = match &self.wanted {
            WantedKeys::Exact(keys) => keys.contains(&key),
            WantedKeys::Approximate(keys) => keys.may_hold(key),
        };
        if !is_wanted {
            return Ok(());
        }
        let seen = self.nearness.seen(row, encoded.row());
        self.seen.add(key, &seen.map_err(io::Error::other)?)
    }
}
