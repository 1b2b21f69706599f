//! Repair scripts for SQL Server, which sqlcmd executes in batches.

use shared::outcome::{ForeignKey, Sequence};

use crate::engine::database::dialect::Dialect as _;
use crate::engine::database::script::ScriptDialect;
use crate::engine::database::sql_server::dialect::SqlServer;

const PREAMBLE: [&str; 2] = ["SET XACT_ABORT ON;", "SET NOCOUNT ON;"];

impl ScriptDialect for SqlServer {
    fn quote(&self, name: &str) -> String {
        self.identifier(name)
    }

    fn client_command(&self, file: &str) -> String {
        format!("sqlcmd -I -b -x -f 65001 -i {file}")
    }

    fn preamble(&self) -> &'static [&'static str] {
        &PREAMBLE
    }

    fn begin(&self) -> Vec<&'static str> {
        [self.preamble(), &["BEGIN TRANSACTION;"][..]].concat()
    }

    fn end(&self) -> &'static [&'static str] {
        &["COMMIT TRANSACTION;", "GO", "SET NOEXEC OFF;"]
    }

    fn batch_separator(&self) -> Option<&'static [&'static str]> {
        // After an error the transaction is gone, and no statement may run outside of it.
        Some(&["GO", "IF @@TRANCOUNT = 0 SET NOEXEC ON;"])
    }

    fn defer_constraint(&self, table: &str, key: &ForeignKey) -> String {
        let name = self.quote(&key.name);
        format!("ALTER TABLE {table} NOCHECK CONSTRAINT {name};")
    }

    fn restore_constraint(&self, table: &str, key: &ForeignKey) -> String {
        let name = self.quote(&key.name);
        let validate = if key.trusted { "WITH CHECK " } else { "" };
        format!("ALTER TABLE {table} {validate}CHECK CONSTRAINT {name};")
    }

    fn advance_sequence(&self, _: &str, _: &Sequence) -> Option<String> {
        None
    }

    fn identity_insert(&self, table: &str, allowed: bool) -> Option<String> {
        let state = if allowed { "ON" } else { "OFF" };
        Some(format!("SET IDENTITY_INSERT {table} {state};"))
    }
}
