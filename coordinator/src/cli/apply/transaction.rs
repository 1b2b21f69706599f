//! Executes the statements of all scripts in one transaction of the target.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use shared::endpoint::Endpoint;
use shared::failure::{Failure, FailureKind};
use shared::logging::print_status;
use shared::outcome::RepairAction;
use shared::signals::Signals;
use worker::engine::{CommitError, WritableTarget, script_dialect};

use super::outcome::{AppliedTable, Executed};
use super::structure::check_structures;
use crate::cli::exit::CommandError;
use crate::repair::{AppliedScripts, AppliedTo, Script, ScriptError, ScriptSet, Statement, steps};
use crate::store::database_identity;

const BATCH: usize = 200;

/// The most bytes of statements in one batch, exceeded by at most one statement.
const BATCH_BYTES: usize = 1 << 20;

/// How often a lock that another process holds is tried.
const RETRY: Duration = Duration::from_millis(100);

/// How often the progress bar is drawn.
const REFRESH: Duration = Duration::from_millis(200);

/// What is executed, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) set: &'a ScriptSet,
    pub(super) endpoint: &'a Endpoint,
    /// The kinds of statements that are executed.
    pub(super) actions: &'a [RepairAction],
    pub(super) dry_run: bool,
    /// Whether scripts are applied that were applied before.
    pub(super) again: bool,
    /// The directory of the record of applied scripts.
    pub(super) state_dir: &'a Path,
}

/// The record of applied scripts, which no other process uses as long as this exists.
struct Record {
    scripts: AppliedScripts,
    _lock: File,
    address: String,
    identity: String,
}

impl Record {
    fn database(&self) -> AppliedTo<'_> {
        AppliedTo {
            address: &self.address,
            identity: Some(&self.identity),
        }
    }
}

/// Executes all scripts in one transaction. The second part of the result tells what failed
/// after the commit: the record, and the undo scripts, which are rewritten to revert only
/// what took effect.
pub(super) async fn execute_scripts(
    work: Work<'_>,
    signals: &mut Signals,
) -> Result<(Vec<AppliedTable>, Result<(), CommandError>), CommandError> {
    let Work { set, .. } = work;
    let mut tables: Vec<AppliedTable> = set
        .scripts
        .iter()
        .map(|script| AppliedTable::of(script, work.actions))
        .collect();
    let total = |script: &Script| work.selected(script);
    if set.scripts.iter().map(total).sum::<u64>() == 0 {
        return Ok((tables, Ok(())));
    }
    let interrupted = || CommandError::Declined("the command was interrupted before the commit");
    let locked = tokio::select! {
        locked = lock_record(work) => locked?,
        () = signals.next() => return Err(interrupted()),
    };
    let mut target = tokio::select! {
        target = WritableTarget::open(work.endpoint) => target.map_err(CommandError::NotApplied)?,
        () = signals.next() => return Err(interrupted()),
    };
    let record = match locked {
        Some(locked) => Some(check_record(work, locked, &target)?),
        None => None,
    };
    let bar = progress_bar(set.scripts.iter().map(total).sum());
    // The commit has not been sent: after an error or a signal the database rolls back.
    let changed = tokio::select! {
        changed = change(work, &mut target, &mut tables, &bar) => changed,
        () = signals.next() => Err(interrupted()),
    };
    bar.finish_and_clear();
    if let Err(error) = changed {
        target.abandon().await;
        return Err(error);
    }
    let Some(record) = record else {
        target.roll_back().await.map_err(CommandError::NotApplied)?;
        return Ok((tables, Ok(())));
    };
    let finished = commit(work, &record, target, &tables, signals).await?;
    Ok((tables, finished))
}

/// Locks the record of applied scripts, and waits until another process has released it. A
/// dry run needs no record.
async fn lock_record(work: Work<'_>) -> Result<Option<(File, AppliedScripts)>, CommandError> {
    if work.dry_run {
        return Ok(None);
    }
    let lock = || AppliedScripts::lock(work.state_dir).map_err(CommandError::NotUndoable);
    if let Some(locked) = lock()? {
        return Ok(Some(locked));
    }
    print_status(format!(
        "waiting until another `reconcile apply` with the state directory {} ends",
        work.state_dir.display()
    ));
    loop {
        tokio::time::sleep(RETRY).await;
        if let Some(locked) = lock()? {
            return Ok(Some(locked));
        }
    }
}

