//! Rows that differ by hash and are near enough by value: columns with a
//! tolerance take part in the hash, so what the survey finds is looked at again.

use std::io;
use std::sync::Arc;

use shared::outcome::DifferenceKind;
use tokio_util::sync::CancellationToken;

use super::difference::RowDifference;
use super::differing::Differing;
use super::disk::Room;
use super::fetch::{LocatedRow, Projection, Rows, disk, malformed};
use super::nearness::Nearness;
use super::plan::{Plan, PlannedColumn};
use super::reconcile::{Planned, Sides};
use super::side::blocking;
use super::version::SeenRow;
use super::{Stop, tolerance};

/// Whether a column of the plan has a tolerance.
pub(super) fn has_tolerance(plan: &Plan) -> bool {
    plan.columns
        .iter()
        .any(|column| column.rule.tolerance.is_some())
}

/// The differences without those whose values are all equal or within their
/// column's tolerance.
pub(super) async fn leave_out_tolerated(
    sides: Sides,
    planned: &Planned,
    differing: Differing,
    chunk: usize,
    room: &Room,
) -> Result<(Sides, Differing), Stop> {
    if differing.counts().modified == 0 {
        return Ok((sides, differing));
    }
    let mut left = differing.like();
    let mut paired = Differing::all(0, room);
    pick_paired(&differing, &mut left, &mut paired).map_err(disk)?;
    let nearness = Arc::new(Nearness::of(&planned.plan));
    let projection = Projection::Compared;
    let (mut sides, mut rows) =
        Rows::open(sides, planned, &projection, &paired, chunk, room).await?;
    loop {
        let chunk;
        (sides, chunk) = rows.next(sides).await?;
        if chunk.is_empty() {
            return Ok((sides, left));
        }
        let (nearness, stop) = (Arc::clone(&nearness), sides.stop.clone());
        left = blocking(move || {
            for group in chunk.chunk_by(|a, b| a.difference.key == b.difference.key) {
                match_up(&nearness, group, &mut left, &stop)?;
            }
            Ok(left)
        })
        .await?;
    }
}

/// Only rows that both sides have can be near each other: the differences of
/// keys without any go straight into `left`. Those of one key come one after
/// the other where there are such rows, and these come first.
fn pick_paired(
    differing: &Differing,
    left: &mut Differing,
    paired: &mut Differing,
) -> io::Result<()> {
    let mut reader = differing.reader();
    let mut last = None;
    loop {
        let some = reader.take(4096)?;
        if some.is_empty() {
            return Ok(());
        }
        for difference in some {
            if difference.kind() == DifferenceKind::Modified {
                last = Some(difference.key);
            }
            let into = if last == Some(difference.key) {
                &mut *paired
            } else {
                &mut *left
            };
            into.push(difference)?;
        }
    }
}

/// Of rows that share a key, what is left when those are paired that are near each other.
fn match_up(
    nearness: &Nearness,
    group: &[LocatedRow],
    left: &mut Differing,
    stop: &CancellationToken,
) -> Result<(), Stop> {
    let seen = |hash: Option<u128>, row: &Option<Vec<u8>>| match (hash, row) {
        (Some(hash), Some(row)) => nearness
            .seen(hash, row)
            .map(Some)
            .map_err(|error| malformed(&error)),
        // A row that is gone is near nothing.
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
        left.push(RowDifference {
            key: group[0].difference.key,
            source: source.get(at).map(|row| row.hash),
            target: target.get(at).map(|row| row.hash),
        })
        .map_err(disk)?;
    }
    Ok(())
}

/// Whether two encoded values of a column are equal, or as near as its rule asks.
pub(super) fn counts_as_equal(
    source: Option<&[u8]>,
    target: Option<&[u8]>,
    column: &PlannedColumn,
) -> bool {
    source == target
        || match (&column.rule.tolerance, source, target) {
            (Some(tolerance), Some(source), Some(target)) => {
                tolerance::within(source, target, tolerance)
            }
            _ => false,
        }
}
