//! Reads repair scripts, if they have not been changed since they were written.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{self, Context};
use shared::outcome::RepairAction;

use super::error::ScriptError;
use super::header::Header;
use super::marks::{self, DIGEST, FIRST_LINE, mark_of};
use super::statement::{Statement, StatementCounts};

/// A script whose content matches its digest.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
}

impl Script {
    /// Reads the header of the script at `path` and verifies its digest.
    pub(crate) fn open(path: &Path) -> Result<Self, ScriptError> {
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
        let mut digest = Context::new(&digest::SHA256);
        digest.update(&first);
        loop {
            digest.update(&line);
            line.clear();
            if file.read_until(b'\n', &mut line).map_err(&unreadable)? == 0 {
                return Err(ScriptError::Edited(path.to_owned()));
            }
            let mark = mark_of(&line, &header.token);
            if let Some(expected) = mark.and_then(|mark| mark.strip_prefix(DIGEST)) {
                let intact = hex::encode(digest.finish()) == expected;
                if !intact || !file.fill_buf().map_err(&unreadable)?.is_empty() {
                    return Err(ScriptError::Edited(path.to_owned()));
                }
                return Ok(Self {
                    path: path.to_owned(),
                    header,
                });
            }
        }
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

    /// All its statements, in the order of the file.
    pub(super) fn entries(
        &self,
    ) -> Result<impl Iterator<Item = Result<Entry, ScriptError>>, ScriptError> {
        let file = File::open(&self.path).map_err(ScriptError::unreadable(&self.path))?;
        let mut reader = EntryReader {
            file: BufReader::new(file),
            token: self.header.token.clone(),
            path: self.path.clone(),
            seen: StatementCounts::default(),
            current: None,
            inactive: None,
        };
        Ok(std::iter::from_fn(move || reader.next().transpose()))
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) statement: Statement,
    /// Whether the statement is executed. Inactive statements are comments.
    pub(super) active: bool,
}

struct EntryReader {
    file: BufReader<File>,
    token: String,
    path: PathBuf,
    /// The numbers of active statements so far. They number the statements of scripts
    /// that a former version wrote without numbers.
    seen: StatementCounts,
    /// The active statement whose end has not been read yet, and its SQL so far.
    current: Option<(Statement, Vec<u8>)>,
    inactive: Option<Statement>,
}

impl EntryReader {
    fn next(&mut self) -> Result<Option<Entry>, ScriptError> {
        let mut line = Vec::new();
        loop {
            if let Some(statement) = self.inactive.take() {
                return Ok(Some(Entry {
                    statement,
                    active: false,
                }));
            }
            line.clear();
            let read = self.file.read_until(b'\n', &mut line);
            if read.map_err(ScriptError::unreadable(&self.path))? == 0 {
                return self.end_statement();
            }
            let Some(mark) = mark_of(&line, &self.token) else {
                if let Some((_, sql)) = &mut self.current {
                    sql.extend_from_slice(&line);
                }
                continue;
            };
            let ended = self.end_statement()?;
            self.inactive = marks::parse_inactive(mark);
            self.current = self.begin_statement(mark);
            if ended.is_some() {
                return Ok(ended);
            }
        }
    }

    fn begin_statement(&mut self, mark: &str) -> Option<(Statement, Vec<u8>)> {
        let (mut statement, is_numbered) = marks::parse_statement(mark)?;
        if !is_numbered {
            statement.number = self.seen.of(statement.action);
        }
        self.seen.add(statement.action, 1);
        Some((statement, Vec::new()))
    }

    fn end_statement(&mut self) -> Result<Option<Entry>, ScriptError> {
        let Some((statement, mut sql)) = self.current.take() else {
            return Ok(None);
        };
        sql.pop();
        let sql = String::from_utf8(sql).map_err(|_| ScriptError::Edited(self.path.clone()))?;
        Ok(Some(Entry {
            statement: Statement { sql, ..statement },
            active: true,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::header::testing::header;
    use super::*;

    #[test]
    fn scripts_of_former_versions_are_numbered_as_they_stand() {
        let header = header();
        let token = &header.token;
        let mut json = serde_json::to_value(&header).unwrap();
        for later in ["applied", "database"] {
            json.as_object_mut().unwrap().remove(later).unwrap();
        }
        let text = format!(
            "{FIRST_LINE}\n-- {json}\n-- {token} begin\n-- {token} delete 0a\nDELETE\n1;\n-- {token} delete\nDELETE 2;\n-- {token} insert 0b\nINSERT;\n-- {token} end\nCOMMIT;\n"
        );
        let digest = hex::encode(digest::digest(&digest::SHA256, text.as_bytes()));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.undo.sql");
        std::fs::write(&path, format!("{text}-- {token} digest {digest}\n")).unwrap();
        let script = Script::open(&path).unwrap();
        assert!(!script.header.applied && script.header.database.is_none());
        let read = |action| -> Vec<(String, u64, String)> {
            let statements = script.statements(action).unwrap();
            statements
                .map(|statement| statement.unwrap())
                .map(|statement| (statement.key, statement.number, statement.sql))
                .collect()
        };
        assert_eq!(
            read(RepairAction::Delete),
            [
                ("0a".to_owned(), 0, "DELETE\n1;".to_owned()),
                (String::new(), 1, "DELETE 2;".to_owned())
            ]
        );
        assert_eq!(
            read(RepairAction::Insert),
            [("0b".to_owned(), 0, "INSERT;".to_owned())]
        );
    }
}
