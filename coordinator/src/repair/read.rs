//! Reads scripts again, if they are as they were written.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{self, Context};
use shared::outcome::RepairAction;

use super::order::Numbers;
use super::script::{FIRST, Header, hex};

/// A statement out of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it does.
    pub action: RepairAction,
    /// The encoded key of its row in hexadecimal; empty where there is no key.
    pub key: String,
    /// Its place among the statements of this kind that the repair has, from 0;
    /// the inverse of a statement has the number of that.
    pub number: u64,
    /// The SQL.
    pub sql: String,
}

/// Why a script cannot be applied.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// It cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is something else.
    #[error("{} is not a repair script of this version; `reconcile run --generate-repair` writes them", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// It is not as it was written.
    #[error("{} has been changed since it was written; make it anew with `reconcile run --generate-repair`, or run it with psql or sqlcmd if the change is meant", path.display())]
    Edited {
        /// Which file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What it takes back has not been done, as far as is known.
    #[error("{} takes back a repair that `reconcile apply` has not applied: there is nothing to take back; if it was applied with psql or sqlcmd, go on with --assume-applied", path.display())]
    NotApplied {
        /// Which file.
        path: PathBuf,
    },
    /// An earlier commit was not answered, or its process was killed.
    #[error("it is not known whether an earlier `reconcile apply` was committed: {} is what {} has to be if it was. Look at the target. If it was committed, go on with --assume-applied; if not, remove that file", pending.display(), undo.display())]
    Pending {
        /// What was written before the commit.
        pending: PathBuf,
        /// The script whose place it takes.
        undo: PathBuf,
    },
    /// A repair and the script beside it are not of one run.
    #[error("{} does not take back what {} repairs; move it away to go on without it, or make both anew with `reconcile run --generate-repair`", undo.display(), repair.display())]
    NotItsUndo {
        /// The script that should.
        undo: PathBuf,
        /// The repair.
        repair: PathBuf,
    },
    /// The repair is in another database already.
    #[error("{} takes back what was applied to {database}; take it back there, or use a copy of the directory as the run wrote it", undo.display())]
    AppliedElsewhere {
        /// The script that takes back.
        undo: PathBuf,
        /// Where that is to be done.
        database: String,
    },
    /// Scripts that do not belong together.
    #[error("{}", reason)]
    Mixed {
        /// What does not fit.
        reason: String,
    },
}

/// A script that was read and is as it was written.
#[derive(Debug)]
pub struct Script {
    /// Where it is.
    pub path: PathBuf,
    /// What it says of itself.
    pub header: Header,
}

impl Script {
    /// Looks at the script at `path`, and makes sure that it is whole.
    ///
    /// # Errors
    ///
    /// When it cannot be read, is something else or was changed.
    pub fn open(path: &Path) -> Result<Self, ScriptError> {
        let unreadable = |error| ScriptError::Unreadable {
            path: path.to_owned(),
            error,
        };
        let foreign = || ScriptError::Foreign {
            path: path.to_owned(),
        };
        let edited = || ScriptError::Edited {
            path: path.to_owned(),
        };
        let mut file = BufReader::new(File::open(path).map_err(unreadable)?);
        let mut first = vec![0; FIRST.len() + 1];
        match file.read_exact(&mut first) {
            Ok(()) if first == format!("{FIRST}\n").as_bytes() => {}
            Ok(()) => return Err(foreign()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(foreign()),
            Err(error) => return Err(unreadable(error)),
        }
        let mut digest = Context::new(&digest::SHA256);
        digest.update(&first);
        let mut header: Option<Header> = None;
        let mut line = Vec::new();
        loop {
            line.clear();
            if file.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
                return Err(edited());
            }
            let Some(known) = &header else {
                let json = line.strip_prefix(b"-- ").ok_or_else(foreign)?;
                header = Some(serde_json::from_slice(json).map_err(|_| foreign())?);
                digest.update(&line);
                continue;
            };
            if let Some(said) = mark_of(&line, &known.token)
                && let Some(said) = said.strip_prefix("digest ")
            {
                let whole = hex(digest.clone().finish().as_ref()) == said.trim_end();
                let last = file.fill_buf().map_err(unreadable)?.is_empty();
                return match header {
                    Some(header) if whole && last => Ok(Self {
                        path: path.to_owned(),
                        header,
                    }),
                    _ => Err(edited()),
                };
            }
            digest.update(&line);
        }
    }

