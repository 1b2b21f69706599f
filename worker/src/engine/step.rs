//! What the steps of one comparison share.

use shared::hash_key::HashKey;
use shared::message::TableSpec;
use shared::outcome::Failure;

use crate::engine::database::kinds::database;
use crate::engine::database::scan::ValueLimits;
use crate::engine::database::statement::SideStatements;
use crate::engine::disk::Budget;
use crate::engine::plan::{Plan, plan};
use crate::engine::rows::hash::RowHasher;
use crate::engine::sides::Sides;
use crate::engine::task::{Stop, TaskContext};
use crate::engine::values::column::{SideOf, Table};
use crate::engine::values::pair::Pair;

#[derive(Debug)]
pub(crate) struct StepContext<'a> {
    pub(crate) sides: &'a mut Sides,
    pub(crate) planned: &'a Planned,
    pub(crate) spec: &'a TableSpec,
    pub(crate) budget: &'a Budget,
    pub(crate) task: &'a TaskContext,
    /// Rows of both sides together that the survey has read.
    pub(crate) rows: u64,
}

/// The most rows of a table that are read by their keys at once.
pub(crate) fn chunk_size(spec: &TableSpec) -> usize {
    usize::try_from(spec.chunk_size)
        .unwrap_or(usize::MAX)
        .max(1)
}

/// The tables, what is compared of them, and how they are read.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) tables: Pair<Table>,
    pub(crate) plan: Plan,
    pub(crate) hasher: RowHasher,
    /// The fingerprint of the key under which the rows are hashed.
    pub(crate) checksum_key: String,
    pub(crate) statements: Pair<SideStatements>,
}

impl Planned {
    pub(crate) fn new(
        spec: &TableSpec,
        tables: Pair<Table>,
        sides: &Sides,
    ) -> Result<Self, Failure> {
        let plan = plan(spec, &tables)?;
        // Without a key of the run, checksums can be compared within the table only.
        let key = spec.options.hash_key.clone();
        let key = key.unwrap_or_else(HashKey::generate);
        let hasher = RowHasher::new(plan.key_form, &key);
        let (kinds, limits) = (sides.kinds(), ValueLimits::new(&spec.options.limits));
        let statements = Pair::of(|side| {
            SideStatements::new(database(kinds[side]), &tables[side], &plan, side, limits)
        });
        Ok(Self {
            tables,
            plan,
            hasher,
            checksum_key: key.fingerprint(),
            statements,
        })
    }

    /// Whether the database guarantees that no two rows of a side share a key.
    pub(crate) fn is_unique_on(&self, side: SideOf) -> bool {
        let key = &self.plan.columns[..self.plan.key_columns];
        self.tables[side].keys.iter().any(|declared| {
            declared
                .iter()
                .all(|name| key.iter().any(|pair| pair.on(side).name == *name))
        })
    }

    /// Whether both databases guarantee that.
    pub(crate) fn is_unique(&self) -> bool {
        self.is_unique_on(SideOf::Source) && self.is_unique_on(SideOf::Target)
    }
}

/// Runs a long computation on a thread that may block. Its panic is one of the
/// comparison.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Stop> + Send + 'static,
) -> Result<T, Stop> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
