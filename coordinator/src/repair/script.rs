//! Writes a repair script: SQL that psql or sqlcmd can run as it is, with marks
//! that `reconcile apply` reads.
//!
//! Marks are comment lines that begin with a token drawn for each file, so that
//! no value can imitate them. The last line is a digest of all before it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{self, Context};
use serde::{Deserialize, Serialize};
use shared::endpoint::DatabaseKind;
use shared::message::TableSpec;
use shared::outcome::{ForeignKey, RepairAction, Sequence};

use super::order::Numbers;
use super::read::Statement;

/// The first line of every script.
pub(super) const FIRST: &str = "-- reconcile repair script, format 1";

/// Statements of one batch of sqlcmd.
const BATCH: u64 = 200;

/// Bytes of statements of one batch of sqlcmd, unless one statement has more.
const BATCH_BYTES: usize = 1 << 20;

/// Whether a script repairs, or takes a repair back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Makes the target equal to the source.
    Repair,
    /// Makes the target what it was.
    Undo,
}

/// What a script says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// What it does.
    pub direction: Direction,
    /// The run that found the differences.
    pub run: String,
    /// When that began.
    pub timestamp: String,
    /// Begins the marks of this file.
    pub token: String,
    /// The target's dialect.
    pub engine: DatabaseKind,
    /// Which database the target was; absent where only the workers knew it.
    #[serde(default)]
    pub database: Option<String>,
    /// The target's schema.
    pub schema: String,
    /// The target's name.
    pub table: String,
    /// Of a script that takes back: whether it holds what `reconcile apply` has
    /// done, and not what a repair would do.
    #[serde(default)]
    pub applied: bool,
    /// How many statements of each kind.
    pub statements: Numbers,
    /// Whether inserts give values to an identity column of SQL Server.
    pub identity_insert: bool,
    /// Sequences that number the table's rows.
    #[serde(default)]
    pub sequences: Vec<Sequence>,
    /// The table's foreign keys.
    pub foreign_keys: Vec<ForeignKey>,
    /// Those that are checked at the end, when the table is repaired by itself.
    pub deferred: Vec<ForeignKey>,
    /// How the table was compared.
    pub spec: TableSpec,
}

impl Header {
    /// A token for a new file.
    #[must_use]
    pub fn token() -> String {
        let mut bytes = [0_u8; 12];
        aws_lc_rs::rand::fill(&mut bytes).expect("the system gives random numbers");
        hex(&bytes)
    }

    fn qualified(&self) -> String {
        match self.engine {
            DatabaseKind::Postgres => format!("{}.{}", quoted(&self.schema), quoted(&self.table)),
            DatabaseKind::SqlServer => format!(
                "[{}].[{}]",
                self.schema.replace(']', "]]"),
                self.table.replace(']', "]]")
            ),
        }
    }

    fn constraint(&self, name: &str) -> String {
        match self.engine {
            DatabaseKind::Postgres => quoted(name),
            DatabaseKind::SqlServer => format!("[{}]", name.replace(']', "]]")),
        }
    }

    /// Statements that put off the check of `keys`.
    #[must_use]
    pub fn put_off(&self, keys: &[ForeignKey]) -> Vec<String> {
        let table = self.qualified();
        let keys = keys.iter().filter(|key| !key.deferrable);
        keys.map(|key| {
            let name = self.constraint(&key.name);
            match self.engine {
                DatabaseKind::Postgres => {
                    format!(
                        "ALTER TABLE {table} ALTER CONSTRAINT {name} DEFERRABLE INITIALLY DEFERRED;"
                    )
                }
                DatabaseKind::SqlServer => {
                    format!("ALTER TABLE {table} NOCHECK CONSTRAINT {name};")
                }
            }
        })
        .collect()
    }

    /// Statements that check `keys` and have them checked at once again.
    #[must_use]
    pub fn check(&self, keys: &[ForeignKey]) -> Vec<String> {
        let table = self.qualified();
        let keys = keys.iter().filter(|key| !key.deferrable);
        keys.map(|key| {
            let name = self.constraint(&key.name);
            match self.engine {
                DatabaseKind::Postgres => {
                    format!("ALTER TABLE {table} ALTER CONSTRAINT {name} NOT DEFERRABLE;")
                }
                DatabaseKind::SqlServer if key.trusted => {
                    format!("ALTER TABLE {table} WITH CHECK CHECK CONSTRAINT {name};")
                }
                DatabaseKind::SqlServer => format!("ALTER TABLE {table} CHECK CONSTRAINT {name};"),
            }
        })
        .collect()
    }

