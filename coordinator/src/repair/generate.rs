//! Writes the repair scripts of a run when it has ended, and their manifest.

use std::collections::HashSet;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use shared::atomic_file::{Access, AtomicFile};
use shared::ids::{RunId, TableId};
use shared::message::TableSpec;
use shared::naming::find_name;
use shared::outcome::{ForeignKey, RepairPlan, RepairStatement};
use worker::engine::GuardedForm;

use super::header::Header;
use super::manifest::{FORMAT, Manifest, ManifestTable, run_directory};
use super::order::{Ordered, RepairedTable, one_by_one, order};
use super::script_reader::Script;
use super::script_writer::ScriptWriter;
use super::statement::{ACTIONS, Direction, Statement, StatementCounts, word};
use super::undo::pending_path;
use crate::report::{RepairReport, RunReport};
use crate::run_state::TableStatus;
use crate::spool::Spool;
use crate::store::schema_of_identity;

/// The directory, in that of the run, of the statements until the scripts are written.
const SPOOL: &str = ".statements";

/// Why no scripts can be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write repair scripts to {}: {error}; name another directory with --output-dir", directory.display())]
pub struct RepairError {
    pub directory: PathBuf,
    pub error: io::Error,
}

/// The scripts of one run, from their first statement to the files.
#[derive(Debug)]
pub struct Scripts {
    /// A directory of this run only: no other run ever writes to it.
    directory: PathBuf,
    /// The database of the target, where it is known.
    database: Option<String>,
    spool: Spool<RepairStatement>,
}

struct Repaired<'a> {
    at: usize,
    plan: &'a RepairPlan,
    spec: &'a TableSpec,
    counts: StatementCounts,
    /// The name of its files without suffix.
    stem: String,
}

