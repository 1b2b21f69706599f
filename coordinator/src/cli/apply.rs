//! `reconcile apply`: carries repair scripts out in the target, in one
//! transaction, and compares the rows that they touched again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;
use shared::config::Config;
use shared::endpoint::{DatabaseKind, Endpoint};
use shared::ids::{Attempt, RunId, TableId};
use shared::message::{Scope, Task};
use shared::options::TableOptions;
use shared::outcome::{Depth, Failure, RepairAction, RowCounts};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use worker::engine::{CommitError, WritableTarget};
use worker::engine::{Progress, ReconcileEngine, Stop, TaskContext};

use super::exit::{self, CommandError};
use super::flags::{ApplyFlags, ListFormat};
use super::settings;
use super::usage::UsageError;
use crate::repair::{
    Direction, Effects, Header, Numbers, RenewedUndo, Script, ScriptError, ScriptSet, Statement,
    preamble, steps,
};
use crate::report::write_stdout;
use crate::store::database_of;

/// Statements that go to the database together.
const BATCH: usize = 200;

/// Bytes of statements that go to the database together.
const BATCH_BYTES: usize = 1 << 20;

/// What became of the scripts.
#[derive(Debug, Serialize)]
struct Applied {
    direction: Direction,
    dry_run: bool,
    tables: Vec<AppliedTable>,
    /// PASS: all rows that were touched are equal; absent where they were not compared.
    verification: Option<&'static str>,
}

/// What became of one script.
#[derive(Debug, Serialize)]
struct AppliedTable {
    table: String,
    file: String,
    applied: Numbers,
    /// Statements whose rows were not as they had been seen.
    skipped: Numbers,
    verified: Option<Verified>,
    #[serde(skip)]
    keys: Vec<String>,
    #[serde(skip)]
    effects: Effects,
}

/// How the rows compare afterwards.
#[derive(Debug, Serialize)]
struct Verified {
    /// Rows that were looked at; absent when all of the table were.
    rows: Option<usize>,
    missing: u64,
    extra: u64,
    modified: u64,
}

impl Verified {
    fn differing(&self) -> u64 {
        self.missing + self.extra + self.modified
    }
}

pub(super) async fn apply(flags: ApplyFlags, config: Config) -> Result<u8, CommandError> {
    let set = ScriptSet::open(&flags.files, flags.undo, flags.assume_applied)?;
    let Some(first) = set.scripts.first() else {
        write_stdout("there is nothing to apply\n")?;
        return Ok(exit::EQUAL);
    };
    let direction = first.header.direction;
    // What takes a repair back makes the target differ: there is nothing to verify.
    let verify = !flags.no_verify && !flags.dry_run && direction == Direction::Repair;
    let target = endpoint(
        "target",
        &flags.target,
        &flags.target_url,
        &first.header.spec.target.endpoint,
        &config,
    )?;
    check_target(&set, &target, &flags)?;
    let source = if verify {
        Some(endpoint(
            "source",
            &flags.source,
            &flags.source_url,
            &first.header.spec.source.endpoint,
            &config,
        )?)
    } else {
        None
    };
    check_undo(&set, &target)?;

    let (tables, in_place) = carry_out(&set, &target, flags.dry_run).await?;
    let mut applied = Applied {
        direction,
        dry_run: flags.dry_run,
        tables,
        verification: None,
    };
    let mut verified = Ok(());
    if let Some(source) = source {
        verified = verify_all(&set, &mut applied.tables, source, target).await;
    }
    if verify && verified.is_ok() {
        let equal = applied
            .tables
            .iter()
            .all(|table| table.verified.as_ref().is_none_or(|v| v.differing() == 0));
        applied.verification = Some(if equal { "PASS" } else { "FAIL" });
    }
    // Whatever could not be done afterwards, it is said what was done.
    let shown = write_stdout(&match flags.format {
        ListFormat::Console => render(&applied),
        ListFormat::Json => {
            let text = serde_json::to_string_pretty(&applied);
            format!("{}\n", text.expect("it has text keys"))
        }
    });
    in_place?;
    verified?;
    match shown {
        Err(error) if flags.dry_run => return Err(error.into()),
        shown => shown.map_err(CommandError::NotShown)?,
    }
    let skipped = applied.tables.iter().any(|table| table.skipped.total() > 0);
    Ok(if skipped || applied.verification == Some("FAIL") {
        exit::DIFFERENT
    } else {
        exit::EQUAL
    })
}

