//! Two tables of a run that are compared with one table of the target.

use shared::failure::{Failure, FailureKind};
use shared::ids::TableId;
use shared::message::TableSpec;
use shared::outcome::Comparison;

use super::{RunState, Verdict, table_ids};

/// Whether two tables may have the same target: each is compared with its own part of it.
pub(crate) fn are_parts(one: &TableSpec, other: &TableSpec) -> bool {
    let condition = |spec: &TableSpec| spec.options.filters.target.clone();
    match (condition(one), condition(other)) {
        (Some(one), Some(other)) => one != other,
        _ => false,
    }
}

impl RunState {
    /// Refuses a result whose target was compared with another table of the run: the worker has
    /// resolved both names to one table.
    pub(super) fn check_target(&self, id: TableId, comparison: &Comparison) -> Result<(), Failure> {
        let Some(coverage) = &comparison.coverage else {
            return Ok(());
        };
        let spec = self.spec(id);
        let mut ended = table_ids()
            .zip(&self.tables)
            .filter(|(other, _)| *other != id);
        let other = ended.find_map(|(_, table)| match &table.record()?.verdict {
            Verdict::Compared { comparison, .. } => {
                let other = comparison.coverage.as_ref()?;
                let is_shared = other.target_table == coverage.target_table
                    && !are_parts(&table.planned.spec, spec);
                is_shared.then_some(&table.planned.spec)
            }
            _ => None,
        });
        match other {
            None => Ok(()),
            Some(other) => Err(Failure::new(
                FailureKind::SharedTarget,
                format!(
                    "{} and {} of the source are both compared with {} of the target; name another target for one of them, as in source=target, or leave one out with --exclude",
                    other.source.table, spec.source.table, coverage.target_table
                ),
            )),
        }
    }
}
