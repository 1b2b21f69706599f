//! `reconcile estimate`: how many workers a run needs to end in time.

use clap::Args;
use shared::config::parse_duration;

use crate::parallel::{EstimateError, MAX_WORKERS, estimate_optimal_workers};

#[derive(Debug, Args)]
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

impl EstimateFlags {
    pub(super) fn estimate(&self) -> Result<u32, EstimateError> {
        estimate_optimal_workers(self.tables, self.seconds, self.budget, self.max_workers)
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
