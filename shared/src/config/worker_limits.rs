//! The most that tasks may ask of a worker, which the section `[limits]` can set.

use std::time::Duration;

use super::options::options;
use super::units::ByteSize;

options! {
    /// `[limits]`: the most that a task may ask of a worker.
    pub struct WorkerLimits in "limits";

    heading "Limits of a worker";
    /// Largest --memory-limit of the tasks that a worker takes
    #[arg(value_name = "SIZE")]
    max_memory: ByteSize, else "no limit";
    /// Largest --spill-limit of the tasks that a worker takes
    #[arg(value_name = "SIZE")]
    max_spill: ByteSize, else "no limit";
    /// Largest --max-value-size of the tasks that a worker takes
    #[arg(value_name = "SIZE")]
    max_value_size: ByteSize, else "no limit";
    /// Longest time limit of the tasks that a worker takes
    #[arg(value_name = "DURATION")]
    max_timeout: Duration, else "no limit";
    /// Endpoints whose tasks a worker takes
    #[arg(value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(String))]
    endpoints: Vec<String>, else "all that it has configured";
    /// Schemas whose tables a worker reads; with this list, conditions of tasks contain no sub-queries
    #[arg(value_name = "LIST", value_delimiter = ',', value_parser = clap::value_parser!(String))]
    schemas: Vec<String>, else "all";
}
