//! Prints measurements.

/// Prints one line.
#[expect(
    clippy::print_stdout,
    reason = "the one place that prints what was measured"
)]
pub(crate) fn print_line(line: &str) {
    println!("{line}");
}

/// Prints one number beside its limit.
pub(crate) fn print_number(what: &str, value: &str, limit: &str) {
    print_line(&format!("  {what:<58} {value:>16}   limit {limit}"));
}