    /// Statements that have sequences go on after the highest number in the
    /// table, so that rows that are added later do not meet those of the script.
    ///
    /// They only ever move a sequence on, and do nothing where that is not
    /// allowed. A sequence does not come back with its transaction, so they
    /// belong at the end of one that is to last.
    #[must_use]
    pub fn advance(&self) -> Vec<String> {
        if self.statements.insert == 0 {
            return Vec::new();
        }
        let table = self.qualified();
        let sequences = self.sequences.iter().map(|sequence| {
            let (last, beyond) = if sequence.ascending {
                ("max", ">")
            } else {
                ("min", "<")
            };
            let column = quoted(&sequence.column);
            let (schema, name) = (quoted(&sequence.schema), quoted(&sequence.name));
            let both = literal(&format!("{schema}.{name}"));
            // What is not allowed is an error only when it is tried.
            let body = format!(
                "BEGIN IF pg_catalog.has_sequence_privilege({both}, 'UPDATE') AND pg_catalog.has_sequence_privilege({both}, 'SELECT') THEN \
                 PERFORM pg_catalog.setval({both}, made.number) \
                 FROM (SELECT {last}({column}) AS number FROM {table}) AS made, {schema}.{name} AS now, pg_catalog.pg_sequence AS known \
                 WHERE known.seqrelid = {both}::regclass AND made.number BETWEEN known.seqmin AND known.seqmax \
                 AND (made.number {beyond} now.last_value OR (made.number = now.last_value AND NOT now.is_called)); \
                 END IF; END"
            );
            format!("DO {};", literal(&body))
        });
        sequences.collect()
    }

    /// What has the following inserts take values for the identity column, or no more.
    #[must_use]
    pub fn identity(&self, on: bool) -> Option<String> {
        let on = if on { "ON" } else { "OFF" };
        self.identity_insert
            .then(|| format!("SET IDENTITY_INSERT {} {on};", self.qualified()))
    }
}

/// What a transaction that applies statements begins with.
#[must_use]
pub fn preamble(engine: DatabaseKind) -> &'static [&'static str] {
    match engine {
        DatabaseKind::Postgres => &[
            "SET LOCAL standard_conforming_strings = on;",
            "SET LOCAL client_encoding = 'UTF8';",
            "SET LOCAL datestyle = 'ISO, YMD';",
            "SET LOCAL intervalstyle = 'postgres';",
            "SET LOCAL xmloption = 'content';",
            "SET CONSTRAINTS ALL DEFERRED;",
        ],
        DatabaseKind::SqlServer => &["SET XACT_ABORT ON;", "SET NOCOUNT ON;"],
    }
}

/// A script that is being written, beside its place.
pub(super) struct ScriptFile {
    header: Header,
    temporary: PathBuf,
    file: BufWriter<File>,
    digest: Context,
    section: Option<RepairAction>,
    in_batch: u64,
    bytes_in_batch: usize,
}