impl Scripts {
    /// Prepares to write scripts to the directory of `run` in `output`. What does not
    /// exist is created with access for its owner only. `database` is the target, where
    /// it is known.
    pub(crate) fn prepare(
        output: &Path,
        database: Option<String>,
        run: RunId,
    ) -> Result<Self, RepairError> {
        let directory = run_directory(output, run);
        let failed = |error| RepairError {
            directory: directory.clone(),
            error,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(failed)?;
        let spool = Spool::open(directory.join(SPOOL)).map_err(failed)?;
        Ok(Self {
            directory,
            database,
            spool,
        })
    }

    /// The spool that keeps the statements during the run.
    pub(crate) fn spool(&self) -> Spool<RepairStatement> {
        self.spool.clone()
    }

    /// Writes the scripts of the tables that differ and adds them to `report`.
    /// `specs` are the tables in the order of the report.
    ///
    /// Returns the spool if everything was written. The caller removes it when
    /// the end of the run is stored; until then a resumed run writes the scripts
    /// again.
    pub(crate) fn finish(
        self,
        report: &mut RunReport,
        specs: &[TableSpec],
    ) -> Option<Spool<RepairStatement>> {
        let plans: Vec<Option<RepairPlan>> = report
            .results
            .iter_mut()
            .map(|result| result.repair_plan.take().map(|plan| *plan))
            .collect();
        let mut repairs: Vec<Option<RepairReport>> = vec![None; plans.len()];
        let mut repaired = Vec::new();
        let mut stems = HashSet::new();
        for (at, ((result, plan), spec)) in report.results.iter().zip(&plans).zip(specs).enumerate()
        {
            if result.status != TableStatus::Mismatched || !spec.options.repair {
                continue;
            }
            let repair = repairs[at].insert(RepairReport::default());
            let Some(plan) = plan else {
                let note = "its worker generated no repair; use workers of this version";
                repair.notes.push(note.to_owned());
                continue;
            };
            repair.notes.clone_from(&plan.notes);
            match self.examine(at, plan, spec) {
                Err(why) => repair.notes.push(why),
                Ok(counts) if counts.total() == 0 => {}
                Ok(counts) => repaired.push(Repaired {
                    at,
                    plan,
                    spec,
                    counts,
                    stem: stem(&plan.schema, &plan.table, &mut stems),
                }),
            }
        }
        let tables = self.write_tables(report, &repaired, &mut repairs);
        let engine = repaired.first().map(|table| table.plan.kind);
        for (result, repair) in report.results.iter_mut().zip(&repairs) {
            result.repair.clone_from(repair);
        }
        let manifest = Manifest {
            format: FORMAT,
            run: report.run_id.clone(),
            timestamp: report.timestamp.clone(),
            engine,
            apply: format!("reconcile apply {}", self.directory.display()),
            tables,
            repairs: (0..)
                .zip(repairs)
                .filter_map(|(at, repair)| Some((at, repair?)))
                .collect(),
        };
        if let Err(error) = manifest.write(&self.directory) {
            report.notes.push(format!(
                "the manifest of the repair scripts could not be written to {}: {error}",
                self.directory.display()
            ));
            return None;
        }
        Some(self.spool)
    }

    /// Counts the statements that were kept. It is an error if some are missing, or if what a
    /// worker sent is no repair of its table: it came over a broker and becomes SQL.
    fn examine(
        &self,
        at: usize,
        plan: &RepairPlan,
        spec: &TableSpec,
    ) -> Result<StatementCounts, String> {
        let database = self.database.as_deref();
        examine_plan(plan, spec, database.and_then(schema_of_identity))?;
        let form = GuardedForm::new(plan.kind, &plan.schema, &plan.table);
        let mut counts = StatementCounts::default();
        for statement in self.spool.items(table_id(at))?.into_iter().flatten() {
            let statement = statement.map_err(|error| error.to_string())?;
            examine_statement(&statement, form)?;
            counts.add(statement.action, 1);
        }
        if counts.total() == plan.statements {
            return Ok(counts);
        }
        Err(format!(
            "of {} statements only {} were kept, so there is no script; run it again",
            plan.statements,
            counts.total()
        ))
    }

    fn write_tables(
        &self,
        report: &RunReport,
        repaired: &[Repaired<'_>],
        repairs: &mut [Option<RepairReport>],
    ) -> Vec<ManifestTable> {
        let tables: Vec<RepairedTable<'_>> = repaired
            .iter()
            .map(|table| RepairedTable {
                schema: &table.plan.schema,
                table: &table.plan.table,
                foreign_keys: &table.plan.foreign_keys,
                counts: table.counts,
            })
            .collect();
        let Ordered {
            parents_first,
            deferred,
            ..
        } = order(&tables);
        let orders = [Direction::Repair, Direction::Undo].map(|direction| {
            let orders = one_by_one(&tables, &parents_first, direction);
            let file = |at: usize| format!("{}{}", repaired[at].stem, direction.suffix());
            let files = |order: Vec<usize>| order.into_iter().map(file).collect();
            orders.into_iter().map(files).collect::<Vec<Vec<String>>>()
        });
        let mut written = Vec::with_capacity(repaired.len());
        for at in parents_first {
            let table = &repaired[at];
            let repair = repairs[table.at].get_or_insert_default();
            // A script that is executed alone cannot wait for those of other tables.
            let is_own = |key: &&ForeignKey| {
                key.schema == table.plan.schema && key.table == table.plan.table
            };
            let own: Vec<ForeignKey> = deferred[at].iter().filter(is_own).cloned().collect();
            let orders = orders.each_ref().map(|orders| orders[at].as_slice());
            match self.write_table(report, table, &own, orders) {
                Ok(table) => {
                    let path = |name: &str| Some(self.directory.join(name).display().to_string());
                    repair.file = path(&table.repair);
                    repair.undo = path(&table.undo);
                    repair.statements = table.statements.total();
                    written.push(table);
                }
                Err(why) => repair.notes.push(why),
            }
        }
        written
    }

    fn write_table(
        &self,
        report: &RunReport,
        table: &Repaired<'_>,
        deferred: &[ForeignKey],
        orders: [&[String]; 2],
    ) -> Result<ManifestTable, String> {
        let plan = table.plan;
        let name = |direction: Direction| format!("{}{}", table.stem, direction.suffix());
        // The coordinator of this run may have been killed after it had written the scripts.
        let undo = self.directory.join(name(Direction::Undo));
        if is_in_use(&undo) {
            return Err(format!(
                "`reconcile apply` has applied the scripts that this run had written before; they are kept, with {}",
                undo.display()
            ));
        }
        for (direction, order) in [Direction::Repair, Direction::Undo].into_iter().zip(orders) {
            let path = self.directory.join(name(direction));
            let header = Header {
                direction,
                run: report.run_id.clone(),
                timestamp: report.timestamp.clone(),
                token: Header::token(),
                engine: plan.kind,
                database: self.database.clone(),
                applied: false,
                schema: plan.schema.clone(),
                table: plan.table.clone(),
                statements: direction.orient_counts(table.counts),
                key: report.results[table.at].key.clone(),
                identity_insert: match direction {
                    Direction::Repair => plan.identity_insert,
                    Direction::Undo => plan.undo_identity_insert.unwrap_or(plan.identity_insert),
                },
                sequences: plan.sequences.clone(),
                structure: plan.structure.clone(),
                foreign_keys: plan.foreign_keys.clone(),
                deferred: deferred.to_vec(),
                order: order.to_vec(),
                spec: without_hash_key(table.spec),
            };
            self.write_script(table, header, &path)
                .map_err(|why| format!("{} could not be written: {why}", path.display()))?;
        }
        Ok(ManifestTable {
            table: format!("{}.{}", plan.schema, plan.table),
            source: table.spec.source.table.to_string(),
            repair: name(Direction::Repair),
            undo: name(Direction::Undo),
            statements: table.counts,
        })
    }

    fn write_script(
        &self,
        table: &Repaired<'_>,
        header: Header,
        path: &Path,
    ) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        let direction = header.direction;
        let file = AtomicFile::create(path, Access::Owner).map_err(text)?;
        let mut script = ScriptWriter::begin(file, header).map_err(text)?;
        for action in ACTIONS {
            let repaired = direction.orient(action);
            let count = table.counts.of(repaired);
            let id = table_id(table.at);
            // In reverse order the undo passes through the same states as the repair.
            let statements: Box<dyn Iterator<Item = io::Result<RepairStatement>>> = match direction
            {
                Direction::Repair => Box::new(self.spool.items(id)?.into_iter().flatten()),
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
                script.add(&statement).map_err(text)?;
            }
        }
        script.end().and_then(AtomicFile::commit).map_err(text)
    }
}

fn table_id(at: usize) -> TableId {
    TableId(u32::try_from(at).expect("a run has at most u32::MAX tables"))
}

/// Checks that the plan is one for the table of the task, and that its names can stand in a script.
fn examine_plan(
    plan: &RepairPlan,
    spec: &TableSpec,
    default_schema: Option<&str>,
) -> Result<(), String> {
    let refused = |why: &str| {
        Err(format!(
            "a worker sent a repair that {why}, so there is no script"
        ))
    };
    let names = [&plan.schema, &plan.table].into_iter().chain(
        plan.foreign_keys
            .iter()
            .flat_map(|key| [&key.name, &key.schema, &key.table]),
    );
    let of_sequences = plan
        .sequences
        .iter()
        .flat_map(|sequence| [&sequence.column, &sequence.schema, &sequence.name]);
    let is_unusable = |name: &String| name.is_empty() || name.contains(char::is_control);
    if names.chain(of_sequences).any(is_unusable) {
        return refused("has a name with a control character, or without characters");
    }
    let wanted = &spec.target.table;
    let naming = spec.options.naming;
    let is_paired = |wanted: &str, found: &str| {
        wanted.to_lowercase() == found.to_lowercase()
            || matches!(find_name(wanted, &[found], naming), Ok(Some(_)))
    };
    let schema = wanted.schema.as_deref().or(default_schema);
    if !is_paired(&wanted.name, &plan.table)
        || schema.is_some_and(|schema| !is_paired(schema, &plan.schema))
    {
        return refused("is for another table");
    }
    Ok(())
}

/// Checks that the statement and its inverse are guarded, and that its key is one.
fn examine_statement(statement: &RepairStatement, form: GuardedForm<'_>) -> Result<(), String> {
    let RepairStatement {
        action,
        key,
        sql,
        undo,
    } = statement;
    if !key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(
            "a worker sent a repair statement with a malformed key, so there is no script"
                .to_owned(),
        );
    }
    let undone = Direction::Undo.orient(*action);
    for (action, sql) in [(*action, sql), (undone, undo)] {
        form.check(action, sql).map_err(|error| {
            format!(
                "a worker sent a text that is not one guarded {} on the table ({error}), so there is no script; use workers of this version, and check who may send messages over the broker",
                word(action).to_uppercase()
            )
        })?;
    }
    Ok(())
}

