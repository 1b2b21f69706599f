//! What the scripts of a repair need to know of the target's database.

use shared::outcome::{ForeignKey, Sequence};

/// The lines of repair scripts that do not depend on the table.
#[derive(Debug)]
pub struct ScriptLines {
    /// The settings of a transaction that executes repair statements.
    pub preamble: &'static [&'static str],
    /// What commits the transaction of a script.
    pub end: &'static [&'static str],
    /// What separates two batches, if the client program executes a script in batches.
    pub batch_separator: Option<&'static [&'static str]>,
    /// The statement that checks all deferred constraints at once, if
    /// [`restore_constraint`](ScriptDialect::restore_constraint) does not.
    pub check_deferred: Option<&'static str>,
}

/// What the statements of a repair may consist of; see [`guarded`](super::guarded).
#[derive(Debug)]
pub struct StatementRules {
    /// What opens and closes a quoted identifier.
    pub identifier_quotes: (char, char),
    /// What may stand directly before the quote of a text.
    pub string_prefixes: &'static [&'static str],
    /// The same for a text with backslash escapes.
    pub escape_prefix: Option<&'static str>,
    /// Whether `0x…` is a literal.
    pub has_hexadecimal: bool,
    /// Characters that no text contains: they are written by their numbers.
    pub is_forbidden_in_text: fn(char) -> bool,
    /// The functions that values and guards use.
    pub functions: &'static [&'static str],
    /// The system columns that identify a row, if the database has some.
    pub row_columns: &'static [&'static str],
}

/// The SQL of repair scripts beside the statements of the engine.
pub trait ScriptDialect: Sync {
    /// `name` as an identifier.
    fn quote(&self, name: &str) -> String;

    /// The program that executes a script, with its arguments.
    fn client_command(&self, file: &str) -> String;

    /// The lines that are the same in every script.
    fn lines(&self) -> &'static ScriptLines;

    /// What the statements of a script may consist of.
    fn statement_rules(&self) -> &'static StatementRules;

    /// The lines that begin the transaction of a script, with the preamble.
    fn begin(&self) -> Vec<&'static str>;

    /// A statement that lets no other session change `tables`, or add a reference to their
    /// rows, until the transaction ends; `None` if the [`preamble`](ScriptLines::preamble)
    /// protects what statements and guards read.
    fn lock(&self, tables: &[String]) -> Option<String>;

    /// A statement that returns the number of a session that holds a lock on one of
    /// `tables`, or 0, if every user may read that.
    fn lock_holder(&self, tables: &[String]) -> Option<String>;

    /// A statement that defers the check of `key`, a constraint of `table`.
    fn defer_constraint(&self, table: &str, key: &ForeignKey) -> String;

    /// A statement that gives the constraint `key` of `table` its former mode.
    fn restore_constraint(&self, table: &str, key: &ForeignKey) -> String;

    /// A statement that moves `sequence` past the last number in `table`, if it
    /// is behind and the user may change it.
    fn advance_sequence(&self, table: &str, sequence: &Sequence) -> Option<String>;

    /// A statement that allows or forbids inserts into the identity column of `table`.
    fn identity_insert(&self, table: &str, allowed: bool) -> Option<String>;
}
