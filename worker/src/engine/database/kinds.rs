//! The one place that chooses the implementation for a kind of database.

use shared::endpoint::DatabaseKind;

use crate::engine::database::postgres::Postgres;
use crate::engine::database::script::ScriptDialect;
use crate::engine::database::session::Database;
use crate::engine::database::sql_server::SqlServer;

pub(crate) fn database(kind: DatabaseKind) -> &'static dyn Database {
    match kind {
        DatabaseKind::Postgres => &Postgres,
        DatabaseKind::SqlServer => &SqlServer,
    }
}

/// The dialect of the scripts for a kind of database.
#[must_use]
pub fn script_dialect(kind: DatabaseKind) -> &'static dyn ScriptDialect {
    database(kind)
}
