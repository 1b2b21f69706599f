//! The comparison of one table, step by step: describe, plan, survey which rows
//! differ, leave out those that do not count, locate the others.

use std::collections::BTreeMap;
use std::time::Instant;

use async_trait::async_trait;
use shared::endpoint::Endpoint;
use shared::ids::TableName;
use shared::message::{Scope, TableSpec, Task};
use shared::outcome::{CauseGroup, Checksums, Comparison, Depth, Reads, RepairPlan, RowCounts};
use shared::telemetry::trace::context;
use tracing::Span;

use crate::engine::database::session::label::Label;
use crate::engine::database::session::pool::Pools;
use crate::engine::database::side::OpenSide;
use crate::engine::database::spans::within;
use crate::engine::disk::Room;
use crate::engine::error::internal;
use crate::engine::locate::locate;
use crate::engine::locate::redact::Redactor;
use crate::engine::plan::{Plan, plan};
use crate::engine::recheck::recheck;
use crate::engine::repair::repair;
use crate::engine::repair::verify::{can_verify_keys, verify};
use crate::engine::rows::differing::Differing;
use crate::engine::sides::{Planned, Sides, count, describe};
use crate::engine::survey::sketch::Sketch;
use crate::engine::survey::{sum_up, survey};
use crate::engine::task::{Engine, Stop, TaskContext};
use crate::engine::tolerate::{has_tolerance, leave_out_tolerated};
use crate::engine::values::column::SideOf;

/// Compares tables in the databases of its endpoints.
#[derive(Debug)]
pub struct ReconcileEngine {
    pools: Pools,
}

impl ReconcileEngine {
    /// An engine over `endpoints` that runs at most `concurrency` tables at once.
    #[must_use]
    pub fn new(endpoints: BTreeMap<String, Endpoint>, concurrency: u32) -> Self {
        Self {
            pools: Pools::new(endpoints, concurrency),
        }
    }
}

impl ReconcileEngine {
    /// Compares only the rows with these encoded keys; where rows cannot be
    /// asked for by their keys, all rows. Says how many differ, and whether
    /// all were compared.
    ///
    /// # Errors
    ///
    /// As [`Engine::reconcile`].
    pub async fn verify(
        &self,
        task: &Task,
        keys: &[Vec<u8>],
        context: &TaskContext,
    ) -> Result<(RowCounts, bool), Stop> {
        let sides = self.open(task, context).await?;
        let (sides, source, target) = describe(sides, &task.spec).await?;
        let planned = Planned {
            plan: plan(&task.spec, &source, &target)?,
            source,
            target,
            rows: 0,
        };
        if can_verify_keys(&planned, &task.spec) {
            let (sides, counts) = verify(sides, &planned, &task.spec, keys).await?;
            sides.close().await;
            return Ok((counts, false));
        }
        sides.close().await;
        let comparison = self.reconcile(task, context).await?;
        let unknown = || {
            Stop::Failed(internal(
                "InternalError",
                "rows were not compared".to_owned(),
            ))
        };
        Ok((comparison.rows.ok_or_else(unknown)?, true))
    }

    /// Both sides of a task, each in a transaction.
    async fn open(&self, task: &Task, context: &TaskContext) -> Result<Sides, Stop> {
        let spec = &task.spec;
        let trace = context::of(&Span::current());
        let label = Label {
            application: match trace.trace_id() {
                Some(trace) => format!("reconcile {trace} {}", ending(&spec.source.table)),
                None => format!(
                    "reconcile {} {}",
                    short(&task.run.to_string()),
                    spec.source.table
                ),
            },
            statement_timeout: spec.timeout,
            read_uncommitted: spec.options.read_uncommitted,
        };
        let (source, target) = tokio::select! {
            leased = self.pools.lease(&spec.source.endpoint, &spec.target.endpoint, &label) => leased?,
            () = context.cancel.cancelled() => return Err(Stop::Cancelled),
        };
        // Either side's failure stops the other; the task's own token stays as it is.
        let stop = context.cancel.child_token();
        let side = |lease, side| {
            OpenSide::new(lease, stop.clone(), context.progress.clone(), side)
                .discreet(spec.options.redaction.is_some())
        };
        Ok(Sides {
            source: side(source, SideOf::Source),
            target: side(target, SideOf::Target),
            stop: stop.clone(),
        })
    }
}

#[async_trait]
impl Engine for ReconcileEngine {
    async fn reconcile(&self, task: &Task, context: &TaskContext) -> Result<Comparison, Stop> {
        let Scope::WholeTable = task.scope;
        let sides = self.open(task, context).await?;
        Box::pin(compare(sides, &task.spec, context)).await
    }
}

/// The random end of a run's identifier, enough to tell runs apart in a list of sessions.
fn short(run: &str) -> &str {
    &run[run.len().saturating_sub(12)..]
}

/// What fits of a table's name beside a trace's number into the 63 bytes of
/// PostgreSQL: without its schema if need be.
fn ending(table: &TableName) -> String {
    const ROOM: usize = 63 - "reconcile ".len() - 32 - " ".len();
    let whole = table.to_string();
    if whole.len() <= ROOM {
        whole
    } else {
        table.name.clone()
    }
}

