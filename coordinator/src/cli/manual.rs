//! `reconcile completions` and `reconcile man`: what shells and `man` read.

use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::exit::{self, CommandError};
use super::flags::{Flags, ManFlags};
use super::lists::print;
use super::usage::UsageError;

/// Prints the completion script of a shell.
pub(super) fn completions(shell: Shell) -> Result<u8, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Flags::command(), "reconcile", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Prints the manual page of `reconcile`, or writes the pages of all commands to a directory.
pub(super) fn man(flags: &ManFlags) -> Result<u8, CommandError> {
    match &flags.dir {
        None => {
            let mut page = Vec::new();
            // Writing to memory cannot fail.
            clap_mangen::Man::new(Flags::command())
                .render(&mut page)
                .ok();
            print(&String::from_utf8_lossy(&page))
        }
        Some(directory) => {
            write_pages(directory).map_err(|reason| UsageError::ManualPages {
                directory: directory.clone(),
                reason,
            })?;
            Ok(exit::SUCCESS)
        }
    }
}

fn write_pages(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Flags::command(), directory)
}
