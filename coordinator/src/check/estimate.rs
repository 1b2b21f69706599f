//! How long the tables of a run take, from the statistics of all tables and measured samples of
//! some.

use std::time::Duration;

use serde::Serialize;
use shared::finding::Severity;
use worker::engine::{Measured, PreflightFinding, Rate, SideFacts};

use super::schedule::{Slowdown, makespan};

/// Numbers of workers for which the time of a run is estimated.
const WORKERS: [u32; 4] = [1, 2, 4, 8];

/// Bytes of a row where only the bytes of its table are known.
const TYPICAL_ROW: f64 = 100.0;

/// What the coordinator and the store add to a table, in seconds.
const COORDINATION: f64 = 0.004;

/// The size of a table, and its speed if it was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MeasuredTable {
    pub(crate) source: SideFacts,
    pub(crate) target: SideFacts,
    pub(crate) measured: Option<Measured>,
}

/// The estimated time of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct RunEstimate {
    /// Seconds of the run with the settings that were checked.
    pub(crate) seconds: f64,
    /// Tables at the same time with these settings.
    pub(crate) tables_at_once: u32,
    /// Seconds for other numbers of workers.
    pub(crate) by_workers: Vec<WorkersEstimate>,
}

/// The estimated time of a run with a number of workers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct WorkersEstimate {
    pub(crate) workers: u32,
    pub(crate) tables_at_once: u32,
    pub(crate) seconds: f64,
}

/// Average speeds of one side over the measured tables.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct SideSpeed {
    per_row: Option<f64>,
    per_byte: Option<f64>,
}

/// Average speeds over the measured tables.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Speeds {
    source: SideSpeed,
    target: SideSpeed,
    /// Seconds of a table beside the reading of rows.
    overhead: f64,
}

impl Speeds {
    /// `None` if no table was measured.
    pub(crate) fn of(tables: &[MeasuredTable]) -> Option<Self> {
        let measured: Vec<(&MeasuredTable, Measured)> = tables
            .iter()
            .filter_map(|table| Some((table, table.measured?)))
            .collect();
        let count = u32::try_from(measured.len()).ok().filter(|it| *it > 0)?;
        let overhead: f64 = measured
            .iter()
            .map(|(_, measured)| measured.overhead.as_secs_f64())
            .sum();
        let source = measured
            .iter()
            .map(|(table, measured)| (table.source, measured.source));
        let target = measured
            .iter()
            .map(|(table, measured)| (table.target, measured.target));
        Some(Self {
            source: SideSpeed::of(source),
            target: SideSpeed::of(target),
            overhead: overhead / f64::from(count),
        })
    }

    /// Seconds of a table that is compared alone. Both sides are read at the same time.
    pub(crate) fn seconds(&self, table: &MeasuredTable) -> f64 {
        let rates = table
            .measured
            .map(|measured| (measured.source, measured.target));
        let (of_source, of_target) = rates.unwrap_or_default();
        let rows = |one: SideFacts, other: SideFacts| one.rows.or(other.rows);
        let source = self
            .source
            .seconds(table.source, rows(table.source, table.target), of_source);
        let target = self
            .target
            .seconds(table.target, rows(table.target, table.source), of_target);
        let overhead = table
            .measured
            .map_or(self.overhead, |it| it.overhead.as_secs_f64());
        source.max(target) + overhead + COORDINATION
    }
}

impl SideSpeed {
    fn of(measured: impl Iterator<Item = (SideFacts, Option<Rate>)>) -> Self {
        let (mut seconds, mut rows) = (0.0, 0.0);
        let (mut seconds_of_bytes, mut bytes) = (0.0, 0.0);
        for (facts, rate) in measured {
            let Some(rate) = rate else { continue };
            let of_rate = rows_of(facts, facts.rows, Some(rate));
            seconds += of_rate * rate.seconds_per_row;
            rows += of_rate;
            if let Some(stored) = facts.bytes.filter(|bytes| *bytes > 0) {
                seconds_of_bytes += of_rate * rate.seconds_per_row;
                bytes += float(stored);
            }
        }
        Self {
            per_row: (rows > 0.0).then(|| seconds / rows),
            per_byte: (bytes > 0.0).then(|| seconds_of_bytes / bytes),
        }
    }

