//! Writes a repair script: SQL that psql or sqlcmd executes unchanged, with marks
//! that `reconcile apply` reads. The mark of a statement has a digest of it, and the last
//! line one of all other lines.

use std::io::{self, Write as _};

use aws_lc_rs::digest::{self, Context};
use shared::atomic_file::AtomicFile;
use shared::outcome::RepairAction;

use super::header::Header;
use super::marks::{self, DIGEST, FIRST_LINE};
use super::script_reader::header_digest;
use super::statement::{Direction, Statement, StatementCounts};

const BATCH: u64 = 200;

/// Bytes of the statements of one batch, unless it has only one statement.
const BATCH_BYTES: usize = 1 << 20;

pub(super) struct ScriptWriter {
    header: Header,
    file: AtomicFile,
    /// The digest of the header.
    script: String,
    /// Of all lines that belong to no statement.
    frame: Context,
    section: Option<RepairAction>,
    in_batch: u64,
    bytes_in_batch: usize,
}

impl ScriptWriter {
    /// Begins the script in `file`.
    pub(super) fn begin(file: AtomicFile, header: Header) -> io::Result<Self> {
        let name = file.path().file_name().unwrap_or_default();
        let name = comment(&name.to_string_lossy());
        let line = format!("-- {}", serde_json::to_string(&header)?);
        let mut script = Self {
            header: header.clone(),
            file,
            script: header_digest(format!("{line}\n").as_bytes()),
            frame: Context::new(&digest::SHA256),
            section: None,
            in_batch: 0,
            bytes_in_batch: 0,
        };
        script.line(FIRST_LINE)?;
        script.line(&line)?;
        script.line("--")?;
        script.lines(&description(&header))?;
        script.line("--")?;
        script.line(&format!("--   reconcile apply {name}"))?;
        let client = header.dialect().client_command(&name);
        script.line(&format!("--   {client}"))?;
        script.line("--")?;
        script.mark("begin")?;
        script.lines(&header.dialect().begin())?;
        script.lines(header.dialect().lock(&[header.qualified()]).as_slice())?;
        script.lines(&header.defer_constraints(&header.deferred))?;
        Ok(script)
    }

    fn line(&mut self, line: &str) -> io::Result<()> {
        for part in [line.as_bytes(), b"\n"] {
            self.frame.update(part);
            self.file.write_all(part)?;
        }
        Ok(())
    }

    /// A line of a statement, which has a digest of its own.
    fn statement_line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.file, "{line}")
    }

    fn lines(&mut self, lines: &[impl AsRef<str>]) -> io::Result<()> {
        lines.iter().try_for_each(|line| self.line(line.as_ref()))
    }

    fn mark(&mut self, mark: &str) -> io::Result<()> {
        let line = marks::line(&self.header.token, mark);
        self.line(&line)
    }

    /// Adds a statement. Statements with the same action must come together.
    pub(super) fn add(&mut self, statement: &Statement) -> io::Result<()> {
        self.reserve(statement.sql.len())?;
        if self.section != Some(statement.action) {
            self.end_section()?;
            self.section = Some(statement.action);
            if statement.action == RepairAction::Insert {
                self.set_identity_insert(true)?;
            }
        }
        let digest = statement.digest(&self.script);
        let mark = marks::of_statement(statement, &digest);
        self.statement_line(&marks::line(&self.header.token, &mark))?;
        self.statement_line(&statement.sql)
    }

    /// Adds a statement as a comment, so that it is not executed.
    pub(super) fn add_inactive(&mut self, statement: &Statement) -> io::Result<()> {
        let sql = serde_json::to_string(&statement.sql)?;
        self.reserve(sql.len())?;
        let mark = marks::of_inactive(statement, &statement.digest(&self.script), &sql);
        self.statement_line(&marks::line(&self.header.token, &mark))
    }

    /// Begins another batch if this one is full and the client program needs batches.
    fn reserve(&mut self, bytes: usize) -> io::Result<()> {
        let full =
            self.in_batch >= BATCH || self.bytes_in_batch.saturating_add(bytes) > BATCH_BYTES;
        if self.in_batch > 0
            && full
            && let Some(separator) = self.header.dialect().lines().batch_separator
        {
            self.mark("batch")?;
            self.lines(separator)?;
            (self.in_batch, self.bytes_in_batch) = (0, 0);
        }
        self.in_batch += 1;
        self.bytes_in_batch = self.bytes_in_batch.saturating_add(bytes);
        Ok(())
    }

    fn set_identity_insert(&mut self, allowed: bool) -> io::Result<()> {
        if let Some(line) = self.header.set_identity_insert(allowed) {
            self.mark("identity")?;
            self.line(&line)?;
        }
        Ok(())
    }

    fn end_section(&mut self) -> io::Result<()> {
        if self.section == Some(RepairAction::Insert) {
            self.set_identity_insert(false)?;
        }
        Ok(())
    }

    /// Ends the script. The caller decides when the file gets its final path.
    pub(super) fn end(mut self) -> io::Result<AtomicFile> {
        self.end_section()?;
        self.mark("end")?;
        let header = self.header.clone();
        let lines = header.dialect().lines();
        self.lines(lines.check_deferred.as_slice())?;
        self.lines(&header.restore_constraints(&header.deferred))?;
        self.lines(&header.advance_sequences())?;
        self.lines(lines.end)?;
        let digest = hex::encode(self.frame.clone().finish());
        self.mark(&format!("{DIGEST}{digest}"))?;
        Ok(self.file)
    }
}

