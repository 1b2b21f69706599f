//! The exit codes, all in one place.

use shared::config::ConfigError;
use shared::outcome::Failure;
use shared::telemetry::metrics::server::ServeError;
use shared::telemetry::trace::TraceError;
use shared::transport::TransportError;

use super::estimate::EstimateRefusal;
use super::starter_file::StarterFileError;
use super::usage::UsageError;
use crate::check::CheckStatus;
use crate::repair::{RepairError, ScriptError};
use crate::report::{OutputError, RunReport, RunStatus};
use crate::rows_file::RowsFileError;
use crate::run::RunLost;
use crate::store::StoreError;

#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Estimate(#[from] EstimateRefusal),
    #[error("{0}")]
    Transport(#[from] TransportError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error(transparent)]
    Rows(#[from] RowsFileError),
    #[error(transparent)]
    Lost(#[from] RunLost),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Traces(#[from] TraceError),
    #[error(transparent)]
    Repair(#[from] RepairError),
    #[error(transparent)]
    Script(#[from] ScriptError),
    #[error("nothing was changed: {0}")]
    NotApplied(Failure),
    #[error("nothing was changed: {0}")]
    NotUndoable(ScriptError),
    #[error("nothing was changed: {0}")]
    Declined(&'static str),
    #[error(
        "the database did not answer the commit, so it is unknown whether the target was changed; check the target before you repeat the command: {0}"
    )]
    Unanswered(Failure),
    #[error("the scripts were applied, but the rows could not be compared again: {0}")]
    NotVerified(Failure),
    #[error("the scripts were applied, but that could not be recorded: {0}")]
    NotRecorded(ScriptError),
    #[error(
        "the scripts were applied, but a new undo script, whose name ends in .pending, could not replace the old one: {0}"
    )]
    UndoNotRenamed(ScriptError),
    #[error("the scripts were applied, but the result cannot be printed: {0}")]
    NotShown(OutputError),
    #[error("{0}")]
    Fleet(String),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    StarterFile(#[from] StarterFileError),
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
}

/// The command succeeded. For a run: every table was verified and is equal.
pub(super) const SUCCESS: u8 = 0;
/// Every table verified, and some differ. For `reconcile diff`: something changed.
pub(super) const DIFFERENT: u8 = 1;
/// The command line, the configuration, the run store or a file is unusable, or the broker
/// cannot be reached.
pub(super) const UNUSABLE: u8 = 2;
/// Some table could not be verified, whatever the results of the others. For
/// `reconcile apply`: the scripts were not applied.
pub(super) const UNVERIFIED: u8 = 3;
/// The target was changed, and a later step failed.
pub(super) const UNCHECKED: u8 = 4;
/// Unknown whether the target was changed.
pub(super) const UNKNOWN: u8 = 5;
/// Ended by a signal or a request to cancel.
pub(super) const INTERRUPTED: u8 = 130;
/// SIGTERM left the run unfinished, as `--resume-within` allows; 128 and the signal's number.
pub(super) const LEFT: u8 = 143;

pub(super) fn of_report(report: &RunReport) -> u8 {
    if report.interrupted {
        INTERRUPTED
    } else {
        of_status(report.status)
    }
}

pub(super) fn of_status(status: RunStatus) -> u8 {
    match status {
        RunStatus::Pass => SUCCESS,
        RunStatus::Fail => DIFFERENT,
        RunStatus::Incomplete => UNVERIFIED,
    }
}

pub(super) fn of_check(status: CheckStatus) -> u8 {
    match status {
        CheckStatus::Ready => SUCCESS,
        CheckStatus::Different => DIFFERENT,
        CheckStatus::Unverifiable | CheckStatus::Incomplete => UNVERIFIED,
    }
}

pub(super) fn of_error(error: &CommandError) -> u8 {
    match error {
        CommandError::Config(_)
        | CommandError::Usage(_)
        | CommandError::Estimate(_)
        | CommandError::Transport(_)
        | CommandError::Output(_)
        | CommandError::Rows(_)
        | CommandError::Store(_)
        | CommandError::Traces(_)
        | CommandError::Fleet(_)
        | CommandError::Repair(_)
        | CommandError::Script(_)
        | CommandError::Serve(_)
        | CommandError::StarterFile(_)
        | CommandError::Signals(_) => UNUSABLE,
        CommandError::Lost(_) | CommandError::NotApplied(_) | CommandError::NotUndoable(_) => {
            UNVERIFIED
        }
        CommandError::NotVerified(_)
        | CommandError::NotRecorded(_)
        | CommandError::UndoNotRenamed(_)
        | CommandError::NotShown(_) => UNCHECKED,
        CommandError::Declined(_) => INTERRUPTED,
        CommandError::Unanswered(_) => UNKNOWN,
    }
}
