//! What the scripts of a repair need to know of the target's database.

use shared::outcome::{ForeignKey, Sequence};

/// The SQL of repair scripts beside the statements of the engine.
pub trait ScriptDialect: Sync {
    /// `name` as an identifier.
    fn quote(&self, name: &str) -> String;

    /// The program that executes a script, with its arguments.
    fn client_command(&self, file: &str) -> String;

    /// The settings of a transaction that executes repair statements.
    fn preamble(&self) -> &'static [&'static str];

    /// The lines that begin the transaction of a script, with the preamble.
    fn begin(&self) -> Vec<&'static str>;

    /// The lines that commit the transaction of a script.
    fn end(&self) -> &'static [&'static str];

    /// The lines that separate two batches, if the client program executes a
    /// script in batches.
    fn batch_separator(&self) -> Option<&'static [&'static str]> {
        None
    }

    /// A statement that defers the check of `key`, a constraint of `table`.
    fn defer_constraint(&self, table: &str, key: &ForeignKey) -> String;

    /// A statement that checks all deferred constraints at once, if
    /// [`restore_constraint`](Self::restore_constraint) does not.
    fn check_deferred(&self) -> Option<&'static str> {
        None
    }

    /// A statement that gives the constraint `key` of `table` its former mode.
    fn restore_constraint(&self, table: &str, key: &ForeignKey) -> String;

    /// A statement that moves `sequence` past the last number in `table`, if it
    /// is behind and the user may change it.
    fn advance_sequence(&self, table: &str, sequence: &Sequence) -> Option<String>;

    /// A statement that allows or forbids inserts into the identity column of `table`.
    fn identity_insert(&self, table: &str, allowed: bool) -> Option<String>;
}
