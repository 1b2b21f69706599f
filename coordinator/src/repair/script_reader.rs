//! Reads repair scripts. Every statement that is read has its digest and is exactly one
//! guarded statement on the script's table. Whole statements may have been deleted.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{self, Context};
use shared::outcome::RepairAction;
use worker::engine::ColumnNames;

use super::error::ScriptError;
use super::header::Header;
use super::marks::{self, DIGEST, FIRST_LINE, mark_of};
use super::statement::{Direction, Statement, StatementCounts};

/// A script whose content has been verified.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    /// The statements that are executed. The header has more if some were deleted.
    pub(crate) present: StatementCounts,
    /// The digest of its header, which has a random token: it identifies the script.
    pub(crate) id: String,
    /// The columns that its statements name.
    pub(crate) names: ColumnNames,
}

impl Script {
    /// Reads the script at `path` and verifies all of it.
    pub(crate) fn open(path: &Path) -> Result<Self, ScriptError> {
        let mut reader = EntryReader::begin(path)?;
        let mut present = StatementCounts::default();
        while let Some(Entry { statement, active }) = reader.next()? {
            present.add(statement.action, u64::from(active));
        }
        let EntryReader {
            header,
            script,
            names,
            ..
        } = reader;
        if header.statements.minus(&present).is_none() {
            return Err(ScriptError::Edited(path.to_owned()));
        }
        Ok(Self {
            path: path.to_owned(),
            header,
            present,
            id: script,
            names,
        })
    }

    /// The statements with this action that are executed.
    pub(crate) fn statements(
        &self,
        action: RepairAction,
    ) -> Result<impl Iterator<Item = Result<Statement, ScriptError>>, ScriptError> {
        Ok(self.entries()?.filter_map(move |entry| match entry {
            Ok(Entry { statement, active }) => {
                (active && statement.action == action).then_some(Ok(statement))
            }
            Err(error) => Some(Err(error)),
        }))
    }

    /// All its statements, in the order of the file, verified again: the file may have
    /// been changed since it was opened.
    pub(super) fn entries(
        &self,
    ) -> Result<impl Iterator<Item = Result<Entry, ScriptError>>, ScriptError> {
        let mut reader = EntryReader::begin(&self.path)?;
        if reader.script != self.id {
            return Err(ScriptError::Edited(self.path.clone()));
        }
        Ok(std::iter::from_fn(move || reader.next().transpose()))
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) statement: Statement,
    /// Whether the statement is executed. Inactive statements are comments.
    pub(super) active: bool,
}

/// A statement whose end has not been read yet.
struct Open {
    statement: Statement,
    digest: String,
    sql: Vec<u8>,
}

struct EntryReader {
    file: BufReader<File>,
    path: PathBuf,
    header: Header,
    /// The digest of the header.
    script: String,
    /// Of all lines that belong to no statement.
    frame: Context,
    open: Option<Open>,
    inactive: Option<(Statement, String)>,
    /// Action and number of the last statement.
    last: Option<(RepairAction, u64)>,
    has_ended: bool,
    names: ColumnNames,
}