fn description(header: &Header) -> Vec<String> {
    let Header {
        run,
        timestamp,
        spec,
        ..
    } = header;
    let table = comment(&format!("{}.{}", header.schema, header.table));
    let StatementCounts {
        delete,
        update,
        insert,
    } = header.statements;
    let mut lines = vec![match header.direction {
        Direction::Repair => format!(
            "-- Makes {table} equal to {} of {}, as run {run} of {timestamp} compared them.",
            comment(&spec.source.table.to_string()),
            comment(&spec.source.endpoint)
        ),
        Direction::Undo => format!("-- Undoes the repair of {table} by run {run} of {timestamp}."),
    }];
    lines.push(format!(
        "-- Deletes {delete}, updates {update} and inserts {insert} rows in one transaction. A row that has changed since the comparison is skipped."
    ));
    lines.push(
        "-- A statement may be deleted together with the comment line above it; `reconcile apply` refuses any other change.".to_owned(),
    );
    if !header.order.is_empty() {
        lines.push("-- Without `reconcile apply`, the scripts of related tables are executed one by one in this order; a row that".to_owned());
        lines.push("-- another table still references is skipped, and deleted when its script is executed once more:".to_owned());
        lines.extend(
            header
                .order
                .iter()
                .map(|file| format!("--   {}", comment(file))),
        );
    }
    match header.direction {
        Direction::Repair => {}
        Direction::Undo if header.applied => lines.push(
            "-- It undoes what `reconcile apply` has done; statements in comments had no effect.".to_owned(),
        ),
        Direction::Undo => lines.push(
            "-- `reconcile apply` has not applied the repair: this script undoes all of it, if another program has applied it.".to_owned(),
        ),
    }
    lines
}

/// `text` without control characters, because a comment ends with its line.
fn comment(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::header::testing::header;
    use shared::atomic_file::Access;

    use super::*;

    #[test]
    fn batches_of_sqlcmd_are_small_whatever_is_in_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.repair.sql");
        let file = AtomicFile::create(&path, Access::Owner).unwrap();
        let mut script = ScriptWriter::begin(file, header()).unwrap();
        let long = "x".repeat(400_000);
        // The first action fills a batch exactly; then the actions change.
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
                script.add(&statement).unwrap();
            }
        }
        script.end().unwrap().commit().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let batches: Vec<&str> = text.split("\nGO\n").collect();
        // The last updates and the first inserts share one.
        assert_eq!(batches.len(), 1 + 3 + 3 + 1, "and what follows the commit");
        for batch in batches {
            assert!(batch.len() <= BATCH_BYTES + 20_000, "{}", batch.len());
            assert!(batch.matches("UPDATE;").count() <= 200);
        }
    }
}
