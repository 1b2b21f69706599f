//! The record of the scripts that `reconcile apply` has applied: a file of JSON lines in the
//! state directory, to which lines are only appended.
//!
//! A line is written before the commit is sent, and another one when it is answered. So a
//! script whose commit was not answered counts as one that may have been applied. While scripts
//! are applied, a lock on a file beside the record keeps other processes from doing the same.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
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

/// The file that is locked while scripts are applied.
const LOCK: &str = "applied.lock";

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
    /// The database of the target, by its address.
    database: String,
    /// The same by what the database says of itself; absent in records of earlier versions.
    #[serde(default)]
    identity: Option<String>,
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
    /// The kinds of statements of which each one in the script took effect; absent in records
    /// of earlier versions.
    #[serde(default)]
    complete: Option<Vec<RepairAction>>,
}

/// A database, by its address and by what it says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AppliedTo<'a> {
    /// [`database_identity`](crate::store::database_identity).
    pub(crate) address: &'a str,
    /// [`DatabaseIdentity::id`](shared::identity::DatabaseIdentity::id), once a connection
    /// has read it. One database may have several addresses.
    pub(crate) identity: Option<&'a str>,
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
            complete: None,
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
struct Known<'a> {
    at: DateTime<Utc>,
    /// Whether the commit was answered.
    is_certain: bool,
    /// The address of the database at that time.
    database: &'a str,
}

