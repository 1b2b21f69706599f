//! Which rows of a table differ, by hashes: one pass over both sides into
//! sketches, and where these do not decode, one more pass that is exact.

pub(crate) mod sinks;
pub(crate) mod sketch;
pub(crate) mod spill;

use tracing::field::Empty;

use crate::engine::database::side::blocking;
use crate::engine::disk::Room;
use crate::engine::error::{disk, internal};
use crate::engine::rows::differing::{Differing, pair};
use crate::engine::sides::{Planned, Sides, scan_both};
use crate::engine::survey::sinks::{OneSidedSink, SketchSink, SpillSink};
use crate::engine::survey::sketch::Sketch;
use crate::engine::survey::spill::Unfinished;
use crate::engine::task::Stop;
use crate::engine::values::column::SideOf;

/// The most cells of a sketch: 50,000 differences decode, and 3 MiB a side stay in a shared cache.
const MOST_CELLS: usize = 64 * 1024;

/// The fewest cells: what a table of a few thousand rows may need.
const FEWEST_CELLS: usize = 4 * 1024;

/// Rows of a table for each cell, as far as the limits let it.
const ROWS_PER_CELL: u64 = 4;

/// Bytes of a cell.
const CELL: usize = 48;

/// What was found.
pub(crate) struct Survey {
    /// Count and checksum of the source.
    pub(crate) source: Sketch,
    /// Count and checksum of the target.
    pub(crate) target: Sketch,
    /// The rows that differ.
    pub(crate) differing: Differing,
}

/// How large a sketch is worth while, of a table of about so many rows.
fn cells(estimated_rows: Option<u64>, memory: usize) -> usize {
    let wanted = estimated_rows.map_or(MOST_CELLS, |rows| {
        usize::try_from(rows / ROWS_PER_CELL).unwrap_or(MOST_CELLS)
    });
    // Both sides' sketches together take a quarter at most.
    let fit = memory / 4 / 2 / CELL;
    wanted.clamp(FEWEST_CELLS, MOST_CELLS).min(fit.max(1))
}

/// Count and checksum of both sides.
pub(crate) async fn sum_up(
    sides: Sides,
    planned: &Planned,
) -> Result<(Sides, Sketch, Sketch), Stop> {
    sketch(sides, planned, 0).await
}

/// Finds the rows that differ and takes them into `differing`, which is empty.
pub(crate) async fn survey(
    sides: Sides,
    planned: &Planned,
    differing: Differing,
    room: &Room,
) -> Result<(Sides, Survey), Stop> {
    let estimate = match (planned.source.estimated_rows, planned.target.estimated_rows) {
        (Some(source), Some(target)) => Some(source.max(target)),
        _ => None,
    };
    let (sides, mut source, target) = sketch(sides, planned, cells(estimate, room.memory)).await?;
    let (source_sum, target_sum) = (source.totals(), target.totals());
    let mut found = Survey {
        source: source_sum,
        target: target_sum,
        differing,
    };
    let mut sides = sides;
    if found.source != found.target {
        source.subtract(&target);
        drop(target);
        // An empty side leaves nothing to decode but the whole other one.
        let one_sided = found.source.count() == 0 || found.target.count() == 0;
        let many = found.source.count().abs_diff(found.target.count()) > source.cells() as u64;
        let decoding = tracing::info_span!("decode", exact = false, decoded = Empty);
        let decoded = decoding.in_scope(|| if many { None } else { source.decode() });
        decoding.record("decoded", decoded.is_some());
        drop(decoding);
        match decoded {
            Some(mut decoded) => {
                pair(
                    &mut decoded.source,
                    &mut decoded.target,
                    &mut found.differing,
                )
                .map_err(disk)?;
            }
            None if one_sided => {
                (sides, found) = read_one_side(sides, planned, found, room).await?
            }
            None => (sides, found) = compare_exactly(sides, planned, found, room).await?,
        }
    }
    check_arithmetic(&found)?;
    Ok((sides, found))
}

async fn sketch(
    sides: Sides,
    planned: &Planned,
    cells: usize,
) -> Result<(Sides, Sketch, Sketch), Stop> {
    let form = planned.plan.key_form;
    let sinks = (SketchSink::new(form, cells), SketchSink::new(form, cells));
    let (sides, left, right) = scan_both(sides, planned, sinks).await?;
    Ok((sides, left.into_sketch(), right.into_sketch()))
}

