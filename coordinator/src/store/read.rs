//! Reads runs back.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, Row};
use serde::de::DeserializeOwned;
use shared::ids::RunId;

use super::kept::{KeptRun, KeptTables};
use super::{RunLock, RunStore, StoreError};
use crate::run_state::{Counts, PlannedTable, RestoredTable, RunSummary, TableStatus};

/// What people may call the latest run.
const LATEST: &str = "latest";

const COLUMNS: &str = "key, id, started_at, settings, tables, cancelling, running, ended";

/// A row of `runs` before it is understood.
struct Raw {
    key: i64,
    id: String,
    started_at: String,
    settings: String,
    tables: usize,
    cancelling: Option<String>,
    running: Option<String>,
    ended: Option<String>,
}

impl Raw {
    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            key: row.get(0)?,
            id: row.get(1)?,
            started_at: row.get(2)?,
            settings: row.get(3)?,
            tables: row.get(4)?,
            cancelling: row.get(5)?,
            running: row.get(6)?,
            ended: row.get(7)?,
        })
    }
}

impl RunStore {
    /// All runs, the latest first.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn runs(&self) -> Result<Vec<KeptRun>, StoreError> {
        let select = format!("SELECT {COLUMNS} FROM runs ORDER BY started_at DESC, key DESC");
        let read = || {
            let mut statement = self.connection.prepare(&select)?;
            let rows = statement.query_map([], Raw::of)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = read().map_err(self.failed())?;
        rows.into_iter().map(|raw| self.understand(raw)).collect()
    }

    /// The run that `name` stands for: its identifier, the beginning of it if
    /// no other run begins so, or `latest`.
    ///
    /// # Errors
    ///
    /// When there is none, or more than one.
    pub fn run(&self, name: &str) -> Result<KeptRun, StoreError> {
        let name = name.trim().to_ascii_lowercase();
        let unknown = || StoreError::UnknownRun {
            name: name.clone(),
            path: self.path(),
        };
        if name.is_empty() {
            return Err(unknown());
        }
        let raw = if name == LATEST {
            let select =
                format!("SELECT {COLUMNS} FROM runs ORDER BY started_at DESC, key DESC LIMIT 1");
            self.connection
                .query_row(&select, [], Raw::of)
                .optional()
                .map_err(self.failed())?
                .ok_or_else(unknown)?
        } else {
            let select = format!(
                "SELECT {COLUMNS} FROM runs WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id"
            );
            let read = || {
                let mut statement = self.connection.prepare(&select)?;
                let rows = statement.query_map([&name], Raw::of)?;
                rows.collect::<rusqlite::Result<Vec<_>>>()
            };
            let mut found = read().map_err(self.failed())?;
            if found.len() > 1 {
                return Err(StoreError::AmbiguousRun {
                    name,
                    candidates: found.into_iter().map(|raw| raw.id).collect(),
                });
            }
            found.pop().ok_or_else(unknown)?
        };
        self.understand(raw)
    }

    fn understand(&self, raw: Raw) -> Result<KeptRun, StoreError> {
        let id: RunId = raw.id.parse().map_err(|_| StoreError::Damaged {
            run: raw.id.clone(),
            reason: "it is no identifier".to_owned(),
        })?;
        let started_at = DateTime::parse_from_rfc3339(&raw.started_at)
            .map_err(|error| damaged(id, "started_at", &error))?
            .with_timezone(&Utc);
        let ended: Option<RunSummary> = raw
            .ended
            .map(|text| parse(id, "ended", &text))
            .transpose()?;
        let counts = match &ended {
            Some(ended) => ended.counts,
            None => self.counts(raw.key)?,
        };
        Ok(KeptRun {
            id,
            started_at,
            settings: parse(id, "settings", &raw.settings)?,
            tables: raw.tables,
            counts,
            cancelling: raw
                .cancelling
                .map(|text| parse(id, "cancelling", &text))
                .transpose()?,
            running: raw
                .running
                .map(|text| parse(id, "running", &text))
                .transpose()?,
            is_alive: ended.is_none() && RunLock::is_held(self.directory(), id),
            ended,
        })
    }

    fn counts(&self, key: i64) -> Result<Counts, StoreError> {
        let read = || {
            let mut statement = self.connection.prepare(
                "SELECT status, count(*) FROM tables WHERE run = ?1 AND status IS NOT NULL GROUP BY status",
            )?;
            let rows = statement.query_map([key], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<BTreeMap<String, usize>>>()
        };
        let by_word = read().map_err(self.failed())?;
        let of = |status: TableStatus| by_word.get(status.as_str()).copied().unwrap_or(0);
        Ok(Counts {
            matched: of(TableStatus::Matched),
            mismatched: of(TableStatus::Mismatched),
            failed: of(TableStatus::Failed),
            timeout: of(TableStatus::Timeout),
            cancelled: of(TableStatus::Cancelled),
        })
    }

    /// The names of a run's tables in the source, in list order; none for an
    /// unknown run.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn table_names(&self, run: RunId) -> Result<Vec<String>, StoreError> {
        let select = "SELECT planned ->> '$.spec.source.table' FROM tables \
                      WHERE run = (SELECT key FROM runs WHERE id = ?1) ORDER BY position";
        let read = || {
            let mut statement = self.connection.prepare(select)?;
            let rows = statement.query_map([run.to_string()], |row| row.get(0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(self.failed())
    }

    /// The tables of a run, each with where it stands.
    ///
    /// # Errors
    ///
    /// When the store cannot be read, or a table is missing.
    pub fn tables(&self, run: &KeptRun) -> Result<KeptTables, StoreError> {
        let select = "SELECT position, planned, open, record FROM tables \
                      WHERE run = (SELECT key FROM runs WHERE id = ?1) ORDER BY position";
        type Columns = (usize, String, Option<String>, Option<String>);
        let read = || {
            let mut statement = self.connection.prepare(select)?;
            let rows = statement.query_map([run.id.to_string()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<Columns>>>()
        };
        let rows = read().map_err(self.failed())?;
        let whole = rows.len() == run.tables
            && rows
                .iter()
                .enumerate()
                .all(|(at, &(position, ..))| at == position);
        if !whole {
            return Err(StoreError::Damaged {
                run: run.id.to_string(),
                reason: format!("it has {} tables and {} are there", run.tables, rows.len()),
            });
        }
        rows.into_iter()
            .map(|(_, planned, open, record)| {
                let planned: PlannedTable = parse(run.id, "planned", &planned)?;
                let stands = match (record, open) {
                    (Some(record), _) => {
                        RestoredTable::Ended(Box::new(parse(run.id, "record", &record)?))
                    }
                    (None, Some(open)) => RestoredTable::Open(parse(run.id, "open", &open)?),
                    (None, None) => {
                        return Err(StoreError::Damaged {
                            run: run.id.to_string(),
                            reason: format!("nothing is known of {}", planned.spec.source.table),
                        });
                    }
                };
                Ok((planned, stands))
            })
            .collect()
    }
}

fn parse<T: DeserializeOwned>(run: RunId, column: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| damaged(run, column, &error))
}

fn damaged(run: RunId, column: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged {
        run: run.to_string(),
        reason: format!("{column}: {error}"),
    }
}
