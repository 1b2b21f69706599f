//! `reconcile report` and `diff`: the report of a stored run, and what changed between two.

use serde_json::Value as Json;
use shared::config::{Config, ReportFormat, nearest};

use super::delivery::{Delivery, coloured};
use super::exit::{self, CommandError};
use super::flags::{DiffFlags, ListFormat, ReportFlags};
use super::lists::{pretty_json, print};
use super::pages::{Pages, Wish};
use super::state_dir::open_store;
use super::usage::UsageError;
use crate::repair::stored_repairs;
use crate::report::{OneTable, ReportData, RunChanges, RunReport, status_of, write_stdout};
use crate::rows_file::listed_rows;
use crate::run_state::{RestoredTable, TableStatus};
use crate::store::{RunStore, StoreError, StoredRun};

pub(super) fn report(flags: ReportFlags, config: &Config) -> Result<u8, CommandError> {
    let store = open_store(&flags.run, config)?;
    let run = store.run(&flags.run)?;
    let report = report_of(&store, &run)?;
    let part = Part {
        table: flags.table.as_deref(),
        rows: flags.rows,
    };
    let given = flags.report.format;
    let options = flags.report.or(config.report.clone());
    if part.table.is_none() && !part.rows {
        Delivery::prepare(&options)?.deliver(&report)?;
        return Ok(exit::of_report(&report));
    }
    // The form that the configuration sets may be one for whole reports.
    let form = match given.unwrap_or_default() {
        ReportFormat::Console => ListFormat::Console,
        ReportFormat::Json => ListFormat::Json,
        ReportFormat::Csv | ReportFormat::Html | ReportFormat::Junit | ReportFormat::Markdown => {
            return Err(UsageError::FormOfPart.into());
        }
    };
    part.print(&report, form)
}

/// The part of a report that is printed instead of the whole.
struct Part<'a> {
    /// Only this table.
    table: Option<&'a str>,
    /// The differing rows, and nothing else.
    rows: bool,
}

impl Part<'_> {
    fn print(&self, report: &RunReport, form: ListFormat) -> Result<u8, CommandError> {
        let tables = match self.table {
            Some(name) => named(report, name)?,
            None => report.tables(),
        };
        if self.rows {
            let mut pages = Pages::of_stdout();
            for table in &tables {
                // Without a name, tables that are equal are passed over.
                let is_equal = table.result().status == TableStatus::Matched;
                if is_equal && self.table.is_none() {
                    continue;
                }
                if pages.print(&rows(*table, form))? == Wish::End {
                    break;
                }
            }
        } else {
            print_tables(&tables, form)?;
        }
        Ok(match self.table {
            Some(_) => exit::of_status(status_of(&tables)),
            None => exit::of_report(report),
        })
    }
}

fn named<'a>(report: &'a RunReport, name: &str) -> Result<Vec<OneTable<'a>>, UsageError> {
    let tables = report.tables_named(name);
    if tables.is_empty() {
        let known = report.results.iter().map(|result| result.table.as_str());
        let nearest = nearest(name, known).map(|nearest| format!("; did you mean `{nearest}`?"));
        return Err(UsageError::NoSuchTable {
            run: report.run_id.clone(),
            name: name.to_owned(),
            suggestion: nearest.unwrap_or_default(),
        });
    }
    Ok(tables)
}

fn rows(table: OneTable<'_>, form: ListFormat) -> String {
    match form {
        ListFormat::Console => table.rows(coloured()),
        ListFormat::Json => listed_rows(table.result()),
    }
}

fn print_tables(tables: &[OneTable<'_>], form: ListFormat) -> Result<(), CommandError> {
    let text = match form {
        ListFormat::Console => {
            let pages = tables.iter().map(|table| table.to_console(coloured()));
            pages.collect::<Vec<_>>().join("\n")
        }
        ListFormat::Json => match tables {
            [table] => pretty_json(&table.to_json()),
            tables => {
                let tables = tables.iter().map(|table| table.to_json());
                pretty_json(&Json::Array(tables.collect()))
            }
        },
    };
    Ok(write_stdout(&text)?)
}

pub(super) fn diff(flags: &DiffFlags, config: &Config) -> Result<u8, CommandError> {
    let store = open_store(&flags.before, config)?;
    let report = |name: &str| report_of(&store, &store.run(name)?);
    let changes = RunChanges::between(&report(&flags.before)?, &report(&flags.after)?);
    print(&match flags.format {
        ListFormat::Console => changes.to_console(),
        ListFormat::Json => changes.to_json(),
    })?;
    Ok(match changes.changed {
        true => exit::DIFFERENT,
        false => exit::SUCCESS,
    })
}

/// The report of a run that has ended.
pub(super) fn report_of(store: &RunStore, run: &StoredRun) -> Result<RunReport, StoreError> {
    let unfinished = || StoreError::Unfinished {
        run: run.id,
        goes_on: run.is_alive,
    };
    let summary = run.summary.clone().ok_or_else(unfinished)?;
    let mut tables = Vec::with_capacity(run.tables);
    for (planned, restored) in store.tables(run)? {
        let RestoredTable::Ended(record) = restored else {
            return Err(unfinished());
        };
        tables.push((planned.spec, *record));
    }
    let mut report = RunReport::of(ReportData {
        run: run.id,
        started_at: run.started_at,
        duration: summary.duration,
        max_workers: summary.max_workers,
        interrupted: summary.interrupted,
        root_cause: run
            .cancelling
            .as_ref()
            .and_then(|cancelling| cancelling.root_cause.clone()),
        tables,
        notes: summary.notes,
        scope: run.settings.scope.clone(),
        trace_id: summary.trace_id,
        origin: summary.origin,
        databases: summary.databases,
    });
    let repairs = run
        .settings
        .output_dir
        .as_deref()
        .map(|output| stored_repairs(output, run.id));
    for (at, repair) in repairs.into_iter().flatten() {
        if let Some(result) = report.results.get_mut(at) {
            result.repair = Some(repair);
        }
    }
    Ok(report)
}
