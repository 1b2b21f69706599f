//! `reconcile`: compares lists of tables and reports.

use std::process::ExitCode;

fn main() -> ExitCode {
    coordinator::cli::main()
}
