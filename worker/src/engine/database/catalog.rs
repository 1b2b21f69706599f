//! What tables there are and what columns and keys they have.

pub(crate) mod constraints;
pub(crate) mod postgres;
pub(crate) mod sql_server;

use shared::endpoint::Endpoint;
use shared::ids::TableName;
use shared::outcome::Failure;

use crate::engine::database::session::Session;
use crate::engine::database::session::label::Label;
use crate::engine::error::DatabaseError;
use crate::engine::values::column::{CatalogTable, Table};

/// All tables and views of an endpoint, but for the system's own.
///
/// # Errors
///
/// When the endpoint cannot be reached, refuses the login or its catalog cannot be read.
pub async fn list_tables(endpoint: &Endpoint) -> Result<Vec<CatalogTable>, Failure> {
    let failed = |error: DatabaseError| error.at(endpoint, "cannot list the tables");
    let mut session = Session::connect(endpoint).await.map_err(failed)?;
    let label = Label {
        application: "reconcile catalog".to_owned(),
        statement_timeout: std::time::Duration::from_secs(60),
        read_uncommitted: false,
    };
    session.begin(&label).await.map_err(failed)?;
    let tables = match &mut session {
        Session::Postgres(session) => postgres::list_tables(session).await,
        Session::SqlServer(session) => sql_server::list_tables(session).await,
    };
    tables.map_err(failed)
}

/// Looks a table up: by the exact name, and if there is none, by the name
/// without regard to case.
///
/// # Errors
///
/// `TableNotFound` when there is none, `AmbiguousTable` when there are several that differ by case.
pub(crate) async fn describe(
    session: &mut Session,
    endpoint: &Endpoint,
    name: &TableName,
) -> Result<Table, Failure> {
    let schema = name.schema.as_deref().unwrap_or(&endpoint.schema);
    let mut found = match session {
        Session::Postgres(session) => postgres::describe(session, schema, &name.name).await,
        Session::SqlServer(session) => sql_server::describe(session, schema, &name.name).await,
    }
    .map_err(|error| error.at(endpoint, &format!("cannot describe {schema}.{}", name.name)))?;
    let refuse = |kind: &str, message: String| {
        Err(Failure {
            kind: kind.to_owned(),
            message,
            retryable: false,
            counts_against_budget: true,
        })
    };
    match found.len() {
        0 => refuse(
            "TableNotFound",
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
                "AmbiguousTable",
                format!(
                    "{schema}.{} at endpoint `{}` may be {}; write it as it is spelled there",
                    name.name,
                    endpoint.name,
                    names.join(" or ")
                ),
            )
        }
    }
}
