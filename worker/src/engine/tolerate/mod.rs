//! Rows that differ by hash and are near enough by value: columns with a
//! tolerance take part in the hash, so what the survey finds is looked at again.

pub(crate) mod nearness;

use std::io;
use std::sync::Arc;

use shared::outcome::DifferenceKind;
use tokio_util::sync::CancellationToken;

use crate::engine::database::side::blocking;
use crate::engine::disk::Room;
use crate::engine::error::{disk, malformed};
use crate::engine::fetch::located::LocatedRow;
use crate::engine::fetch::{Projection, Rows};
use crate::engine::plan::Plan;
use crate::engine::rows::difference::RowDifference;
use crate::engine::rows::differing::Differing;
use crate::engine::rows::version::SeenRow;
use crate::engine::sides::{Planned, Sides};
use crate::engine::task::Stop;
use crate::engine::tolerate::nearness::Nearness;

/// Whether a column of the plan has a tolerance.
pub(crate) fn has_tolerance(plan: &Plan) -> bool {
    plan.columns
        .iter()
        .any(|column| column.rule.tolerance.is_some())
}

/// The differences without those whose values are all equal or within their
/// column's tolerance.
pub(crate) async fn leave_out_tolerated(
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
