//! The comparison of one table, step by step: describe, plan, survey which rows
//! differ, leave out those that do not count, locate the others, repair them.

use shared::failure::{Failure, FailureKind};
use std::collections::BTreeMap;
use std::time::Instant;

use async_trait::async_trait;
use shared::endpoint::Endpoint;
use shared::endpoint_state::EndpointState;
use shared::identity::{DatabaseIdentity, contradiction};
use shared::ids::TableName;
use shared::message::{ALL_ROWS, Scope, TableSpec, Task, WorkPhase};
use shared::outcome::{CauseGroup, Checksums, Comparison, Depth, Reads, RepairPlan, RowCounts};
use shared::telemetry::trace::context;
use tracing::Span;

use crate::engine::database::session::label::Label;
use crate::engine::database::session::pool::Pools;
use crate::engine::database::spans::within;
use crate::engine::disk::Budget;
use crate::engine::locate::redact::Redactor;
use crate::engine::locate::{locate, locate_all};
use crate::engine::plan::Plan;
use crate::engine::plan::coverage::{notes as coverage_notes, structure};
use crate::engine::plan::refusals::{refuse_keyless_tolerance, refuse_same};
use crate::engine::preflight::check_endpoint;
use crate::engine::recheck::recheck;
use crate::engine::repair::repair;
use crate::engine::repair::verify::{can_verify_keys, verify};
use crate::engine::rows::differing::Differing;
use crate::engine::sides::Sides;
use crate::engine::step::{Planned, StepContext};
use crate::engine::survey::sketch::Sketch;
use crate::engine::survey::{sum_up, survey};
use crate::engine::task::{Engine, Stop, TaskContext};
use crate::engine::temporary::SpillDirectory;
use crate::engine::tolerate::{has_tolerance, leave_out_tolerated};
use crate::engine::values::column::Table;
use crate::engine::values::pair::Pair;

/// Compares tables in the databases of its endpoints.
#[derive(Debug)]
pub struct ReconcileEngine {
    pools: Pools,
    /// The most tables at once.
    concurrency: u32,
    directory: SpillDirectory,
}

impl ReconcileEngine {
    /// An engine over `endpoints` that runs at most `concurrency` tables at once.
    #[must_use]
    pub fn new(endpoints: BTreeMap<String, Endpoint>, concurrency: u32) -> Self {
        Self {
            pools: Pools::new(endpoints, concurrency),
            concurrency,
            directory: SpillDirectory::default(),
        }
    }

    /// Reads `endpoint` on its primary server only: a replica may lag behind.
    #[must_use]
    pub fn reading_primary(mut self, endpoint: &str) -> Self {
        self.pools.read_primary(endpoint);
        self
    }

    /// The same, with temporary files in `directory`.
    #[must_use]
    pub fn spilling_to(self, directory: SpillDirectory) -> Self {
        Self { directory, ..self }
    }

