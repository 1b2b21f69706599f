//! `reconcile estimate`: how many workers a run needs to end in time.

use clap::Args;
use shared::config::parse_duration;

use crate::parallel::{EstimateError, MAX_WORKERS, estimate_optimal_workers};

#[derive(Debug, Args)]
#[command(next_help_heading = "Estimate")]
pub(super) struct EstimateFlags {
    /// Number of tables
    #[arg(long, value_name = "N")]
    tables: usize,
    /// Average duration of the comparison of a table: seconds, or 500ms, 30s, 5m
    #[arg(long, value_name = "S", value_parser = seconds, allow_negative_numbers = true)]
    seconds: f64,
    /// Time limit for all tables: seconds, or 30s, 5m, 2h
    #[arg(long, value_name = "S", value_parser = seconds, allow_negative_numbers = true)]
    budget: f64,
    /// Maximum number of workers
    #[arg(long, value_name = "N", default_value_t = MAX_WORKERS)]
    max_workers: u32,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum EstimateRefusal {
    #[error(transparent)]
    Estimate(#[from] EstimateError),
    #[error(
        "one table takes {seconds} s, which is longer than the limit of {budget} s for all tables: no number of workers is enough; allow at least {seconds} s"
    )]
    TableTooLong { seconds: f64, budget: f64 },
    #[error(
        "{max_workers} workers take {needed} s or longer for {tables} tables of {seconds} s, and the limit is {budget} s; allow more time, or more workers with --max-workers"
    )]
    TooFewWorkers {
        max_workers: u32,
        tables: usize,
        seconds: f64,
        needed: f64,
        budget: f64,
    },
}

impl EstimateFlags {
    /// How many workers are needed.
    ///
    /// # Errors
    ///
    /// When an argument is out of range, or no allowed number of workers is enough.
    pub(super) fn estimate(&self) -> Result<u32, EstimateRefusal> {
        let Self {
            tables,
            seconds,
            budget,
            max_workers,
        } = *self;
        let workers = estimate_optimal_workers(tables, seconds, budget, max_workers)?;
        if tables > 0 && seconds > budget {
            return Err(EstimateRefusal::TableTooLong { seconds, budget });
        }
        // More workers than are allowed would be needed.
        let unlimited = estimate_optimal_workers(tables, seconds, budget, u32::MAX)?;
        if unlimited > workers {
            return Err(EstimateRefusal::TooFewWorkers {
                max_workers,
                tables,
                seconds,
                needed: tables as f64 * seconds / f64::from(workers),
                budget,
            });
        }
        Ok(workers)
    }
}

/// Parses a number of seconds, which the estimate validates, or a duration with units.
fn seconds(text: &str) -> Result<f64, String> {
    match text.trim().parse() {
        Ok(seconds) => Ok(seconds),
        Err(_) => parse_duration(text).map(|duration| duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        flags: EstimateFlags,
    }

    fn estimate(line: &str) -> Result<u32, String> {
        Line::try_parse_from(line.split(' '))
            .map_err(|error| error.to_string())?
            .flags
            .estimate()
            .map_err(|error| error.to_string())
    }

    #[test]
    fn numbers_are_seconds_and_units_are_understood() {
        let line = "estimate --tables 20 --seconds 60 --budget 300 --max-workers 10";
        assert_eq!(estimate(line), Ok(4));
        let line = "estimate --tables 50 --seconds 1m30s --budget 15m";
        assert_eq!(estimate(line), Ok(5));
        let line = "estimate --tables 3 --seconds 0.1 --budget 100ms";
        assert_eq!(estimate(line), Ok(3));
    }

    #[test]
    fn the_impossible_is_refused() {
        let line = "estimate --tables 50 --seconds 90 --budget 15m --max-workers 3";
        let message = estimate(line).unwrap_err();
        assert!(message.contains("3 workers take 1500 s"), "{message}");
        let message = estimate("estimate --tables 2 --seconds 60 --budget 59").unwrap_err();
        assert!(message.contains("no number of workers"), "{message}");
        assert_eq!(
            estimate("estimate --tables 0 --seconds 60 --budget 59"),
            Ok(1)
        );
    }

    #[test]
    fn an_invalid_duration_is_refused_and_named() {
        for (line, word) in [
            (
                "estimate --tables 2 --seconds 60 --budget 0",
                "budget is 0 s",
            ),
            (
                "estimate --tables 2 --seconds 60 --budget -5",
                "budget is -5 s",
            ),
            (
                "estimate --tables 2 --seconds 60 --budget nan",
                "budget is NaN s",
            ),
            ("estimate --tables 2 --seconds -1 --budget 5", "takes -1 s"),
            (
                "estimate --tables 2 --seconds 1 --budget soon",
                "not a duration",
            ),
            (
                "estimate --tables 2 --seconds 1 --budget 5 --max-workers 0",
                "at most 0",
            ),
        ] {
            let message = estimate(line).unwrap_err();
            assert!(message.contains(word), "{line}: {message}");
        }
    }
}
