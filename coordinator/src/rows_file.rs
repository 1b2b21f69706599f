//! The file with every row that differs (`--rows-output`): one JSON object a line, or CSV if the
//! name of the file ends in `.csv`. The rows are kept on disk as they arrive, so that their
//! number does not matter.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use shared::atomic_file::{Access, AtomicFile};
use shared::ids::{RunId, TableId};
use shared::outcome::{ColumnDifference, Difference, DifferenceKind};

use crate::report::{RunReport, TableResult};
use crate::run_state::{TableStatus, table_ids};
use crate::spool::Spool;

/// Why the file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the differing rows to {}: {reason}; name a file in a directory that exists and is writable", path.display())]
pub(crate) struct RowsFileError {
    path: PathBuf,
    reason: io::Error,
}

/// The file, and the rows that are kept for it during the run.
#[derive(Debug)]
pub(crate) struct RowsFile {
    file: AtomicFile,
    path: PathBuf,
    spool: Spool<Difference>,
}

/// What was written of the rows of a run.
#[derive(Debug, Default)]
struct Written {
    rows: u64,
    /// Tables of which rows are missing in the file, and why.
    incomplete: Vec<String>,
}

impl RowsFile {
    /// Opens the file beside its path; a file at the path stays until the new one is complete.
    pub(crate) fn prepare(path: &Path, run: RunId) -> Result<Self, RowsFileError> {
        let failed = |reason| RowsFileError {
            path: path.to_owned(),
            reason,
        };
        let directory = path.parent().unwrap_or(Path::new(""));
        Ok(Self {
            file: AtomicFile::create(path, Access::Owner).map_err(failed)?,
            path: path.to_owned(),
            spool: Spool::open(directory.join(format!(".rows-{run}"))).map_err(failed)?,
        })
    }

    /// The spool that keeps the rows during the run.
    pub(crate) fn spool(&self) -> Spool<Difference> {
        self.spool.clone()
    }

    /// Writes the rows of the tables that differ, and notes in `report` where they are.
    ///
    /// Returns the spool if the file was written. The caller removes it when the end of the run
    /// is stored; until then a resumed run writes the file again.
    pub(crate) fn finish(self, report: &mut RunReport) -> Option<Spool<Difference>> {
        let Self { file, path, spool } = self;
        let is_csv = path
            .extension()
            .is_some_and(|it| it.eq_ignore_ascii_case("csv"));
        let mut file = BufWriter::new(file);
        let written = if is_csv {
            let mut csv = csv::Writer::from_writer(&mut file);
            let written = csv
                .write_record(CSV_HEADER)
                .map_err(io::Error::from)
                .and_then(|()| {
                    write_rows(report, &spool, |table, row| {
                        write_csv(&mut csv, table, row).map_err(io::Error::from)
                    })
                });
            csv.flush().and(written)
        } else {
            write_rows(report, &spool, |table, row| {
                write_json(&mut file, table, row)
            })
        };
        let committed = written.and_then(|written| {
            let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.commit().map(|()| written)
        });
        match committed {
            Ok(Written { rows, incomplete }) => {
                report.notes.push(format!(
                    "{rows} differing {} written to {}",
                    if rows == 1 { "row was" } else { "rows were" },
                    path.display()
                ));
                report.notes.extend(incomplete);
                Some(spool)
            }
            Err(error) => {
                report.notes.push(format!(
                    "the differing rows could not be written to {}: {error}",
                    path.display()
                ));
                None
            }
        }
    }
}