/// Checks that the scripts have not been applied to the database behind `target`, which may
/// have been applied to by another address, or by a process that has just ended.
fn check_record(
    work: Work<'_>,
    (lock, scripts): (File, AppliedScripts),
    target: &WritableTarget,
) -> Result<Record, CommandError> {
    let record = Record {
        scripts,
        _lock: lock,
        address: database_identity(work.endpoint),
        identity: target.database().id.clone(),
    };
    if !work.again {
        let (set, actions) = (work.set, work.actions);
        record.scripts.check(set, record.database(), actions)?;
    }
    Ok(record)
}

/// Commits, and renames the new undo scripts afterwards.
async fn commit(
    work: Work<'_>,
    record: &Record,
    target: WritableTarget,
    tables: &[AppliedTable],
    signals: &mut Signals,
) -> Result<Result<(), CommandError>, CommandError> {
    let set = work.set;
    let mut renewed = Vec::new();
    for (script, table) in set.scripts.iter().zip(tables) {
        let undo = script.renew_undo(&table.effects, &record.address);
        renewed.extend(undo.map_err(CommandError::NotUndoable)?);
    }
    let complete = tables.iter().map(AppliedTable::complete).collect();
    let (record, database) = (&record.scripts, record.database());
    let application = record.begin(set, database, work.actions, complete);
    let application = application.map_err(CommandError::NotUndoable)?;
    let answer = tokio::select! {
        answer = target.commit() => answer,
        failure = wait_twice(signals) => Err(CommitError::Unanswered(failure)),
    };
    let ended = match answer {
        Ok(()) => record.end(application, true),
        Err(CommitError::Refused(failure)) => {
            record
                .end(application, false)
                .map_err(CommandError::NotUndoable)?;
            return Err(CommandError::NotApplied(failure));
        }
        Err(CommitError::Unanswered(failure)) => {
            for undo in renewed {
                // This never fails on Unix.
                undo.keep().ok();
            }
            return Err(CommandError::Unanswered(failure));
        }
    };
    let mut renamed = Ok(());
    for undo in renewed {
        let unwritable = ScriptError::unwritable(undo.path());
        renamed = renamed.and(undo.commit().map_err(unwritable));
    }
    let recorded = ended.map_err(CommandError::NotRecorded);
    Ok(renamed.map_err(CommandError::UndoNotRenamed).and(recorded))
}

/// Waits for two signals: the commit has been sent and cannot be taken back.
async fn wait_twice(signals: &mut Signals) -> Failure {
    signals.next().await;
    print_status(
        "the commit has been sent; waiting for its answer; interrupt again to end without it",
    );
    signals.next().await;
    Failure::new(
        FailureKind::CancelledError,
        "the command was interrupted while it waited for the answer",
    )
}

/// A bar that is visible only on a terminal.
fn progress_bar(statements: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(statements);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:24} {human_pos}/{human_len} statements  {elapsed}")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(REFRESH);
    bar
}

impl Work<'_> {
    /// The number of statements of a script that are executed.
    fn selected(&self, script: &Script) -> u64 {
        let actions = self.actions.iter();
        actions.map(|action| script.present.of(*action)).sum()
    }
}

