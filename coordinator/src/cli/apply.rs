//! `reconcile apply`: executes repair scripts in the target, in one transaction, and
//! compares the rows again.

mod announcement;
mod outcome;
mod structure;
mod transaction;
mod verification;
mod words;

use shared::config::Config;
use shared::endpoint::Endpoint;
use shared::outcome::RepairAction;
use shared::signals::Signals;

use super::connections::side_settings;
use super::exit::{self, CommandError};
use super::flags::{ApplyFlags, ListFormat, SideUrl};
use super::state_dir::state_dir;
use super::usage::UsageError;
use crate::repair::{AppliedScripts, AppliedTo, Direction, Script, ScriptError, ScriptSet};
use crate::report::write_stdout;
use crate::store::database_identity;

use announcement::{announce, confirm};
use outcome::Applied;
use transaction::{Work, execute_scripts};
use verification::verify_all;

pub(super) async fn apply(flags: ApplyFlags, config: Config) -> Result<u8, CommandError> {
    let set = ScriptSet::open(&flags.files, flags.undo, flags.assume_applied)?;
    let Some(first) = set.scripts.first() else {
        write_stdout(&nothing(&flags))?;
        return Ok(exit::SUCCESS);
    };
    let direction = first.header.direction;
    // An undo script makes the target differ from the source: there is nothing to verify.
    let verify = !flags.no_verify && !flags.dry_run && direction == Direction::Repair;
    let spec = &first.header.spec;
    let (name, url) = (flags.target.as_deref(), flags.urls.target());
    let target = endpoint("target", name, url, &spec.target.endpoint, &config)?;
    check_target(&set, &target, &flags)?;
    let (name, url) = (flags.source.as_deref(), flags.urls.source());
    let source = verify
        .then(|| endpoint("source", name, url, &spec.source.endpoint, &config))
        .transpose()?;
    check_undo(&set, &target)?;

    let actions = actions(&flags);
    let state_dir = state_dir(&config)?;
    let address = database_identity(&target);
    if !flags.dry_run && !flags.again {
        // Before the question; `execute_scripts` checks it again under the lock.
        let database = AppliedTo {
            address: &address,
            identity: None,
        };
        AppliedScripts::open(&state_dir)?.check(&set, database, &actions)?;
    }
    announce(&set, &target, &actions);
    let has_work = set.scripts.iter().any(|script| script.present.total() > 0);
    confirm(flags.yes || flags.dry_run || !has_work)?;
    let mut signals = Signals::listen().map_err(CommandError::Signals)?;
    let work = Work {
        set: &set,
        endpoint: &target,
        actions: &actions,
        dry_run: flags.dry_run,
        again: flags.again,
        state_dir: &state_dir,
    };
    let (tables, finished) = execute_scripts(work, &mut signals).await?;
    let mut applied = Applied {
        direction,
        dry_run: flags.dry_run,
        tables,
        verification: None,
        is_complete: true,
    };
    let mut verified = Ok(());
    if let Some(source) = source {
        verified = verify_all(&set, &mut applied.tables, (source, target), &mut signals).await;
        if verified.is_ok() {
            applied.verification = Some(applied.verdict());
        }
    }
    applied.is_complete = finished.is_ok() && verified.is_ok();
    // Printed before later errors are reported: the target has been changed.
    let shown = write_stdout(&match flags.format {
        ListFormat::Console => applied.to_console(),
        ListFormat::Json => applied.to_json(),
    });
    finished?;
    verified?;
    match shown {
        Err(error) if flags.dry_run => return Err(error.into()),
        shown => shown.map_err(CommandError::NotShown)?,
    }
    Ok(if applied.is_success() {
        exit::SUCCESS
    } else {
        exit::DIFFERENT
    })
}

/// The result of scripts that do not exist, because the run found nothing to repair.
fn nothing(flags: &ApplyFlags) -> String {
    let applied = Applied {
        direction: if flags.undo {
            Direction::Undo
        } else {
            Direction::Repair
        },
        dry_run: flags.dry_run,
        tables: Vec::new(),
        verification: None,
        is_complete: true,
    };
    match flags.format {
        ListFormat::Console => "there is nothing to apply\n".to_owned(),
        ListFormat::Json => applied.to_json(),
    }
}

/// The kinds of statements that are executed.
fn actions(flags: &ApplyFlags) -> Vec<RepairAction> {
    if flags.only.is_empty() {
        return vec![
            RepairAction::Delete,
            RepairAction::Update,
            RepairAction::Insert,
        ];
    }
    flags.only.iter().map(|kind| (*kind).into()).collect()
}

/// Refuses a target that is not the database that the scripts were written for, unless
/// the user names it.
fn check_target(set: &ScriptSet, target: &Endpoint, flags: &ApplyFlags) -> Result<(), UsageError> {
    let named = flags.target.is_some() || flags.urls.target().is_some();
    let now = database_identity(target);
    for Script { path, header, .. } in &set.scripts {
        if header.engine != target.kind {
            return Err(UsageError::OtherDialect {
                file: path.clone(),
                wanted: header.engine,
                found: target.kind,
            });
        }
        if let Some(before) = header.database.as_ref().filter(|before| **before != now)
            && !named
        {
            return Err(UsageError::ScriptTarget {
                file: path.clone(),
                before: before.clone(),
                now,
            });
        }
    }
    Ok(())
}

/// Checks that the undo scripts belong to the repairs. A missing one, or a statement that is
/// missing in one, is only a warning.
fn check_undo(set: &ScriptSet, target: &Endpoint) -> Result<(), ScriptError> {
    let database = database_identity(target);
    for script in &set.scripts {
        let is_repair = script.header.direction == Direction::Repair;
        let undo = script.undo(&database)?;
        if !is_repair {
            continue;
        }
        let Some(undo) = undo else {
            tracing::warn!(
                "{} has no .undo.sql beside it: it cannot be reverted",
                script.path.display()
            );
            continue;
        };
        let written = undo.header.statements.total();
        let deleted = written.saturating_sub(undo.present.total());
        if deleted > 0 {
            tracing::warn!(
                "{} of {written} statements were deleted from {}: what they would revert cannot be reverted",
                deleted,
                undo.path.display()
            );
        }
    }
    Ok(())
}

/// The endpoint that the user names, or else the endpoint of the run.
fn endpoint(
    side: &'static str,
    name: Option<&str>,
    url: Option<SideUrl<'_>>,
    of_run: &str,
    config: &Config,
) -> Result<Endpoint, UsageError> {
    let settings = side_settings(side, name.or(Some(of_run)), url, false, config);
    match settings {
        Ok(settings) => settings.endpoint,
        Err(UsageError::UnknownEndpoint { name, .. }) if name == of_run => None,
        Err(other) => return Err(other),
    }
    .ok_or_else(|| UsageError::ScriptEndpoint {
        side,
        name: of_run.to_owned(),
    })
}
