//! The comparison of one table, step by step: describe, scan, sketch, subtract
//! and decode or compare exactly, locate.

use std::collections::BTreeMap;

use async_trait::async_trait;
use shared::endpoint::Endpoint;
use shared::ids::TableName;
use shared::message::{Scope, TableSpec, Task};
use shared::outcome::{Checksums, Comparison, Depth, RowCounts};
use shared::telemetry::trace::context;
use tokio_util::sync::CancellationToken;
use tracing::Span;
use tracing::field::Empty;

use super::column::Table;
use super::difference::{DifferenceList, RowDifference, pair};
use super::error::DatabaseError;
use super::locate::locate;
use super::plan::{Plan, plan};
use super::repair::repair;
use super::repair::verify::{can_verify_keys, verify};
use super::scan::statement::SideOf;
use super::session::Label;
use super::session::pool::Pools;
use super::side::{OpenSide, both, internal};
use super::sinks::{SketchSink, SpillSink};
use super::sketch::Sketch;
use super::spans::within;
use super::spill;
use super::{Engine, Stop, TaskContext};

/// Cells of a sketch: 12,000 differences decode, and 768 KiB a side stay in a core's cache.
const CELLS: usize = 16 * 1024;

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
        };
        let (source, target) = tokio::select! {
            leased = self.pools.lease(&spec.source.endpoint, &spec.target.endpoint, &label) => leased?,
            () = context.cancel.cancelled() => return Err(Stop::Cancelled),
        };
        // Either side's failure stops the other; the task's own token stays as it is.
        let stop = context.cancel.child_token();
        let side = |lease, side| OpenSide::new(lease, stop.clone(), context.progress.clone(), side);
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

/// The two sides of a running comparison.
pub(super) struct Sides {
    pub(super) source: OpenSide,
    pub(super) target: OpenSide,
    pub(super) stop: CancellationToken,
}

impl Sides {
    async fn close(self) {
        tokio::join!(self.source.close(), self.target.close());
    }
}

/// The tables and what is compared of them.
pub(super) struct Planned {
    pub(super) source: Table,
    pub(super) target: Table,
    pub(super) plan: Plan,
}

async fn compare(
    sides: Sides,
    spec: &TableSpec,
    context: &TaskContext,
) -> Result<Comparison, Stop> {
    let isolation = (sides.source.isolation(), sides.target.isolation());
    let span = tracing::info_span!("describe");
    let (sides, source, target) = within(span, describe(sides, spec)).await?;
    let mut notes = vec![format!(
        "read: source {}, target {}",
        isolation.0, isolation.1
    )];

    if spec.depth == Depth::Counts {
        let (sides, source_count, target_count) = count(sides, source, target).await?;
        sides.close().await;
        return Ok(Comparison {
            source_count,
            target_count,
            checksums: None,
            rows: None,
            key: Vec::new(),
            notes,
            causes: Vec::new(),
            reads: None,
            repair: None,
        });
    }

    let plan = plan(spec, &source, &target)?;
    notes.extend(plan.notes.iter().cloned());
    let key = plan.key_names();
    let planned = Planned {
        source,
        target,
        plan,
    };

    let cells = if spec.depth == Depth::Rows { CELLS } else { 0 };
    let (mut sides, mut source_sum, mut target_sum) = sketch(sides, &planned, cells).await?;
    let mut rows = None;
    let mut repaired = None;
    if spec.depth == Depth::Rows {
        let equal = source_sum.count() == target_sum.count()
            && source_sum.checksum() == target_sum.checksum();
        let mut list =
            DifferenceList::new(usize::try_from(spec.max_differences).unwrap_or(usize::MAX));
        if !equal {
            let mut difference = source_sum.clone();
            difference.subtract(&target_sum);
            let decoding = tracing::info_span!("decode", exact = false, decoded = Empty);
            let decoded = decoding.in_scope(|| difference.decode());
            decoding.record("decoded", decoded.is_some());
            drop(decoding);
            match decoded {
                Some(mut decoded) => pair(&mut decoded.source, &mut decoded.target, &mut list),
                None => {
                    let exact;
                    (sides, exact) =
                        compare_exactly(sides, &planned, &source_sum, &target_sum, list).await?;
                    (list, source_sum, target_sum) = exact;
                }
            }
        }
        let (counts, differences) = list.finish();
        check_arithmetic(&source_sum, &target_sum, &counts, &differences)?;
        let to_repair = if spec.options.repair {
            differences.clone()
        } else {
            Vec::new()
        };
        if !differences.is_empty() {
            let span = tracing::info_span!("locate", differences = differences.len());
            let located = locate(sides, &planned, spec, differences, context);
            sides = within(span, located).await?;
        }
        if !to_repair.is_empty() {
            let span = tracing::info_span!("repair", differences = to_repair.len());
            let made = repair(sides, &planned, spec, to_repair, context);
            let plan;
            (sides, plan) = within(span, made).await?;
            repaired = Some(Box::new(plan));
        }
        rows = Some(counts);
    }
    sides.close().await;
    let checksum = |sum: &Sketch| format!("{:032x}", sum.checksum());
    Ok(Comparison {
        source_count: source_sum.count().unsigned_abs(),
        target_count: target_sum.count().unsigned_abs(),
        checksums: Some(Checksums {
            source: checksum(&source_sum),
            target: checksum(&target_sum),
        }),
        rows,
        key,
        notes,
        causes: Vec::new(),
        reads: None,
        repair: repaired,
    })
}

