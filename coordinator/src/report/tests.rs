//! What stands in a report.
