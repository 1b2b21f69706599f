//! How fast a table is read: a sample of its rows goes through the same steps as in a run, on both
//! sides at the same time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use shared::failure::{Failure, FailureKind};
use shared::message::TableSpec;
use shared::outcome::Depth;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::engine::database::session::pool::Pools;
use crate::engine::database::statement::SideStatements;
use crate::engine::preflight::table::label;
use crate::engine::running::RunningStatements;
use crate::engine::sides::Sides;
use crate::engine::step::Planned;
use crate::engine::survey::cells_for;
use crate::engine::survey::sinks::SketchSink;
use crate::engine::task::{Progress, Stop, TaskContext};
use crate::engine::values::pair::Pair;

/// Rows of the first sample, after which the second one is chosen.
const FIRST: u64 = 2_000;

/// How long the second sample should take.
const AIM: Duration = Duration::from_millis(150);

/// The most rows of the second sample.
const MOST: u64 = 200_000;

/// The longest that a sample may take.
const LIMIT: Duration = Duration::from_secs(5);

/// How fast a table was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The time that the table takes beside the reading of rows: catalog, transactions.
    pub overhead: Duration,
    /// The source's speed; absent if the source has no rows.
    pub source: Option<Rate>,
    /// The target's speed; absent if the target has no rows.
    pub target: Option<Rate>,
}

/// The speed of one side.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Rows of the sample.
    pub rows: u64,
    /// Seconds for each row, above 0.
    pub seconds_per_row: f64,
    /// Whether the sample was the whole side.
    pub is_whole: bool,
}

/// Rows and time of one sample of a side.
#[derive(Debug, Clone, Copy)]
struct Sample {
    asked: u64,
    rows: u64,
    time: Duration,
}

/// # Errors
///
/// When the table cannot be read, or a sample takes too long.
pub(crate) async fn measure(pools: &Pools, spec: &TableSpec) -> Result<Measured, Failure> {
    let (findings, _receiver) = mpsc::channel(1);
    let context = TaskContext {
        cancel: CancellationToken::new(),
        progress: Arc::new(Progress::default()),
        running: Arc::new(RunningStatements::default()),
        findings,
    };
    let limit = context.cancel.clone();
    let work = sampled(pools, spec, &context);
    tokio::pin!(work);
    let ended = tokio::select! {
        ended = &mut work => ended,
        () = tokio::time::sleep(LIMIT) => {
            // The statements are stopped before the sessions are given up.
            limit.cancel();
            work.await
        }
    };
    ended.map_err(|stop| match stop {
        Stop::Failed(failure) => failure,
        Stop::Cancelled => Failure::new(
            FailureKind::StatementTimeout,
            format!(
                "a sample of {} was not read within {} s",
                spec.source.table,
                LIMIT.as_secs()
            ),
        ),
    })
}

async fn sampled(pools: &Pools, spec: &TableSpec, context: &TaskContext) -> Result<Measured, Stop> {
    let began = Instant::now();
    let (source, target) = pools
        .lease(&spec.source.endpoint, &spec.target.endpoint, &label(spec))
        .await?;
    let is_redacted = spec.options.redaction.is_some();
    let mut sides = Sides::new(Pair { source, target }, context, is_redacted);
    let tables = sides.describe(spec).await?;
    let planned = Planned::new(spec, tables, &sides)?;
    let first = read(&mut sides, &planned, spec, Pair::of(|_| FIRST)).await?;
    let before = began.elapsed();
    let wanted = first.as_ref().map(|sample| sample.next());
    let second = read(&mut sides, &planned, spec, wanted).await?;
    let ending = Instant::now();
    sides.close().await?;
    let longest = first.source.time.max(first.target.time);
    Ok(Measured {
        overhead: before.saturating_sub(longest) + ending.elapsed() + latency(&first, &second),
        source: rate(first.source, second.source),
        target: rate(first.target, second.target),
    })
}

/// The time that a statement takes before its first row, on the slower side.
fn latency(first: &Pair<Sample>, second: &Pair<Sample>) -> Duration {
    let of_side = |first: Sample, second: Sample| {
        let reading = rate(first, second).map_or(0.0, |rate| {
            #[expect(clippy::cast_precision_loss, reason = "a sample has few rows")]
            let rows = first.rows as f64;
            rate.seconds_per_row * rows
        });
        first.time.saturating_sub(Duration::from_secs_f64(reading))
    };
    of_side(first.source, second.source).max(of_side(first.target, second.target))
}

