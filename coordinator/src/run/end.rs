//! How a run left its coordinator.

use crate::report::RunReport;
use crate::run_state::Paused;

/// How a run left its coordinator.
#[derive(Debug)]
pub(crate) enum RunEnd {
    /// Every table has ended.
    Ended(Box<RunReport>),
    /// Tables are left, and the run can be resumed.
    Paused(Paused),
}