    /// Compares only the rows with these encoded keys, or all rows where rows
    /// cannot be looked up by these keys. Returns how many differ, and whether
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
        let (mut sides, _) = self.open(task, context).await?;
        let tables = sides.describe(&task.spec).await?;
        let planned = Planned::new(&task.spec, tables, &sides)?;
        if can_verify_keys(&planned, &task.spec, keys) {
            let counts = verify(&mut sides, &planned, &task.spec, keys).await?;
            sides.close().await?;
            return Ok((counts, false));
        }
        sides.close().await?;
        let comparison = self.reconcile(task, context).await?;
        let not_compared = || {
            Failure::new(
                FailureKind::InternalError,
                "rows were not compared".to_owned(),
            )
        };
        Ok((comparison.rows.ok_or_else(not_compared)?, true))
    }

    /// Both sides of a task, each in a transaction, and the database if it is the same on both.
    async fn open(
        &self,
        task: &Task,
        context: &TaskContext,
    ) -> Result<(Sides, Option<DatabaseIdentity>), Stop> {
        let spec = &task.spec;
        let trace = context::of(&Span::current());
        let label = Label {
            application: match trace.trace_id() {
                Some(trace) => format!("reconcile {trace} {}", fitting(&spec.source.table)),
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
        let found = [source.identity(), target.identity()].map(Clone::clone);
        if let Some(reason) = contradiction(&found, &task.databases) {
            let message = format!("the worker has connected to another database: {reason}");
            return Err(Failure::new(FailureKind::OtherDatabase, message)
                .uncounted()
                .into());
        }
        let [of_source, of_target] = found;
        let shared = of_source.is_same_database(&of_target).then_some(of_source);
        let is_redacted = spec.options.redaction.is_some();
        let sides = Sides::new(Pair { source, target }, context, is_redacted);
        Ok((sides, shared))
    }
}

#[async_trait]
impl Engine for ReconcileEngine {
    fn endpoints(&self) -> Option<Vec<String>> {
        Some(self.pools.names())
    }

    async fn databases(&self, spec: &TableSpec) -> Result<Vec<DatabaseIdentity>, Failure> {
        let (source, target) = (&spec.source.endpoint, &spec.target.endpoint);
        self.pools.databases(source, target).await
    }

    async fn probe(&self, endpoint: &str) -> Result<(), Failure> {
        self.pools.probe(endpoint).await
    }

    async fn inspect(&self, endpoint: &str) -> Result<EndpointState, Failure> {
        check_endpoint(self.pools.endpoint(endpoint)?, self.concurrency).await
    }

    fn schema(&self, endpoint: &str) -> Option<String> {
        self.pools.schema(endpoint)
    }

    async fn reconcile(&self, task: &Task, context: &TaskContext) -> Result<Comparison, Stop> {
        let Scope::WholeTable = task.scope;
        let (sides, shared) = self.open(task, context).await?;
        let budget = Budget::new(&task.spec.options.limits, self.directory.clone());
        Box::pin(compare(sides, shared, &task.spec, &budget, context)).await
    }
}

/// The random end of a run's identifier, enough to distinguish runs in a list of sessions.
fn short(run: &str) -> &str {
    &run[run.len().saturating_sub(12)..]
}

/// A table's name, without its schema if it would not fit beside a trace's
/// identifier into the 63 bytes of a PostgreSQL application name.
fn fitting(table: &TableName) -> String {
    const LONGEST: usize = 63 - "reconcile ".len() - 32 - " ".len();
    let whole = table.to_string();
    if whole.len() <= LONGEST {
        whole
    } else {
        table.name.clone()
    }
}

/// `shared`: the database, if both sides are in the same one.
async fn compare(
    mut sides: Sides,
    shared: Option<DatabaseIdentity>,
    spec: &TableSpec,
    budget: &Budget,
    context: &TaskContext,
) -> Result<Comparison, Stop> {
    let span = tracing::info_span!("describe");
    let tables = within(span, sides.describe(spec)).await?;
    if let Some(database) = shared.filter(|_| !spec.options.allow_same) {
        refuse_same(&tables, &database)?;
    }
    if let Some(rows) = expected_rows(&tables) {
        context.progress.expect(rows);
    }
    let mut notes = condition_notes(&tables);
    notes.extend(visibility_notes(&tables));
    if spec.depth == Depth::Counts {
        let coverage = structure(spec, &tables)?;
        notes.extend(coverage_notes(&coverage, &[]));
        context.progress.begin(WorkPhase::Scanning);
        let counts = sides.count(&tables).await?;
        let reads = sides.reads();
        sides.close().await?;
        return Ok(Comparison {
            source_count: counts.source,
            target_count: counts.target,
            checksums: None,
            rows: None,
            key: Vec::new(),
            notes,
            causes: Vec::new(),
            reads: Some(reads),
            repair: None,
            coverage: Some(Box::new(coverage)),
        });
    }

    let planned = Planned::new(spec, tables, &sides)?;
    notes.extend(planned.plan.notes.iter().cloned());
    let steps = Steps::of(spec, &planned.plan)?;
    notes.extend(steps.note(spec.depth));
    context.progress.begin(WorkPhase::Scanning);
    let compared = if steps.by_row {
        let mut step = StepContext {
            sides: &mut sides,
            planned: &planned,
            spec,
            budget,
            task: context,
            rows: 0,
        };
        Box::pin(compare_rows(&mut step, &steps)).await?
    } else {
        Compared {
            sums: sum_up(&mut sides, &planned).await?,
            reads: sides.reads(),
            rows: None,
            causes: Vec::new(),
            repair: None,
        }
    };
    sides.close().await?;
    notes.extend(planned.plan.zone_notes());
    let counts = compared.sums.as_ref().map(|sum| sum.count().unsigned_abs());
    let checksums = compared.sums.map(|sum| format!("{:032x}", sum.checksum()));
    Ok(Comparison {
        source_count: counts.source,
        target_count: counts.target,
        checksums: Some(Checksums {
            source: checksums.source,
            target: checksums.target,
            checksum_key: Some(planned.checksum_key),
        }),
        rows: compared.rows,
        key: planned.plan.key_names(),
        notes,
        causes: compared.causes,
        reads: Some(compared.reads),
        repair: compared.repair,
        coverage: Some(Box::new(planned.plan.coverage)),
    })
}

/// The rows of the larger side, as far as the databases estimate them; unknown if a condition
/// selects rows.
fn expected_rows(tables: &Pair<Table>) -> Option<u64> {
    let sides = [&tables.source, &tables.target];
    if sides.iter().any(|table| table.condition.is_some()) {
        return None;
    }
    let estimates = sides.into_iter().filter_map(|table| table.estimated_rows);
    estimates.max().filter(|&rows| rows > 0)
}

/// Which rows take part, where not all do.
fn condition_notes(tables: &Pair<Table>) -> Vec<String> {
    [("source", &tables.source), ("target", &tables.target)]
        .into_iter()
        .filter_map(|(side, table)| {
            let condition = table.condition.as_ref()?;
            Some(format!(
                "only rows of the {side} take part where {condition}"
            ))
        })
        .collect()
}

/// What the users of the endpoints may not see of the tables.
fn visibility_notes(tables: &Pair<Table>) -> Vec<String> {
    let sides = [("source", &tables.source), ("target", &tables.target)];
    let notes = sides.into_iter().flat_map(|(side, table)| {
        let name = format!("{}.{} of the {side}", table.schema, table.name);
        table.visibility.notes(&name)
    });
    notes.collect()
}

/// Which steps a comparison takes beyond summing up the rows.
struct Steps {
    /// The rows that differ are found.
    by_row: bool,
    /// At most so many of them are listed.
    listed: usize,
    /// All of them are listed.
    lists_all: bool,
    tolerance: bool,
    recheck: bool,
}

impl Steps {
    fn of(spec: &TableSpec, plan: &Plan) -> Result<Self, Stop> {
        let tolerance = has_tolerance(plan);
        refuse_keyless_tolerance(plan)?;
        let recheck = spec.options.recheck.times > 0;
        let lists_all = spec.depth == Depth::Rows && spec.max_differences == ALL_ROWS;
        let listed = match spec.depth {
            // They are read from disk.
            Depth::Rows if lists_all => 0,
            Depth::Rows => usize::try_from(spec.max_differences).unwrap_or(usize::MAX),
            Depth::Counts | Depth::Checksum => 0,
        };
        Ok(Self {
            by_row: spec.depth == Depth::Rows || tolerance || recheck,
            listed,
            lists_all,
            tolerance,
            recheck,
        })
    }

    /// Explains why rows are compared although only checksums were asked for.
    fn note(&self, depth: Depth) -> Option<String> {
        let why = match (self.tolerance, self.recheck) {
            (true, _) => "columns have a tolerance",
            (_, true) => "differences are rechecked",
            _ => return None,
        };
        (depth != Depth::Rows).then(|| {
            format!("rows that differ were found and counted, since {why}; they are not listed")
        })
    }
}

/// The result of reading both sides.
struct Compared {
    sums: Pair<Sketch>,
    reads: Box<Reads>,
    rows: Option<RowCounts>,
    causes: Vec<CauseGroup>,
    repair: Option<Box<RepairPlan>>,
}

/// Finds the rows that differ, leaves out those that do not count, lists the
/// others, and makes the statements that repair them.
async fn compare_rows(step: &mut StepContext<'_>, steps: &Steps) -> Result<Compared, Stop> {
    let (options, progress) = (&step.spec.options, &step.task.progress);
    let keeps_all = steps.tolerance || steps.recheck || steps.lists_all || options.repair;
    let differing = if keeps_all {
        Differing::all(steps.listed, step.budget)
    } else {
        Differing::first(steps.listed)
    };
    let surveyed = survey(step, differing).await?;
    let since = Instant::now();
    let reads = step.sides.reads();
    let (sums, mut differing) = (surveyed.sums, surveyed.differing);
    let counts = sums.as_ref().map(|sum| sum.count().unsigned_abs());
    step.rows = counts.source + counts.target;

    if steps.tolerance {
        differing = leave_out_tolerated(step, differing).await?;
    }

    let mut settled = 0;
    if steps.recheck && !differing.is_empty() {
        let before = differing.counts().total();
        progress.begin(WorkPhase::Rechecking);
        let span = tracing::info_span!("recheck", differences = before);
        differing = within(span, recheck(step, differing, since)).await?;
        settled = before.saturating_sub(differing.counts().total());
    }

    let listed = differing.listed();
    let mut causes = Vec::new();
    let redactor = Redactor::new(options, &step.planned.plan.columns);
    if !differing.is_empty() && (steps.lists_all || !listed.is_empty()) {
        progress.begin(WorkPhase::Locating);
    }
    if steps.lists_all && !differing.is_empty() {
        let span = tracing::info_span!("locate", differences = differing.counts().total());
        causes = within(span, locate_all(step, &differing, &redactor)).await?;
    } else if !listed.is_empty() {
        let span = tracing::info_span!("locate", differences = listed.len());
        causes = within(span, locate(step, listed, differing.counts(), &redactor)).await?;
    }

    let mut repaired = None;
    if options.repair && !differing.is_empty() {
        progress.begin(WorkPhase::Repairing);
        let span = tracing::info_span!("repair", differences = differing.counts().total());
        repaired = Some(Box::new(within(span, repair(step, &differing)).await?));
    }
    Ok(Compared {
        sums,
        reads,
        rows: Some(RowCounts {
            settled,
            truncated: differing.counts().truncated && !steps.lists_all,
            ..differing.counts()
        }),
        causes,
        repair: repaired,
    })
}
