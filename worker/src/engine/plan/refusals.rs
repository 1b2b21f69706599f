//! Comparisons that a plan allows and that are refused all the same.

use shared::failure::{Failure, FailureKind};
use shared::identity::DatabaseIdentity;

use crate::engine::plan::Plan;
use crate::engine::values::column::Table;
use crate::engine::values::pair::Pair;

/// A table that is compared with itself is equal, whatever happened to the copy that was meant.
///
/// `database`: the one that both sides are in.
pub(crate) fn refuse_same(
    tables: &Pair<Table>,
    database: &DatabaseIdentity,
) -> Result<(), Failure> {
    let Pair { source, target } = tables;
    if (&source.schema, &source.name) != (&target.schema, &target.name) {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::SameTable,
        format!(
            "source and target are the same table: {}.{} of {database}; check both endpoints, or compare it with itself with --allow-same",
            source.schema, source.name
        ),
    ))
}

/// A tolerance of a table without a key.
pub(crate) fn refuse_keyless_tolerance(plan: &Plan) -> Result<(), Failure> {
    let mut columns = plan.columns.iter();
    if plan.key_columns > 0 || !columns.any(|column| column.rule.tolerance.is_some()) {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::KeyNeeded,
        "a tolerance needs a key by which the rows of the two sides are paired; name one with --pk-columns or key = [..]".to_owned(),
    ))
}
