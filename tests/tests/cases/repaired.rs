//! Repairs of the cases: the target is what the source is afterwards, and what
//! it was when the repair has been taken back.

use anyhow::{Context, anyhow, ensure};
use coordinator::repair::{Direction, preamble};
use shared::endpoint::Endpoint;
use shared::outcome::{Depth, Failure, RepairAction, RepairPlan};
use tests::cases::{Case, compare, compare_and_repair};
use worker::engine::apply::WritableTarget;

use super::databases::{Databases, Meeting};

pub(crate) async fn there_and_back(
    databases: &mut Databases,
    case: &Case,
    meeting: &Meeting,
) -> anyhow::Result<()> {
    let mirrored = meeting.mirrored;
    let spec = case.spec(mirrored)?;
    if spec.depth != Depth::Rows || case.expect.error.is_some() {
        return Ok(());
    }
    let mut repairing = spec.clone();
    repairing.options.repair = true;
    let target = databases.target(meeting).clone();
    let engine = databases.engine(meeting);
    let (answer, statements) = compare_and_repair(engine, repairing).await;
    case.check(&answer, mirrored)?;
    let Some(plan) = answer.ok().and_then(|(comparison, _)| comparison.repair) else {
        ensure!(statements.is_empty(), "statements without a plan");
        return Ok(());
    };
    ensure!(plan.statements == statements.len() as u64, "{plan:?}");

    let of = |action| {
        let these = statements.iter().filter(move |made| made.action == action);
        these.map(|made| made.sql.clone()).collect()
    };
    // A case that expects to be left in part may find rows as it does not expect them.
    let all = case.expect.unrepaired.is_empty();
    carry_out(&target, &plan, Direction::Repair, all, of)
        .await
        .context("the repair")?;
    let (comparison, differences) = compare(engine, spec.clone())
        .await
        .map_err(|stop| anyhow!("after the repair: {stop:?}"))?;
    for note in plan
        .notes
        .iter()
        .filter(|note| note.contains("not repaired"))
    {
        ensure!(
            case.expect
                .unrepaired
                .iter()
                .any(|words| note.contains(words)),
            "{note}: which the case does not expect"
        );
    }
    ensure!(
        comparison.is_match() || !all,
        "after the repair there are {differences:?}; statements: {statements:#?}"
    );

    let back = |action| {
        let these = statements.iter().filter(move |made| {
            action
                == match made.action {
                    RepairAction::Insert => RepairAction::Delete,
                    RepairAction::Delete => RepairAction::Insert,
                    RepairAction::Update => RepairAction::Update,
                }
        });
        these.map(|made| made.undo.clone()).collect()
    };
    carry_out(&target, &plan, Direction::Undo, all, back)
        .await
        .context("the undo")?;
    let again = compare(engine, spec).await;
    case.check(&again, mirrored).context("after the undo")
}

/// Carries statements out as `reconcile apply` does; each has to change a row,
/// unless not `all` are expected to.
async fn carry_out(
    target: &Endpoint,
    plan: &RepairPlan,
    direction: Direction,
    all: bool,
    of: impl Fn(RepairAction) -> Vec<String>,
) -> anyhow::Result<()> {
    let failed = |failure: Failure| anyhow!("{}: {}", failure.kind, failure.message);
    let mut writable = WritableTarget::open(target).await.map_err(failed)?;
    for line in preamble(plan.engine) {
        writable.execute(line).await.map_err(failed)?;
    }
    for action in [
        RepairAction::Delete,
        RepairAction::Update,
        RepairAction::Insert,
    ] {
        let statements = of(action);
        if statements.is_empty() {
            continue;
        }
        let identity = match direction {
            Direction::Repair => plan.identity_insert,
            Direction::Undo => plan.undo_identity_insert,
        };
        if identity && action == RepairAction::Insert {
            let on = format!("SET IDENTITY_INSERT [{}].[{}] ON;", plan.schema, plan.table);
            writable.execute(&on).await.map_err(failed)?;
        }
        let changed = writable
            .change(&statements)
            .await
            .map_err(failed)
            .with_context(|| statements.join("\n"))?;
        for (rows, statement) in changed.iter().zip(&statements) {
            ensure!(
                *rows == 1 || (*rows == 0 && !all),
                "{rows} rows by: {statement}"
            );
        }
    }
    writable.commit().await.map_err(failed)
}