/// Statements go to the database that they were made for, unless another is named.
fn check_target(set: &ScriptSet, target: &Endpoint, flags: &ApplyFlags) -> Result<(), UsageError> {
    let named = flags.target.is_some() || flags.target_url.is_some();
    let now = database_of(target);
    for Script { path, header } in &set.scripts {
        if header.engine != target.engine {
            return Err(UsageError::OtherDialect {
                file: path.clone(),
                wanted: header.engine,
                found: target.engine,
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

/// What takes back fits, or is not there at all, which is rarely meant.
fn check_undo(set: &ScriptSet, target: &Endpoint) -> Result<(), ScriptError> {
    let database = database_of(target);
    for script in &set.scripts {
        let is_repair = script.header.direction == Direction::Repair;
        if script.undo(&database)?.is_none() && is_repair {
            tracing::warn!(
                "{} has no .undo.sql beside it: it cannot be taken back",
                script.path.display()
            );
        }
    }
    Ok(())
}

/// The endpoint that is named, or else the one that the run had.
fn endpoint(
    side: &'static str,
    name: &Option<String>,
    url: &Option<String>,
    of_run: &str,
    config: &Config,
) -> Result<Endpoint, UsageError> {
    let name = name.clone().or_else(|| Some(of_run.to_owned()));
    let unknown = |error| match error {
        UsageError::UnknownEndpoint { name, .. } if name == of_run => UsageError::ScriptEndpoint {
            side,
            name: of_run.to_owned(),
        },
        other => other,
    };
    settings::side(side, &name, url, false, config)
        .map_err(unknown)?
        .endpoint
        .ok_or_else(|| UsageError::ScriptEndpoint {
            side,
            name: of_run.to_owned(),
        })
}

/// All scripts, in one transaction. Beside what was done it is told whether
/// what takes it back is in its place.
async fn carry_out(
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
            applied: Numbers::default(),
            skipped: Numbers::default(),
            verified: None,
            keys: Vec::new(),
            effects: Effects::default(),
        })
        .collect();
    let statements = |script: &Script| script.header.statements.total();
    if set.scripts.iter().map(statements).sum::<u64>() == 0 {
        return Ok((tables, Ok(())));
    }
    let mut target = WritableTarget::open(endpoint)
        .await
        .map_err(CommandError::NotApplied)?;
    // After an error the connection is dropped, and with it what was done.
    change(set, &mut target, &mut tables, dry_run).await?;
    if dry_run {
        target.roll_back().await.map_err(CommandError::NotApplied)?;
        return Ok((tables, Ok(())));
    }
    let database = database_of(endpoint);
    let mut renewed = Vec::new();
    for (script, table) in set.scripts.iter().zip(&tables) {
        let undo = script.renew_undo(&table.effects, &database);
        renewed.extend(undo.map_err(CommandError::NotUndoable)?);
    }
    match target.commit().await {
        Ok(()) => {}
        Err(CommitError::Refused(failure)) => return Err(CommandError::NotApplied(failure)),
        Err(CommitError::Unanswered(failure)) => {
            renewed.into_iter().for_each(RenewedUndo::leave_undecided);
            return Err(CommandError::Unanswered(failure));
        }
    }
    let mut in_place = Ok(());
    for undo in renewed {
        in_place = in_place.and(undo.confirm());
    }
    Ok((tables, in_place.map_err(CommandError::NotInPlace)))
}

/// What the transaction does.
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
    for line in preamble(*engine) {
        execute(target, line).await?;
    }
    for (script, deferred) in set.scripts.iter().zip(&set.deferred) {
        for line in script.header.put_off(deferred) {
            execute(target, &line).await?;
        }
    }
    for (at, action) in steps(set.scripts.len(), *direction) {
        section(target, &set.scripts[at], action, &mut tables[at]).await?;
    }
    if *engine == DatabaseKind::Postgres {
        execute(target, "SET CONSTRAINTS ALL IMMEDIATE;").await?;
    }
    for (script, deferred) in set.scripts.iter().zip(&set.deferred) {
        for line in script.header.check(deferred) {
            execute(target, &line).await?;
        }
    }
    if !dry_run {
        for line in set
            .scripts
            .iter()
            .flat_map(|script| script.header.advance())
        {
            execute(target, &line).await?;
        }
    }
    Ok(())
}

async fn execute(target: &mut WritableTarget, sql: &str) -> Result<(), CommandError> {
    target.execute(sql).await.map_err(CommandError::NotApplied)
}

/// The statements of one kind of one script.
async fn section(
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
            .identity(on)
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
        let counts = target
            .change(&batch)
            .await
            .map_err(CommandError::NotApplied)?;
        for (rows, number) in counts.into_iter().zip(numbers) {
            seen += 1;
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
    Err(ScriptError::Edited {
        path: script.path.clone(),
    }
    .into())
}

/// Compares what was touched.
async fn verify_all(
    set: &ScriptSet,
    tables: &mut [AppliedTable],
    source: Endpoint,
    target: Endpoint,
) -> Result<(), CommandError> {
    // What a run called its endpoints is what its specifications call them.
    let mut endpoints = BTreeMap::new();
    for script in &set.scripts {
        let spec = &script.header.spec;
        endpoints.insert(spec.source.endpoint.clone(), source.clone());
        endpoints.insert(spec.target.endpoint.clone(), target.clone());
    }
    let engine = ReconcileEngine::new(endpoints, 1);
    for (at, (script, table)) in set.scripts.iter().zip(tables).enumerate() {
        let mut spec = script.header.spec.clone();
        spec.depth = Depth::Rows;
        spec.max_differences = 0;
        spec.options = TableOptions {
            repair: false,
            redaction: None,
            ..spec.options
        };
        let task = Task {
            run: RunId::generate(),
            table: TableId(u32::try_from(at).unwrap_or(u32::MAX)),
            attempt: Attempt::FIRST,
            scope: Scope::WholeTable,
            spec,
        };
        let (findings, mut nobody) = mpsc::channel(1);
        let context = TaskContext {
            cancel: CancellationToken::new(),
            progress: Arc::new(Progress::default()),
            findings,
        };
        let mut keys: Vec<Vec<u8>> = table
            .keys
            .iter()
            .filter_map(|key| hex::decode(key).ok())
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let drained = async { while nobody.recv().await.is_some() {} };
        let verified = async {
            let verified = engine.verify(&task, &keys, &context).await;
            drop(context);
            verified
        };
        let (verified, ()) = tokio::join!(verified, drained);
        let (counts, all) = verified.map_err(|stop| match stop {
            Stop::Failed(failure) => CommandError::NotVerified(failure),
            Stop::Cancelled => CommandError::NotVerified(Failure {
                kind: "CancelledError".to_owned(),
                message: "it was stopped".to_owned(),
                retryable: true,
                counts_against_budget: true,
            }),
        })?;
        let RowCounts {
            missing,
            extra,
            modified,
            ..
        } = counts;
        table.verified = Some(Verified {
            rows: (!all).then_some(keys.len()),
            missing,
            extra,
            modified,
        });
    }
    Ok(())
}

fn render(applied: &Applied) -> String {
    let mut text = String::new();
    for table in &applied.tables {
        let Numbers {
            delete,
            update,
            insert,
        } = table.applied;
        let would = if applied.dry_run { "would be " } else { "" };
        let mut line = format!(
            "{}: {delete} rows {would}deleted, {update} changed, {insert} added",
            table.table
        );
        let skipped = table.skipped;
        if table.applied.total() + skipped.total() == 0 {
            line = format!("{}: there is nothing to take back", table.table);
        }
        if skipped.total() > 0 {
            // Writing to memory cannot fail.
            write!(
                line,
                "; skipped, because they have changed since or others hang on them: {} deletions, {} changes, {} additions",
                skipped.delete, skipped.update, skipped.insert
            )
            .ok();
        }
        if let Some(verified) = &table.verified {
            let what = match verified.rows {
                Some(rows) => format!("{rows} rows"),
                None => "the whole table".to_owned(),
            };
            if verified.differing() == 0 {
                write!(line, "; compared {what} again: equal").ok();
            } else {
                write!(
                    line,
                    "; compared {what} again: {} missing, {} extra, {} modified",
                    verified.missing, verified.extra, verified.modified
                )
                .ok();
            }
        }
        text.push_str(&line);
        text.push('\n');
    }
    if applied.dry_run {
        text.push_str("nothing was changed: this was a dry run\n");
    }
    if let Some(word) = applied.verification {
        text.push_str(word);
        text.push('\n');
    }
    text
}
