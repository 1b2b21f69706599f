//! Keeps undo scripts consistent with what `reconcile apply` does.
//!
//! `reconcile apply` writes a new undo script before the commit, in a pending
//! file beside the old one, and replaces the old one after the commit. The new
//! script contains the inverse of what took effect; the other statements stay in
//! comments, for a repair that is applied again. If the process is killed between
//! the two, or the commit is not answered, the pending file stays, and no script
//! is applied until the user has decided whether the commit took effect.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use shared::atomic_file::{self, Access, AtomicFile, FinishedFile};
use shared::outcome::RepairAction;

use super::error::ScriptError;
use super::header::Header;
use super::script_reader::{Entry, Script};
use super::script_writer::ScriptWriter;
use super::statement::{Direction, Statement, StatementCounts};

/// How often each statement of a script took effect, by action and number.
#[derive(Debug, Default)]
pub(crate) struct Effects(BTreeMap<(RepairAction, u64), u64>);

impl Effects {
    pub(crate) fn add(&mut self, action: RepairAction, number: u64) {
        *self.0.entry((action, number)).or_default() += 1;
    }

    fn count(&self, action: RepairAction, number: u64) -> u64 {
        self.0.get(&(action, number)).copied().unwrap_or_default()
    }

    /// Whether the statement took effect at least once.
    pub(crate) fn has(&self, action: RepairAction, number: u64) -> bool {
        self.count(action, number) > 0
    }
}

/// The path of the undo script of the script at `path`, which may be an undo
/// script itself; `None` for another kind of file.
fn undo_path(path: &Path) -> Option<PathBuf> {
    let (repair, undo) = (Direction::Repair.suffix(), Direction::Undo.suffix());
    let name = path.file_name()?.to_str()?;
    match name.strip_suffix(repair) {
        Some(stem) => Some(path.with_file_name(format!("{stem}{undo}"))),
        None => name.ends_with(undo).then(|| path.to_owned()),
    }
}

pub(super) fn pending_path(undo: &Path) -> PathBuf {
    let mut name = undo.file_name().unwrap_or_default().to_owned();
    name.push(".pending");
    undo.with_file_name(name)
}

/// Checks that the outcome of the last commit of the script at `path` is known.
/// With `assume_applied` an unanswered commit counts as done.
pub(super) fn settle(path: &Path, assume_applied: bool) -> Result<(), ScriptError> {
    let Some(undo) = undo_path(path) else {
        return Ok(());
    };
    let pending = pending_path(&undo);
    if !pending.exists() {
        return Ok(());
    }
    if !assume_applied {
        return Err(ScriptError::Pending { pending, undo });
    }
    // The process may have been killed while it wrote the file, before the commit.
    Script::open(&pending)?;
    atomic_file::rename(&pending, &undo).map_err(ScriptError::unwritable(&undo))
}

impl Script {
    /// The undo script that must be updated when this script is applied to
    /// `database`, if there is one.
    ///
    /// # Errors
    ///
    /// When it was changed, belongs to another repair, or undoes what was done
    /// to another database.
    pub(crate) fn undo(&self, database: &str) -> Result<Option<Self>, ScriptError> {
        match self.header.direction {
            // The repair was applied with another program, which updates no script.
            Direction::Undo if !self.header.applied => return Ok(None),
            Direction::Undo => return Self::open(&self.path).map(Some),
            Direction::Repair => {}
        }
        let Some(path) = undo_path(&self.path).filter(|path| path.exists()) else {
            return Ok(None);
        };
        let undo = Self::open(&path)?;
        let identity = |header: &Header| {
            let Header {
                run, schema, table, ..
            } = header;
            [run, schema, table].map(String::clone)
        };
        if undo.header.direction != Direction::Undo
            || identity(&undo.header) != identity(&self.header)
        {
            return Err(self.not_its_undo(&undo));
        }
        match &undo.header.database {
            Some(before)
                if undo.header.applied && undo.present.total() > 0 && before != database =>
            {
                Err(ScriptError::AppliedElsewhere {
                    undo: path,
                    database: before.clone(),
                })
            }
            _ => Ok(Some(undo)),
        }
    }