/// Whether an undo script contains what was applied, or may contain it.
fn is_in_use(undo: &Path) -> bool {
    pending_path(undo).exists() || Script::open(undo).is_ok_and(|script| script.header.applied)
}

/// The longest name of a file without its suffixes, in bytes. File systems allow names of 255, of
/// which suffixes and those of temporary files need some.
const LONGEST_STEM: usize = 180;

/// Hexadecimal digits of the hash of a name that was cut.
const HASH_DIGITS: usize = 16;

/// A file name that is not in `taken`, even on a file system that ignores case. A long name is
/// cut, and distinguished by a hash of the whole name.
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
            .collect()
    };
    let mut stem = format!("{}.{}", plain(schema), plain(table));
    if stem.len() > LONGEST_STEM {
        let name = serde_json::json!([schema, table]).to_string();
        let hash = hex::encode(digest(&SHA256, name.as_bytes()));
        let longest = LONGEST_STEM - HASH_DIGITS - 1;
        let kept = (0..=longest).rfind(|at| stem.is_char_boundary(*at));
        stem.truncate(kept.unwrap_or_default());
        stem.extend(["-", &hash[..HASH_DIGITS]]);
    }
    let mut candidate = stem.clone();
    let mut number = 2;
    while !taken.insert(candidate.to_lowercase()) {
        candidate = format!("{stem}-{number}");
        number += 1;
    }
    candidate
}

/// The specification that a script contains. The verification after the script draws a
/// key of its own, so the script does not reveal that of the run.
fn without_hash_key(spec: &TableSpec) -> TableSpec {
    let mut spec = spec.clone();
    spec.options.hash_key = None;
    spec
}

#[cfg(test)]
mod tests;
