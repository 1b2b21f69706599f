//! Keeps what workers send of the tables on disk during a run: repair statements, and
//! differing rows.
//!
//! Each worker that runs an attempt has its own file. When the table ends, the
//! file of the deciding attempt gets its final name and the others are removed,
//! so that a file with a final name is complete.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::marker::PhantomData;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::atomic_file::{Access, AtomicFile};
use shared::ids::{TableId, WorkerId};
use shared::message::{StatementPart, WorkId};
use shared::outcome::{Difference, RepairStatement};

use crate::run::RunObserver;
use crate::run_state::{Effect, RunState, TableStatus};

/// What a spool can keep.
pub(crate) trait Spooled: fmt::Debug + Serialize + DeserializeOwned + 'static {
    /// The items in messages.
    const NAME: &'static str;

    /// The items that an effect asks to keep.
    fn of(effect: &Effect) -> Option<(WorkId, &WorkerId, &[Self])>
    where
        Self: Sized;

    /// The part of a large item that an effect asks to keep.
    fn part_of(_: &Effect) -> Option<(WorkId, &WorkerId, &StatementPart)> {
        None
    }
}

impl Spooled for RepairStatement {
    const NAME: &'static str = "statements";

    fn of(effect: &Effect) -> Option<(WorkId, &WorkerId, &[Self])> {
        match effect {
            Effect::KeepRepair {
                work,
                worker,
                statements,
            } => Some((*work, worker, statements)),
            _ => None,
        }
    }

    fn part_of(effect: &Effect) -> Option<(WorkId, &WorkerId, &StatementPart)> {
        match effect {
            Effect::KeepRepairPart { work, worker, part } => Some((*work, worker, part)),
            _ => None,
        }
    }
}

impl Spooled for Difference {
    const NAME: &'static str = "differing rows";

    fn of(effect: &Effect) -> Option<(WorkId, &WorkerId, &[Self])> {
        match effect {
            Effect::KeepRows { work, worker, rows } => Some((*work, worker, rows)),
            _ => None,
        }
    }
}

/// The items of one run. Clones share them.
#[derive(Debug)]
pub(crate) struct Spool<T> {
    files: Arc<Mutex<Files>>,
    kept: PhantomData<fn() -> T>,
}

impl<T> Clone for Spool<T> {
    fn clone(&self) -> Self {
        Self {
            files: Arc::clone(&self.files),
            kept: PhantomData,
        }
    }
}

#[derive(Debug)]
struct Files {
    directory: PathBuf,
    open: HashMap<(WorkId, WorkerId), AtomicFile>,
    /// Items of which not all parts have arrived, by the batch number of their first part.
    partial: HashMap<(WorkId, WorkerId, u32), Partial>,
    /// Tables whose items could not be kept, and why.
    broken: HashMap<TableId, String>,
}

/// An item of which parts have arrived. The file has no name, so it ends with the process.
#[derive(Debug)]
struct Partial {
    file: File,
    /// Bytes that have arrived. No part arrives twice.
    received: u64,
    total: u64,
}

/// The most items of which parts are kept: each is an open file. A worker sends the parts of one
/// item after the other.
const MOST_PARTIAL: usize = 256;

impl<T: Spooled> Spool<T> {
    /// Opens the spool of a run in a directory of its own. If the directory does not exist, it
    /// is created with access for its owner only; what an earlier coordinator of the run has
    /// kept there stays.
    pub(crate) fn open(directory: PathBuf) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)?;
        Ok(Self {
            files: Arc::new(Mutex::new(Files {
                directory,
                open: HashMap::new(),
                partial: HashMap::new(),
                broken: HashMap::new(),
            })),
            kept: PhantomData,
        })
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().expect("no panic while the lock is held")
    }

    /// The items of a table that has ended, in the order in which they
    /// arrived; `None` if there are none.
    pub(crate) fn items(
        &self,
        table: TableId,
    ) -> Result<Option<impl Iterator<Item = io::Result<T>> + use<T>>, String> {
        let lines = self
            .file(table)?
            .map(|file| BufReader::new(file).split(b'\n'));
        Ok(lines.map(|lines| lines.map(parse)))
    }

    /// The same items, the last one first.
    pub(crate) fn backwards(&self, table: TableId) -> Result<Option<Backwards<T>>, String> {
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
        files.partial.clear();
        if let Err(error) = fs::remove_dir_all(&files.directory) {
            tracing::warn!(
                "the directory {} of {} could not be removed: {error}",
                files.directory.display(),
                T::NAME
            );
        }
    }
}

