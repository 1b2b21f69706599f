//! Rows that differ by hash and are near enough by value: columns with a
//! tolerance take part in the hash, so what the survey finds is looked at again.

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
    let projection = Projection::Compared;
    let (mut sides, mut rows) =
        Rows::open(sides, planned, &projection, &differing, chunk, room).await?;
    loop {
        let chunk;
        (sides, chunk) = rows.next(sides).await?;
        if chunk.is_empty() {
            return Ok((sides, left));
        }
        for row in &chunk {
            if !is_tolerated(&planned.plan, row)? {
                left.push(row.difference).map_err(disk)?;
            }
        }
    }
}

/// Whether the two versions of a row are as near as the rules of its columns ask.
fn is_tolerated(plan: &Plan, row: &LocatedRow) -> Result<bool, Stop> {
    let (Some(source), Some(target)) = (&row.source, &row.target) else {
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
