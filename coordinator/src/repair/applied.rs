//! The record of the scripts that `reconcile apply` has applied: a file of JSON lines in the
//! state directory, to which lines are only appended.
//!
//! A line is written before the commit is sent, and another one when it is answered. So a
//! script whose commit was not answered counts as one that may have been applied.

use std::collections::HashMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use shared::outcome::RepairAction;

use super::error::ScriptError;
use super::script_reader::Script;
use super::script_set::ScriptSet;
use super::statement::{Direction, word};

const FILE: &str = "applied.jsonl";

/// The record in one state directory.
#[derive(Debug)]
pub(crate) struct AppliedScripts {
    path: PathBuf,
    applications: Vec<Application>,
    /// Whether applications were committed, by their identifiers, where that is known.
    ended: HashMap<String, bool>,
}

/// One line of the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    /// The commit of these scripts is going to be sent.
    Begun(Application),
    Ended {
        id: String,
        committed: bool,
    },
}

/// Scripts that are applied in one transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Application {
    id: String,
    at: DateTime<Utc>,
    /// The database of the target.
    database: String,
    actions: Vec<RepairAction>,
    scripts: Vec<AppliedScript>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct AppliedScript {
    script: String,
    file: PathBuf,
    direction: Direction,
    run: String,
    schema: String,
    table: String,
}

impl AppliedScript {
    fn of(script: &Script) -> Self {
        let header = &script.header;
        Self {
            script: script.id.clone(),
            file: std::path::absolute(&script.path).unwrap_or_else(|_| script.path.clone()),
            direction: header.direction,
            run: header.run.clone(),
            schema: header.schema.clone(),
            table: header.table.clone(),
        }
    }

    /// Whether this is the repair that the other one undoes, or the other way round.
    fn is_inverse_of(&self, other: &Self) -> bool {
        let identity = |script: &Self| {
            let Self {
                run, schema, table, ..
            } = script;
            [run, schema, table].map(String::clone)
        };
        self.direction != other.direction && identity(self) == identity(other)
    }
}

/// What the record knows of one action of a script in one database.
#[derive(Debug, Clone, Copy)]
struct Known {
    at: DateTime<Utc>,
    /// Whether the commit was answered.
    is_certain: bool,
}

impl AppliedScripts {
    /// Reads the record in `state_dir`, which need not exist.
    pub(crate) fn open(state_dir: &Path) -> Result<Self, ScriptError> {
        let path = state_dir.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(ScriptError::unreadable(&path)(error)),
        };
        let mut record = Self {
            path,
            applications: Vec::new(),
            ended: HashMap::new(),
        };
        for line in text.lines() {
            // A process that was killed while it wrote a line left a part of it. It had not
            // sent its commit, or the outcome of the commit is unknown.
            let Ok(json) = serde_json::from_str::<serde_json::Value>(line) else {
                continue;
            };
            let line = serde_json::from_value(json);
            match line.map_err(|error| ScriptError::unreadable(&record.path)(error.into()))? {
                Line::Begun(application) => record.applications.push(application),
                Line::Ended { id, committed } => {
                    record.ended.insert(id, committed);
                }
            }
        }
        Ok(record)
    }

    /// Checks that no script of `set` has been applied to `database` with one of the actions,
    /// unless it was undone since.
    ///
    /// # Errors
    ///
    /// The first script that was applied, and when.
    pub(crate) fn check(
        &self,
        set: &ScriptSet,
        database: &str,
        actions: &[RepairAction],
    ) -> Result<(), ScriptError> {
        for script in &set.scripts {
            for action in actions
                .iter()
                .filter(|action| script.present.of(**action) > 0)
            {
                let Some(Known { at, is_certain }) = self.find(script, database, *action) else {
                    continue;
                };
                let (path, time) = (
                    script.path.clone(),
                    at.to_rfc3339_opts(SecondsFormat::Secs, true),
                );
                return Err(if is_certain {
                    ScriptError::AlreadyApplied {
                        path,
                        action: word(*action),
                        time,
                        database: database.to_owned(),
                    }
                } else {
                    ScriptError::MaybeApplied {
                        path,
                        time,
                        database: database.to_owned(),
                    }
                });
            }
        }
        Ok(())
    }

    fn find(&self, script: &Script, database: &str, action: RepairAction) -> Option<Known> {
        let wanted = AppliedScript::of(script);
        let mut known = None;
        for application in &self.applications {
            let committed = self.ended.get(&application.id).copied();
            if committed == Some(false) {
                continue;
            }
            let is_undone = |script: &AppliedScript| script.is_inverse_of(&wanted);
            if application.concerns(&wanted, database, action) {
                known = Some(Known {
                    at: application.at,
                    is_certain: committed.is_some(),
                });
            } else if committed.is_some()
                && application.database == database
                && application.scripts.iter().any(is_undone)
            {
                known = None;
            }
        }
        known
    }

    /// Records that the commit of these scripts is going to be sent. Returns the
    /// identifier of the application for [`end`](Self::end).
    pub(crate) fn begin(
        &self,
        set: &ScriptSet,
        database: &str,
        actions: &[RepairAction],
    ) -> Result<String, ScriptError> {
        let mut id = [0_u8; 12];
        aws_lc_rs::rand::fill(&mut id).expect("the system has a source of random numbers");
        let id = hex::encode(id);
        self.append(&Line::Begun(Application {
            id: id.clone(),
            at: Utc::now(),
            database: database.to_owned(),
            actions: actions.to_vec(),
            scripts: set.scripts.iter().map(AppliedScript::of).collect(),
        }))?;
        Ok(id)
    }

    /// Records whether an application was committed.
    pub(crate) fn end(&self, application: String, committed: bool) -> Result<(), ScriptError> {
        self.append(&Line::Ended {
            id: application,
            committed,
        })
    }

    /// Appends a line, which is on the disk afterwards.
    fn append(&self, line: &Line) -> Result<(), ScriptError> {
        let write = || {
            if let Some(directory) = self.path.parent() {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(directory)?;
            }
            let mut file = OpenOptions::new()
                .create(true)
                .read(true)
                .append(true)
                .mode(0o600)
                .open(&self.path)?;
            let mut text = serde_json::to_string(line)? + "\n";
            let length = file.metadata()?.len();
            let mut last = [b'\n'];
            if length > 0 {
                file.read_exact_at(&mut last, length - 1)?;
            }
            if last != [b'\n'] {
                text.insert(0, '\n');
            }
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(ScriptError::unwritable(&self.path))
    }
}

