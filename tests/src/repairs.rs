//! Repairs of one table, carried out as `reconcile apply` does, without files
//! in between.

use anyhow::{Context, anyhow, ensure};
use coordinator::repair::Direction;
use shared::endpoint::Endpoint;
use shared::message::TableSpec;
use shared::outcome::{Failure, RepairAction, RepairPlan, RepairStatement};
use worker::engine::ReconcileEngine;
use worker::engine::{GuardedForm, WritableTarget, script_dialect};

use crate::cases::{Answer, compare, compare_and_repair};

/// A comparison, the one after its repair, and the one after that was taken back.
#[derive(Debug)]
pub struct ThereAndBack {
    /// What differed.
    pub before: Answer,
    /// What the repair says it leaves, and why.
    pub unrepaired: Vec<String>,
    /// Statements of repair and undo that changed nothing.
    pub skipped: Vec<String>,
    /// What differs after the repair; absent where there was none.
    pub repaired: Option<Answer>,
    /// What differs after the undo; absent where there was none.
    pub undone: Option<Answer>,
    /// For messages.
    pub statements: Vec<RepairStatement>,
}

/// Compares, repairs, compares, takes back and compares again.
///
/// # Errors
///
/// When the target refuses a statement, or one changes more than a row.
pub async fn there_and_back(
    engine: &ReconcileEngine,
    target: &Endpoint,
    spec: TableSpec,
) -> anyhow::Result<ThereAndBack> {
    let mut repairing = spec.clone();
    repairing.options.repair = true;
    repairing.options.repair_keyless = true;
    let (before, statements) = compare_and_repair(engine, repairing).await;
    let plan = match &before {
        Ok((comparison, _)) => comparison.repair.as_deref().cloned(),
        Err(_) => None,
    };
    let mut way = ThereAndBack {
        before,
        unrepaired: Vec::new(),
        skipped: Vec::new(),
        repaired: None,
        undone: None,
        statements,
    };
    let Some(plan) = plan else {
        ensure!(way.statements.is_empty(), "statements without a plan");
        return Ok(way);
    };
    ensure!(
        plan.statements == way.statements.len() as u64,
        "{} statements came of {plan:?}",
        way.statements.len()
    );
    let left = plan.notes.iter();
    way.unrepaired = left
        .filter(|note| note.contains("not repaired"))
        .cloned()
        .collect();
    let skipped = carry_out(target, &plan, &way.statements, Direction::Repair);
    way.skipped = skipped.await.context("the repair")?;
    way.repaired = Some(compare(engine, spec.clone()).await);
    let skipped = carry_out(target, &plan, &way.statements, Direction::Undo);
    way.skipped.extend(skipped.await.context("the undo")?);
    way.undone = Some(compare(engine, spec).await);
    Ok(way)
}

/// Carries statements out, and says which changed nothing.
async fn carry_out(
    target: &Endpoint,
    plan: &RepairPlan,
    statements: &[RepairStatement],
    direction: Direction,
) -> anyhow::Result<Vec<String>> {
    let failed = |failure: Failure| anyhow!("{}: {}", failure.kind, failure.message);
    let form = GuardedForm::new(plan.kind, &plan.schema, &plan.table);
    for made in statements {
        for (action, sql) in [(made.action, &made.sql), (inverse(made.action), &made.undo)] {
            form.check(action, sql).with_context(|| sql.clone())?;
        }
    }
    let mut writable = WritableTarget::open(target).await.map_err(failed)?;
    let dialect = script_dialect(plan.kind);
    let table = format!(
        "{}.{}",
        dialect.quote(&plan.schema),
        dialect.quote(&plan.table)
    );
    writable.begin(&[table]).await.map_err(failed)?;
    for line in dialect.lines().preamble {
        writable.execute(line).await.map_err(failed)?;
    }
    // What was done last is taken back first.
    let (identity, made): (bool, Vec<(RepairAction, &String)>) = match direction {
        Direction::Repair => (
            plan.identity_insert,
            statements
                .iter()
                .map(|made| (made.action, &made.sql))
                .collect(),
        ),
        Direction::Undo => (
            plan.undo_identity_insert.unwrap_or(plan.identity_insert),
            statements
                .iter()
                .rev()
                .map(|made| (inverse(made.action), &made.undo))
                .collect(),
        ),
    };
    let mut skipped = Vec::new();
    for action in [
        RepairAction::Delete,
        RepairAction::Update,
        RepairAction::Insert,
    ] {
        let batch: Vec<String> = made
            .iter()
            .filter(|(kind, _)| *kind == action)
            .map(|(_, sql)| (*sql).clone())
            .collect();
        if batch.is_empty() {
            continue;
        }
        if identity && action == RepairAction::Insert {
            let on = format!("SET IDENTITY_INSERT [{}].[{}] ON;", plan.schema, plan.table);
            writable.execute(&on).await.map_err(failed)?;
        }
        let changed = writable
            .change(&batch)
            .await
            .map_err(failed)
            .with_context(|| batch.join("\n"))?;
        for (rows, sql) in changed.iter().zip(batch) {
            ensure!(*rows <= 1, "{rows} rows by: {sql}");
            if *rows == 0 {
                skipped.push(sql);
            }
        }
    }
    let committed = writable.commit().await;
    committed.map_err(|error| anyhow!("{error:?}"))?;
    Ok(skipped)
}

fn inverse(action: RepairAction) -> RepairAction {
    match action {
        RepairAction::Insert => RepairAction::Delete,
        RepairAction::Delete => RepairAction::Insert,
        RepairAction::Update => RepairAction::Update,
    }
}
