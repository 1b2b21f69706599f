//! Begins a transaction with a table, so that what its description says holds until
//! the transaction ends.

use shared::endpoint::Endpoint;
use shared::failure::{Failure, FailureKind};
use shared::ids::TableName;
use shared::naming::Naming;

use crate::engine::database::catalog;
use crate::engine::database::session::Held;
use crate::engine::database::session::pool::SessionLease;
use crate::engine::error::advice;
use crate::engine::values::column::Table;

/// How often a transaction begins, until the table does not change meanwhile.
const ATTEMPTS: u32 = 8;

/// Describes the table that a task names. The transaction must not have read anything.
pub(crate) async fn describe(
    lease: &mut SessionLease,
    endpoint: &Endpoint,
    name: &TableName,
    naming: Naming,
) -> Result<Table, Failure> {
    let table = find(lease, endpoint, name, naming).await?;
    refuse_filtered(endpoint, &table)?;
    Ok(table)
}

/// Fails if a policy may hide rows from the endpoint's user: what is left is not the table.
fn refuse_filtered(endpoint: &Endpoint, table: &Table) -> Result<(), Failure> {
    match &table.visibility.row_policy {
        Some(policy) if !table.visibility.is_view => Err(Failure::new(
            FailureKind::PermissionDenied,
            format!(
                "the security policy {policy} filters the rows of {}.{} that the endpoint's user sees, so that hidden ones could not be compared: endpoint `{}`, {} (compare while the policy is off, with ALTER SECURITY POLICY {policy} WITH (STATE = OFF), or compare a copy of the table that it does not filter)",
                table.schema,
                table.name,
                endpoint.name,
                endpoint.location()
            ),
        )),
        _ => Ok(()),
    }
}

async fn find(
    lease: &mut SessionLease,
    endpoint: &Endpoint,
    name: &TableName,
    naming: Naming,
) -> Result<Table, Failure> {
    let schema = name.schema.as_deref().unwrap_or(&endpoint.schema);
    if let Some(table) = begin_with(lease, endpoint, (schema, &name.name)).await?
        && (naming != Naming::Exact || (table.schema == schema && table.name == name.name))
    {
        return Ok(table);
    }
    // The name is resolved in a transaction of its own.
    let found = catalog::describe(&mut *lease.session, endpoint, name, naming).await?;
    restart(lease).await?;
    begin_with(lease, endpoint, (&found.schema, &found.name))
        .await?
        .ok_or_else(|| changed(endpoint, &found.schema, &found.name))
}

/// Makes sure that a table that an earlier transaction described is still as it was.
/// The transaction must not have read anything.
pub(crate) async fn describe_again(
    lease: &mut SessionLease,
    endpoint: &Endpoint,
    table: &Table,
) -> Result<(), Failure> {
    let found = begin_with(lease, endpoint, (&table.schema, &table.name)).await?;
    if found.is_some_and(|found| table.holds_in(&found)) {
        Ok(())
    } else {
        Err(changed(endpoint, &table.schema, &table.name))
    }
}

/// Makes sure that all that this transaction has read was read from `table`.
pub(crate) async fn check(
    lease: &mut SessionLease,
    endpoint: &Endpoint,
    table: &Table,
) -> Result<(), Failure> {
    let unchanged = lease.session.is_unchanged(table).await;
    let what = || format!("cannot describe {}.{}", table.schema, table.name);
    if unchanged.map_err(|error| error.at(endpoint, &what()))? {
        Ok(())
    } else {
        Err(changed(endpoint, &table.schema, &table.name))
    }
}

/// The table with exactly this name; if there is none, the transaction has not read
/// anything.
async fn begin_with(
    lease: &mut SessionLease,
    endpoint: &Endpoint,
    (schema, name): (&str, &str),
) -> Result<Option<Table>, Failure> {
    let mut lock_first = true;
    for _ in 0..ATTEMPTS {
        let held = lease.session.hold(schema, name, lock_first).await;
        let held =
            held.map_err(|error| error.at(endpoint, &format!("cannot describe {schema}.{name}")))?;
        match held {
            Held::Table(table) => return Ok(Some(*table)),
            Held::Absent => {
                restart(lease).await?;
                return Ok(None);
            }
            Held::Unlockable => lock_first = false,
            Held::Changed => {}
        }
        restart(lease).await?;
    }
    Err(changed(endpoint, schema, name))
}

async fn restart(lease: &mut SessionLease) -> Result<(), Failure> {
    lease.pause().await?;
    lease.resume().await
}

fn changed(endpoint: &Endpoint, schema: &str, name: &str) -> Failure {
    Failure::new(
        FailureKind::TableChanged,
        format!(
            "{schema}.{name} was replaced or altered while it was compared: endpoint `{}`, {} ({})",
            endpoint.name,
            endpoint.location(),
            advice::TABLE_CHANGED
        ),
    )
}
