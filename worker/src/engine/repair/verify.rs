//! Looks again at rows that a repair has touched.

use shared::message::TableSpec;

use crate::engine::Stop;
use crate::engine::canonical::Values;
use crate::engine::column::Table;
use crate::engine::difference::pair;
use crate::engine::differing::Differing;
use crate::engine::element::{Element, KeyForm};
use crate::engine::fetch::{disk, look_ups};
use crate::engine::reconcile::{Planned, Sides};
use crate::engine::scan::Query;
use crate::engine::side::{OpenSide, both};
use crate::engine::sinks::{KeySet, VersionSink};
use shared::outcome::RowCounts;

/// Whether rows of this table can be looked at by their keys alone.
pub(in crate::engine) fn can_verify_keys(planned: &Planned, spec: &TableSpec) -> bool {
    let tolerant = spec
        .options
        .rules
        .values()
        .any(|rule| rule.tolerance.is_some());
    planned.plan.fetch_by_key && !tolerant
}

/// Compares the rows with these encoded keys.
pub(in crate::engine) async fn verify(
    sides: Sides,
    planned: &Planned,
    spec: &TableSpec,
    keys: &[Vec<u8>],
) -> Result<(Sides, RowCounts), Stop> {
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let form = planned.plan.key_form;
    let columns = planned.plan.key_columns;
    let keys: Vec<Vec<u8>> = keys
        .iter()
        .filter(|key| Values::new(key).filter(Result::is_ok).count() == columns)
        .cloned()
        .collect();
    let keys: Vec<(u128, Vec<u8>)> = keys.into_iter().map(|key| (form.key(&key), key)).collect();
    // As many at once as the run looked up.
    let at_once = usize::try_from(spec.chunk_size)
        .unwrap_or(usize::MAX)
        .max(1);
    let queries = |side: &OpenSide, table: &Table| -> Vec<(Query, KeySet)> {
        let statements = side.statements(table, &planned.plan);
        keys.chunks(at_once)
            .flat_map(|keys| look_ups(&statements, keys))
            .collect()
    };
    let (left, right) = (
        queries(&source, &planned.source),
        queries(&target, &planned.target),
    );
    let read = both(
        collect(source, left, form),
        collect(target, right, form),
        &stop,
    );
    let ((source, mut left), (target, mut right)) = read.await?;
    let mut differing = Differing::first(0);
    pair(&mut left, &mut right, &mut differing).map_err(disk)?;
    Ok((
        Sides {
            source,
            target,
            stop,
        },
        differing.counts(),
    ))
}

async fn collect(
    side: OpenSide,
    queries: Vec<(Query, KeySet)>,
    form: KeyForm,
) -> Result<(OpenSide, Vec<Element>), Stop> {
    let mut side = side;
    let mut elements = Vec::new();
    for (query, keys) in queries {
        let sink;
        (side, sink) = side.scan(&query, VersionSink::new(form, keys)).await?;
        // Copies of a row count, each of them.
        for (key, rows) in sink.into_versions() {
            elements.extend(rows.rows().iter().map(|row| Element { key, row: *row }));
        }
    }
    Ok((side, elements))
}
