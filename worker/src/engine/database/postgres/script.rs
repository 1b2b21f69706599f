//! Repair scripts for PostgreSQL, which psql executes.

use shared::outcome::{ForeignKey, Sequence};

use crate::engine::database::dialect::Dialect as _;
use crate::engine::database::postgres::dialect::Postgres;
use crate::engine::database::postgres::literal::quoted;
use crate::engine::database::script::{ScriptDialect, ScriptLines, StatementRules};

const LINES: ScriptLines = ScriptLines {
    preamble: &[
        "SET LOCAL standard_conforming_strings = on;",
        "SET LOCAL client_encoding = 'UTF8';",
        "SET LOCAL datestyle = 'ISO, YMD';",
        "SET LOCAL intervalstyle = 'postgres';",
        "SET LOCAL xmloption = 'content';",
        "SET CONSTRAINTS ALL DEFERRED;",
    ],
    end: &["COMMIT;"],
    batch_separator: None,
    check_deferred: Some("SET CONSTRAINTS ALL IMMEDIATE;"),
};

const RULES: StatementRules = StatementRules {
    identifier_quotes: ('"', '"'),
    string_prefixes: &["B"],
    escape_prefix: Some("E"),
    has_hexadecimal: false,
    is_forbidden_in_text: |character| character.is_ascii_control(),
    functions: &["chr"],
    row_columns: &["tableoid", "ctid"],
};

impl ScriptDialect for Postgres {
    fn quote(&self, name: &str) -> String {
        self.identifier(name)
    }

    fn client_command(&self, file: &str) -> String {
        format!("psql -v ON_ERROR_STOP=1 -f {file}")
    }

    fn lines(&self) -> &'static ScriptLines {
        &LINES
    }

    fn statement_rules(&self) -> &'static StatementRules {
        &RULES
    }

    fn begin(&self) -> Vec<&'static str> {
        [&["BEGIN;"][..], LINES.preamble].concat()
    }

    /// The mode admits readers only. It also conflicts with the ROW SHARE lock that the check
    /// of a foreign key takes on the referenced table and keeps until its transaction ends. So
    /// no reference to a row is added, without a lock on the referencing tables, for which the
    /// user may lack the privilege. Each later statement of a READ COMMITTED transaction sees
    /// all that was committed before the lock was granted.
    fn lock(&self, tables: &[String]) -> Option<String> {
        Some(format!(
            "LOCK TABLE {} IN EXCLUSIVE MODE;",
            tables.join(", ")
        ))
    }

    fn lock_holder(&self, tables: &[String]) -> Option<String> {
        let tables: Vec<String> = tables.iter().map(|table| quoted(table)).collect();
        Some(format!(
            "SELECT coalesce(min(pid), 0)::int8 FROM pg_catalog.pg_locks \
             WHERE locktype = 'relation' AND granted AND pid <> pg_catalog.pg_backend_pid() \
             AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
             AND mode NOT IN ('AccessShareLock', 'SIReadLock') \
             AND relation IN (SELECT pg_catalog.to_regclass(name)::oid FROM unnest(ARRAY[{}]) AS u (name))",
            tables.join(", ")
        ))
    }

    fn defer_constraint(&self, table: &str, key: &ForeignKey) -> String {
        let name = self.quote(&key.name);
        format!("ALTER TABLE {table} ALTER CONSTRAINT {name} DEFERRABLE INITIALLY DEFERRED;")
    }

    fn restore_constraint(&self, table: &str, key: &ForeignKey) -> String {
        let name = self.quote(&key.name);
        format!("ALTER TABLE {table} ALTER CONSTRAINT {name} NOT DEFERRABLE;")
    }

    fn advance_sequence(&self, table: &str, sequence: &Sequence) -> Option<String> {
        let (last, beyond) = if sequence.ascending {
            ("max", ">")
        } else {
            ("min", "<")
        };
        let column = self.quote(&sequence.column);
        let (schema, name) = (self.quote(&sequence.schema), self.quote(&sequence.name));
        let both = quoted(&format!("{schema}.{name}"));
        // Without the privilege the block must not even prepare the statement.
        let body = format!(
            "BEGIN IF pg_catalog.has_sequence_privilege({both}, 'UPDATE') AND pg_catalog.has_sequence_privilege({both}, 'SELECT') THEN \
             PERFORM pg_catalog.setval({both}, made.number) \
             FROM (SELECT {last}({column}) AS number FROM {table}) AS made, {schema}.{name} AS now, pg_catalog.pg_sequence AS known \
             WHERE known.seqrelid = {both}::regclass AND made.number BETWEEN known.seqmin AND known.seqmax \
             AND (made.number {beyond} now.last_value OR (made.number = now.last_value AND NOT now.is_called)); \
             END IF; END"
        );
        Some(format!("DO {};", quoted(&body)))
    }

    fn identity_insert(&self, _: &str, _: bool) -> Option<String> {
        None
    }
}
