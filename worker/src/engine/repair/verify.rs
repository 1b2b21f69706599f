//! Looks again at rows that a repair has touched.

use shared::message::TableSpec;

use crate::engine::Stop;
use crate::engine::canonical::Values;
use crate::engine::difference::{DifferenceList, pair};
use crate::engine::element::{Element, KeyForm};
use crate::engine::reconcile::{Planned, Sides};
use crate::engine::scan::Query;
use crate::engine::scan::statement::SideStatements;
use crate::engine::side::{OpenSide, both};
use crate::engine::sinks::{CollectSink, KeySet};
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
    let at_once = usize::try_from(spec.chunk_size).unwrap_or(usize::MAX);
    let left = queries(
        &source.statements(&planned.source, &planned.plan),
        form,
        &keys,
        at_once,
    );
    let right = queries(
        &target.statements(&planned.target, &planned.plan),
        form,
        &keys,
        at_once,
    );
    let read = both(
        collect(source, left, form),
        collect(target, right, form),
        &stop,
    );
    let ((source, mut left), (target, mut right)) = read.await?;
    let mut list = DifferenceList::new(0);
    pair(&mut left, &mut right, &mut list);
    let (counts, _) = list.finish();
    Ok((
        Sides {
            source,
            target,
            stop,
        },
        counts,
    ))
}

fn queries(
    statements: &SideStatements,
    form: KeyForm,
    keys: &[Vec<u8>],
    at_once: usize,
) -> Vec<(Query, KeySet)> {
    keys.chunks(at_once.min(statements.keys_at_once()).max(1))
        .map(|keys| {
            (
                statements.look_up(keys),
                keys.iter().map(|key| form.key(key)).collect(),
            )
        })
        .collect()
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
        (side, sink) = side.scan(&query, CollectSink::new(form, keys)).await?;
        for (key, rows) in sink.into_rows() {
            elements.extend(rows.into_iter().map(|row| Element { key, row: row.hash }));
        }
    }
    Ok((side, elements))
}
