//! The end of a run as its user sees it: a report, or how a paused run is continued.

use shared::ids::RunId;
use shared::logging::print_warning;

use super::exit;
use crate::run_state::Paused;

/// The end of a run as far as the user sees it.
#[derive(Debug)]
pub(super) enum Delivered {
    /// The report was delivered; the exit code.
    Report(u8),
    /// The run can be resumed.
    Paused(PauseMessage),
}

/// The last message of a paused run.
#[derive(Debug)]
pub(super) struct PauseMessage {
    pub(super) run: RunId,
    pub(super) paused: Paused,
    /// The command that continues it.
    pub(super) resume: String,
}

impl Delivered {
    /// The exit code. Of a paused run, the message is printed here, so that it is the last one.
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Report(code) => code,
            Self::Paused(message) => {
                print_warning(message.text());
                exit::INTERRUPTED
            }
        }
    }
}

impl PauseMessage {
    fn text(&self) -> String {
        let Self {
            run,
            paused,
            resume,
        } = self;
        let warning = paused.warning();
        let warning = warning.map(|warning| format!("warning: {warning}\n"));
        format!(
            "{}run {run} is paused: {} of {} tables have ended; continue it with `{resume}`",
            warning.unwrap_or_default(),
            paused.counts.total(),
            paused.tables
        )
    }
}