/// Calls `write` with every row that was kept of a table that differs, and counts them.
fn write_rows(
    report: &RunReport,
    spool: &Spool<Difference>,
    mut write: impl FnMut(&TableResult, Row<'_>) -> io::Result<()>,
) -> io::Result<Written> {
    let mut written = Written::default();
    for (id, result) in table_ids().zip(&report.results) {
        if result.status != TableStatus::Mismatched {
            continue;
        }
        let counts = [result.missing, result.extra, result.modified];
        let differing: u64 = counts.into_iter().flatten().sum();
        let (rows, reason) = write_table(id, spool, &mut |row| write(result, Row::Differing(row)))?;
        written.rows += rows;
        if reason.is_some() || rows != differing {
            let reason = reason
                .map(|reason| format!(": {reason}"))
                .unwrap_or_default();
            let note = format!(
                "of the {differing} differing rows of {}, {rows} could be written{reason}",
                result.table
            );
            write(result, Row::Incomplete(&note))?;
            written.incomplete.push(note);
        }
    }
    Ok(written)
}

/// Writes the rows of one table, and returns their number and why there are not more. An error
/// of `write` is one of the file, any other one of the spool.
fn write_table(
    id: TableId,
    spool: &Spool<Difference>,
    write: &mut impl FnMut(&Difference) -> io::Result<()>,
) -> io::Result<(u64, Option<String>)> {
    let rows = match spool.items(id) {
        Ok(rows) => rows,
        Err(reason) => return Ok((0, Some(reason))),
    };
    let mut count = 0;
    for row in rows.into_iter().flatten() {
        match row {
            Ok(row) => write(&row)?,
            Err(error) => return Ok((count, Some(error.to_string()))),
        }
        count += 1;
    }
    Ok((count, None))
}

/// An entry of the file.
enum Row<'a> {
    Differing(&'a Difference),
    /// Rows of the table are missing in the file.
    Incomplete(&'a str),
}

#[derive(Serialize)]
struct JsonRow<'a> {
    table: &'a str,
    target: &'a str,
    #[serde(flatten)]
    content: JsonContent<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum JsonContent<'a> {
    Differing(&'a Difference),
    Incomplete { incomplete: &'a str },
}

fn write_json(file: &mut impl Write, table: &TableResult, row: Row<'_>) -> io::Result<()> {
    let line = JsonRow {
        table: &table.table,
        target: &table.target,
        content: match row {
            Row::Differing(row) => JsonContent::Differing(row),
            Row::Incomplete(incomplete) => JsonContent::Incomplete { incomplete },
        },
    };
    serde_json::to_writer(&mut *file, &line)?;
    file.write_all(b"\n")
}

/// The rows that the report lists of a table, in the form of the file.
///
/// # Panics
///
/// Never: writing to memory does not fail, and JSON is UTF-8.
pub(crate) fn listed_rows(table: &TableResult) -> String {
    let mut lines = Vec::new();
    let mut write = |row: Row<'_>| {
        write_json(&mut lines, table, row).expect("writing to memory does not fail");
    };
    for row in &table.differences {
        write(Row::Differing(row));
    }
    if table.truncated == Some(true) {
        let counts = [table.missing, table.extra, table.modified];
        let differing: u64 = counts.into_iter().flatten().sum();
        let note = format!(
            "of the {differing} differing rows of {}, {} are stored",
            table.table,
            table.differences.len()
        );
        write(Row::Incomplete(&note));
    }
    String::from_utf8(lines).expect("JSON is UTF-8")
}

const CSV_HEADER: [&str; 7] = [
    "table",
    "target",
    "kind",
    "key",
    "column",
    "source_value",
    "target_value",
];

/// One line for each differing column; one line for a row of which only the key is known. Keys
/// and values are JSON, so that NULL differs from an empty text.
fn write_csv<W: Write>(
    csv: &mut csv::Writer<W>,
    table: &TableResult,
    row: Row<'_>,
) -> csv::Result<()> {
    let names = [table.table.as_str(), table.target.as_str()];
    let mut write = |kind: &str, rest: [String; 4]| {
        let start = [names[0], names[1], kind].map(str::to_owned);
        csv.write_record(start.into_iter().chain(rest))
    };
    let row = match row {
        Row::Differing(row) => row,
        Row::Incomplete(note) => {
            let rest = [note.to_owned(), String::new(), String::new(), String::new()];
            return write("incomplete", rest);
        }
    };
    let kind = match row.kind {
        DifferenceKind::Missing => "missing",
        DifferenceKind::Extra => "extra",
        DifferenceKind::Modified => "modified",
    };
    let key = Value::Object(row.key.clone()).to_string();
    if row.columns.is_empty() {
        return write(kind, [key, String::new(), String::new(), String::new()]);
    }
    for ColumnDifference {
        name,
        source,
        target,
    } in &row.columns
    {
        let values = [source.to_string(), target.to_string()];
        let [source, target] = values;
        write(kind, [key.clone(), name.clone(), source, target])?;
    }
    Ok(())
}
