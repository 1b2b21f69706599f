//! Keeps repair statements on disk during a run.
//!
//! Each worker that runs an attempt has its own file. When the table ends, the
//! file of the deciding attempt gets its final name and the others are removed,
//! so that a file with a final name is complete.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use shared::atomic_file::{Access, AtomicFile};
use shared::ids::{RunId, TableId, WorkerId};
use shared::message::WorkId;
use shared::outcome::RepairStatement;

use crate::run::RunObserver;
use crate::run_state::{Effect, RunState, TableStatus};

/// The statements of one run. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Spool(Arc<Mutex<Files>>);

#[derive(Debug)]
struct Files {
    directory: PathBuf,
    open: HashMap<(WorkId, WorkerId), AtomicFile>,
    /// Tables whose statements could not be kept, and why.
    broken: HashMap<TableId, String>,
}

impl Spool {
    /// Opens the spool of `run` below `output`. If its directory does not exist,
    /// it is created with access for its owner only; if an earlier coordinator
    /// has kept statements there, they stay.
    pub(super) fn open(output: &Path, run: RunId) -> io::Result<Self> {
        let directory = output.join(format!(".repair-{run}"));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        Ok(Self(Arc::new(Mutex::new(Files {
            directory,
            open: HashMap::new(),
            broken: HashMap::new(),
        }))))
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().expect("no panic while the lock is held")
    }

    /// The statements of a table that has ended, in the order in which they
    /// arrived; `None` if there are none.
    pub(super) fn statements(
        &self,
        table: TableId,
    ) -> Result<Option<impl Iterator<Item = io::Result<RepairStatement>> + use<>>, String> {
        let lines = self
            .file(table)?
            .map(|file| BufReader::new(file).split(b'\n'));
        Ok(lines.map(|lines| lines.map(parse)))
    }

    /// The same statements, the last one first.
    pub(super) fn backwards(&self, table: TableId) -> Result<Option<Backwards>, String> {
        let file = self.file(table)?;
        let backwards = file.map(Backwards::new).transpose();
        backwards.map_err(|error| error.to_string())
    }

    fn file(&self, table: TableId) -> Result<Option<File>, String> {
        let files = self.files();
        if let Some(why) = files.broken.get(&table) {
            return Err(why.clone());
        }
        match File::open(files.final_path(table)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    pub(crate) fn remove(&self) {
        let mut files = self.files();
        files.open.clear();
        if let Err(error) = fs::remove_dir_all(&files.directory) {
            tracing::warn!(
                "the directory {} of repair statements could not be removed: {error}",
                files.directory.display()
            );
        }
    }
}

impl Files {
    fn final_path(&self, table: TableId) -> PathBuf {
        self.directory.join(format!("{}.jsonl", table.0))
    }

    fn keep(
        &mut self,
        work: WorkId,
        worker: &WorkerId,
        statements: &[RepairStatement],
    ) -> io::Result<()> {
        let path = self.final_path(work.table);
        let file = match self.open.entry((work, worker.clone())) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(new) => new.insert(AtomicFile::create(&path, Access::Owner)?),
        };
        for statement in statements {
            serde_json::to_writer(&mut *file, statement)?;
            file.write_all(b"\n")?;
        }
        file.flush()
    }

    fn end(&mut self, table: TableId, decided: Option<(WorkId, WorkerId)>) -> io::Result<()> {
        // If the table ends only now, an earlier coordinator has put a wrong file there.
        match fs::remove_file(self.final_path(table)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = decided.and_then(|key| self.open.remove(&key));
        self.open.retain(|(work, _), _| work.table != table);
        file.map_or(Ok(()), AtomicFile::commit)
    }

    fn set_broken(&mut self, table: TableId, error: &io::Error) {
        let why = format!(
            "its statements could not be kept in {}: {error}",
            self.directory.display()
        );
        tracing::warn!("a table cannot be repaired: {why}");
        self.broken.entry(table).or_insert(why);
    }
}

impl RunObserver for Spool {
    fn applied(&mut self, state: &RunState, effects: &[Effect]) {
        let mut files = self.files();
        for effect in effects {
            match effect {
                Effect::KeepRepair {
                    work,
                    worker,
                    statements,
                } => {
                    if let Err(error) = files.keep(*work, worker, statements) {
                        files.set_broken(work.table, &error);
                    }
                }
                Effect::TableEnded(table) => {
                    let decided = state
                        .record(*table)
                        .filter(|record| record.status() == TableStatus::Mismatched)
                        .and_then(|record| {
                            let work = state.work(*table, record.attempt);
                            Some((work, record.worker.clone()?))
                        });
                    if let Err(error) = files.end(*table, decided) {
                        files.set_broken(*table, &error);
                    }
                }
                _ => {}
            }
        }
    }
}

/// Bytes of one read from the end.
const BLOCK: usize = 1 << 16;

/// Statements from the last to the first.
#[derive(Debug)]
pub(super) struct Backwards {
    file: File,
    /// Everything before this offset has not been read.
    at: u64,
    /// Complete lines, except perhaps the first one.
    read: Vec<u8>,
}

impl Backwards {
    fn new(file: File) -> io::Result<Self> {
        Ok(Self {
            at: file.metadata()?.len(),
            file,
            read: Vec::new(),
        })
    }

    fn last_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let before_end = self.read.len().saturating_sub(1);
            let end_before = self.read[..before_end]
                .iter()
                .rposition(|byte| *byte == b'\n');
            if let Some(end) = end_before {
                return Ok(Some(self.read.split_off(end + 1)));
            }
            if self.at == 0 {
                let line = std::mem::take(&mut self.read);
                return Ok(Some(line).filter(|line| !line.is_empty()));
            }
            // The block grows with a long line, so that the line is not copied often.
            let wanted = u64::try_from(self.read.len().max(BLOCK)).unwrap_or(u64::MAX);
            let count = wanted.min(self.at);
            self.at -= count;
            self.file.seek(SeekFrom::Start(self.at))?;
            let mut block = Vec::new();
            (&self.file).take(count).read_to_end(&mut block)?;
            block.append(&mut self.read);
            self.read = block;
        }
    }
}

