//! A sink that keeps what a recheck needs to know of each watched key.

use std::io;

use crate::engine::recheck::watchlist::Sight;
use crate::engine::rows::element::{Element, KeyForm};
use crate::engine::rows::keys::{KeyFilter, KeySet};
use crate::engine::tolerate::nearness::Nearness;
use crate::engine::values::canonical::{RowEncoder, RowSink};

/// Which keys a sink wants.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// These.
    Exactly(KeySet),
    /// These, and by chance some others, which whoever reads the rows leaves out.
    Roughly(std::sync::Arc<KeyFilter>),
}

/// Takes down which rows there are under wanted keys.
#[derive(Debug)]
pub(crate) struct SightSink {
    encoder: RowEncoder,
    form: KeyForm,
    nearness: std::sync::Arc<Nearness>,
    wanted: Wanted,
    sight: Sight,
}

impl SightSink {
    /// Looks for the keys that are `wanted`, and adds to what was seen before.
    pub(crate) fn new(
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
    pub(crate) fn into_sight(self) -> Sight {
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
