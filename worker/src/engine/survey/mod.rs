//! Which rows of a table differ, by hashes: one pass over both sides into
//! sketches, and where these do not decode, one more pass that is exact.

pub(crate) mod sinks;
pub(crate) mod sketch;
pub(crate) mod spill;

use shared::failure::{Failure, FailureKind};
use shared::message::WorkPhase;
use tracing::field::Empty;

use crate::engine::database::statement::SideStatements;
use crate::engine::error::disk;
use crate::engine::rows::differing::{Differing, pair};
use crate::engine::rows::element::Element;
use crate::engine::sides::Sides;
use crate::engine::step::{Planned, StepContext, blocking};
use crate::engine::survey::sinks::{OneSidedSink, SketchSink, SpillSink};
use crate::engine::survey::sketch::Sketch;
use crate::engine::survey::spill::Unfinished;
use crate::engine::task::Stop;
use crate::engine::values::canonical::RowSink;
use crate::engine::values::column::{SideOf, Table};
use crate::engine::values::pair::Pair;

/// The most cells of a sketch: 50,000 differences decode, and 3 MiB a side stay in a shared cache.
const MOST_CELLS: usize = 64 * 1024;

/// The fewest cells, as a table of a few thousand rows may need.
const FEWEST_CELLS: usize = 4 * 1024;

/// Rows of a table for each cell, within the limits.
const ROWS_PER_CELL: u64 = 4;

/// Bytes of a cell.
const CELL: usize = 48;

#[derive(Debug)]
pub(crate) struct Survey {
    /// Count and checksum of each side.
    pub(crate) sums: Pair<Sketch>,
    pub(crate) differing: Differing,
}

/// How many cells a sketch of about so many rows gets.
fn cells(estimated_rows: Option<u64>, memory: usize) -> usize {
    let wanted = estimated_rows.map_or(MOST_CELLS, |rows| {
        usize::try_from(rows / ROWS_PER_CELL).unwrap_or(MOST_CELLS)
    });
    // The sketches of both sides together take at most a quarter.
    let fit = memory / 4 / 2 / CELL;
    wanted.clamp(FEWEST_CELLS, MOST_CELLS).min(fit.max(1))
}

/// How many cells the sketches of these tables get.
pub(crate) fn cells_for(tables: &Pair<Table>, memory: usize) -> usize {
    let estimate = match tables.as_ref().map(|table| table.estimated_rows) {
        Pair {
            source: Some(source),
            target: Some(target),
        } => Some(source.max(target)),
        _ => None,
    };
    cells(estimate, memory)
}

/// Count and checksum of both sides.
pub(crate) async fn sum_up(sides: &mut Sides, planned: &Planned) -> Result<Pair<Sketch>, Stop> {
    sketch_both(sides, planned, 0).await
}

/// Finds the rows that differ and adds them to `differing`, which is empty.
pub(crate) async fn survey(
    step: &mut StepContext<'_>,
    differing: Differing,
) -> Result<Survey, Stop> {
    let cells = cells_for(&step.planned.tables, step.budget.memory);
    let Pair { mut source, target } = sketch_both(step.sides, step.planned, cells).await?;
    let mut found = Survey {
        sums: Pair {
            source: source.totals(),
            target: target.totals(),
        },
        differing,
    };
    if found.sums.source != found.sums.target {
        source.subtract(&target);
        drop(target);
        match decode(source, &found.sums) {
            Some(Pair {
                mut source,
                mut target,
            }) => pair(&mut source, &mut target, &mut found.differing).map_err(disk)?,
            // An empty side leaves nothing to decode but the whole other one.
            None if found.sums.source.count() == 0 => {
                found = read_one_side(step, found, SideOf::Target).await?;
            }
            None if found.sums.target.count() == 0 => {
                found = read_one_side(step, found, SideOf::Source).await?;
            }
            None => found = compare_exactly(step, found).await?,
        }
    }
    check_arithmetic(&found)?;
    Ok(found)
}

/// The elements that only one side has, unless they are more than the sketch holds.
fn decode(difference: Sketch, sums: &Pair<Sketch>) -> Option<Pair<Vec<Element>>> {
    let span = tracing::info_span!("decode", exact = false, decoded = Empty);
    let surplus = sums.source.count().abs_diff(sums.target.count());
    let decoded = span.in_scope(|| {
        let may_fit = surplus <= difference.cells() as u64;
        may_fit.then(|| difference.decode()).flatten()
    });
    span.record("decoded", decoded.is_some());
    decoded
}