/// The statements of the transaction, without the commit.
async fn change(
    work: Work<'_>,
    target: &mut WritableTarget,
    tables: &mut [AppliedTable],
    bar: &ProgressBar,
) -> Result<(), CommandError> {
    let set = work.set;
    let Some(first) = set.scripts.first().map(|script| &script.header) else {
        return Ok(());
    };
    let selected = set.scripts.iter().filter(|it| work.selected(it) > 0);
    let mut names: Vec<String> = selected.map(|it| it.header.qualified()).collect();
    // Two processes lock in the same order, so that one waits for the other.
    names.sort();
    target
        .begin(&names)
        .await
        .map_err(CommandError::NotApplied)?;
    check_names(work, target).await?;
    let lines = script_dialect(first.engine).lines();
    for line in lines.preamble {
        execute(target, line).await?;
    }
    check_structures(set, target).await?;
    for (script, deferred) in set.scripts.iter().zip(&set.deferred) {
        for line in script.header.defer_constraints(deferred) {
            execute(target, &line).await?;
        }
    }
    for (at, action) in steps(&set.deletes_last, first.direction) {
        if work.actions.contains(&action) {
            execute_action(target, &set.scripts[at], action, &mut tables[at], bar).await?;
        }
    }
    if let Some(check) = lines.check_deferred {
        execute(target, check).await?;
    }
    for (script, deferred) in set.scripts.iter().zip(&set.deferred) {
        for line in script.header.restore_constraints(deferred) {
            execute(target, &line).await?;
        }
    }
    if !work.dry_run {
        for line in set
            .scripts
            .iter()
            .flat_map(|script| script.header.advance_sequences())
        {
            execute(target, &line).await?;
        }
    }
    Ok(())
}

/// Checks the names in all scripts before the first statement is executed.
async fn check_names(work: Work<'_>, target: &mut WritableTarget) -> Result<(), CommandError> {
    let scripts = work.set.scripts.iter();
    for script in scripts.filter(|script| work.selected(script) > 0) {
        let header = &script.header;
        let sequences = if header.statements.insert > 0 {
            header.sequences.as_slice()
        } else {
            &[]
        };
        let table = (header.schema.as_str(), header.table.as_str());
        let checked = target.check_names(table, &script.names, sequences).await;
        checked.map_err(CommandError::NotApplied)?;
    }
    Ok(())
}

async fn execute(target: &mut WritableTarget, sql: &str) -> Result<(), CommandError> {
    target.execute(sql).await.map_err(CommandError::NotApplied)
}

/// The deletions, updates or insertions of one script.
async fn execute_action(
    target: &mut WritableTarget,
    script: &Script,
    action: RepairAction,
    table: &mut AppliedTable,
    bar: &ProgressBar,
) -> Result<(), CommandError> {
    if script.present.of(action) == 0 {
        return Ok(());
    }
    let identity = |on| {
        script
            .header
            .set_identity_insert(on)
            .filter(|_| action == RepairAction::Insert)
    };
    if let Some(line) = identity(true) {
        execute(target, &line).await?;
    }
    let mut statements = script.statements(action)?.peekable();
    let mut seen = 0;
    while statements.peek().is_some() {
        let (mut batch, mut executed) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        while batch.len() < BATCH
            && bytes < BATCH_BYTES
            && let Some(statement) = statements.next()
        {
            let Statement {
                sql, key, number, ..
            } = statement?;
            bytes += sql.len();
            batch.push(sql);
            executed.push((number, key));
        }
        seen += batch.len() as u64;
        let counts = target
            .change(&batch)
            .await
            .map_err(CommandError::NotApplied)?;
        let executed = executed.into_iter().zip(&batch);
        for (rows, ((number, key), sql)) in counts.into_iter().zip(executed) {
            if rows > 1 {
                return Err(CommandError::NotApplied(several_rows(script, number, rows)));
            }
            table.add(action, Executed { number, key, sql }, rows == 1);
        }
        bar.inc(batch.len() as u64);
    }
    if let Some(line) = identity(false) {
        execute(target, &line).await?;
    }
    if seen == script.present.of(action) {
        return Ok(());
    }
    Err(ScriptError::Edited(script.path.clone()).into())
}

/// Every statement of a script is guarded so that it changes one row at most.
fn several_rows(script: &Script, number: u64, rows: u64) -> Failure {
    Failure::new(
        FailureKind::QueryError,
        format!(
            "{}: statement #{number} changed {rows} rows, and each statement may change only one; write the script again with `reconcile run --generate-repair`",
            script.path.display()
        ),
    )
}
