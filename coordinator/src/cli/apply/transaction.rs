//! Executes the statements of all scripts in one transaction of the target.

use shared::endpoint::Endpoint;
use shared::outcome::RepairAction;
use worker::engine::{CommitError, WritableTarget, script_dialect};

use super::outcome::AppliedTable;
use crate::cli::exit::CommandError;
use crate::repair::{Header, Script, ScriptError, ScriptSet, Statement, steps};
use crate::store::database_identity;

const BATCH: usize = 200;

/// The most bytes of statements in one batch, exceeded by at most one statement.
const BATCH_BYTES: usize = 1 << 20;

/// Executes all scripts in one transaction. The second part of the result tells whether the
/// undo scripts, which are rewritten to revert only what took effect, could be renamed.
pub(super) async fn execute_scripts(
    set: &ScriptSet,
    endpoint: &Endpoint,
    dry_run: bool,
) -> Result<(Vec<AppliedTable>, Result<(), CommandError>), CommandError> {
    let mut tables: Vec<AppliedTable> = set
        .scripts
        .iter()
        .map(|script| AppliedTable {
            table: format!("{}.{}", script.header.schema, script.header.table),
            file: script.path.display().to_string(),
            ..AppliedTable::default()
        })
        .collect();
    let statements = |script: &Script| script.header.statements.total();
    if set.scripts.iter().map(statements).sum::<u64>() == 0 {
        return Ok((tables, Ok(())));
    }
    let mut target = WritableTarget::open(endpoint)
        .await
        .map_err(CommandError::NotApplied)?;
    // After an error the connection is dropped, and the database rolls back.
    change(set, &mut target, &mut tables, dry_run).await?;
    if dry_run {
        target.roll_back().await.map_err(CommandError::NotApplied)?;
        return Ok((tables, Ok(())));
    }
    let database = database_identity(endpoint);
    let mut renewed = Vec::new();
    for (script, table) in set.scripts.iter().zip(&tables) {
        let undo = script.renew_undo(&table.effects, &database);
        renewed.extend(undo.map_err(CommandError::NotUndoable)?);
    }
    match target.commit().await {
        Ok(()) => {}
        Err(CommitError::Refused(failure)) => return Err(CommandError::NotApplied(failure)),
        Err(CommitError::Unanswered(failure)) => {
            for undo in renewed {
                // This never fails on Unix.
                undo.keep().ok();
            }
            return Err(CommandError::Unanswered(failure));
        }
    }
    let mut renamed = Ok(());
    for undo in renewed {
        let unwritable = ScriptError::unwritable(undo.path());
        renamed = renamed.and(undo.commit().map_err(unwritable));
    }
    Ok((tables, renamed.map_err(CommandError::UndoNotRenamed)))
}

/// The statements of the transaction, without the commit.
async fn change(
    set: &ScriptSet,
    target: &mut WritableTarget,
    tables: &mut [AppliedTable],
    dry_run: bool,
) -> Result<(), CommandError> {
    let Some(Header {
        engine, direction, ..
    }) = set.scripts.first().map(|script| &script.header)
    else {
        return Ok(());
    };
    let lines = script_dialect(*engine).lines();
    for line in lines.preamble {
        execute(target, line).await?;
    }
    for (script, deferred) in set.scripts.iter().zip(&set.deferred) {
        for line in script.header.defer_constraints(deferred) {
            execute(target, &line).await?;
        }
    }
    for (at, action) in steps(&set.deletes_last, *direction) {
        execute_action(target, &set.scripts[at], action, &mut tables[at]).await?;
    }
    if let Some(check) = lines.check_deferred {
        execute(target, check).await?;
    }
    for (script, deferred) in set.scripts.iter().zip(&set.deferred) {
        for line in script.header.restore_constraints(deferred) {
            execute(target, &line).await?;
        }
    }
    if !dry_run {
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

async fn execute(target: &mut WritableTarget, sql: &str) -> Result<(), CommandError> {
    target.execute(sql).await.map_err(CommandError::NotApplied)
}

/// The deletions, updates or insertions of one script.
async fn execute_action(
    target: &mut WritableTarget,
    script: &Script,
    action: RepairAction,
    table: &mut AppliedTable,
) -> Result<(), CommandError> {
    if script.header.statements.of(action) == 0 {
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
        let (mut batch, mut numbers) = (Vec::new(), Vec::new());
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
            numbers.push(number);
            table.keys.push(key);
        }
        seen += batch.len() as u64;
        let counts = target
            .change(&batch)
            .await
            .map_err(CommandError::NotApplied)?;
        for (rows, number) in counts.into_iter().zip(numbers) {
            if rows == 0 {
                table.skipped.add(action, 1);
            } else {
                table.applied.add(action, 1);
                table.effects.add(action, number);
            }
        }
    }
    if let Some(line) = identity(false) {
        execute(target, &line).await?;
    }
    if seen == script.header.statements.of(action) {
        return Ok(());
    }
    Err(ScriptError::Edited(script.path.clone()).into())
}