impl Iterator for Backwards {
    type Item = io::Result<RepairStatement>;

    fn next(&mut self) -> Option<Self::Item> {
        self.last_line().transpose().map(parse)
    }
}

fn parse(line: io::Result<Vec<u8>>) -> io::Result<RepairStatement> {
    serde_json::from_slice(&line?).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::ids::Attempt;
    use shared::outcome::RepairAction;

    fn statement(sql: &str) -> RepairStatement {
        RepairStatement {
            action: RepairAction::Delete,
            key: String::new(),
            sql: sql.to_owned(),
            undo: String::new(),
        }
    }

    fn kept(spool: &Spool, table: u32) -> Vec<String> {
        let statements = spool.statements(TableId(table)).unwrap().unwrap();
        statements.map(|statement| statement.unwrap().sql).collect()
    }

    #[test]
    fn only_the_attempt_that_decided_is_kept() {
        let place = tempfile::tempdir().unwrap();
        let run = RunId::generate();
        let spool = Spool::open(place.path(), run).unwrap();
        let work = |attempt| WorkId {
            run,
            table: TableId(3),
            attempt: Attempt(attempt),
        };
        let (one, two) = (WorkerId::named("one"), WorkerId::named("two"));
        {
            let mut files = spool.files();
            files.keep(work(1), &one, &[statement("stale")]).unwrap();
            files.keep(work(2), &one, &[statement("lost")]).unwrap();
            files.keep(work(2), &two, &[statement("a")]).unwrap();
            files.keep(work(2), &two, &[statement("b")]).unwrap();
            files.end(TableId(3), Some((work(2), two))).unwrap();
        }
        assert_eq!(kept(&spool, 3), ["a", "b"]);
        let directory = place.path().join(format!(".repair-{run}"));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        assert!(spool.statements(TableId(4)).unwrap().is_none());
        spool.remove();
        assert!(!directory.exists());
    }

    #[test]
    fn statements_are_read_from_the_last_to_the_first() {
        let place = tempfile::tempdir().unwrap();
        let run = RunId::generate();
        let spool = Spool::open(place.path(), run).unwrap();
        let work = WorkId {
            run,
            table: TableId(1),
            attempt: Attempt(1),
        };
        let worker = WorkerId::named("one");
        // Short ones, and one that is longer than what is read at once.
        let mut all: Vec<String> = (0..5_000).map(|number| format!("\n{number}")).collect();
        all.insert(2_500, "x".repeat(3 * BLOCK));
        {
            let mut files = spool.files();
            for sql in &all {
                files.keep(work, &worker, &[statement(sql)]).unwrap();
            }
            files.end(TableId(1), Some((work, worker))).unwrap();
        }
        let backwards = spool.backwards(TableId(1)).unwrap().unwrap();
        let mut read: Vec<String> = backwards.map(|statement| statement.unwrap().sql).collect();
        read.reverse();
        assert!(read == all);
    }

    #[test]
    fn no_two_attempts_share_a_file_when_others_have_ended() {
        let place = tempfile::tempdir().unwrap();
        let run = RunId::generate();
        let spool = Spool::open(place.path(), run).unwrap();
        let work = |table| WorkId {
            run,
            table: TableId(table),
            attempt: Attempt(1),
        };
        let (one, two) = (WorkerId::named("one"), WorkerId::named("two"));
        {
            let mut files = spool.files();
            files.keep(work(2), &one, &[statement("other")]).unwrap();
            files.keep(work(1), &one, &[statement("a")]).unwrap();
            files.end(TableId(2), Some((work(2), one.clone()))).unwrap();
            files.keep(work(1), &two, &[statement("late")]).unwrap();
            files.keep(work(1), &one, &[statement("b")]).unwrap();
            files.end(TableId(1), Some((work(1), one))).unwrap();
        }
        assert_eq!(kept(&spool, 1), ["a", "b"]);
        assert_eq!(kept(&spool, 2), ["other"]);
    }

    #[test]
    fn what_a_former_coordinator_kept_of_a_table_goes_when_it_ends_again() {
        let place = tempfile::tempdir().unwrap();
        let run = RunId::generate();
        let work = |attempt| WorkId {
            run,
            table: TableId(1),
            attempt: Attempt(attempt),
        };
        let worker = WorkerId::named("one");
        let spool = Spool::open(place.path(), run).unwrap();
        {
            let mut files = spool.files();
            files.keep(work(1), &worker, &[statement("stale")]).unwrap();
            files
                .end(TableId(1), Some((work(1), worker.clone())))
                .unwrap();
        }
        // Its end did not come to the store, and by now the table has no statements.
        let spool = Spool::open(place.path(), run).unwrap();
        assert_eq!(kept(&spool, 1), ["stale"]);
        spool
            .files()
            .end(TableId(1), Some((work(2), worker)))
            .unwrap();
        assert!(spool.statements(TableId(1)).unwrap().is_none());
    }
}
