//! Keeps the scripts that take back in step with what `reconcile apply` does.
//!
//! A script that takes back is written anew before the commit, beside its place
//! and whole, and takes its place after it. It holds the inverse of what took
//! effect; the rest stays in comments, for when the repair is applied again.
//! A process that is killed between the two, or a commit that is not answered,
//! leaves the new file beside the old one: nobody goes on before it is decided
//! which of them is true.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use shared::outcome::RepairAction;

use super::order::{Numbers, inverse};
use super::read::{Entry, Script, ScriptError, Statement};
use super::script::{Direction, Header, ScriptFile};

/// How the names of scripts end that repair, and of those that take back.
const REPAIR: &str = ".repair.sql";
const UNDO: &str = ".undo.sql";

/// How often each statement of a script took effect, by its number.
#[derive(Debug, Default)]
pub struct Effects {
    delete: Vec<u32>,
    update: Vec<u32>,
    insert: Vec<u32>,
}

impl Effects {
    fn of(&self, action: RepairAction) -> &[u32] {
        match action {
            RepairAction::Delete => &self.delete,
            RepairAction::Update => &self.update,
            RepairAction::Insert => &self.insert,
        }
    }

    /// Counts one more.
    pub fn add(&mut self, action: RepairAction, number: u64) {
        let list = match action {
            RepairAction::Delete => &mut self.delete,
            RepairAction::Update => &mut self.update,
            RepairAction::Insert => &mut self.insert,
        };
        let at = usize::try_from(number).expect("a script has at most usize::MAX statements");
        if list.len() <= at {
            list.resize(at + 1, 0);
        }
        list[at] += 1;
    }

    /// How often one statement took effect.
    fn count(&self, action: RepairAction, number: u64) -> u64 {
        let at = usize::try_from(number).ok();
        let count = at.and_then(|at| self.of(action).get(at));
        count.copied().unwrap_or_default().into()
    }

    fn numbers(&self) -> Numbers {
        let total = |list: &[u32]| list.iter().map(|count| u64::from(*count)).sum();
        Numbers {
            delete: total(&self.delete),
            update: total(&self.update),
            insert: total(&self.insert),
        }
    }
}

/// Where the script is that takes back what the one at `path` repairs, or what
/// it is itself; nothing for a file that is named otherwise.
fn place(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    match name.strip_suffix(REPAIR) {
        Some(stem) => Some(path.with_file_name(format!("{stem}{UNDO}"))),
        None => name.ends_with(UNDO).then(|| path.to_owned()),
    }
}

fn pending(undo: &Path) -> PathBuf {
    let mut name = undo.file_name().unwrap_or_default().to_owned();
    name.push(".pending");
    undo.with_file_name(name)
}

/// Makes sure that no commit of an earlier time is undecided. With
/// `assume_applied` it is taken for done.
///
/// # Errors
///
/// When there is one, or its file cannot be put in place.
pub(super) fn settle(path: &Path, assume_applied: bool) -> Result<(), ScriptError> {
    let Some(undo) = place(path) else {
        return Ok(());
    };
    let pending = pending(&undo);
    if !pending.exists() {
        return Ok(());
    }
    if !assume_applied {
        return Err(ScriptError::Pending { pending, undo });
    }
    // Only what is whole was ever to be committed.
    Script::open(&pending)?;
    fs::rename(&pending, &undo).map_err(|error| ScriptError::Unwritable { path: undo, error })
}

impl Script {
    /// The script that has to be kept in step with this one when it is applied
    /// to `database`, if there is one.
    ///
    /// # Errors
    ///
    /// When it was changed, belongs to another repair, or has to take back what
    /// was done to another database.
    pub fn undo(&self, database: &str) -> Result<Option<Self>, ScriptError> {
        match self.header.direction {
            // Whoever applies repairs with other programs does so at any time.
            Direction::Undo if !self.header.applied => return Ok(None),
            Direction::Undo => return Self::open(&self.path).map(Some),
            Direction::Repair => {}
        }
        let Some(path) = place(&self.path).filter(|path| path.exists()) else {
            return Ok(None);
        };
        let undo = Self::open(&path)?;
        let Header {
            run, schema, table, ..
        } = &self.header;
        let its = (&undo.header.run, &undo.header.schema, &undo.header.table);
        if undo.header.direction != Direction::Undo || its != (run, schema, table) {
            return Err(ScriptError::NotItsUndo {
                undo: path,
                repair: self.path.clone(),
            });
        }
        let Header {
            applied,
            statements,
            database: before,
            ..
        } = &undo.header;
        match before {
            Some(before) if *applied && statements.total() > 0 && before != database => {
                Err(ScriptError::AppliedElsewhere {
                    undo: path,
                    database: before.clone(),
                })
            }
            _ => Ok(Some(undo)),
        }
    }

