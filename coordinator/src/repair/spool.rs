//! Keeps repair statements on disk while a run goes on.
//!
//! Each holder of an attempt has a file of its own. When its table ends, the
//! file of the attempt that decided is renamed, and the others go: what is
//! there under the final name is whole.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{
    self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _,
};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use shared::ids::{RunId, TableId, WorkerId};
use shared::message::WorkId;
use shared::outcome::RepairStatement;

use crate::run::RunObserver;
use crate::run_state::{Effect, RunState, TableStatus};

/// The statements of one run. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Spool(Arc<Mutex<Files>>);

#[derive(Debug)]
struct Files {
    directory: PathBuf,
    open: HashMap<(WorkId, WorkerId), OpenFile>,
    /// How many files have been opened, so that no two have one name.
    opened: u64,
    /// Tables whose statements could not be kept, and why.
    broken: HashMap<TableId, String>,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Spool {
    /// A spool below `output`, which is made if it is not there, for its owner
    /// only. What a former coordinator of the run has kept is kept.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made.
    pub fn open(output: &Path, run: RunId) -> io::Result<Self> {
        let directory = output.join(format!(".repair-{run}"));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        Ok(Self(Arc::new(Mutex::new(Files {
            directory,
            open: HashMap::new(),
            opened: 0,
            broken: HashMap::new(),
        }))))
    }

    fn files(&self) -> std::sync::MutexGuard<'_, Files> {
        self.0.lock().expect("no panic while the lock is held")
    }

    /// The statements of a table that has ended, in the order in which they
    /// came; `None` if there are none.
    ///
    /// # Errors
    ///
    /// Says why they could not be kept, or cannot be read.
    pub(super) fn statements(&self, table: TableId) -> Result<Option<Statements>, String> {
        let file = self.file(table)?;
        Ok(file.map(|file| Statements(BufReader::new(file))))
    }

    /// The same, the last one first.
    ///
    /// # Errors
    ///
    /// As [`statements`](Self::statements).
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

    /// Removes everything that is kept.
    pub fn remove(&self) {
        let mut files = self.files();
        files.open.clear();
        if let Err(error) = fs::remove_dir_all(&files.directory) {
            tracing::warn!(
                "statements of the repair stay in {}: {error}",
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
        let entry = self.open.entry((work, worker.clone()));
        let open = match entry {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let name = format!("{}-{}-{}.part", work.table.0, work.attempt.0, self.opened);
                let path = self.directory.join(name);
                self.opened += 1;
                // What a former coordinator left of this attempt is delivered again or of no use.
                let file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&path)?;
                new.insert(OpenFile {
                    path,
                    file: BufWriter::new(file),
                })
            }
        };
        for statement in statements {
            serde_json::to_writer(&mut open.file, statement)?;
            open.file.write_all(b"\n")?;
        }
        open.file.flush()
    }

    fn end(&mut self, table: TableId, decided: Option<(WorkId, WorkerId)>) -> io::Result<()> {
        let of_table: Vec<_> = self
            .open
            .keys()
            .filter(|(work, _)| work.table == table)
            .cloned()
            .collect();
        let last = self.final_path(table);
        // What a former coordinator took for decided was not, if the table ends only now.
        match fs::remove_file(&last) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        for key in of_table {
            let Some(OpenFile { path, mut file }) = self.open.remove(&key) else {
                continue;
            };
            if Some(&key) == decided.as_ref() {
                file.flush()?;
                file.get_ref().sync_all()?;
                fs::rename(path, &last)?;
            } else {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn broke(&mut self, table: TableId, error: &io::Error) {
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
                        files.broke(work.table, &error);
                    }
                }
                Effect::TableEnded(table) => {
                    let decided = state.record(*table).and_then(|record| {
                        let work = WorkId {
                            run: state.run(),
                            table: *table,
                            attempt: record.attempt,
                        };
                        let wanted = record.status() == TableStatus::Mismatched;
                        record
                            .worker
                            .clone()
                            .filter(|_| wanted)
                            .map(|worker| (work, worker))
                    });
                    if let Err(error) = files.end(*table, decided) {
                        files.broke(*table, &error);
                    }
                }
                _ => {}
            }
        }
    }
}

/// Statements, one after the other.
#[derive(Debug)]
pub(super) struct Statements(BufReader<File>);

impl Iterator for Statements {
    type Item = io::Result<RepairStatement>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        match self.0.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_slice(&line).map_err(io::Error::from)),
            Err(error) => Some(Err(error)),
        }
    }
}

/// Bytes that are read at once from the end.
const BLOCK: usize = 1 << 16;

/// Statements from the last to the first.
#[derive(Debug)]
pub(super) struct Backwards {
    file: File,
    /// What is before has not been read.
    at: u64,
    /// Whole lines at the end, but perhaps the first.
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
            // As much again as a long line has already, so that it is not copied often.
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
        let line = self.last_line().transpose()?;
        Some(line.and_then(|line| serde_json::from_slice(&line).map_err(io::Error::from)))
    }
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
