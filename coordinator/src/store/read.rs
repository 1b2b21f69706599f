//! Reads stored runs.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use shared::ids::RunId;

use super::stored_run::LATEST;
use super::{RunLock, RunStore, StoreError, StoredRun};
use crate::run_state::{Counts, PlannedTable, RestoredTable, RunSummary, TableStatus};

const COLUMNS: &str =
    "id, key, started_at, settings, tables, cancelling, running, ended, databases";

/// The [`COLUMNS`] of a row of `runs` before they are parsed.
type RunRow = (
    String,
    i64,
    String,
    String,
    usize,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);

impl RunStore {
    pub(crate) fn runs(&self) -> Result<Vec<StoredRun>, StoreError> {
        let select = format!("SELECT {COLUMNS} FROM runs ORDER BY started_at DESC, key DESC");
        let rows: Vec<RunRow> = self.query(&select, [], |row| row.try_into())?;
        rows.into_iter().map(|row| self.parse_run(row)).collect()
    }

    /// The run that `name` means: `latest`, the latest run that was started with this name, or
    /// the run with this identifier or this beginning of it.
    ///
    /// # Errors
    ///
    /// When there is none, or more than one.
    pub fn run(&self, name: &str) -> Result<StoredRun, StoreError> {
        let name = name.trim();
        let unknown = || StoreError::UnknownRun {
            name: name.to_owned(),
            path: self.path(),
        };
        if name.is_empty() {
            return Err(unknown());
        }
        let mut rows: Vec<RunRow> = if name.eq_ignore_ascii_case(LATEST) {
            let select =
                format!("SELECT {COLUMNS} FROM runs ORDER BY started_at DESC, key DESC LIMIT 1");
            self.query(&select, [], |row| row.try_into())?
        } else {
            let select = format!(
                "SELECT {COLUMNS} FROM runs WHERE settings ->> '$.name' = ?1 \
                 ORDER BY started_at DESC, key DESC LIMIT 1"
            );
            self.query(&select, [name], |row| row.try_into())?
        };
        if rows.is_empty() {
            let select = format!(
                "SELECT {COLUMNS} FROM runs WHERE substr(id, 1, length(?1)) = ?1 ORDER BY id"
            );
            rows = self.query(&select, [name.to_ascii_lowercase()], |row| row.try_into())?;
        }
        if rows.len() > 1 {
            return Err(StoreError::AmbiguousRun {
                name: name.to_owned(),
                candidates: rows.into_iter().map(|(id, ..)| id).collect(),
            });
        }
        let row = rows.pop().ok_or_else(unknown)?;
        self.parse_run(row)
    }

    fn parse_run(&self, row: RunRow) -> Result<StoredRun, StoreError> {
        let (id, key, started_at, settings, tables, cancelling, running, ended, databases) = row;
        let id: RunId = id.parse().map_err(|_| StoreError::Damaged {
            run: id,
            reason: "its identifier is not valid".to_owned(),
        })?;
        let started_at = DateTime::parse_from_rfc3339(&started_at)
            .map_err(|error| damaged(id, "started_at", &error))?
            .with_timezone(&Utc);
        let summary: Option<RunSummary> = parse_if_any(id, "ended", ended)?;
        let counts = match &summary {
            Some(summary) => summary.counts,
            None => self.counts(key)?,
        };
        Ok(StoredRun {
            id,
            started_at,
            settings: parse(id, "settings", &settings)?,
            tables,
            counts,
            cancelling: parse_if_any(id, "cancelling", cancelling)?,
            running: parse_if_any(id, "running", running)?,
            databases: parse_if_any(id, "databases", databases)?.unwrap_or_default(),
            is_alive: summary.is_none() && RunLock::is_held(self.directory(), id),
            summary,
        })
    }

    fn counts(&self, key: i64) -> Result<Counts, StoreError> {
        let rows: Vec<(String, usize)> = self.query(
            "SELECT status, count(*) FROM tables WHERE run = ?1 AND status IS NOT NULL GROUP BY status",
            [key],
            |row| row.try_into(),
        )?;
        let mut counts = Counts::default();
        for (word, count) in rows {
            let status = TableStatus::ALL
                .into_iter()
                .find(|status| status.as_str() == word);
            if let Some(status) = status {
                counts.add(status, count);
            }
        }
        Ok(counts)
    }

    /// The names of a run's tables in the source, in list order; none for an
    /// unknown run.
    pub(crate) fn table_names(&self, run: RunId) -> Result<Vec<String>, StoreError> {
        self.query(
            "SELECT planned ->> '$.spec.source.table' FROM tables \
             WHERE run = (SELECT key FROM runs WHERE id = ?1) ORDER BY position",
            [run.to_string()],
            |row| row.get(0),
        )
    }

    pub(crate) fn tables(
        &self,
        run: &StoredRun,
    ) -> Result<Vec<(PlannedTable, RestoredTable)>, StoreError> {
        type Columns = (usize, String, Option<String>, Option<String>);
        let rows: Vec<Columns> = self.query(
            "SELECT position, planned, open, record FROM tables \
             WHERE run = (SELECT key FROM runs WHERE id = ?1) ORDER BY position",
            [run.id.to_string()],
            |row| row.try_into(),
        )?;
        let whole = rows.len() == run.tables
            && rows
                .iter()
                .enumerate()
                .all(|(at, &(position, ..))| at == position);
        if !whole {
            return Err(StoreError::Damaged {
                run: run.id.to_string(),
                reason: format!(
                    "it has {} tables, and {} are stored",
                    run.tables,
                    rows.len()
                ),
            });
        }
        rows.into_iter()
            .map(|(_, planned, open, record)| {
                let planned: PlannedTable = parse(run.id, "planned", &planned)?;
                let state = match (record, open) {
                    (Some(record), _) => {
                        RestoredTable::Ended(Box::new(parse(run.id, "record", &record)?))
                    }
                    (None, Some(open)) => RestoredTable::Open(parse(run.id, "open", &open)?),
                    (None, None) => {
                        return Err(StoreError::Damaged {
                            run: run.id.to_string(),
                            reason: format!(
                                "{} has neither a state nor a record",
                                planned.spec.source.table
                            ),
                        });
                    }
                };
                Ok((planned, state))
            })
            .collect()
    }
}

fn parse<T: DeserializeOwned>(run: RunId, column: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| damaged(run, column, &error))
}

fn parse_if_any<T: DeserializeOwned>(
    run: RunId,
    column: &str,
    text: Option<String>,
) -> Result<Option<T>, StoreError> {
    text.map(|text| parse(run, column, &text)).transpose()
}

fn damaged(run: RunId, column: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged {
        run: run.to_string(),
        reason: format!("{column}: {error}"),
    }
}
