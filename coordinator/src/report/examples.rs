//! The first differing rows of a table, as reports for people show them: a bounded number of rows
//! and columns, and of each value as much as shows the difference.

use shared::outcome::{ColumnDifference, Difference, DifferenceKind};

use super::model::TableResult;
use super::visible::{name, value, values};
use super::wording::plural;

/// How much is shown of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) rows: usize,
    /// Columns of one row, beside those of the key.
    pub(super) columns: usize,
}

/// The rows that are shown of a table.
#[derive(Debug)]
pub(super) struct Examples {
    pub(super) rows: Vec<ShownRow>,
    /// How many rows differ beside those.
    pub(super) hidden: u64,
}

/// A differing row. All its texts are printable.
#[derive(Debug)]
pub(super) struct ShownRow {
    pub(super) kind: DifferenceKind,
    /// The columns of the key and their values.
    pub(super) key: Vec<(String, String)>,
    pub(super) columns: Vec<ShownColumn>,
    /// How many columns differ beside those.
    pub(super) more_columns: usize,
}

#[derive(Debug)]
pub(super) struct ShownColumn {
    pub(super) name: String,
    /// Absent from a row that is only in the target.
    pub(super) source: Option<String>,
    /// Absent from a row that is only in the source.
    pub(super) target: Option<String>,
}

impl Examples {
    pub(super) fn of(result: &TableResult, limits: Limits) -> Self {
        let explained = empty_columns(result);
        let mut rows = Vec::new();
        for difference in &result.differences {
            if rows.len() == limits.rows {
                break;
            }
            let columns = difference.columns.iter();
            let columns: Vec<_> = columns
                .filter(|column| !explained.contains(&column.name.as_str()))
                .collect();
            if !columns.is_empty() || difference.columns.is_empty() {
                rows.push(ShownRow::of(difference, &columns, limits.columns));
            }
        }
        Self {
            hidden: differing(result).saturating_sub(rows.len() as u64),
            rows,
        }
    }
}

/// How many rows of a table differ; 0 if that is not known.
pub(super) fn differing(result: &TableResult) -> u64 {
    let counts = [result.missing, result.extra, result.modified];
    counts.into_iter().flatten().sum()
}

/// Columns that are NULL in the target wherever they differ. One line of the causes says so, and
/// the rows do not repeat it.
fn empty_columns(result: &TableResult) -> Vec<&str> {
    let causes = result.causes.iter();
    causes
        .filter(|group| group.cause == "null-in-target" && group.examined == group.rows)
        .filter_map(|group| group.column.as_deref())
        .collect()
}

impl ShownRow {
    /// The row with all that is listed of it.
    pub(super) fn whole(difference: &Difference) -> Self {
        let columns: Vec<&ColumnDifference> = difference.columns.iter().collect();
        Self::of(difference, &columns, columns.len())
    }

    fn of(difference: &Difference, columns: &[&ColumnDifference], most: usize) -> Self {
        let key = difference.key.iter();
        Self {
            kind: difference.kind,
            key: key
                .map(|(column, of_key)| (name(column), value(of_key)))
                .collect(),
            columns: columns
                .iter()
                .take(most)
                .map(|column| ShownColumn::of(difference.kind, column))
                .collect(),
            more_columns: columns.len().saturating_sub(most),
        }
    }

    /// `modified  id=1  v: 'v' → 'w'`
    pub(super) fn line(&self) -> String {
        let mut text = format!("{:8}", kind_word(self.kind));
        for (column, of_key) in &self.key {
            text += &format!("  {column}={of_key}");
        }
        for column in &self.columns {
            text += &format!("  {}: {}", column.name, column.values());
        }
        if self.more_columns > 0 {
            text += &format!("  … {}", plural(self.more_columns, "more column"));
        }
        text
    }
}

impl ShownColumn {
    fn of(kind: DifferenceKind, column: &ColumnDifference) -> Self {
        let (source, target) = match kind {
            DifferenceKind::Modified => {
                let (source, target) = values(&column.source, &column.target);
                (Some(source), Some(target))
            }
            DifferenceKind::Missing => (Some(value(&column.source)), None),
            DifferenceKind::Extra => (None, Some(value(&column.target))),
        };
        Self {
            name: name(&column.name),
            source,
            target,
        }
    }

    /// `'v' → 'w'`, or the value of the only side that has the row.
    fn values(&self) -> String {
        let sides: Vec<&str> = [&self.source, &self.target]
            .into_iter()
            .filter_map(Option::as_deref)
            .collect();
        sides.join(" → ")
    }
}

pub(super) fn kind_word(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::Missing => "missing",
        DifferenceKind::Extra => "extra",
        DifferenceKind::Modified => "modified",
    }
}

/// What the words and signs of the rows mean, as far as they were used.
#[derive(Debug, Default)]
pub(super) struct Legend {
    missing: bool,
    extra: bool,
    modified: bool,
    blank: bool,
    code: bool,
}

impl Legend {
    pub(super) fn note(&mut self, row: &ShownRow) {
        let line = row.line();
        match row.kind {
            DifferenceKind::Missing => self.missing = true,
            DifferenceKind::Extra => self.extra = true,
            DifferenceKind::Modified => self.modified = true,
        }
        self.blank |= line.contains(super::visible::BLANK);
        self.code |= line.contains("\\u{");
    }

    /// The meanings; none if no row was noted. `modified` says how both values are shown.
    pub(super) fn meanings(&self, modified: &'static str) -> Vec<String> {
        let blank = format!("{}: a blank", super::visible::BLANK);
        let parts = [
            (self.missing, "missing: only in the source"),
            (self.extra, "extra: only in the target"),
            (self.modified, modified),
            (self.blank, &blank),
            (self.code, "\\u{…}: a character by its code"),
        ];
        parts
            .into_iter()
            .filter(|(is_used, _)| *is_used)
            .map(|(_, words)| words.to_owned())
            .collect()
    }
}