    /// Its statements of one kind.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened any more.
    pub fn statements(
        &self,
        action: RepairAction,
    ) -> Result<impl Iterator<Item = Result<Statement, ScriptError>>, ScriptError> {
        Ok(self.entries()?.filter_map(move |entry| match entry {
            Ok(Entry::Live(statement)) if statement.action == action => Some(Ok(statement)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }))
    }

    /// All that it has, in the order of the file.
    pub(super) fn entries(
        &self,
    ) -> Result<impl Iterator<Item = Result<Entry, ScriptError>>, ScriptError> {
        let file = File::open(&self.path).map_err(|error| ScriptError::Unreadable {
            path: self.path.clone(),
            error,
        })?;
        let mut reader = EntryReader {
            file: BufReader::new(file),
            token: self.header.token.clone(),
            path: self.path.clone(),
            seen: Numbers::default(),
            current: None,
            held: None,
        };
        Ok(std::iter::from_fn(move || reader.next()))
    }
}

/// What a script has of one statement.
#[derive(Debug)]
pub(super) enum Entry {
    /// It is carried out.
    Live(Statement),
    /// It is kept in a comment.
    Held(Statement),
}

struct EntryReader {
    file: BufReader<File>,
    token: String,
    path: PathBuf,
    /// Statements so far, which number those of former versions.
    seen: Numbers,
    /// What was read of a statement whose end is still to come.
    current: Option<(Statement, Vec<u8>)>,
    /// What is held right after the statement that was handed out last.
    held: Option<Statement>,
}

impl EntryReader {
    fn next(&mut self) -> Option<Result<Entry, ScriptError>> {
        if let Some(statement) = self.held.take() {
            return Some(Ok(Entry::Held(statement)));
        }
        let mut line = Vec::new();
        loop {
            line.clear();
            match self.file.read_until(b'\n', &mut line) {
                Ok(0) => return self.whole(),
                Ok(_) => {}
                Err(error) => {
                    return Some(Err(ScriptError::Unreadable {
                        path: self.path.clone(),
                        error,
                    }));
                }
            }
            let Some(mark) = mark_of(&line, &self.token) else {
                if let Some((_, sql)) = &mut self.current {
                    sql.extend_from_slice(&line);
                }
                continue;
            };
            let before = self.whole();
            self.held = held_of(mark.trim_end());
            self.current = self.begun(mark.trim_end());
            if before.is_some() {
                return before;
            }
            if let Some(statement) = self.held.take() {
                return Some(Ok(Entry::Held(statement)));
            }
        }
    }

    fn begun(&mut self, mark: &str) -> Option<(Statement, Vec<u8>)> {
        let mut statement = statement_of(mark)?;
        let seen = self.seen.of(statement.action);
        self.seen.add(statement.action, 1);
        if statement.number == UNNUMBERED {
            statement.number = seen;
        }
        Some((statement, Vec::new()))
    }

    /// The statement whose end has been read.
    fn whole(&mut self) -> Option<Result<Entry, ScriptError>> {
        let (statement, mut sql) = self.current.take()?;
        sql.pop();
        Some(match String::from_utf8(sql) {
            Ok(sql) => Ok(Entry::Live(Statement { sql, ..statement })),
            Err(_) => Err(ScriptError::Edited {
                path: self.path.clone(),
            }),
        })
    }
}

/// What the mark on `line` says, if it is one.
fn mark_of<'a>(line: &'a [u8], token: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(b"-- ")?.strip_prefix(token.as_bytes())?;
    std::str::from_utf8(rest.strip_prefix(b" ")?).ok()
}

/// Stands for the number of a statement whose mark has none.
const UNNUMBERED: u64 = u64::MAX;

fn statement_of(mark: &str) -> Option<Statement> {
    let mut words = mark.split(' ');
    let action = match words.next()? {
        "delete" => RepairAction::Delete,
        "update" => RepairAction::Update,
        "insert" => RepairAction::Insert,
        _ => return None,
    };
    let (mut key, mut number) = (String::new(), UNNUMBERED);
    for word in words {
        match word.strip_prefix('#') {
            Some(digits) => number = digits.parse().ok()?,
            None => key = word.to_owned(),
        }
    }
    Some(Statement {
        action,
        key,
        number,
        sql: String::new(),
    })
}

fn held_of(mark: &str) -> Option<Statement> {
    let mark = mark.strip_prefix("held ")?;
    let (mark, sql) = mark.split_at(mark.find('"')?);
    Some(Statement {
        sql: serde_json::from_str(sql).ok()?,
        ..statement_of(mark.trim_end())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repair::script::testing::header;

    #[test]
    fn scripts_of_former_versions_are_numbered_as_they_stand() {
        let header = header();
        let token = &header.token;
        let mut json = serde_json::to_value(&header).unwrap();
        for later in ["applied", "database"] {
            json.as_object_mut().unwrap().remove(later).unwrap();
        }
        let text = format!(
            "{FIRST}\n-- {json}\n-- {token} begin\n-- {token} delete 0a\nDELETE\n1;\n-- {token} delete\nDELETE 2;\n-- {token} insert 0b\nINSERT;\n-- {token} end\nCOMMIT;\n"
        );
        let whole = hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("t.undo.sql");
        std::fs::write(&path, format!("{text}-- {token} digest {whole}\n")).unwrap();
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