impl Files {
    fn final_path(&self, table: TableId) -> PathBuf {
        self.directory.join(format!("{}.jsonl", table.0))
    }

    fn keep<T: Serialize>(
        &mut self,
        work: WorkId,
        worker: &WorkerId,
        items: &[T],
    ) -> io::Result<()> {
        let file = self.writer(work, worker)?;
        for item in items {
            serde_json::to_writer(&mut *file, item)?;
            file.write_all(b"\n")?;
        }
        file.flush()
    }

    /// The file of a worker's attempt.
    fn writer(&mut self, work: WorkId, worker: &WorkerId) -> io::Result<&mut AtomicFile> {
        let path = self.final_path(work.table);
        Ok(match self.open.entry((work, worker.clone())) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(new) => new.insert(AtomicFile::create(&path, Access::Owner)?),
        })
    }

    /// Keeps a part of an item. When all parts have arrived, they become a line like any other
    /// item, without being read into memory.
    fn keep_part(
        &mut self,
        work: WorkId,
        worker: &WorkerId,
        part: &StatementPart,
    ) -> io::Result<()> {
        let key = (work, worker.clone(), part.first);
        let is_full = self.partial.len() >= MOST_PARTIAL;
        let partial = match self.partial.entry(key.clone()) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(_) if is_full => {
                return Err(io::Error::other(
                    "too many items arrive in parts at the same time",
                ));
            }
            Entry::Vacant(new) => new.insert(Partial {
                file: tempfile::tempfile_in(&self.directory)?,
                received: 0,
                total: part.total,
            }),
        };
        if partial.total != part.total {
            return Err(io::Error::other("its parts do not belong together"));
        }
        partial
            .file
            .write_all_at(part.text.as_bytes(), part.offset)?;
        partial.received += part.text.len() as u64;
        if partial.received < partial.total {
            return Ok(());
        }
        let Some(mut whole) = self.partial.remove(&key) else {
            return Ok(());
        };
        whole.file.seek(SeekFrom::Start(0))?;
        let file = self.writer(work, worker)?;
        io::copy(&mut whole.file, file)?;
        file.write_all(b"\n")?;
        file.flush()
    }

    fn end(&mut self, table: TableId, decided: Option<(WorkId, WorkerId)>) -> io::Result<()> {
        // If the table ends only now, an earlier coordinator has put a wrong file there.
        match fs::remove_file(self.final_path(table)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let is_missing = decided.as_ref().is_some_and(|(work, worker)| {
            let mut partial = self.partial.keys();
            partial.any(|(of, from, _)| of == work && from == worker)
        });
        let file = decided.and_then(|key| self.open.remove(&key));
        self.open.retain(|(work, _), _| work.table != table);
        self.partial.retain(|(work, ..), _| work.table != table);
        if is_missing {
            return Err(io::Error::other("parts of an item have not arrived"));
        }
        file.map_or(Ok(()), AtomicFile::commit)
    }

    fn set_broken(&mut self, table: TableId, items: &str, error: &io::Error) {
        let why = format!(
            "its {items} could not be kept in {}: {error}",
            self.directory.display()
        );
        tracing::warn!("a table is incomplete: {why}");
        self.broken.entry(table).or_insert(why);
    }
}

impl<T: Spooled> RunObserver for Spool<T> {
    fn applied(&mut self, state: &RunState, effects: &[Effect]) {
        let mut files = self.files();
        for effect in effects {
            if let Some((work, worker, items)) = T::of(effect)
                && let Err(error) = files.keep(work, worker, items)
            {
                files.set_broken(work.table, T::NAME, &error);
            }
            if let Some((work, worker, part)) = T::part_of(effect)
                && let Err(error) = files.keep_part(work, worker, part)
            {
                files.set_broken(work.table, T::NAME, &error);
            }
            if let Effect::TableEnded(table) = effect {
                let decided = state
                    .record(*table)
                    .filter(|record| record.status() == TableStatus::Mismatched)
                    .and_then(|record| {
                        let work = state.work(*table, record.attempt);
                        Some((work, record.worker.clone()?))
                    });
                if let Err(error) = files.end(*table, decided) {
                    files.set_broken(*table, T::NAME, &error);
                }
            }
        }
    }
}

/// Bytes of one read from the end.
const BLOCK: usize = 1 << 16;

/// Items from the last to the first.
#[derive(Debug)]
pub(crate) struct Backwards<T> {
    file: File,
    /// Everything before this offset has not been read.
    at: u64,
    /// Complete lines, except perhaps the first one.
    read: Vec<u8>,
    kept: PhantomData<fn() -> T>,
}

