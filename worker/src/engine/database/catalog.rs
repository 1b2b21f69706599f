//! What tables there are and what columns and keys they have.

use shared::endpoint::Endpoint;
use shared::failure::{Failure, FailureKind};
use shared::ids::TableName;

use crate::engine::database::kinds::database;
use crate::engine::database::session::Session;
use crate::engine::database::session::label::{Access, Label};
use crate::engine::error::DatabaseError;
use crate::engine::values::column::{CatalogTable, Table};

/// All tables and views of an endpoint, but for the system's own.
///
/// # Errors
///
/// When the endpoint cannot be reached, refuses the login or its catalog cannot be read.
pub async fn list_tables(endpoint: &Endpoint) -> Result<Vec<CatalogTable>, Failure> {
    let failed = |error: DatabaseError| error.at(endpoint, "cannot list the tables");
    let mut session = database(endpoint.kind)
        .open(endpoint, Access::Read)
        .await
        .map_err(failed)?;
    let label = Label {
        application: "reconcile catalog".to_owned(),
        statement_timeout: std::time::Duration::from_secs(60),
        read_uncommitted: false,
    };
    session.begin(&label).await.map_err(failed)?;
    session.list_tables().await.map_err(failed)
}

/// Looks a table up: by the exact name, and if there is none, by the name
/// without regard to case.
///
/// # Errors
///
/// `TableNotFound` when there is none, `AmbiguousTable` when there are several that differ by case.
pub(crate) async fn describe(
    session: &mut dyn Session,
    endpoint: &Endpoint,
    name: &TableName,
) -> Result<Table, Failure> {
    let schema = name.schema.as_deref().unwrap_or(&endpoint.schema);
    let mut found = session
        .find_tables(schema, &name.name)
        .await
        .map_err(|error| error.at(endpoint, &format!("cannot describe {schema}.{}", name.name)))?;
    let refuse = |kind, message: String| Err(Failure::new(kind, message));
    match found.len() {
        0 => refuse(
            FailureKind::TableNotFound,
            format!(
                "there is no table {schema}.{} at endpoint `{}`, {} (check schema and table, and that the user may see it)",
                name.name,
                endpoint.name,
                endpoint.location()
            ),
        ),
        1 => Ok(found.remove(0)),
        _ => {
            let names: Vec<_> = found
                .iter()
                .map(|table| format!("{}.{}", table.schema, table.name))
                .collect();
            refuse(
                FailureKind::AmbiguousTable,
                format!(
                    "{schema}.{} at endpoint `{}` may be {}; write the name with the upper and lower case of the database",
                    name.name,
                    endpoint.name,
                    names.join(" or ")
                ),
            )
        }
    }
}
