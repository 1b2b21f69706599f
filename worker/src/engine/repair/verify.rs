//! Looks again at rows that a repair has touched.

use shared::message::TableSpec;

use crate::engine::Stop;
use crate::engine::canonical::Values;
use crate::engine::difference::pair;
use crate::engine::differing::Differing;
use crate::engine::element::Element;
use crate::engine::fetch::disk;
use crate::engine::reconcile::{Planned, Sides};
use crate::engine::versions::look_up_versions;
use crate::engine::watched::Versions;
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
    let (sides, left, right) = look_up_versions(sides, planned, &keys, at_once).await?;
    let mut differing = Differing::first(0);
    pair(&mut elements(left), &mut elements(right), &mut differing).map_err(disk)?;
    Ok((sides, differing.counts()))
}

/// Copies of a row count, each of them.
fn elements(versions: Versions) -> Vec<Element> {
    let mut elements = Vec::new();
    for (key, version) in versions {
        elements.extend(version.rows().iter().map(|row| Element { key, row: *row }));
    }
    elements
}
