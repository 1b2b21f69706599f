//! The progress of a run and of a table in words, no wider than a terminal of 80 columns.

use std::time::Duration;

use shared::message::WorkPhase;

use crate::pace::{Overview, percent_of, table_left};

/// Columns for the name of a table.
const NAME: usize = 28;

/// `42%  12 of 40 tables  rows/s: source 1.2M, target 1.1M  3m 10s left`
pub(super) fn overview_line(ended: usize, tables: usize, overview: &Overview) -> String {
    let mut text = format!("{:3}%  {ended} of {tables} tables", overview.percent);
    let speed = |rows: Option<u64>| rows.map_or_else(|| "-".to_owned(), short);
    text.push_str(&format!(
        "  rows/s: source {}, target {}",
        speed(overview.source_rows_per_second),
        speed(overview.target_rows_per_second)
    ));
    if let Some(seconds) = overview.seconds_left {
        text.push_str(&format!("  {} left", rough(Duration::from_secs(seconds))));
    }
    text
}

/// `  dbo.orders  scanning  61%  1.2M rows  3m 10s left`
pub(super) fn running_line(
    table: &str,
    read: u64,
    expected: Option<u64>,
    phase: Option<WorkPhase>,
    elapsed: Duration,
) -> String {
    let words = phase.map_or("running", WorkPhase::as_str);
    let done = percent_of(read, expected, phase);
    let done = done.map_or_else(|| "-".to_owned(), |percent| format!("{percent}%"));
    let left = table_left(read, expected, phase, elapsed);
    let left = left.map(|left| format!("  {} left", rough(left)));
    format!(
        "  {:NAME$}  {words:17} {done:>4}  {} rows{}",
        clipped(table, NAME),
        short(read),
        left.unwrap_or_default()
    )
}

/// A number of rows with three digits: `1.2M`.
pub(super) fn short(rows: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
        (1_000, "k"),
    ];
    match UNITS.into_iter().find(|(size, _)| rows >= *size) {
        None => rows.to_string(),
        Some((size, unit)) if rows / size >= 100 => format!("{}{unit}", rows / size),
        Some((size, unit)) => {
            let tenths = rows / (size / 10);
            format!("{}.{}{unit}", tenths / 10, tenths % 10)
        }
    }
}

/// A duration in its two largest units: `3m 10s`.
pub(super) fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    if days > 0 {
        format!("{days}d {}h", hours % 24)
    } else if hours > 0 {
        format!("{hours}h {}m", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes}m {}s", seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

/// The text, or its beginning and `…` if it is longer than `width` characters.
pub(super) fn clipped(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut clipped: String = text.chars().take(width.saturating_sub(1)).collect();
    clipped.push('…');
    clipped
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn the_longest_lines_fit_eighty_columns() {
        let overview = Overview {
            percent: 100,
            source_rows_per_second: Some(99_999_999),
            target_rows_per_second: Some(99_999_999),
            seconds_left: Some(86_399),
        };
        let line = overview_line(12_345, 12_345, &overview);
        assert!(line.chars().count() <= 80, "{line}");
        for phase in WorkPhase::ALL {
            let name = "x".repeat(200);
            let line = running_line(&name, 99_999, Some(12_000_000), Some(phase), 23 * HOUR);
            assert!(line.chars().count() <= 80, "{line}");
            assert!(line.contains(phase.as_str()), "{line}");
        }
    }

    #[test]
    fn what_is_unknown_is_not_shown() {
        let line = running_line("dbo.t", 1_500, None, None, HOUR);
        assert!(
            line.contains("running") && line.contains("1.5k rows"),
            "{line}"
        );
        assert!(!line.contains('%') && !line.contains("left"), "{line}");
        let overview = Overview {
            percent: 7,
            source_rows_per_second: None,
            target_rows_per_second: Some(0),
            seconds_left: None,
        };
        assert_eq!(
            overview_line(0, 3, &overview),
            "  7%  0 of 3 tables  rows/s: source -, target 0"
        );
    }

    #[test]
    fn numbers_and_durations_are_short() {
        let shortened = [999, 1_000, 12_345, 999_999, 1_250_000, 5_000_000_000].map(short);
        assert_eq!(shortened, ["999", "1.0k", "12.3k", "999k", "1.2M", "5.0G"]);
        let rounded = [59, 190, 3_600, 90_000].map(|seconds| rough(Duration::from_secs(seconds)));
        assert_eq!(rounded, ["59s", "3m 10s", "1h 0m", "1d 1h"]);
        assert_eq!(clipped("abcdef", 4), "abc…");
    }
}