impl Application {
    fn concerns(&self, script: &AppliedScript, database: &str, action: RepairAction) -> bool {
        self.database == database
            && self.actions.contains(&action)
            && self.scripts.iter().any(|of| of.script == script.script)
    }
}

#[cfg(test)]
mod tests {
    use super::super::header::testing::header;
    use super::super::statement::StatementCounts;
    use super::*;

    const ALL: [RepairAction; 3] = super::super::statement::ACTIONS;

    fn set(id: &str, direction: Direction) -> ScriptSet {
        let mut header = header();
        header.direction = direction;
        ScriptSet {
            scripts: vec![Script {
                path: PathBuf::from("t.repair.sql"),
                present: StatementCounts {
                    delete: 1,
                    update: 1,
                    insert: 1,
                },
                header,
                id: id.to_owned(),
            }],
            deferred: vec![Vec::new()],
            deletes_last: vec![false],
        }
    }

    #[test]
    fn an_application_is_known_by_script_kind_and_database_until_it_is_undone() {
        let place = tempfile::tempdir().unwrap();
        let open = || AppliedScripts::open(&place.path().join("state")).unwrap();
        let repair = set("one", Direction::Repair);
        open().check(&repair, "db", &ALL).unwrap();
        let insert = &[RepairAction::Insert];
        let id = open().begin(&repair, "db", insert).unwrap();
        let unknown = open().check(&repair, "db", &ALL).unwrap_err();
        assert!(
            matches!(unknown, ScriptError::MaybeApplied { .. }),
            "{unknown}"
        );
        open().end(id, true).unwrap();
        let known = open().check(&repair, "db", &ALL).unwrap_err();
        assert!(
            matches!(
                known,
                ScriptError::AlreadyApplied {
                    action: "insert",
                    ..
                }
            ),
            "{known}"
        );
        open()
            .check(&repair, "db", &[RepairAction::Delete])
            .unwrap();
        open().check(&repair, "other", &ALL).unwrap();
        open()
            .check(&set("two", Direction::Repair), "db", &ALL)
            .unwrap();
        // An undo that was refused changes nothing.
        let undo = set("undo", Direction::Undo);
        let id = open().begin(&undo, "db", &ALL).unwrap();
        open().end(id, false).unwrap();
        open().check(&repair, "db", insert).unwrap_err();
        let id = open().begin(&undo, "db", &ALL).unwrap();
        open().end(id, true).unwrap();
        open().check(&repair, "db", insert).unwrap();
        open().check(&undo, "db", insert).unwrap_err();
    }

    #[test]
    fn a_line_that_was_not_written_to_its_end_disturbs_no_other() {
        let place = tempfile::tempdir().unwrap();
        let open = || AppliedScripts::open(place.path()).unwrap();
        let repair = set("one", Direction::Repair);
        let path = place.path().join(FILE);
        std::fs::write(&path, "{\"event\":\"beg").unwrap();
        let id = open().begin(&repair, "db", &ALL).unwrap();
        open().end(id, true).unwrap();
        open().check(&repair, "db", &ALL).unwrap_err();
        // What this version does not know is no reason to apply something twice.
        std::fs::write(&path, "{\"event\":\"later\"}\n").unwrap();
        AppliedScripts::open(place.path()).unwrap_err();
    }
}
