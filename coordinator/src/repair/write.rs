//! Writes the scripts of a run when it has ended, and a manifest of them.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::endpoint::DatabaseKind;
use shared::ids::{RunId, TableId};
use shared::message::TableSpec;
use shared::outcome::{ForeignKey, RepairAction, RepairPlan, RepairStatement};

use super::order::{Numbers, Ordered, Related, inverse, order};
use super::read::Statement;
use super::script::{Direction, Header, ScriptFile};
use super::spool::Spool;
use crate::report::{RepairReport, RunReport};
use crate::run_state::TableStatus;

/// The manifest's name in the directory of the scripts.
pub(super) const MANIFEST: &str = "repair.json";

/// Why no scripts can be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write repair scripts to {}: {error}; name another directory with --output-dir", directory.display())]
pub struct RepairError {
    /// Where.
    pub directory: PathBuf,
    /// Why.
    pub error: io::Error,
}

/// What a directory of scripts holds, in the order in which rows are added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) run: String,
    pub(super) timestamp: String,
    pub(super) engine: Option<DatabaseKind>,
    /// How to apply all of them.
    pub(super) apply: String,
    /// Parents before children.
    pub(super) tables: Vec<ManifestTable>,
}

/// The scripts of one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ManifestTable {
    pub(super) table: String,
    pub(super) source: String,
    pub(super) repair: String,
    pub(super) undo: String,
    pub(super) statements: Numbers,
}

/// The scripts of one run, from their first statement to the files.
#[derive(Debug)]
pub struct Scripts {
    directory: PathBuf,
    /// Which database the target is, where that is known.
    database: Option<String>,
    spool: Spool,
}

/// A table that has statements.
struct Repaired<'a> {
    /// Its place in the report.
    at: usize,
    plan: &'a RepairPlan,
    spec: &'a TableSpec,
    numbers: Numbers,
    /// Its files' names without what tells them apart.
    stem: String,
}

impl Scripts {
    /// Makes sure that scripts can be written to `directory`, which is made for
    /// its owner only if it is not there. `database` is the target, where that is known.
    ///
    /// # Errors
    ///
    /// When it cannot be made or written to.
    pub fn prepare(
        directory: &Path,
        database: Option<String>,
        run: RunId,
    ) -> Result<Self, RepairError> {
        let failed = |error| RepairError {
            directory: directory.to_owned(),
            error,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed)?;
        Ok(Self {
            directory: directory.to_owned(),
            database,
            spool: Spool::open(directory, run).map_err(failed)?,
        })
    }

    /// What keeps the statements while the run goes on.
    #[must_use]
    pub fn spool(&self) -> Spool {
        self.spool.clone()
    }

    /// Writes the scripts of the tables that differ, and says in `report` which.
    /// `specs` are the tables in the order of the report. Until the run has ended
    /// for good the statements stay: whoever goes on with it writes them again.
    ///
    /// Returns what is left to remove then.
    #[must_use]
    pub fn finish(self, report: &mut RunReport, specs: &[TableSpec]) -> Option<Spool> {
        let plans: Vec<Option<RepairPlan>> = report
            .results
            .iter_mut()
            .map(|result| result.repair_plan.take().map(|plan| *plan))
            .collect();
        let mut reports: Vec<Option<RepairReport>> = Vec::with_capacity(plans.len());
        let mut repaired = Vec::new();
        let mut names = HashSet::new();
        for (at, ((result, plan), spec)) in report.results.iter().zip(&plans).zip(specs).enumerate()
        {
            if result.status != TableStatus::Mismatched || !spec.options.repair {
                reports.push(None);
                continue;
            }
            let mut said = RepairReport::default();
            match plan {
                None => said
                    .notes
                    .push("its worker made no repair; use workers of this version".to_owned()),
                Some(plan) => {
                    said.notes.clone_from(&plan.notes);
                    match self.count(at, plan) {
                        Err(why) => said.notes.push(why),
                        Ok(numbers) if numbers.total() == 0 => {}
                        Ok(numbers) => repaired.push(Repaired {
                            at,
                            plan,
                            spec,
                            numbers,
                            stem: stem(&plan.schema, &plan.table, &mut names),
                        }),
                    }
                }
            }
            reports.push(Some(said));
        }
        let manifest = self.write(report, &repaired, &mut reports);
        for (result, said) in report.results.iter_mut().zip(reports) {
            result.repair = said;
        }
        match manifest {
            Ok(()) => Some(self.spool),
            Err(error) => {
                report.notes.push(format!(
                    "the manifest of the repair scripts could not be written to {}: {error}",
                    self.directory.display()
                ));
                None
            }
        }
    }

    /// How many statements were kept; all that were made, or it is said why not.
    fn count(&self, at: usize, plan: &RepairPlan) -> Result<Numbers, String> {
        let table = table_id(at);
        let mut numbers = Numbers::default();
        for statement in self.spool.statements(table)?.into_iter().flatten() {
            numbers.add(statement.map_err(|error| error.to_string())?.action, 1);
        }
        if numbers.total() == plan.statements {
            return Ok(numbers);
        }
        Err(format!(
            "of {} statements {} were kept, so there is no script; run it again",
            plan.statements,
            numbers.total()
        ))
    }

