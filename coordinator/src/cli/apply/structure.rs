//! Refuses scripts whose table has changed since they were written.

use shared::failure::{Failure, FailureKind};
use worker::engine::WritableTarget;

use crate::cli::exit::CommandError;
use crate::repair::{Script, ScriptSet};

/// Checks that all tables have the structure for which the scripts were written.
pub(super) async fn check_structures(
    set: &ScriptSet,
    target: &mut WritableTarget,
) -> Result<(), CommandError> {
    for Script { path, header, .. } in &set.scripts {
        let Some(before) = &header.structure else {
            continue;
        };
        let (schema, table) = (&header.schema, &header.table);
        let now = target.structure(schema, table).await;
        let changed = match now.map_err(CommandError::NotApplied)? {
            Some(now) => before.first_difference(&now),
            None => Some("the columns"),
        };
        if let Some(what) = changed {
            return Err(CommandError::NotApplied(Failure::new(
                FailureKind::TableChanged,
                format!(
                    "{}: {what} of {schema}.{table} are not as they were when the script was written, or this user may see less of them; compare again with `reconcile run --generate-repair`",
                    path.display()
                ),
            )));
        }
    }
    Ok(())
}
