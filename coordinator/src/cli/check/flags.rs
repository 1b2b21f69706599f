//! The flags of `reconcile check`: those of a run, and a few of its own.

use std::path::PathBuf;

use clap::Args;
use shared::config::CheckOptions;

use crate::cli::flags::RunFlags;

#[derive(Debug, Args)]
pub(in crate::cli) struct CheckFlags {
    #[command(flatten)]
    pub(super) run: RunFlags,
    #[command(flatten)]
    pub(super) check: CheckOptions,
    /// Write a first configuration to this new file: the checked endpoints without their passwords,
    /// the list of tables, and the rules that suit their types
    #[arg(long, value_name = "FILE", help_heading = "Check")]
    pub(super) write_config: Option<PathBuf>,
}