impl AppliedScripts {
    /// Locks the record in `state_dir`, and reads it. `None` if another process holds the lock.
    pub(crate) fn lock(state_dir: &Path) -> Result<Option<(File, Self)>, ScriptError> {
        let path = state_dir.join(LOCK);
        let unwritable = ScriptError::unwritable(&path);
        create_directory(state_dir).map_err(&unwritable)?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(&unwritable)?;
        match file.try_lock() {
            Ok(()) => Ok(Some((file, Self::open(state_dir)?))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(unwritable(error)),
        }
    }

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
        database: AppliedTo<'_>,
        actions: &[RepairAction],
    ) -> Result<(), ScriptError> {
        for script in &set.scripts {
            for action in actions
                .iter()
                .filter(|action| script.present.of(**action) > 0)
            {
                let Some(Known {
                    at,
                    is_certain,
                    database,
                }) = self.find(script, database, *action)
                else {
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

    fn find(
        &self,
        script: &Script,
        database: AppliedTo<'_>,
        action: RepairAction,
    ) -> Option<Known<'_>> {
        let wanted = AppliedScript::of(script);
        let mut known = None;
        for application in &self.applications {
            let committed = self.ended.get(&application.id).copied();
            if committed == Some(false) {
                continue;
            }
            if !application.is_to(database) {
                continue;
            }
            if application.concerns(&wanted, action) {
                known = Some(Known {
                    at: application.at,
                    is_certain: committed.is_some(),
                    database: &application.database,
                });
            } else if committed.is_some() && application.undoes(&wanted, action) {
                known = None;
            }
        }
        known
    }

    /// Records that the commit of these scripts is going to be sent. `complete` are, for each
    /// script, the kinds of statements of which each one took effect. Returns the identifier of
    /// the application for [`end`](Self::end).
    pub(crate) fn begin(
        &self,
        set: &ScriptSet,
        database: AppliedTo<'_>,
        actions: &[RepairAction],
        complete: Vec<Vec<RepairAction>>,
    ) -> Result<String, ScriptError> {
        let mut id = [0_u8; 12];
        aws_lc_rs::rand::fill(&mut id).expect("the system has a source of random numbers");
        let id = hex::encode(id);
        self.append(&Line::Begun(Application {
            id: id.clone(),
            at: Utc::now(),
            database: database.address.to_owned(),
            identity: database.identity.map(str::to_owned),
            actions: actions.to_vec(),
            scripts: set
                .scripts
                .iter()
                .zip(complete)
                .map(|(script, complete)| AppliedScript {
                    complete: Some(complete),
                    ..AppliedScript::of(script)
                })
                .collect(),
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
                create_directory(directory)?;
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
    /// Whether it was applied to this database: one of the same address, or of the same
    /// identity behind another address.
    fn is_to(&self, database: AppliedTo<'_>) -> bool {
        self.database == database.address
            || (self.identity.is_some() && self.identity.as_deref() == database.identity)
    }

    fn concerns(&self, script: &AppliedScript, action: RepairAction) -> bool {
        self.actions.contains(&action) && self.scripts.iter().any(|of| of.script == script.script)
    }

    /// Whether it has undone all that the statements of `script` with this action did.
    fn undoes(&self, script: &AppliedScript, action: RepairAction) -> bool {
        let inverse = Direction::Undo.orient(action);
        self.actions.contains(&inverse)
            && self.scripts.iter().any(|of| {
                let complete = of.complete.as_ref();
                of.is_inverse_of(script)
                    && complete.is_none_or(|complete| complete.contains(&inverse))
            })
    }
}

fn create_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::super::header::testing::header;
    use super::super::statement::StatementCounts;
    use super::*;

    const ALL: [RepairAction; 3] = super::super::statement::ACTIONS;

    const DB: AppliedTo<'_> = AppliedTo {
        address: "db",
        identity: Some("1"),
    };

    const OTHER: AppliedTo<'_> = AppliedTo {
        address: "other",
        identity: Some("2"),
    };

    fn complete() -> Vec<Vec<RepairAction>> {
        vec![ALL.to_vec()]
    }

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
                names: worker::engine::ColumnNames::default(),
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
        open().check(&repair, DB, &ALL).unwrap();
        let insert = &[RepairAction::Insert];
        let id = open().begin(&repair, DB, insert, complete()).unwrap();
        let unknown = open().check(&repair, DB, &ALL).unwrap_err();
        assert!(
            matches!(unknown, ScriptError::MaybeApplied { .. }),
            "{unknown}"
        );
        open().end(id, true).unwrap();
        let known = open().check(&repair, DB, &ALL).unwrap_err();
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
        open().check(&repair, DB, &[RepairAction::Delete]).unwrap();
        open().check(&repair, OTHER, &ALL).unwrap();
        open()
            .check(&set("two", Direction::Repair), DB, &ALL)
            .unwrap();
        // An undo that was refused changes nothing.
        let undo = set("undo", Direction::Undo);
        let id = open().begin(&undo, DB, &ALL, complete()).unwrap();
        open().end(id, false).unwrap();
        open().check(&repair, DB, insert).unwrap_err();
        let id = open().begin(&undo, DB, &ALL, complete()).unwrap();
        open().end(id, true).unwrap();
        open().check(&repair, DB, insert).unwrap();
        open().check(&undo, DB, insert).unwrap_err();
    }

    #[test]
    fn an_undo_lifts_only_what_it_has_undone_wholly() {
        let place = tempfile::tempdir().unwrap();
        let open = || AppliedScripts::open(place.path()).unwrap();
        let (repair, undo) = (set("one", Direction::Repair), set("undo", Direction::Undo));
        let [delete, update, insert] = [
            RepairAction::Delete,
            RepairAction::Update,
            RepairAction::Insert,
        ];
        let record = |set: &ScriptSet, actions: &[RepairAction], complete: &[RepairAction]| {
            let id = open().begin(set, DB, actions, vec![complete.to_vec()]);
            open().end(id.unwrap(), true).unwrap();
        };
        let is_applied = |action| open().check(&repair, DB, &[action]).is_err();
        record(&repair, &ALL, &ALL);
        record(&undo, &[update], &[update]);
        assert_eq!(
            [delete, update, insert].map(is_applied),
            [true, false, true]
        );
        // An addition is undone by a deletion; not each of them took effect.
        record(&undo, &ALL, &[update, insert]);
        assert_eq!(
            [delete, update, insert].map(is_applied),
            [false, false, true]
        );
    }

    #[test]
    fn one_database_has_several_addresses() {
        let place = tempfile::tempdir().unwrap();
        let open = || AppliedScripts::open(place.path()).unwrap();
        let repair = set("one", Direction::Repair);
        let id = open().begin(&repair, DB, &ALL, complete()).unwrap();
        open().end(id, true).unwrap();
        let renamed = AppliedTo {
            address: "other",
            identity: DB.identity,
        };
        open().check(&repair, renamed, &ALL).unwrap_err();
        let unknown = AppliedTo {
            identity: None,
            ..DB
        };
        open().check(&repair, unknown, &ALL).unwrap_err();
    }

    #[test]
    fn one_process_at_a_time_holds_the_lock() {
        let place = tempfile::tempdir().unwrap();
        let state = place.path().join("state");
        let held = AppliedScripts::lock(&state).unwrap();
        assert!(held.is_some());
        assert!(AppliedScripts::lock(&state).unwrap().is_none());
        drop(held);
        assert!(AppliedScripts::lock(&state).unwrap().is_some());
    }

    #[test]
    fn a_line_that_was_not_written_to_its_end_disturbs_no_other() {
        let place = tempfile::tempdir().unwrap();
        let open = || AppliedScripts::open(place.path()).unwrap();
        let repair = set("one", Direction::Repair);
        let path = place.path().join(FILE);
        std::fs::write(&path, "{\"event\":\"beg").unwrap();
        let id = open().begin(&repair, DB, &ALL, complete()).unwrap();
        open().end(id, true).unwrap();
        open().check(&repair, DB, &ALL).unwrap_err();
        // What this version does not know is no reason to apply something twice.
        std::fs::write(&path, "{\"event\":\"later\"}\n").unwrap();
        AppliedScripts::open(place.path()).unwrap_err();
    }
}
