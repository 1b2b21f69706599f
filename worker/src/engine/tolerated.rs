//! Rows that differ by hash and are near enough by value: columns with a
//! tolerance take part in the hash, so what the survey finds is looked at again.

use shared::outcome::DifferenceKind;

use super::difference::RowDifference;
use super::differing::Differing;
use super::disk::Room;
use super::fetch::{LocatedRow, Projection, Rows, disk, values};
use super::plan::Plan;
use super::reconcile::{Planned, Sides};
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
    // Only rows that both sides have can be near each other.
    let mut paired = Differing::all(0, room);
    let mut reader = differing.reader();
    loop {
        let some = reader.take(4096).map_err(disk)?;
        if some.is_empty() {
            break;
        }
        for group in some.chunk_by(|a, b| a.key == b.key) {
            let is_paired = group
                .iter()
                .any(|difference| difference.kind() == DifferenceKind::Modified);
            let into = if is_paired { &mut paired } else { &mut left };
            for difference in group {
                into.push(*difference).map_err(disk)?;
            }
        }
    }
    let projection = Projection::Compared;
    let (mut sides, mut rows) =
        Rows::open(sides, planned, &projection, &paired, chunk, room).await?;
    loop {
        let chunk;
        (sides, chunk) = rows.next(sides).await?;
        if chunk.is_empty() {
            return Ok((sides, left));
        }
        for group in chunk.chunk_by(|a, b| a.difference.key == b.difference.key) {
            match group {
                [row] if !is_tolerated(&planned.plan, row, row)? => {
                    left.push(row.difference).map_err(disk)?;
                }
                [_] => {}
                group => match_up(&planned.plan, group, &mut left)?,
            }
        }
    }
}

/// Rows that share a key: each of the source goes with the first of the target
/// that is near enough, and what is left differs.
fn match_up(plan: &Plan, group: &[LocatedRow], left: &mut Differing) -> Result<(), Stop> {
    let mut targets: Vec<&LocatedRow> = group
        .iter()
        .filter(|row| row.difference.target.is_some())
        .collect();
    let mut only_source = Vec::new();
    for row in group.iter().filter(|row| row.difference.source.is_some()) {
        let mut near = None;
        for (at, target) in targets.iter().enumerate() {
            if is_tolerated(plan, row, target)? {
                near = Some(at);
                break;
            }
        }
        match near {
            Some(at) => drop(targets.remove(at)),
            None => only_source.push(row.difference),
        }
    }
    for at in 0..only_source.len().max(targets.len()) {
        let source = only_source.get(at);
        let target = targets.get(at).map(|row| row.difference);
        if let Some(any) = source.copied().or(target) {
            left.push(RowDifference {
                key: any.key,
                source: source.and_then(|difference| difference.source),
                target: target.and_then(|difference| difference.target),
            })
            .map_err(disk)?;
        }
    }
    Ok(())
}

/// Whether the row on the source and the other one on the target are as near
/// as the rules of their columns ask.
fn is_tolerated(plan: &Plan, source: &LocatedRow, target: &LocatedRow) -> Result<bool, Stop> {
    let (Some(source), Some(target)) = (&source.source, &target.target) else {
        return Ok(false);
    };
    let (source, target) = (values(source)?, values(target)?);
    Ok(plan.columns.iter().enumerate().all(|(at, column)| {
        let (source, target) = (source.get(at), target.get(at));
        source == target
            || match (&column.rule.tolerance, source, target) {
                (Some(tolerance), Some(source), Some(target)) => {
                    tolerance::within(source, target, tolerance)
                }
                _ => false,
            }
    }))
}
