//! Repair scripts for SQL Server, which sqlcmd executes in batches.

use shared::outcome::{ForeignKey, Sequence};

use crate::engine::database::dialect::Dialect as _;
use crate::engine::database::script::{ScriptDialect, ScriptLines, StatementRules};
use crate::engine::database::sql_server::dialect::SqlServer;
use crate::engine::database::sql_server::literal::is_special;

const LINES: ScriptLines = ScriptLines {
    // Nothing that a guard has read can change before the commit, also where READ COMMITTED
    // would read versions of rows.
    preamble: &[
        "SET XACT_ABORT ON;",
        "SET NOCOUNT ON;",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;",
    ],
    end: &["COMMIT TRANSACTION;", "GO", "SET NOEXEC OFF;"],
    // After an error the transaction is gone, and no statement may run outside of it.
    batch_separator: Some(&["GO", "IF @@TRANCOUNT = 0 SET NOEXEC ON;"]),
    check_deferred: None,
};

const RULES: StatementRules = StatementRules {
    identifier_quotes: ('[', ']'),
    string_prefixes: &["N"],
    escape_prefix: None,
    has_hexadecimal: true,
    is_forbidden_in_text: is_special,
    functions: &["NCHAR", "RTRIM", "DATALENGTH"],
    row_columns: &[],
};

impl ScriptDialect for SqlServer {
    fn quote(&self, name: &str) -> String {
        self.identifier(name)
    }

    fn client_command(&self, file: &str) -> String {
        format!("sqlcmd -I -b -x -f 65001 -i {file}")
    }

    fn lines(&self) -> &'static ScriptLines {
        &LINES
    }

    fn statement_rules(&self) -> &'static StatementRules {
        &RULES
    }

    fn begin(&self) -> Vec<&'static str> {
        [LINES.preamble, &["BEGIN TRANSACTION;"]].concat()
    }

    fn lock(&self, _: &[String]) -> Option<String> {
        None
    }

    /// The view of locks needs a privilege that a user rarely has.
    fn lock_holder(&self, _: &[String]) -> Option<String> {
        None
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
