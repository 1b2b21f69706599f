//! Leaves out rows that differ only within the tolerances of their columns.
//! Columns with a tolerance take part in the hash, so the rows that the survey
//! finds are read and their values compared.

pub(crate) mod nearness;

use std::io;
use std::sync::Arc;

use shared::outcome::DifferenceKind;
use tokio_util::sync::CancellationToken;

use crate::engine::error::{disk, malformed};
use crate::engine::fetch::located::LocatedRow;
use crate::engine::fetch::{Projection, Rows};
use crate::engine::plan::Plan;
use crate::engine::rows::difference::RowDifference;
use crate::engine::rows::differing::Differing;
use crate::engine::rows::version::SeenRow;
use crate::engine::step::{StepContext, blocking};
use crate::engine::task::Stop;
use crate::engine::tolerate::nearness::Nearness;

pub(crate) fn has_tolerance(plan: &Plan) -> bool {
    plan.columns
        .iter()
        .any(|column| column.rule.tolerance.is_some())
}

/// The differences without those whose values are all equal or within their
/// column's tolerance.
pub(crate) async fn leave_out_tolerated(
    step: &mut StepContext<'_>,
    differing: Differing,
) -> Result<Differing, Stop> {
    if differing.counts().modified == 0 {
        return Ok(differing);
    }
    let mut remaining = differing.like();
    let mut candidates = Differing::all(0, step.budget);
    pick_candidates(&differing, &mut remaining, &mut candidates).map_err(disk)?;
    let nearness = Arc::new(Nearness::of(step.planned));
    let mut rows = Rows::open(step, &Projection::Compared, &candidates).await?;
    loop {
        let chunk = rows.next(step).await?;
        if chunk.is_empty() {
            return Ok(remaining);
        }
        let (nearness, stop) = (Arc::clone(&nearness), step.sides.stop_token().clone());
        remaining = blocking(move || {
            for group in chunk.chunk_by(|a, b| a.difference.key == b.difference.key) {
                match_up(&nearness, group, &mut remaining, &stop)?;
            }
            Ok(remaining)
        })
        .await?;
    }
}

/// Only rows of keys that both sides have can be near each other: differences of
/// other keys are added to `remaining` right away. The differences of one key are
/// adjacent where both sides have it, modified rows first.
fn pick_candidates(
    differing: &Differing,
    remaining: &mut Differing,
    candidates: &mut Differing,
) -> io::Result<()> {
    let mut last = None;
    differing.for_each(|difference| {
        if difference.kind() == DifferenceKind::Modified {
            last = Some(difference.key);
        }
        if last == Some(difference.key) {
            candidates.push(difference)
        } else {
            remaining.push(difference)
        }
    })
}

/// Adds the rows of one key that remain unmatched after near rows have been paired.
fn match_up(
    nearness: &Nearness,
    group: &[LocatedRow],
    remaining: &mut Differing,
    stop: &CancellationToken,
) -> Result<(), Stop> {
    let seen = |hash: Option<u128>, row: &Option<Vec<u8>>| match (hash, row) {
        (Some(hash), Some(row)) => nearness.seen(hash, row).map(Some).map_err(malformed),
        // A row that has gone since the survey is near none.
        (hash, _) => Ok(hash.map(SeenRow::hashed)),
    };
    let (mut source, mut target) = (Vec::new(), Vec::new());
    for LocatedRow {
        difference,
        source: on_source,
        target: on_target,
        ..
    } in group
    {
        source.extend(seen(difference.source, on_source)?);
        target.extend(seen(difference.target, on_target)?);
    }
    let (source, target) = nearness.leave_out(source, target, stop)?;
    for at in 0..source.len().max(target.len()) {
        remaining
            .push(RowDifference {
                key: group[0].difference.key,
                source: source.get(at).map(|row| row.hash),
                target: target.get(at).map(|row| row.hash),
            })
            .map_err(disk)?;
    }
    Ok(())
}