    /// Writes what takes back after this script has had these effects in `database`.
    /// Nothing where nothing is kept in step with it.
    ///
    /// # Errors
    ///
    /// When it cannot be read or written, or does not fit.
    pub fn renew_undo(
        &self,
        effects: &Effects,
        database: &str,
    ) -> Result<Option<RenewedUndo>, ScriptError> {
        // Read again: somebody else may have applied something meanwhile.
        let Some(undo) = self.undo(database)? else {
            return Ok(None);
        };
        let (pending, place) = (pending(&undo.path), undo.path.clone());
        let unwritable = |error| ScriptError::Unwritable {
            path: pending.clone(),
            error,
        };
        let misfit = || ScriptError::NotItsUndo {
            undo: undo.path.clone(),
            repair: self.path.clone(),
        };
        let (before, done) = (undo.header.statements, effects.numbers());
        let statements = match self.header.direction {
            Direction::Repair if undo.header.applied => before.plus(&done.inverse()),
            Direction::Repair => done.inverse(),
            Direction::Undo => before.minus(&done).ok_or_else(misfit)?,
        };
        let header = Header {
            token: Header::token(),
            applied: true,
            database: match self.header.direction {
                Direction::Repair => Some(database.to_owned()),
                Direction::Undo => undo.header.database.clone(),
            },
            statements,
            ..undo.header.clone()
        };
        let created = ScriptFile::create_in(pending.clone(), &place, header);
        let mut file = created.map_err(|error| match error.kind() {
            // Of an earlier time, or of somebody who applies the same right now.
            io::ErrorKind::AlreadyExists => ScriptError::Pending {
                pending: pending.clone(),
                undo: place.clone(),
            },
            _ => unwritable(error),
        })?;
        let (mut known, mut written) = (Numbers::default(), Numbers::default());
        let mut write = |statement: &Statement, copies: u64| -> Result<(), ScriptError> {
            let Statement { action, number, .. } = *statement;
            let left = match self.header.direction {
                Direction::Repair => {
                    let live = if undo.header.applied { copies } else { 0 };
                    live + effects.count(inverse(action), number)
                }
                Direction::Undo => copies
                    .checked_sub(effects.count(action, number))
                    .ok_or_else(misfit)?,
            };
            known.add(inverse(action), 1);
            written.add(action, left);
            for _ in 0..left {
                file.statement(statement).map_err(unwritable)?;
            }
            if left == 0 {
                file.hold(statement).map_err(unwritable)?;
            }
            Ok(())
        };
        // A statement that took effect several times is there so often, one after the other.
        let mut last: Option<(Statement, u64)> = None;
        for entry in undo.entries()? {
            let (statement, copies) = match entry? {
                Entry::Live(statement) => (statement, 1),
                Entry::Held(statement) => (statement, 0),
            };
            match &mut last {
                Some((same, more)) if same.is(&statement) => *more += copies,
                _ => {
                    if let Some((statement, copies)) = last.replace((statement, copies)) {
                        write(&statement, copies)?;
                    }
                }
            }
        }
        if let Some((statement, copies)) = last {
            write(&statement, copies)?;
        }
        let whole = self.header.direction == Direction::Undo || known == self.header.statements;
        if !whole || written != statements {
            return Err(misfit());
        }
        file.leave().map_err(unwritable)?;
        let renewed = RenewedUndo {
            pending,
            place,
            undecided: false,
        };
        renewed.make_durable()?;
        Ok(Some(renewed))
    }
}

impl Statement {
    /// Whether they are one and the same of a script.
    fn is(&self, other: &Self) -> bool {
        (self.action, self.number) == (other.action, other.number)
    }
}

/// A script that takes back, before it is in its place.
#[derive(Debug)]
pub struct RenewedUndo {
    pending: PathBuf,
    place: PathBuf,
    /// Nobody knows whether it is true.
    undecided: bool,
}

impl RenewedUndo {
    /// Puts it in its place: what it says has been done.
    ///
    /// # Errors
    ///
    /// When it cannot be; it stays beside its place then.
    pub fn confirm(mut self) -> Result<(), ScriptError> {
        self.undecided = true;
        fs::rename(&self.pending, &self.place).map_err(|error| ScriptError::Unwritable {
            path: self.place.clone(),
            error,
        })
    }

    /// Leaves it beside its place, for somebody to decide.
    pub fn leave_undecided(mut self) {
        self.undecided = true;
    }

    /// Makes sure that it is still there after the machine has failed.
    fn make_durable(&self) -> Result<(), ScriptError> {
        let directory = match self.pending.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let synced: io::Result<()> = fs::File::open(directory).and_then(|file| file.sync_all());
        synced.map_err(|error| ScriptError::Unwritable {
            path: directory.to_owned(),
            error,
        })
    }
}

impl Drop for RenewedUndo {
    fn drop(&mut self) {
        if !self.undecided {
            // What it says was not done. Already gone is as good.
            fs::remove_file(&self.pending).ok();
        }
    }
}