/// Reads as many rows of each side as are asked for, as a survey does.
async fn read(
    sides: &mut Sides,
    planned: &Planned,
    spec: &TableSpec,
    rows: Pair<u64>,
) -> Result<Pair<Sample>, Stop> {
    let memory = usize::try_from(spec.options.limits.memory_bytes).unwrap_or(usize::MAX);
    let cells = match spec.depth {
        Depth::Rows => cells_for(&planned.tables, memory),
        Depth::Counts | Depth::Checksum => 0,
    };
    let hasher = planned.hasher;
    let inputs = Pair::of(|side| {
        let query = SideStatements::sample(&planned.statements[side], rows[side]);
        (query, rows[side], SketchSink::new(hasher, cells))
    });
    sides
        .on_both(inputs, |side, (query, asked, mut sink)| {
            async move {
                let began = Instant::now();
                side.scan(&query, &mut sink).await?;
                let time = began.elapsed();
                let rows = sink.into_sketch().count().unsigned_abs();
                Ok(Sample { asked, rows, time })
            }
            .boxed()
        })
        .await
}

impl Sample {
    /// How many rows the next sample reads, so that it takes about [`AIM`].
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of rows within limits"
    )]
    fn next(&self) -> u64 {
        let seconds = self.time.as_secs_f64().max(1e-6);
        let wanted = self.rows as f64 / seconds * AIM.as_secs_f64();
        (wanted as u64).clamp(FIRST, MOST)
    }
}

/// The speed between two samples of a side, so that the time before the first row does not count.
/// `None` for a side without rows.
#[expect(clippy::cast_precision_loss, reason = "a sample has few rows")]
fn rate(first: Sample, second: Sample) -> Option<Rate> {
    let larger = if second.rows >= first.rows {
        second
    } else {
        first
    };
    if larger.rows == 0 {
        return None;
    }
    let more = second.rows.saturating_sub(first.rows);
    let longer = second.time.saturating_sub(first.time);
    // Two samples of nearly the same size differ by chance only.
    let seconds_per_row = if more > first.rows && !longer.is_zero() {
        longer.as_secs_f64() / more as f64
    } else {
        larger.time.as_secs_f64() / larger.rows as f64
    };
    Some(Rate {
        rows: larger.rows,
        seconds_per_row: seconds_per_row.max(1e-9),
        is_whole: larger.rows < larger.asked,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(asked: u64, rows: u64, micros: u64) -> Sample {
        Sample {
            asked,
            rows,
            time: Duration::from_micros(micros),
        }
    }

    #[test]
    fn the_time_before_the_first_row_does_not_count_as_reading() {
        // 3 ms before the first row, then 1 µs a row.
        let first = sample(2_000, 2_000, 5_000);
        let second = sample(60_000, 60_000, 63_000);
        let found = rate(first, second).unwrap();
        assert!((found.seconds_per_row - 1e-6).abs() < 1e-9, "{found:?}");
        assert!(!found.is_whole);
        let both = |sample| Pair {
            source: sample,
            target: sample,
        };
        let before = latency(&both(first), &both(second));
        assert!(before.abs_diff(Duration::from_millis(3)) < Duration::from_micros(10));
    }

    #[test]
    fn a_small_or_empty_side_is_measured_as_a_whole() {
        let small = sample(2_000, 10, 1_000);
        let found = rate(small, small).unwrap();
        assert!((found.seconds_per_row - 1e-4).abs() < 1e-9 && found.is_whole);
        assert_eq!(rate(sample(2_000, 0, 900), sample(2_000, 0, 700)), None);
    }

    #[test]
    fn the_second_sample_is_bounded() {
        assert_eq!(sample(2_000, 2_000, 1_000).next(), MOST);
        assert_eq!(sample(2_000, 2_000, 2_000_000).next(), FIRST);
        assert_eq!(sample(2_000, 2_000, 10_000).next(), 30_000);
        assert_eq!(sample(2_000, 0, 0).next(), FIRST);
    }
}