    fn not_its_undo(&self, undo: &Self) -> ScriptError {
        ScriptError::NotItsUndo {
            undo: undo.path.clone(),
            repair: self.path.clone(),
        }
    }

    /// Writes the new undo script after this script has had `effects` in
    /// `database`, beside the old one. Returns `None` if this script has no undo script.
    pub(crate) fn renew_undo(
        &self,
        effects: &Effects,
        database: &str,
    ) -> Result<Option<FinishedFile>, ScriptError> {
        // Another process may have changed it in the meantime, so it is read again.
        let Some(undo) = self.undo(database)? else {
            return Ok(None);
        };
        let renewal = Renewal {
            script: self,
            undo: &undo,
            effects,
        };
        let statements = renewal.walk(|_, _| Ok(()))?;
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
        let pending = pending_path(&undo.path);
        let created = AtomicFile::create_at(&pending, &undo.path, Access::Owner)
            .and_then(|file| ScriptWriter::begin(file, header));
        let mut file = created.map_err(|error| match error.kind() {
            // Another process has left it behind, or applies the same script now.
            io::ErrorKind::AlreadyExists => ScriptError::Pending {
                pending: pending.clone(),
                undo: undo.path.clone(),
            },
            _ => ScriptError::unwritable(&pending)(error),
        })?;
        if renewal.write(&mut file)? != statements {
            return Err(self.not_its_undo(&undo));
        }
        let finished = file.end().and_then(AtomicFile::finish);
        finished
            .map(Some)
            .map_err(ScriptError::unwritable(&pending))
    }
}

struct Renewal<'a> {
    /// The script that has been executed, but not committed.
    script: &'a Script,
    undo: &'a Script,
    effects: &'a Effects,
}

impl Renewal<'_> {
    /// How many copies of a statement it has, if the old version had `copies`;
    /// `None` if the statement was undone more often than it was applied.
    fn copies(&self, statement: &Statement, copies: u64) -> Option<u64> {
        let Statement { action, number, .. } = *statement;
        match self.script.header.direction {
            Direction::Repair => {
                let before = if self.undo.header.applied { copies } else { 0 };
                let repaired = Direction::Undo.orient(action);
                Some(before + self.effects.count(repaired, number))
            }
            Direction::Undo => copies.checked_sub(self.effects.count(action, number)),
        }
    }

    /// Writes its statements and returns how many of them are active.
    fn write(&self, file: &mut ScriptWriter) -> Result<StatementCounts, ScriptError> {
        let unwritable = ScriptError::unwritable(&pending_path(&self.undo.path));
        self.walk(|statement, copies| {
            for _ in 0..copies {
                file.add(statement).map_err(&unwritable)?;
            }
            if copies == 0 {
                file.add_inactive(statement).map_err(&unwritable)?;
            }
            Ok(())
        })
    }

    /// Passes each statement to `each`, with the number of its copies, and returns how many
    /// statements are active. Statements that the user has deleted from the old version are
    /// absent from the new one, too.
    fn walk(
        &self,
        mut each: impl FnMut(&Statement, u64) -> Result<(), ScriptError>,
    ) -> Result<StatementCounts, ScriptError> {
        let misfit = || self.script.not_its_undo(self.undo);
        let (mut known, mut active) = (StatementCounts::default(), StatementCounts::default());
        let mut entries = self.undo.entries()?.peekable();
        while let Some(entry) = entries.next() {
            let Entry {
                statement,
                active: is_active,
            } = entry?;
            let mut copies = u64::from(is_active);
            // Copies of a statement that took effect several times follow each other.
            let is_copy = |next: &Result<Entry, _>| {
                next.as_ref()
                    .is_ok_and(|next| next.statement.is_copy_of(&statement))
            };
            while let Some(copy) = entries.next_if(is_copy) {
                copies += u64::from(copy?.active);
            }
            let copies = self.copies(&statement, copies).ok_or_else(misfit)?;
            known.add(Direction::Undo.orient(statement.action), 1);
            active.add(statement.action, copies);
            each(&statement, copies)?;
        }
        let is_repair = self.script.header.direction == Direction::Repair;
        if is_repair && self.script.header.statements.minus(&known).is_none() {
            return Err(misfit());
        }
        Ok(active)
    }
}