async fn compare(
    sides: Sides,
    spec: &TableSpec,
    context: &TaskContext,
) -> Result<Comparison, Stop> {
    let span = tracing::info_span!("describe");
    let (sides, source, target) = within(span, describe(sides, spec)).await?;
    let mut notes: Vec<String> = [("source", &source), ("target", &target)]
        .into_iter()
        .filter_map(|(side, table)| {
            let condition = table.condition.as_ref()?;
            Some(format!(
                "only rows of the {side} take part where {condition}"
            ))
        })
        .collect();

    if spec.depth == Depth::Counts {
        let (sides, source_count, target_count) = count(sides, &source, &target).await?;
        let reads = sides.reads();
        sides.close().await;
        return Ok(Comparison {
            source_count,
            target_count,
            checksums: None,
            rows: None,
            key: Vec::new(),
            notes,
            causes: Vec::new(),
            reads: Some(reads),
            repair: None,
        });
    }

    let plan = plan(spec, &source, &target)?;
    notes.extend(plan.notes.iter().cloned());
    let key = plan.key_names();
    let mut planned = Planned {
        source,
        target,
        plan,
        rows: 0,
    };
    let looks = Looks::of(spec, &planned.plan)?;
    if let Some(note) = looks.note(spec.depth) {
        notes.push(note);
    }
    let (sides, sums, reads, found) = if looks.by_row {
        Box::pin(by_row(sides, &mut planned, spec, &looks, context)).await?
    } else {
        let (sides, source, target) = sum_up(sides, &planned).await?;
        let reads = sides.reads();
        (sides, (source, target), reads, None)
    };
    sides.close().await;
    let (rows, causes, repair) = found.map_or((None, Vec::new(), None), |found| {
        (Some(found.counts), found.causes, found.repair)
    });
    let checksum = |sum: &Sketch| format!("{:032x}", sum.checksum());
    Ok(Comparison {
        source_count: sums.0.count().unsigned_abs(),
        target_count: sums.1.count().unsigned_abs(),
        checksums: Some(Checksums {
            source: checksum(&sums.0),
            target: checksum(&sums.1),
        }),
        rows,
        key,
        notes,
        causes,
        reads: Some(reads),
        repair,
    })
}

/// What is done with rows beyond adding them up.
struct Looks {
    /// The rows that differ are found.
    by_row: bool,
    /// The first so many of them are listed.
    listed: usize,
    tolerance: bool,
    recheck: bool,
}

impl Looks {
    fn of(spec: &TableSpec, plan: &Plan) -> Result<Self, Stop> {
        let tolerance = has_tolerance(plan);
        if tolerance && plan.key_columns == 0 {
            return Err(Stop::Failed(internal(
                "KeyNeeded",
                "a tolerance needs a key, so that the two versions of a row can be told from other rows; name one with --pk-columns or key = [..]".to_owned(),
            )));
        }
        let recheck = spec.options.recheck.times > 0;
        let listed = match spec.depth {
            Depth::Rows => usize::try_from(spec.max_differences).unwrap_or(usize::MAX),
            Depth::Counts | Depth::Checksum => 0,
        };
        Ok(Self {
            by_row: spec.depth == Depth::Rows || tolerance || recheck,
            listed,
            tolerance,
            recheck,
        })
    }

    /// What the user should know about a look that goes deeper than was asked.
    fn note(&self, depth: Depth) -> Option<String> {
        let why = match (self.tolerance, self.recheck) {
            (true, _) => "columns have a tolerance",
            (_, true) => "differences are looked at again",
            _ => return None,
        };
        (depth != Depth::Rows).then(|| {
            format!("rows that differ were found and counted, since {why}; they are not listed")
        })
    }
}

/// What was found out about single rows.
struct RowsFound {
    counts: RowCounts,
    causes: Vec<CauseGroup>,
    repair: Option<Box<RepairPlan>>,
}

type ByRow = (Sides, (Sketch, Sketch), Box<Reads>, Option<RowsFound>);

/// Finds the rows that differ, leaves out those that do not count, and lists the others.
async fn by_row(
    sides: Sides,
    planned: &mut Planned,
    spec: &TableSpec,
    looks: &Looks,
    context: &TaskContext,
) -> Result<ByRow, Stop> {
    let options = &spec.options;
    let room = Room::new(&options.limits);
    let chunk = usize::try_from(spec.chunk_size)
        .unwrap_or(usize::MAX)
        .max(1);
    let keep_all = looks.tolerance || looks.recheck || options.repair;
    let differing = if keep_all {
        Differing::all(looks.listed, &room)
    } else {
        Differing::first(looks.listed)
    };
    let (mut sides, found) = survey(sides, planned, differing, &room).await?;
    let since = Instant::now();
    let reads = sides.reads();
    planned.rows = found.source.count().unsigned_abs() + found.target.count().unsigned_abs();
    let planned = &*planned;
    let mut differing = found.differing;
    if looks.tolerance {
        (sides, differing) = leave_out_tolerated(sides, planned, differing, chunk, &room).await?;
    }
    let mut settled = 0;
    if looks.recheck && !differing.is_empty() {
        let before = differing.counts().total();
        let span = tracing::info_span!("recheck", differences = before);
        let rechecked = recheck(sides, planned, differing, options.recheck, since, &room);
        (sides, differing) = within(span, rechecked).await?;
        settled = before.saturating_sub(differing.counts().total());
    }
    let listed = differing.listed();
    let mut causes = Vec::new();
    if !listed.is_empty() {
        let span = tracing::info_span!("locate", differences = listed.len());
        let redactor = Redactor::new(options, &planned.plan.columns);
        let located = locate(sides, planned, listed, chunk, &room, &redactor, context);
        (sides, causes) = within(span, located).await?;
    }
    let counts = RowCounts {
        settled,
        ..differing.counts()
    };
    let mut repaired = None;
    if options.repair && !differing.is_empty() {
        let span = tracing::info_span!("repair", differences = counts.total());
        let made = repair(sides, planned, spec, &differing, &room, context);
        let plan;
        (sides, plan) = within(span, made).await?;
        repaired = Some(Box::new(plan));
    }
    let sums = (found.source, found.target);
    let found = RowsFound {
        counts,
        causes,
        repair: repaired,
    };
    Ok((sides, sums, reads, Some(found)))
}