impl<T> Backwards<T> {
    fn new(file: File) -> io::Result<Self> {
        Ok(Self {
            at: file.metadata()?.len(),
            file,
            read: Vec::new(),
            kept: PhantomData,
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

impl<T: DeserializeOwned> Iterator for Backwards<T> {
    type Item = io::Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        self.last_line().transpose().map(parse)
    }
}

fn parse<T: DeserializeOwned>(line: io::Result<Vec<u8>>) -> io::Result<T> {
    serde_json::from_slice(&line?).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::ids::{Attempt, RunId};
    use shared::outcome::RepairAction;

    fn statement(sql: &str) -> RepairStatement {
        RepairStatement {
            action: RepairAction::Delete,
            key: String::new(),
            sql: sql.to_owned(),
            undo: String::new(),
        }
    }

    fn kept(spool: &Spool<RepairStatement>, table: u32) -> Vec<String> {
        let statements = spool.items(TableId(table)).unwrap().unwrap();
        statements.map(|statement| statement.unwrap().sql).collect()
    }

    #[test]
    fn only_the_attempt_that_decided_is_kept() {
        let place = tempfile::tempdir().unwrap();
        let run = RunId::generate();
        let spool = Spool::<RepairStatement>::open(place.path().join("spool")).unwrap();
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
        let directory = place.path().join("spool");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        assert!(spool.items(TableId(4)).unwrap().is_none());
        spool.remove();
        assert!(!directory.exists());
    }

    #[test]
    fn a_statement_in_parts_becomes_one_in_any_order() {
        let place = tempfile::tempdir().unwrap();
        let spool = Spool::<RepairStatement>::open(place.path().join("spool")).unwrap();
        let work = WorkId {
            run: RunId::generate(),
            table: TableId(1),
            attempt: Attempt(1),
        };
        let worker = WorkerId::named("one");
        let large = statement(&"large \" ü\n".repeat(10_000));
        let encoded = serde_json::to_string(&large).unwrap();
        let mut parts: Vec<StatementPart> = Vec::new();
        while let Some(rest) = encoded.get(parts.iter().map(|part| part.text.len()).sum()..)
            && !rest.is_empty()
        {
            let end = rest.char_indices().map(|(at, _)| at).nth(20_000);
            parts.push(StatementPart {
                first: 7,
                offset: (encoded.len() - rest.len()) as u64,
                total: encoded.len() as u64,
                text: rest[..end.unwrap_or(rest.len())].to_owned(),
            });
        }
        assert!(parts.len() > 3);
        let mut files = spool.files();
        files.keep(work, &worker, &[statement("before")]).unwrap();
        for part in parts.iter().skip(1).chain(&parts[..1]) {
            assert!(files.end(TableId(2), None).is_ok());
            files.keep_part(work, &worker, part).unwrap();
        }
        files.keep(work, &worker, &[statement("after")]).unwrap();
        files.end(TableId(1), Some((work, worker.clone()))).unwrap();
        drop(files);
        assert_eq!(
            kept(&spool, 1),
            ["before", large.sql.as_str(), "after"].map(str::to_owned)
        );

        let mut files = spool.files();
        files.keep_part(work, &worker, &parts[0]).unwrap();
        let other = StatementPart {
            total: 1,
            ..parts[1].clone()
        };
        assert!(files.keep_part(work, &worker, &other).is_err());
        let missing = files.end(TableId(1), Some((work, worker))).unwrap_err();
        assert!(missing.to_string().contains("parts"), "{missing}");
    }

    #[test]
    fn statements_are_read_from_the_last_to_the_first() {
        let place = tempfile::tempdir().unwrap();
        let run = RunId::generate();
        let spool = Spool::<RepairStatement>::open(place.path().join("spool")).unwrap();
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
        let spool = Spool::<RepairStatement>::open(place.path().join("spool")).unwrap();
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
        let spool = Spool::<RepairStatement>::open(place.path().join("spool")).unwrap();
        {
            let mut files = spool.files();
            files.keep(work(1), &worker, &[statement("stale")]).unwrap();
            files
                .end(TableId(1), Some((work(1), worker.clone())))
                .unwrap();
        }
        // Its end did not come to the store, and by now the table has no statements.
        let spool = Spool::<RepairStatement>::open(place.path().join("spool")).unwrap();
        assert_eq!(kept(&spool, 1), ["stale"]);
        spool
            .files()
            .end(TableId(1), Some((work(2), worker)))
            .unwrap();
        assert!(spool.items(TableId(1)).unwrap().is_none());
    }
}
