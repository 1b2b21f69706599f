//! Lists on standard output: aligned columns for people, JSON for programs.

use std::time::Duration;

use serde_json::Value as Json;

use super::exit::{self, CommandError};
use crate::report::write_stdout;

/// A table whose columns are as wide as their widest cell. A column whose heading begins with a
/// space is aligned to the right.
pub(super) fn columns<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells
            .chain([headings[column].trim().chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |cells: [&str; N]| {
        let cells = cells.into_iter().enumerate().map(|(column, cell)| {
            let width = widths[column];
            if headings[column].starts_with(' ') {
                format!("{cell:>width$}")
            } else {
                format!("{cell:width$}")
            }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    };
    let mut text = line(headings.map(str::trim));
    for row in rows {
        text.push_str(&line(std::array::from_fn(|column| row[column].as_str())));
    }
    text
}

/// Prints the output of a command, and returns the exit code of its success.
pub(super) fn print(text: &str) -> Result<u8, CommandError> {
    write_stdout(text)?;
    Ok(exit::SUCCESS)
}

pub(super) fn pretty_json(value: &Json) -> String {
    format!("{value:#}\n")
}

/// A duration in whole seconds; below ten seconds with a tenth.
pub(super) fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(10) {
        format!("{:.1}s", duration.as_secs_f64())
    } else {
        humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            ["a".to_owned(), "1".to_owned()],
            ["longer".to_owned(), "200".to_owned()],
        ];
        assert_eq!(
            super::columns(["name", " n"], &rows),
            "name      n\na         1\nlonger  200\n"
        );
    }
}
