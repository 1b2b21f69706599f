//! Reads scripts again, if they are as they were written.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{self, Context};
use shared::outcome::RepairAction;

use super::script::{FIRST, Header, hex};

/// A statement out of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it does.
    pub action: RepairAction,
    /// The encoded key of its row in hexadecimal; empty where there is no key.
    pub key: String,
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
        let unreadable = |error| ScriptError::Unreadable {
            path: self.path.clone(),
            error,
        };
        let file = File::open(&self.path).map_err(unreadable)?;
        let mut reader = StatementReader {
            file: BufReader::new(file),
            token: self.header.token.clone(),
            path: self.path.clone(),
            current: None,
        };
        Ok(
            std::iter::from_fn(move || reader.next()).filter(move |statement| {
                statement
                    .as_ref()
                    .map_or(true, |statement| statement.action == action)
            }),
        )
    }
}

struct StatementReader {
    file: BufReader<File>,
    token: String,
    path: PathBuf,
    current: Option<(RepairAction, String, Vec<u8>)>,
}

impl StatementReader {
    fn next(&mut self) -> Option<Result<Statement, ScriptError>> {
        let mut line = Vec::new();
        loop {
            line.clear();
            match self.file.read_until(b'\n', &mut line) {
                Ok(0) => return self.take(None),
                Ok(_) => {}
                Err(error) => {
                    return Some(Err(ScriptError::Unreadable {
                        path: self.path.clone(),
                        error,
                    }));
                }
            }
            if let Some(mark) = mark_of(&line, &self.token) {
                let next = statement_of(mark.trim_end());
                if self.current.is_some() {
                    return self.take(next);
                }
                self.current = next;
            } else if let Some((_, _, sql)) = &mut self.current {
                sql.extend_from_slice(&line);
            }
        }
    }

    fn take(
        &mut self,
        next: Option<(RepairAction, String, Vec<u8>)>,
    ) -> Option<Result<Statement, ScriptError>> {
        let (action, key, mut sql) = std::mem::replace(&mut self.current, next)?;
        sql.pop();
        Some(match String::from_utf8(sql) {
            Ok(sql) => Ok(Statement { action, key, sql }),
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

fn statement_of(mark: &str) -> Option<(RepairAction, String, Vec<u8>)> {
    let (action, key) = mark.split_once(' ').unwrap_or((mark, ""));
    let action = match action {
        "delete" => RepairAction::Delete,
        "update" => RepairAction::Update,
        "insert" => RepairAction::Insert,
        _ => return None,
    };
    Some((action, key.to_owned(), Vec::new()))
}
