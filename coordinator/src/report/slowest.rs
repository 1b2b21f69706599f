//! The tables that took the longest, which decide how long a run takes.

use super::model::{RunReport, TableResult};

/// How many tables are listed.
const MOST: usize = 5;

/// Tables that took less are not listed, in seconds.
const NOTEWORTHY: f64 = 1.0;

/// The slowest tables with their durations in seconds, the slowest first; none of a run with one
/// table.
pub(super) fn slowest(report: &RunReport) -> Vec<(&TableResult, f64)> {
    if report.results.len() < 2 {
        return Vec::new();
    }
    let results = report.results.iter();
    let mut slow: Vec<(&TableResult, f64)> = results
        .filter_map(|result| Some((result, result.duration_seconds?)))
        .filter(|(_, seconds)| *seconds >= NOTEWORTHY)
        .collect();
    slow.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    slow.truncate(MOST);
    slow
}

/// `12.3 s`, or `1h 2m 3s` from a minute on.
pub(super) fn duration(seconds: f64) -> String {
    const MINUTE: f64 = 60.0;
    if seconds < MINUTE {
        return format!("{seconds:.1} s");
    }
    let whole = std::time::Duration::try_from_secs_f64(seconds.round()).unwrap_or_default();
    humantime::format_duration(whole).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::large;

    #[test]
    fn the_slowest_come_first_and_short_runs_have_none() {
        let mut report = large(8);
        for (at, result) in report.results.iter_mut().enumerate() {
            result.duration_seconds =
                (at != 3).then_some(0.4 + f64::from(u32::try_from(at).unwrap()));
        }
        let seconds: Vec<f64> = slowest(&report)
            .iter()
            .map(|(_, seconds)| *seconds)
            .collect();
        assert_eq!(seconds, [7.4, 6.4, 5.4, 4.4, 2.4]);
        report.results.truncate(1);
        report.results[0].duration_seconds = Some(90.0);
        assert!(slowest(&report).is_empty(), "one table is no list");
        assert_eq!(duration(12.34), "12.3 s");
        assert_eq!(duration(3723.4), "1h 2m 3s");
    }
}