/// One side is empty: all rows of the other one differ. The empty one is read
/// again too, since it may not be a snapshot.
async fn read_one_side(
    sides: Sides,
    planned: &Planned,
    found: Survey,
    room: &Room,
) -> Result<(Sides, Survey), Stop> {
    let form = planned.plan.key_form;
    let target_is_empty = found.target.count() == 0;
    let nothing = Differing::first(0);
    let (left, right) = if target_is_empty {
        (found.differing, nothing)
    } else {
        (nothing, found.differing)
    };
    let sinks = (
        OneSidedSink::new(form, SideOf::Source, left),
        OneSidedSink::new(form, SideOf::Target, right),
    );
    let (sides, left, right) = scan_both(sides, planned, sinks).await?;
    let ((left, left_sum), (right, right_sum)) = (left.into_parts(), right.into_parts());
    let (differing, other) = if target_is_empty {
        (left, right)
    } else {
        (right, left)
    };
    let is_still_empty = other.is_empty();
    let found = Survey {
        source: left_sum,
        target: right_sum,
        differing: if is_still_empty {
            differing
        } else {
            differing.like()
        },
    };
    if is_still_empty {
        return Ok((sides, found));
    }
    compare_exactly(sides, planned, found, room).await
}

/// Reads both sides once more, writes their elements to disk and compares
/// these. The sums are then of what was read this time.
async fn compare_exactly(
    sides: Sides,
    planned: &Planned,
    found: Survey,
    room: &Room,
) -> Result<(Sides, Survey), Stop> {
    let rows = found.source.count().unsigned_abs() + found.target.count().unsigned_abs();
    let partitions = spill::partitions_for(rows, room);
    tracing::debug!(
        rows,
        partitions,
        "more rows differ than the sketch can hold: comparing exactly"
    );
    let form = planned.plan.key_form;
    let sinks = (
        SpillSink::new(form, partitions, room),
        SpillSink::new(form, partitions, room),
    );
    let (sides, left, right) = scan_both(sides, planned, sinks).await?;
    let ((left, left_sum), (right, right_sum)) = (left.into_parts(), right.into_parts());
    let mut differing = found.differing;
    let (room, stop) = (room.clone(), sides.stop.clone());
    let decoding = tracing::info_span!("decode", exact = true, rows, decoded = true);
    let differing = blocking(move || {
        let is_cancelled = || stop.is_cancelled();
        decoding
            .in_scope(|| spill::compare(left, right, &room, &is_cancelled, &mut differing))
            .map(|()| differing)
            .map_err(|unfinished| match unfinished {
                Unfinished::Cancelled => Stop::Cancelled,
                Unfinished::Disk(error) => disk(error),
            })
    })
    .await?;
    let found = Survey {
        source: left_sum,
        target: right_sum,
        differing,
    };
    Ok((sides, found))
}

/// The last fence before an answer: whatever way the differences were found,
/// they must account for the difference of the counts, for the inequality of
/// the checksums and for the checksums' exact difference.
fn check_arithmetic(found: &Survey) -> Result<(), Stop> {
    let Survey {
        source,
        target,
        differing,
    } = found;
    let counts = differing.counts();
    let surplus = i128::from(counts.missing) - i128::from(counts.extra);
    let holds = surplus == i128::from(source.count()) - i128::from(target.count())
        && differing.is_empty() == (source == target)
        && differing.sum() == source.checksum().wrapping_sub(target.checksum());
    if holds {
        return Ok(());
    }
    Err(Stop::Failed(internal(
        "InternalError",
        format!(
            "the differences found ({} missing, {} extra, {} modified) do not account for {} rows on the source and {} on the target; the result is withheld, please report this",
            counts.missing,
            counts.extra,
            counts.modified,
            source.count(),
            target.count()
        ),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sketch_grows_with_the_table_up_to_the_limits() {
        let memory = 64 << 20;
        assert_eq!(cells(Some(0), memory), FEWEST_CELLS);
        assert_eq!(cells(Some(100_000), memory), 25_000);
        assert_eq!(cells(Some(2_000_000), memory), MOST_CELLS);
        assert_eq!(cells(None, memory), MOST_CELLS);
        assert_eq!(cells(None, 1 << 20), 2730);
        assert_eq!(cells(None, 0), 1);
    }
}