impl EntryReader {
    /// Reads the header.
    fn begin(path: &Path) -> Result<Self, ScriptError> {
        let unreadable = ScriptError::unreadable(path);
        let foreign = || ScriptError::Foreign(path.to_owned());
        let mut file = BufReader::new(File::open(path).map_err(&unreadable)?);
        let mut first = vec![0; FIRST_LINE.len() + 1];
        match file.read_exact(&mut first) {
            Ok(()) if first == format!("{FIRST_LINE}\n").as_bytes() => {}
            Ok(()) => return Err(foreign()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(foreign()),
            Err(error) => return Err(unreadable(error)),
        }
        let mut line = Vec::new();
        if file.read_until(b'\n', &mut line).map_err(&unreadable)? == 0 {
            return Err(ScriptError::Edited(path.to_owned()));
        }
        let json = line.strip_prefix(b"-- ").ok_or_else(foreign)?;
        let header: Header = serde_json::from_slice(json).map_err(|_| foreign())?;
        let mut frame = Context::new(&digest::SHA256);
        frame.update(&first);
        frame.update(&line);
        Ok(Self {
            file,
            path: path.to_owned(),
            script: header_digest(&line),
            header,
            frame,
            open: None,
            inactive: None,
            last: None,
            has_ended: false,
            names: ColumnNames::default(),
        })
    }

    /// The next statement; `None` at the end of the script.
    fn next(&mut self) -> Result<Option<Entry>, ScriptError> {
        let mut line = Vec::new();
        loop {
            if let Some((statement, digest)) = self.inactive.take() {
                return self.entry(statement, &digest, false).map(Some);
            }
            if self.has_ended {
                return Ok(None);
            }
            line.clear();
            let read = self.file.read_until(b'\n', &mut line);
            if read.map_err(ScriptError::unreadable(&self.path))? == 0 {
                return Err(self.edited());
            }
            let token = &self.header.token;
            let Some(mark) = mark_of(&line, token) else {
                match &mut self.open {
                    Some(open) => open.sql.extend_from_slice(&line),
                    None => self.frame.update(&line),
                }
                continue;
            };
            let ended = self.open.take();
            if let Some((statement, digest)) = marks::parse_inactive(mark) {
                self.inactive = Some((statement, digest.to_owned()));
            } else if let Some((statement, digest)) = marks::parse_statement(mark) {
                self.open = Some(Open {
                    statement,
                    digest: digest.to_owned(),
                    sql: Vec::new(),
                });
            } else if let Some(expected) = mark.strip_prefix(DIGEST) {
                let is_intact = hex::encode(self.frame.clone().finish()) == expected;
                let rest = self.file.fill_buf();
                let rest = rest.map_err(ScriptError::unreadable(&self.path))?;
                if !is_intact || !rest.is_empty() {
                    return Err(self.edited());
                }
                self.has_ended = true;
            } else {
                self.frame.update(&line);
            }
            if let Some(open) = ended {
                return self.end_statement(open).map(Some);
            }
        }
    }

    fn end_statement(&mut self, open: Open) -> Result<Entry, ScriptError> {
        let Open {
            statement,
            digest,
            mut sql,
        } = open;
        sql.pop();
        let sql = String::from_utf8(sql).map_err(|_| self.edited())?;
        self.entry(Statement { sql, ..statement }, &digest, true)
    }

    /// A statement that is as it was written, in its place, and guarded.
    fn entry(
        &mut self,
        statement: Statement,
        digest: &str,
        active: bool,
    ) -> Result<Entry, ScriptError> {
        let changed = |reason| ScriptError::EditedStatement {
            path: self.path.clone(),
            statement: statement.name(),
            reason,
        };
        if statement.digest(&self.script) != digest {
            return Err(changed("has been changed since the script was written"));
        }
        let (action, number) = (statement.action, statement.number);
        let is_next = self
            .last
            .is_none_or(|(before, last)| match before.cmp(&action) {
                std::cmp::Ordering::Less => true,
                std::cmp::Ordering::Greater => false,
                // An undo goes backwards, and has as many copies as took effect.
                std::cmp::Ordering::Equal => match self.header.direction {
                    Direction::Repair => last < number,
                    Direction::Undo => last >= number,
                },
            });
        if !is_next {
            return Err(changed("is not in its place, or stands there twice"));
        }
        self.last = Some((action, number));
        let form = self.header.form();
        let checked = form.collect(action, &statement.sql, &mut self.names);
        checked.map_err(|reason| ScriptError::NotGuarded {
            path: self.path.clone(),
            statement: statement.name(),
            reason,
        })?;
        Ok(Entry { statement, active })
    }

    fn edited(&self) -> ScriptError {
        ScriptError::Edited(self.path.clone())
    }
}

/// The digest of a header by its line.
pub(super) fn header_digest(line: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, line))
}

#[cfg(test)]
mod tests {
    use shared::atomic_file::{Access, AtomicFile};

    use super::super::header::testing::header;
    use super::super::script_writer::ScriptWriter;
    use super::*;

    /// A script whose digests are right, whatever its statements are.
    fn opened(statements: &[(RepairAction, u64, &str)]) -> Result<Script, ScriptError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.repair.sql");
        let mut header = header();
        for (action, ..) in statements {
            header.statements.add(*action, 1);
        }
        let file = AtomicFile::create(&path, Access::Owner).unwrap();
        let mut script = ScriptWriter::begin(file, header).unwrap();
        for (action, number, sql) in statements {
            let statement = Statement {
                action: *action,
                key: "0a".to_owned(),
                number: *number,
                sql: (*sql).to_owned(),
            };
            script.add(&statement).unwrap();
        }
        script.end().unwrap().commit().unwrap();
        Script::open(&path)
    }

    #[test]
    fn a_script_with_right_digests_and_other_sql_is_refused() {
        use RepairAction::{Delete, Update};
        let delete = "DELETE FROM [dbo].[t] WHERE [id] = 1;";
        let update = "UPDATE [dbo].[t] SET [v] = N'x' WHERE [id] = 1;";
        let script = opened(&[
            (Delete, 0, delete),
            (Delete, 1, delete),
            (Update, 0, update),
        ]);
        assert_eq!(script.unwrap().present.total(), 3);
        for sql in [
            "DROP TABLE [dbo].[t];",
            "DELETE FROM [dbo].[t];",
            "DELETE FROM [dbo].[t] WHERE [id] = 1; DELETE FROM [dbo].[t] WHERE [id] = 2;",
            "DELETE FROM [dbo].[t] WHERE [id] = 1;\n:!! rm -rf /",
            update,
        ] {
            let refused = opened(&[(Delete, 0, delete), (Delete, 1, sql)]);
            let Err(ScriptError::NotGuarded { statement, .. }) = refused else {
                panic!("{sql}: {refused:?}")
            };
            assert_eq!(statement, "delete #1");
        }
        let twice = opened(&[(Delete, 0, delete), (Delete, 0, delete)]);
        assert!(matches!(twice, Err(ScriptError::EditedStatement { .. })));
    }
}