    fn seconds(&self, facts: SideFacts, rows: Option<u64>, rate: Option<Rate>) -> f64 {
        let count = rows_of(facts, rows, rate);
        if let Some(rate) = rate {
            return count * rate.seconds_per_row;
        }
        let by_rows = self.per_row.map(|per_row| per_row * count);
        let bytes = facts.bytes.map(float);
        let by_bytes = self.per_byte.zip(bytes).map(|(per_byte, it)| per_byte * it);
        // Half of the work of a row depends on its number of bytes, half does not.
        match (by_rows, by_bytes) {
            (Some(rows), Some(bytes)) => f64::midpoint(rows, bytes),
            (one, other) => one.or(other).unwrap_or(0.0),
        }
    }
}

/// The rows of a side: those of a sample that was the whole side, else those of the statistics,
/// else a guess from its bytes.
fn rows_of(facts: SideFacts, known: Option<u64>, rate: Option<Rate>) -> f64 {
    if let Some(rate) = rate.filter(|rate| rate.is_whole) {
        return float(rate.rows);
    }
    let guess = || facts.bytes.map_or(0.0, |bytes| float(bytes) / TYPICAL_ROW);
    let rows = known.map_or_else(guess, float);
    // Statistics may be older than the rows.
    rate.map_or(rows, |rate| rows.max(float(rate.rows)))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Where the tables of a run are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fleet {
    /// In this process: a worker is a table at the same time.
    Here,
    /// By worker processes on machines of their own.
    Workers {
        /// Tables at the same time in one worker, from 1.
        each: u32,
    },
}

impl Fleet {
    /// How many of the tables that are compared at the same time share a machine.
    pub(crate) fn beside(self, at_once: u32) -> u32 {
        match self {
            Self::Here => at_once,
            Self::Workers { each } => each.min(at_once),
        }
    }

    /// Tables at the same time of so many workers, and how many of these share a machine.
    fn slots(self, workers: u32, tables: u32) -> (u32, u32) {
        match self {
            Self::Here => (workers, workers.min(tables)),
            // With more slots than tables, fewer tables are compared on one machine.
            Self::Workers { each } => (
                workers.saturating_mul(each),
                each.min(tables.div_ceil(workers)),
            ),
        }
    }
}

/// The time of a run of tables that take `seconds` each alone, `at_once` at the same time with the
/// settings that were checked.
pub(crate) fn estimate_run(
    seconds: &[f64],
    at_once: u32,
    fleet: Fleet,
    slowdown: Option<Slowdown>,
) -> RunEstimate {
    let time = |slots: u32, beside: u32| {
        let slots = usize::try_from(slots).unwrap_or(usize::MAX);
        makespan(seconds, slots) * Slowdown::factor(slowdown, beside)
    };
    let tables = u32::try_from(seconds.len()).unwrap_or(u32::MAX).max(1);
    let by_workers = WORKERS.map(|workers| {
        let (slots, beside) = fleet.slots(workers, tables);
        WorkersEstimate {
            workers,
            tables_at_once: slots,
            seconds: time(slots, beside),
        }
    });
    RunEstimate {
        seconds: time(at_once, fleet.beside(at_once).min(tables)),
        tables_at_once: at_once,
        by_workers: by_workers.to_vec(),
    }
}

/// The tables that need longer than their time limit.
pub(crate) fn late_tables<'a>(
    tables: impl Iterator<Item = (&'a str, f64, Duration)>,
) -> Vec<PreflightFinding> {
    let late = tables.filter(|(_, seconds, limit)| *seconds > limit.as_secs_f64());
    late.map(|(table, seconds, limit)| {
        let message = format!(
            "its comparison is estimated to take {}, and its time limit is {}",
            humantime::format_duration(Duration::from_secs(whole(seconds))),
            humantime::format_duration(limit)
        );
        let rule = (Severity::Warning, "timeout-error");
        let remedy = "raise --parallel-timeout, or timeout in its entry of [[tables]]";
        PreflightFinding::without_effect(rule, message, Some(remedy)).of_table(table)
    })
    .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate that is not negative"
)]
fn whole(seconds: f64) -> u64 {
    seconds.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(rows: u64, bytes: u64) -> SideFacts {
        SideFacts {
            rows: Some(rows),
            bytes: Some(bytes),
        }
    }

    fn rate(seconds_per_row: f64) -> Option<Rate> {
        Some(Rate {
            rows: 1_000,
            seconds_per_row,
            is_whole: false,
        })
    }

    fn measured(rows: u64) -> MeasuredTable {
        MeasuredTable {
            source: facts(rows, rows * 100),
            target: facts(rows, rows * 80),
            measured: Some(Measured {
                overhead: Duration::from_millis(10),
                source: rate(2e-6),
                target: rate(1e-6),
            }),
        }
    }

    #[test]
    fn the_slower_side_decides_how_long_a_table_takes() {
        let table = measured(1_000_000);
        let speeds = Speeds::of(&[table]).unwrap();
        let seconds = speeds.seconds(&table);
        assert!(
            (seconds - 2.0 - 0.01 - COORDINATION).abs() < 1e-6,
            "{seconds}"
        );
    }

    #[test]
    fn a_table_that_was_not_measured_takes_as_long_as_similar_ones() {
        let speeds = Speeds::of(&[measured(1_000_000)]).unwrap();
        let other = |bytes| MeasuredTable {
            source: facts(500_000, bytes),
            target: facts(500_000, 1),
            measured: None,
        };
        let same_width = speeds.seconds(&other(50_000_000));
        assert!((same_width - 1.0 - 0.01 - COORDINATION).abs() < 1e-6);
        assert!(speeds.seconds(&other(500_000_000)) > same_width * 4.0);
        let unknown = MeasuredTable {
            source: SideFacts::default(),
            target: facts(1_000_000, 80_000_000),
            measured: None,
        };
        // The number of the other side's rows stands for its own.
        assert!((speeds.seconds(&unknown) - 2.0).abs() < 0.1);
    }

    #[test]
    fn without_a_sample_there_is_no_estimate() {
        let table = MeasuredTable {
            measured: None,
            ..measured(10)
        };
        assert_eq!(Speeds::of(&[table]), None);
    }

    #[test]
    fn a_sample_of_the_whole_side_overrides_its_statistics() {
        let mut table = measured(1_000_000);
        let whole = Some(Rate {
            rows: 5,
            seconds_per_row: 1e-3,
            is_whole: true,
        });
        table.measured = Some(Measured {
            overhead: Duration::ZERO,
            source: whole,
            target: whole,
        });
        let speeds = Speeds::of(&[table]).unwrap();
        assert!((speeds.seconds(&table) - 0.005 - COORDINATION).abs() < 1e-9);
    }

    #[test]
    fn more_workers_end_earlier_and_tables_of_one_worker_slow_each_other_down() {
        let seconds = vec![10.0; 16];
        let slowdown = Slowdown::measured(4, 1.0, 2.0);
        let run = estimate_run(&seconds, 4, Fleet::Workers { each: 4 }, slowdown);
        assert!((run.seconds - 80.0).abs() < 1e-6, "{run:?}");
        let of = |workers: usize| run.by_workers[workers].seconds;
        assert!(
            (of(0) - 80.0).abs() < 1e-6 && (of(1) - 40.0).abs() < 1e-6,
            "{run:?}"
        );
        // Eight workers compare two of the tables each.
        assert!((of(3) - 10.0 * (1.0 + 1.0 / 3.0)).abs() < 1e-6, "{run:?}");
        assert!(of(0) >= of(1) && of(1) >= of(2) && of(2) >= of(3));
        // In one process, all tables share its machine.
        let here = estimate_run(&seconds, 1, Fleet::Here, slowdown);
        assert!((here.seconds - 160.0).abs() < 1e-6, "{here:?}");
        assert!((here.by_workers[2].seconds - 80.0).abs() < 1e-6, "{here:?}");
    }

    #[test]
    fn a_table_that_needs_longer_than_its_limit_is_named() {
        let limit = Duration::from_secs(60);
        let tables = [("dbo.a", 59.0, limit), ("dbo.b", 61.0, limit)];
        let found = late_tables(tables.into_iter());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].finding.table.as_deref(), Some("dbo.b"));
    }
}