impl ScriptFile {
    /// Begins a script that will be at `path`.
    pub(super) fn create(path: &Path, header: Header) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", header.token));
        Self::create_in(path.with_file_name(name), path, header)
    }

    /// Begins a script that is written to the new file `temporary`, and will be at `path`.
    pub(super) fn create_in(temporary: PathBuf, path: &Path, header: Header) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        let mut script = Self {
            header,
            temporary,
            file: BufWriter::new(file),
            digest: Context::new(&digest::SHA256),
            section: None,
            in_batch: 0,
            bytes_in_batch: 0,
        };
        script.begin(path)?;
        Ok(script)
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        for part in [line.as_bytes(), b"\n"] {
            self.digest.update(part);
            self.file.write_all(part)?;
        }
        Ok(())
    }

    fn begin(&mut self, path: &Path) -> io::Result<()> {
        let header = self.header.clone();
        self.line(FIRST)?;
        let json = serde_json::to_string(&header).expect("a header has text keys");
        self.line(&format!("-- {json}"))?;
        self.line("--")?;
        let (table, spec) = (
            comment(&format!("{}.{}", header.schema, header.table)),
            &header.spec,
        );
        let source = comment(&spec.source.table.to_string());
        self.line(&match header.direction {
            Direction::Repair => format!(
                "-- Makes {table} equal to {source} of {}, as run {} of {} saw both.",
                comment(&spec.source.endpoint),
                header.run,
                header.timestamp
            ),
            Direction::Undo => format!(
                "-- Takes back what the repair of {table} of run {} of {} changed.",
                header.run, header.timestamp
            ),
        })?;
        let Numbers {
            delete,
            update,
            insert,
        } = header.statements;
        self.line(&format!(
            "-- Deletes {delete}, changes {update} and adds {insert} rows, in one transaction. A row that is no longer as it was seen is left alone."
        ))?;
        if header.direction == Direction::Undo {
            self.line(if header.applied {
                "-- This is what `reconcile apply` has done and not taken back; what is held in comments has had no effect."
            } else {
                "-- `reconcile apply` has not applied that repair: this takes back all of it, if somebody else has."
            })?;
        }
        self.line("--")?;
        let file = path
            .file_name()
            .map(|name| comment(&name.to_string_lossy()))
            .unwrap_or_default();
        self.line(&format!("--   reconcile apply {file}"))?;
        self.line(&match header.engine {
            DatabaseKind::Postgres => format!("--   psql -v ON_ERROR_STOP=1 -f {file}"),
            DatabaseKind::SqlServer => format!("--   sqlcmd -I -b -x -f 65001 -i {file}"),
        })?;
        self.line("--")?;
        self.mark("begin")?;
        match header.engine {
            DatabaseKind::Postgres => {
                self.line("BEGIN;")?;
                for line in preamble(header.engine) {
                    self.line(line)?;
                }
            }
            DatabaseKind::SqlServer => {
                for line in preamble(header.engine) {
                    self.line(line)?;
                }
                self.line("BEGIN TRANSACTION;")?;
            }
        }
        for line in header.put_off(&header.deferred) {
            self.line(&line)?;
        }
        Ok(())
    }

    fn mark(&mut self, what: &str) -> io::Result<()> {
        let line = format!("-- {} {what}", self.header.token);
        self.line(&line)
    }

    /// Adds a statement. Those of one kind come together.
    pub(super) fn statement(&mut self, statement: &Statement) -> io::Result<()> {
        let Statement { action, sql, .. } = statement;
        let action = *action;
        self.make_room(sql.len())?;
        if self.section != Some(action) {
            self.end_section()?;
            self.section = Some(action);
            if action == RepairAction::Insert {
                self.identity(true)?;
            }
        }
        self.mark(&named(statement))?;
        self.line(sql)
    }

    /// Keeps a statement in a comment, where it has no effect.
    pub(super) fn hold(&mut self, statement: &Statement) -> io::Result<()> {
        let sql = serde_json::to_string(&statement.sql)?;
        self.make_room(sql.len())?;
        self.mark(&format!("held {} {sql}", named(statement)))
    }

    /// Begins another batch of sqlcmd where the next statement has no room in this one.
    fn make_room(&mut self, bytes: usize) -> io::Result<()> {
        let full =
            self.in_batch >= BATCH || self.bytes_in_batch.saturating_add(bytes) > BATCH_BYTES;
        if self.header.engine == DatabaseKind::SqlServer && self.in_batch > 0 && full {
            self.mark("batch")?;
            self.line("GO")?;
            // After an error the transaction is gone: nothing more may be done outside of it.
            self.line("IF @@TRANCOUNT = 0 SET NOEXEC ON;")?;
            (self.in_batch, self.bytes_in_batch) = (0, 0);
        }
        self.in_batch += 1;
        self.bytes_in_batch += bytes;
        Ok(())
    }

    fn identity(&mut self, on: bool) -> io::Result<()> {
        if let Some(line) = self.header.identity(on) {
            self.mark("identity")?;
            self.line(&line)?;
        }
        Ok(())
    }

    fn end_section(&mut self) -> io::Result<()> {
        if self.section == Some(RepairAction::Insert) {
            self.identity(false)?;
        }
        Ok(())
    }

    /// Ends the script and puts it at `path`, in place of what stood there.
    pub(super) fn finish(mut self, path: &Path) -> io::Result<()> {
        self.close()?;
        fs::rename(&self.temporary, path)?;
        self.temporary.clear();
        Ok(())
    }

    /// Ends the script and leaves it where it was written.
    pub(super) fn leave(mut self) -> io::Result<()> {
        self.close()?;
        self.temporary.clear();
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.end_section()?;
        self.mark("end")?;
        let header = self.header.clone();
        let checks = header.check(&header.deferred);
        if header.engine == DatabaseKind::Postgres {
            self.line("SET CONSTRAINTS ALL IMMEDIATE;")?;
        }
        for line in checks {
            self.line(&line)?;
        }
        for line in header.advance() {
            self.line(&line)?;
        }
        match header.engine {
            DatabaseKind::Postgres => self.line("COMMIT;")?,
            DatabaseKind::SqlServer => {
                self.line("COMMIT TRANSACTION;")?;
                self.line("GO")?;
                self.line("SET NOEXEC OFF;")?;
            }
        }
        let digest = hex(self.digest.clone().finish().as_ref());
        writeln!(self.file, "-- {} digest {digest}", header.token)?;
        self.file.flush()?;
        self.file.get_ref().sync_all()
    }
}