async fn sketch_both(
    sides: &mut Sides,
    planned: &Planned,
    cells: usize,
) -> Result<Pair<Sketch>, Stop> {
    let hasher = planned.hasher;
    let sinks = Pair::of(|_| SketchSink::new(hasher, cells));
    let sinks = scan(sides, planned, sinks).await?;
    planned.plan.end_first_pass();
    Ok(sinks.map(SketchSink::into_sketch))
}

async fn scan<S: RowSink + 'static>(
    sides: &mut Sides,
    planned: &Planned,
    sinks: Pair<S>,
) -> Result<Pair<S>, Stop> {
    let queries = planned.statements.as_ref().map(SideStatements::scan);
    sides.scan(queries, sinks).await
}

/// Only `full` has rows: all of them differ. The empty side is read again too,
/// since its session may not see a snapshot.
async fn read_one_side(
    step: &mut StepContext<'_>,
    found: Survey,
    full: SideOf,
) -> Result<Survey, Stop> {
    step.task.progress.begin(WorkPhase::ComparingExactly);
    let hasher = step.planned.hasher;
    let mut sinks = Pair::of(|side| OneSidedSink::new(hasher, side, Differing::first(0)));
    sinks[full] = OneSidedSink::new(hasher, full, found.differing);
    let parts = scan(step.sides, step.planned, sinks).await?;
    let parts = parts.map(|sink| (sink.differing, sink.sum));
    let (Pair { source, target }, sums) = parts.unzip();
    let (differing, other) = match full {
        SideOf::Source => (source, target),
        SideOf::Target => (target, source),
    };
    if other.is_empty() {
        return Ok(Survey { sums, differing });
    }
    let differing = differing.like();
    compare_exactly(step, Survey { sums, differing }).await
}

/// Reads both sides once more, writes their elements to disk and compares them.
/// The sums are those of what is read this time.
async fn compare_exactly(step: &mut StepContext<'_>, found: Survey) -> Result<Survey, Stop> {
    step.task.progress.begin(WorkPhase::ComparingExactly);
    let counts = found.sums.as_ref().map(|sum| sum.count().unsigned_abs());
    let rows = counts.source + counts.target;
    let partitions = spill::partitions_for(rows, step.budget);
    tracing::debug!(
        rows,
        partitions,
        "more rows differ than the sketch can hold: comparing exactly"
    );
    let hasher = step.planned.hasher;
    let sinks = Pair::of(|_| SpillSink::new(hasher, partitions, step.budget));
    let parts = scan(step.sides, step.planned, sinks).await?;
    let (spills, sums) = parts.map(|sink| (sink.spill, sink.sum)).unzip();
    let mut differing = found.differing;
    let (budget, stop) = (step.budget.clone(), step.sides.stop_token().clone());
    let decoding = tracing::info_span!("decode", exact = true, rows, decoded = true);
    let differing = blocking(move || {
        let is_cancelled = || stop.is_cancelled();
        decoding
            .in_scope(|| spill::compare(spills, &budget, &is_cancelled, &mut differing))
            .map(|()| differing)
            .map_err(|unfinished| match unfinished {
                Unfinished::Cancelled => Stop::Cancelled,
                Unfinished::Disk(error) => disk(error),
            })
    })
    .await?;
    Ok(Survey { sums, differing })
}

/// The last check before an answer: however the differences were found, they must
/// account for the difference of the counts, for the inequality of the checksums
/// and for the exact difference of the checksums.
fn check_arithmetic(found: &Survey) -> Result<(), Stop> {
    let Survey { sums, differing } = found;
    let Pair { source, target } = sums;
    let counts = differing.counts();
    let surplus = i128::from(counts.missing) - i128::from(counts.extra);
    let holds = surplus == i128::from(source.count()) - i128::from(target.count())
        && differing.is_empty() == (source == target)
        && differing.sum() == source.checksum().wrapping_sub(target.checksum());
    if holds {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::InternalError,
        format!(
            "the differences found ({} missing, {} extra, {} modified) do not account for {} rows on the source and {} on the target; the result is withheld, please report this",
            counts.missing,
            counts.extra,
            counts.modified,
            source.count(),
            target.count()
        ),
    )
    .into())
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
