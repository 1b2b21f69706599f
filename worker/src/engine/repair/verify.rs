//! Looks again at rows that a repair has touched.

use std::io;

use shared::message::TableSpec;
use shared::outcome::RowCounts;

use crate::engine::database::scan::Query;
use crate::engine::database::side::{OpenSide, both};
use crate::engine::error::disk;
use crate::engine::fetch::look_ups;
use crate::engine::rows::differing::{Differing, pair};
use crate::engine::rows::element::{Element, KeyForm};
use crate::engine::rows::keys::KeySet;
use crate::engine::sides::{Planned, Sides};
use crate::engine::task::Stop;
use crate::engine::values::canonical::{RowEncoder, RowSink, Values};

/// Whether rows of this table can be looked at by their keys alone.
pub(crate) fn can_verify_keys(planned: &Planned, spec: &TableSpec) -> bool {
    let tolerant = spec
        .options
        .rules
        .values()
        .any(|rule| rule.tolerance.is_some());
    planned.plan.fetch_by_key && !tolerant
}

/// Compares the rows with these encoded keys.
pub(crate) async fn verify(
    sides: Sides,
    planned: &Planned,
    spec: &TableSpec,
    keys: &[Vec<u8>],
) -> Result<(Sides, RowCounts), Stop> {
    let form = planned.plan.key_form;
    let columns = planned.plan.key_columns;
    let keys: Vec<(u128, Vec<u8>)> = keys
        .iter()
        .filter(|key| Values::new(key).filter(Result::is_ok).count() == columns)
        .map(|key| (form.key(key), key.clone()))
        .collect();
    // As many at once as the run looked up.
    let at_once = usize::try_from(spec.chunk_size)
        .unwrap_or(usize::MAX)
        .max(1);
    let queries = |side: &OpenSide, table| -> Vec<(Query, KeySet)> {
        let statements = side.statements(table, &planned.plan);
        keys.chunks(at_once)
            .flat_map(|keys| look_ups(&statements, keys))
            .collect()
    };
    let left = queries(&sides.source, &planned.source);
    let right = queries(&sides.target, &planned.target);
    let (sides, mut left, mut right) = read_both(sides, form, left, right).await?;

    // A row that neither side has any more is how a difference may have ended;
    // a look-up has to be certain of that.
    let found: KeySet = left.iter().chain(&right).map(|found| found.key).collect();
    let source = sides.source.statements(&planned.source, &planned.plan);
    let target = sides.target.statements(&planned.target, &planned.plan);
    let is_in_doubt = keys
        .iter()
        .any(|(key, bytes)| !(found.contains(key) || (source.finds(bytes) && target.finds(bytes))));
    let mut sides = sides;
    if is_in_doubt {
        let wanted: KeySet = keys.iter().map(|(key, _)| *key).collect();
        let (all_source, all_target) = (source.scan(), target.scan());
        let (left_query, right_query) = ((all_source, wanted.clone()), (all_target, wanted));
        (sides, left, right) = read_both(sides, form, vec![left_query], vec![right_query]).await?;
    }
    let mut differing = Differing::first(0);
    pair(&mut left, &mut right, &mut differing).map_err(disk)?;
    Ok((sides, differing.counts()))
}

/// The rows that the queries of both sides find under their keys.
async fn read_both(
    sides: Sides,
    form: KeyForm,
    left: Vec<(Query, KeySet)>,
    right: Vec<(Query, KeySet)>,
) -> Result<(Sides, Vec<Element>, Vec<Element>), Stop> {
    let read = |side: OpenSide, queries: Vec<(Query, KeySet)>| async move {
        let (mut side, mut elements) = (side, Vec::new());
        for (query, wanted) in queries {
            let sink;
            (side, sink) = side
                .scan(&query, ElementSink::new(form, wanted, elements))
                .await?;
            elements = sink.into_elements();
        }
        Ok((side, elements))
    };
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let read = both(read(source, left), read(target, right), &stop);
    let ((source, left), (target, right)) = read.await?;
    let sides = Sides {
        source,
        target,
        stop,
    };
    Ok((sides, left, right))
}

/// Keeps the elements of all rows under wanted keys, copies too.
#[derive(Debug)]
pub(crate) struct ElementSink {
    encoder: RowEncoder,
    form: KeyForm,
    wanted: KeySet,
    elements: Vec<Element>,
}

impl ElementSink {
    /// Looks for the keys that are `wanted`, and adds to what was found before.
    pub(crate) fn new(form: KeyForm, wanted: KeySet, elements: Vec<Element>) -> Self {
        Self {
            encoder: RowEncoder::default(),
            form,
            wanted,
            elements,
        }
    }

    /// What was found.
    pub(crate) fn into_elements(self) -> Vec<Element> {
        self.elements
    }
}

impl RowSink for ElementSink {
    fn encoder(&mut self) -> &mut RowEncoder {
        &mut self.encoder
    }

    fn end_row(&mut self) -> io::Result<()> {
        let element = self.form.element(self.encoder.key(), self.encoder.row());
        if self.wanted.contains(&element.key) {
            self.elements.push(element);
        }
        Ok(())
    }
}