impl Drop for ScriptFile {
    fn drop(&mut self) {
        if !self.temporary.as_os_str().is_empty() {
            // Not finished: nothing of it stays. Already gone is as good.
            fs::remove_file(&self.temporary).ok();
        }
    }
}

/// A name as an identifier of PostgreSQL.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Text as a literal of PostgreSQL, where backslashes stand for themselves.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Text in a comment ends with its line.
fn comment(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect()
}

/// What the mark of a statement says: what it does, its row and its number.
fn named(statement: &Statement) -> String {
    let Statement {
        action,
        key,
        number,
        sql: _,
    } = statement;
    let blank = if key.is_empty() { "" } else { " " };
    format!("{}{blank}{key} #{number}", word(*action))
}

fn word(action: RepairAction) -> &'static str {
    match action {
        RepairAction::Delete => "delete",
        RepairAction::Update => "update",
        RepairAction::Insert => "insert",
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::run_state::testing::spec;

    /// A header for tests.
    pub(in crate::repair) fn header() -> Header {
        Header {
            direction: Direction::Repair,
            run: "run".to_owned(),
            timestamp: "now".to_owned(),
            token: Header::token(),
            engine: DatabaseKind::SqlServer,
            database: None,
            applied: false,
            schema: "dbo".to_owned(),
            table: "t".to_owned(),
            statements: Numbers::default(),
            identity_insert: true,
            sequences: Vec::new(),
            foreign_keys: Vec::new(),
            deferred: Vec::new(),
            spec: spec("t"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::header;
    use super::*;

    #[test]
    fn batches_of_sqlcmd_are_small_whatever_is_in_them() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("t.repair.sql");
        let mut script = ScriptFile::create(&path, header()).unwrap();
        let long = "x".repeat(400_000);
        // The first kind fills a batch to the brim; then the kinds change.
        for (action, count, sql) in [
            (RepairAction::Delete, BATCH, "DELETE;"),
            (RepairAction::Update, 2 * BATCH + 1, "UPDATE;"),
            (RepairAction::Insert, 7, &long),
        ] {
            for number in 0..count {
                let statement = Statement {
                    action,
                    key: String::new(),
                    number,
                    sql: sql.to_owned(),
                };
                script.statement(&statement).unwrap();
            }
        }
        script.finish(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let batches: Vec<&str> = text.split("\nGO\n").collect();
        // The last changes and the first additions share one.
        assert_eq!(batches.len(), 1 + 3 + 3 + 1, "and what follows the commit");
        for batch in batches {
            assert!(batch.len() <= BATCH_BYTES + 20_000, "{}", batch.len());
            assert!(batch.matches("UPDATE;").count() <= 200);
        }
    }
}