async fn describe(sides: Sides, spec: &TableSpec) -> Result<(Sides, Table, Table), Stop> {
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let (left, right) = (spec.source.table.clone(), spec.target.table.clone());
    let described = both(
        async move { source.describe(&left).await },
        async move { target.describe(&right).await },
        &stop,
    );
    let ((source, left), (target, right)) = described.await?;
    Ok((
        Sides {
            source,
            target,
            stop,
        },
        left,
        right,
    ))
}

async fn count(sides: Sides, left: Table, right: Table) -> Result<(Sides, u64, u64), Stop> {
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let counted = both(
        async move { source.count(&left).await },
        async move { target.count(&right).await },
        &stop,
    );
    let ((source, left), (target, right)) = counted.await?;
    Ok((
        Sides {
            source,
            target,
            stop,
        },
        left,
        right,
    ))
}

async fn sketch(
    sides: Sides,
    planned: &Planned,
    cells: usize,
) -> Result<(Sides, Sketch, Sketch), Stop> {
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let form = planned.plan.key_form;
    let left = source.statements(&planned.source, &planned.plan).scan();
    let right = target.statements(&planned.target, &planned.plan).scan();
    let scanned = both(
        async move { source.scan(&left, SketchSink::new(form, cells)).await },
        async move { target.scan(&right, SketchSink::new(form, cells)).await },
        &stop,
    );
    let ((source, left), (target, right)) = scanned.await?;
    Ok((
        Sides {
            source,
            target,
            stop,
        },
        left.into_sketch(),
        right.into_sketch(),
    ))
}

/// Reads both sides once more, writes their elements to disk and compares
/// these. Returns the differences, and the sums of what was read this time.
async fn compare_exactly(
    sides: Sides,
    planned: &Planned,
    source_sum: &Sketch,
    target_sum: &Sketch,
    mut list: DifferenceList,
) -> Result<(Sides, (DifferenceList, Sketch, Sketch)), Stop> {
    let Sides {
        source,
        target,
        stop,
    } = sides;
    let rows = source_sum.count().unsigned_abs() + target_sum.count().unsigned_abs();
    let partitions = spill::partitions_for(rows);
    tracing::debug!(
        rows,
        partitions,
        "more rows differ than the sketch can hold: comparing exactly"
    );
    let form = planned.plan.key_form;
    let disk = |error| {
        Stop::Failed(internal(
            "DiskError",
            DatabaseError::Disk { error }.to_string(),
        ))
    };
    let (left_sink, right_sink) = (
        SpillSink::new(form, partitions).map_err(disk)?,
        SpillSink::new(form, partitions).map_err(disk)?,
    );
    let left = source.statements(&planned.source, &planned.plan).scan();
    let right = target.statements(&planned.target, &planned.plan).scan();
    let scanned = both(
        async move { source.scan(&left, left_sink).await },
        async move { target.scan(&right, right_sink).await },
        &stop,
    );
    let ((source, left), (target, right)) = scanned.await?;
    let ((mut left, left_sum), (mut right, right_sum)) = (left.into_parts(), right.into_parts());
    let decoding = tracing::info_span!("decode", exact = true, rows, decoded = true);
    let compared = tokio::task::spawn_blocking(move || {
        decoding
            .in_scope(|| spill::compare(&mut left, &mut right, &mut list))
            .map(|()| list)
    })
    .await;
    let list = match compared {
        Ok(list) => list.map_err(disk)?,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    Ok((
        Sides {
            source,
            target,
            stop,
        },
        (list, left_sum, right_sum),
    ))
}

/// The last fence before an answer: whatever way the differences were found,
/// they must account for the difference of the counts, for the inequality of
/// the checksums and, when all of them are listed, for the checksums' exact
/// difference.
fn check_arithmetic(
    source: &Sketch,
    target: &Sketch,
    counts: &RowCounts,
    listed: &[RowDifference],
) -> Result<(), Stop> {
    let surplus = i128::from(counts.missing) - i128::from(counts.extra);
    let mut holds = surplus == i128::from(source.count()) - i128::from(target.count());
    holds &= (counts.total() == 0)
        == (source.count() == target.count() && source.checksum() == target.checksum());
    if !counts.truncated {
        let sum = listed.iter().fold(0_u128, |sum, difference| {
            sum.wrapping_add(difference.source.unwrap_or(0))
                .wrapping_sub(difference.target.unwrap_or(0))
        });
        holds &= sum == source.checksum().wrapping_sub(target.checksum());
    }
    if holds {
        return Ok(());
    }
    Err(Stop::Failed(internal(
        "InternalError",
        format!(
            "the differences found ({} missing, {} extra, {} modified) do not account for {} rows on the source and {} on the target; the result is withheld, please report this",
            counts.missing,
            counts.extra,
            counts.modified,
            source.count(),
            target.count()
        ),
    )))
}
