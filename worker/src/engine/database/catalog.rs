//! What tables there are and what columns and keys they have.

use shared::config::nearest;
use shared::endpoint::Endpoint;
use shared::failure::{Failure, FailureKind};
use shared::ids::TableName;
use shared::naming::{Naming, cut, find_name};

use crate::engine::database::kinds::database;
use crate::engine::database::session::Session;
use crate::engine::database::session::label::{Access, Label};
use crate::engine::database::session::limits::{ANSWER_LIMIT, within};
use crate::engine::error::DatabaseError;
use crate::engine::values::column::{CatalogTable, Table};

/// All tables and views of an endpoint, and those of the system that are among the users' own.
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
    let begun = within(endpoint.connect_timeout, session.begin(&label)).await;
    begun.map_err(failed)?;
    let limit = label.statement_timeout.saturating_add(ANSWER_LIMIT);
    let listed = within(limit, session.list_tables()).await;
    listed.map_err(failed)
}

/// Looks a table up: by the exact name, else by the name without regard to case, else by the
/// names of all tables as `naming` allows.
///
/// # Errors
///
/// `TableNotFound` when there is none, `AmbiguousTable` when there are several with similar names.
pub(crate) async fn describe(
    session: &mut dyn Session,
    endpoint: &Endpoint,
    name: &TableName,
    naming: Naming,
) -> Result<Table, Failure> {
    let schema = name.schema.as_deref().unwrap_or(&endpoint.schema);
    let wanted = format!("{schema}.{}", name.name);
    let failed = |error: DatabaseError| error.at(endpoint, &format!("cannot describe {wanted}"));
    let mut found = session
        .find_tables(schema, &name.name)
        .await
        .map_err(failed)?;
    if naming == Naming::Exact {
        found.retain(|table| table.schema == schema && table.name == name.name);
    }
    if found.is_empty() {
        let all = session.list_tables().await.map_err(failed)?;
        let similar = similar(&all, schema, &name.name, naming)
            .map_err(|names| ambiguous(endpoint, &wanted, &names))?;
        let table = similar.ok_or_else(|| not_found(endpoint, &wanted, &all, &name.name))?;
        found = session
            .find_tables(&table.schema, &table.name)
            .await
            .map_err(failed)?;
    }
    match found.len() {
        0 => Err(not_found(endpoint, &wanted, &[], &name.name)),
        1 => Ok(found.remove(0)),
        _ => {
            let names: Vec<_> = found
                .iter()
                .map(|table| format!("{}.{}", table.schema, table.name))
                .collect();
            Err(ambiguous(endpoint, &wanted, &names))
        }
    }
}

/// Looks a table up among those that are listed: by the exact name, else as `naming` allows.
///
/// # Errors
///
/// `AmbiguousTable` when there are several with similar names.
pub(crate) fn find_listed<'a>(
    all: &'a [CatalogTable],
    endpoint: &Endpoint,
    name: &TableName,
    naming: Naming,
) -> Result<Option<&'a CatalogTable>, Failure> {
    let schema = name.schema.as_deref().unwrap_or(&endpoint.schema);
    let exact = |table: &&CatalogTable| table.schema == schema && table.name == name.name;
    if let Some(table) = all.iter().find(exact) {
        return Ok(Some(table));
    }
    similar(all, schema, &name.name, naming)
        .map_err(|names| ambiguous(endpoint, &format!("{schema}.{}", name.name), &names))
}

/// The table whose schema and name are similar to those that are wanted, or the names of all
/// that are, if they are several. A schema is found in any case, else as `naming` allows.
fn similar<'a>(
    all: &'a [CatalogTable],
    schema: &str,
    name: &str,
    naming: Naming,
) -> Result<Option<&'a CatalogTable>, Vec<String>> {
    let is_wanted = |other: &str| other.to_lowercase() == schema.to_lowercase();
    let mut of_schema: Vec<&CatalogTable> = all
        .iter()
        .filter(|table| is_wanted(&table.schema))
        .collect();
    if of_schema.is_empty() {
        let mut schemas: Vec<&str> = all.iter().map(|table| table.schema.as_str()).collect();
        schemas.sort_unstable();
        schemas.dedup();
        let found = find_name(schema, &schemas, naming).ok().flatten();
        let similar = found.map(|(at, _)| schemas[at]);
        of_schema.extend(
            all.iter()
                .filter(|table| Some(table.schema.as_str()) == similar),
        );
    }
    let names: Vec<&str> = of_schema.iter().map(|table| table.name.as_str()).collect();
    match find_name(name, &names, naming) {
        Ok(found) => Ok(found.map(|(at, _)| of_schema[at])),
        Err(several) => Err(several
            .into_iter()
            .map(|at| format!("{}.{}", of_schema[at].schema, of_schema[at].name))
            .collect()),
    }
}

fn ambiguous(endpoint: &Endpoint, wanted: &str, names: &[String]) -> Failure {
    Failure::new(
        FailureKind::AmbiguousTable,
        format!(
            "{wanted} at endpoint `{}` may be {}; write the name exactly as the database has it",
            endpoint.name,
            names.join(" or ")
        ),
    )
}

fn not_found(endpoint: &Endpoint, wanted: &str, all: &[CatalogTable], name: &str) -> Failure {
    let whole: Vec<String> = all
        .iter()
        .map(|table| format!("{}.{}", table.schema, table.name))
        .collect();
    let hint = match nearest(wanted, whole.iter().map(String::as_str)) {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => "check schema and table, and that the user may see it".to_owned(),
    };
    let long = if cut(name) == name {
        ""
    } else {
        "; the name is longer than the 63 bytes that PostgreSQL keeps"
    };
    Failure::new(
        FailureKind::TableNotFound,
        format!(
            "there is no table {wanted} at endpoint `{}`, {} ({hint}{long})",
            endpoint.name,
            endpoint.location()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_of_schemas_and_tables_are_found() {
        let all = [
            ("human_resources", "employee_pay"),
            ("sales", "orders"),
            ("Sales", "order_lines"),
            ("s_1", "t"),
            ("s-1", "t"),
        ]
        .map(|(schema, name)| CatalogTable::new(schema, name));
        let found = |schema: &str, name: &str, naming| {
            let table = similar(&all, schema, name, naming).unwrap();
            table.map(|table| format!("{}.{}", table.schema, table.name))
        };
        let normalised = Naming::Normalised;
        assert_eq!(
            found("HumanResources", "Employee Pay", normalised).as_deref(),
            Some("human_resources.employee_pay")
        );
        assert_eq!(
            found("HumanResources", "employee_pay", Naming::IgnoreCase),
            None
        );
        assert_eq!(
            found("SALES", "OrderLines", normalised).as_deref(),
            Some("Sales.order_lines")
        );
        assert_eq!(found("s1", "t", normalised), None);
    }
}
