//! Compares the rows again that a repair has written.

use std::io;

use shared::message::TableSpec;
use shared::outcome::RowCounts;

use crate::engine::database::scan::Query;
use crate::engine::database::statement::SideStatements;
use crate::engine::error::disk;
use crate::engine::fetch::look_ups;
use crate::engine::rows::differing::{Differing, pair};
use crate::engine::rows::element::Element;
use crate::engine::rows::hash::RowHasher;
use crate::engine::rows::keys::KeySet;
use crate::engine::sides::Sides;
use crate::engine::step::{Planned, chunk_size};
use crate::engine::task::Stop;
use crate::engine::values::canonical::{RowEncoder, RowSink, Values};
use crate::engine::values::pair::Pair;

/// Whether the rows with these keys can be compared by their keys alone. A key that was
/// read when its columns had other types would find no row.
pub(crate) fn can_verify_keys(planned: &Planned, spec: &TableSpec, keys: &[Vec<u8>]) -> bool {
    let has_tolerance = spec
        .options
        .rules
        .values()
        .any(|rule| rule.tolerance.is_some());
    let columns = &planned.plan.columns[..planned.plan.key_columns];
    let is_key = |key: &Vec<u8>| {
        Values::new(key).count() == columns.len()
            && Values::new(key)
                .zip(columns)
                .all(|(value, pair)| value.is_ok_and(|value| pair.kind.includes(value)))
    };
    planned.plan.fetch_by_key && !has_tolerance && keys.iter().all(is_key)
}

/// How many rows with these keys differ, if [`can_verify_keys`].
pub(crate) async fn verify(
    sides: &mut Sides,
    planned: &Planned,
    spec: &TableSpec,
    keys: &[Vec<u8>],
) -> Result<RowCounts, Stop> {
    let hasher = planned.hasher;
    let keys: Vec<(u128, Vec<u8>)> = keys
        .iter()
        .map(|key| (hasher.key(key), key.clone()))
        .collect();
    let statements = planned.statements.as_ref();
    // As many at once as the run looked up.
    let queries = statements.map(|of| -> Vec<(Query, KeySet)> {
        keys.chunks(chunk_size(spec))
            .flat_map(|keys| look_ups(of, keys))
            .collect()
    });
    let mut elements = read(sides, hasher, queries).await?;

    // Rows that both sides have deleted are one way in which a difference ends;
    // when a look-up may have missed such rows, all rows are scanned.
    let found: KeySet = elements
        .source
        .iter()
        .chain(&elements.target)
        .map(|element| element.key)
        .collect();
    let Pair { source, target } = statements;
    let may_miss_rows = keys
        .iter()
        .any(|(key, bytes)| !(found.contains(key) || (source.finds(bytes) && target.finds(bytes))));
    if may_miss_rows {
        let wanted: KeySet = keys.iter().map(|(key, _)| *key).collect();
        let queries = statements.map(|of: &SideStatements| vec![(of.scan(), wanted.clone())]);
        elements = read(sides, hasher, queries).await?;
    }
    let Pair {
        mut source,
        mut target,
    } = elements;
    let mut differing = Differing::first(0);
    pair(&mut source, &mut target, &mut differing).map_err(disk)?;
    Ok(differing.counts())
}

/// The rows that the queries of both sides find, each of them under its own keys.
async fn read(
    sides: &mut Sides,
    hasher: RowHasher,
    queries: Pair<Vec<(Query, KeySet)>>,
) -> Result<Pair<Vec<Element>>, Stop> {
    sides
        .on_both(queries, move |side, queries| {
            Box::pin(async move {
                let mut sink = ElementSink {
                    hasher,
                    wanted: KeySet::default(),
                    elements: Vec::new(),
                };
                for (query, wanted) in queries {
                    sink.wanted = wanted;
                    side.scan(&query, &mut sink).await?;
                }
                Ok(sink.elements)
            })
        })
        .await
}

/// Keeps the elements of all rows under wanted keys, including copies.
#[derive(Debug)]
struct ElementSink {
    hasher: RowHasher,
    wanted: KeySet,
    elements: Vec<Element>,
}

impl RowSink for ElementSink {
    fn end_row(&mut self, row: &RowEncoder) -> io::Result<()> {
        let element = self.hasher.element(row.key(), row.row());
        if self.wanted.contains(&element.key) {
            self.elements.push(element);
        }
        Ok(())
    }
}