    fn write(
        &self,
        report: &RunReport,
        repaired: &[Repaired<'_>],
        reports: &mut [Option<RepairReport>],
    ) -> io::Result<()> {
        let related: Vec<Related<'_>> = repaired
            .iter()
            .map(|table| Related {
                schema: &table.plan.schema,
                table: &table.plan.table,
                foreign_keys: &table.plan.foreign_keys,
                numbers: table.numbers,
            })
            .collect();
        let Ordered {
            parents_first,
            deferred,
        } = order(&related);
        let mut tables = Vec::with_capacity(repaired.len());
        for at in parents_first {
            let table = &repaired[at];
            let files = [(Direction::Repair, "repair"), (Direction::Undo, "undo")];
            let mut paths = Vec::new();
            let mut failure = None;
            for (direction, word) in files {
                let name = format!("{}.{word}.sql", table.stem);
                let path = self.directory.join(&name);
                if let Err(why) = self.script(report, table, direction, &deferred[at], &path) {
                    failure = Some(format!("{} could not be written: {why}", path.display()));
                    break;
                }
                paths.push((name, path.display().to_string()));
            }
            let said = reports[table.at].get_or_insert_default();
            match (failure, paths.as_slice()) {
                (None, [(repair, repair_path), (undo, undo_path)]) => {
                    said.file = Some(repair_path.clone());
                    said.undo = Some(undo_path.clone());
                    said.statements = table.numbers.total();
                    tables.push(ManifestTable {
                        table: format!("{}.{}", table.plan.schema, table.plan.table),
                        source: table.spec.source.table.to_string(),
                        repair: repair.clone(),
                        undo: undo.clone(),
                        statements: table.numbers,
                    });
                }
                (failure, _) => said.notes.extend(failure),
            }
        }
        let manifest = Manifest {
            format: 1,
            run: report.run_id.clone(),
            timestamp: report.timestamp.clone(),
            engine: repaired.first().map(|table| table.plan.engine),
            apply: format!("reconcile apply {}", self.directory.display()),
            tables,
        };
        let path = self.directory.join(MANIFEST);
        let temporary = self
            .directory
            .join(format!("{MANIFEST}.{}.part", Header::token()));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        let mut text = serde_json::to_string_pretty(&manifest)?;
        text.push('\n');
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(temporary, path)
    }

    fn script(
        &self,
        report: &RunReport,
        table: &Repaired<'_>,
        direction: Direction,
        deferred: &[ForeignKey],
        path: &Path,
    ) -> Result<(), String> {
        let plan = table.plan;
        let header = Header {
            direction,
            run: report.run_id.clone(),
            timestamp: report.timestamp.clone(),
            token: Header::token(),
            engine: plan.engine,
            database: self.database.clone(),
            applied: false,
            schema: plan.schema.clone(),
            table: plan.table.clone(),
            statements: match direction {
                Direction::Repair => table.numbers,
                Direction::Undo => table.numbers.inverse(),
            },
            identity_insert: match direction {
                Direction::Repair => plan.identity_insert,
                Direction::Undo => plan.undo_identity_insert.unwrap_or(plan.identity_insert),
            },
            sequences: plan.sequences.clone(),
            foreign_keys: plan.foreign_keys.clone(),
            deferred: deferred.to_vec(),
            spec: table.spec.clone(),
        };
        let text = |error: io::Error| error.to_string();
        let mut script = ScriptFile::create(path, header).map_err(text)?;
        for action in [
            RepairAction::Delete,
            RepairAction::Update,
            RepairAction::Insert,
        ] {
            let repaired = match direction {
                Direction::Repair => action,
                Direction::Undo => inverse(action),
            };
            let count = table.numbers.of(repaired);
            let id = table_id(table.at);
            // Backwards, what takes back passes through the states that the repair has.
            let statements: Box<dyn Iterator<Item = io::Result<RepairStatement>>> = match direction
            {
                Direction::Repair => Box::new(self.spool.statements(id)?.into_iter().flatten()),
                Direction::Undo => Box::new(self.spool.backwards(id)?.into_iter().flatten()),
            };
            let wanted = statements.filter(|statement| {
                statement
                    .as_ref()
                    .map_or(true, |statement| statement.action == repaired)
            });
            for (position, statement) in (0..count).zip(wanted) {
                let RepairStatement { key, sql, undo, .. } = statement.map_err(text)?;
                let (number, sql) = match direction {
                    Direction::Repair => (position, sql),
                    Direction::Undo => (count - 1 - position, undo),
                };
                let statement = Statement {
                    action,
                    key,
                    number,
                    sql,
                };
                script.statement(&statement).map_err(text)?;
            }
        }
        script.finish(path).map_err(text)
    }
}

fn table_id(at: usize) -> TableId {
    TableId(u32::try_from(at).expect("a run has at most u32::MAX tables"))
}

/// A name for files that no other table of `taken` has, whatever case file names have.
fn stem(schema: &str, table: &str, taken: &mut HashSet<String>) -> String {
    let plain = |name: &str| -> String {
        name.chars()
            .map(|character| {
                if character.is_alphanumeric() || matches!(character, '_' | '-' | '$') {
                    character
                } else {
                    '_'
                }
            })
            .take(100)
            .collect()
    };
    let stem = format!("{}.{}", plain(schema), plain(table));
    let mut candidate = stem.clone();
    let mut number = 2;
    while !taken.insert(candidate.to_lowercase()) {
        candidate = format!("{stem}-{number}");
        number += 1;
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_plain_and_never_the_same() {
        let mut taken = HashSet::new();
        assert_eq!(stem("public", "a/b", &mut taken), "public.a_b");
        assert_eq!(stem("public", "A b", &mut taken), "public.A_b-2");
        assert_eq!(stem("..", "..", &mut taken), "__.__");
    }
}
