//! Values that are too large to be read: SQL Server sends NULL in their place, and in one
//! more column how large they are.
//!
//! The driver collects a value whole, however large it is. `DATALENGTH` gives the size of
//! a large value without reading all of it.

use tiberius::ColumnData;

use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::conversion::Conversion;
use crate::engine::values::reading::Reading;

/// A mark is this number times the bytes of the value, plus its position. SQL Server has
/// fewer columns.
const POSITIONS: i64 = 65_536;

/// How much longer than a value its conversion is expected to be at most.
const LONGER: usize = 32;

/// Whether values of the column can be longer than a row of SQL Server.
pub(super) fn is_unbounded(column: &Column, reading: &Reading) -> bool {
    let declared = column.declared.as_str();
    let is_converted = matches!(reading.conversion, Some(Conversion::DatabaseText(_)));
    declared.ends_with("(max)")
        || matches!(declared, "text" | "ntext" | "image" | "xml" | "json")
        || (is_converted
            && column.kind == ColumnType::Other
            && !matches!(declared, "sql_variant" | "hierarchyid"))
}

/// The condition that holds for values of more than `longest` bytes, as `read` reads them.
pub(super) fn is_larger(name: &str, read: &str, longest: usize) -> String {
    if read == name {
        return format!("DATALENGTH({name}) > {longest}");
    }
    // Most values are small, and need not be converted twice.
    let before = longest / LONGER;
    format!("DATALENGTH({name}) > {before} AND DATALENGTH({read}) > {longest}")
}

/// The expression of a value that is sent. The deprecated types are no results of `CASE`.
pub(super) fn sent(column: &Column, read: &str) -> String {
    let target = match column.declared.as_str() {
        _ if column.read_as.is_some() => None,
        "text" => Some("varchar(max)"),
        "ntext" => Some("nvarchar(max)"),
        "image" => Some("varbinary(max)"),
        _ => None,
    };
    match target {
        Some(target) => format!("CAST({read} AS {target})"),
        None => read.to_owned(),
    }
}

/// The branch of a `CASE` that marks the column at `position`, from 1.
pub(super) fn mark(is_larger: &str, read: &str, position: usize) -> String {
    format!(" WHEN {is_larger} THEN CAST(DATALENGTH({read}) AS bigint) * {POSITIONS} + {position}")
}

/// The position of the column whose value is too large, from 0, and the value's bytes.
pub(super) fn marked(mark: &ColumnData<'static>) -> Option<(usize, Option<u64>)> {
    let mark = match mark {
        ColumnData::I64(mark) => (*mark)?,
        ColumnData::I32(mark) => (*mark)?.into(),
        _ => return None,
    };
    let position = usize::try_from(mark % POSITIONS - 1).unwrap_or_default();
    Some((position, u64::try_from(mark / POSITIONS).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::database::dialect::Dialect as _;
    use crate::engine::database::sql_server::dialect::SqlServer;
    use crate::engine::values::kind::Kind;

    #[test]
    fn only_columns_without_a_limit_are_measured() {
        let text =
            |declared: &str| Column::new(declared, ColumnType::Text { padded: false }, declared);
        let columns = [text("varchar(50)"), text("nvarchar(max)"), text("text")];
        let reading = Reading::new(Kind::Text, &columns[0].kind, None);
        let columns: Vec<(&Column, &Reading)> = columns.iter().map(|it| (it, &reading)).collect();
        let list = SqlServer.list(&columns, 1000);
        assert_eq!(
            list.items,
            [
                "[varchar(50)]",
                "CASE WHEN DATALENGTH([nvarchar(max)]) > 1000 THEN NULL ELSE [nvarchar(max)] END AS [nvarchar(max)]",
                "CASE WHEN DATALENGTH([text]) > 1000 THEN NULL ELSE CAST([text] AS varchar(max)) END AS [text]",
                "CASE WHEN DATALENGTH([nvarchar(max)]) > 1000 THEN CAST(DATALENGTH([nvarchar(max)]) AS bigint) * 65536 + 2 \
                 WHEN DATALENGTH([text]) > 1000 THEN CAST(DATALENGTH([text]) AS bigint) * 65536 + 3 END AS [larger than the limit]",
            ]
        );
        assert!(list.marks_large);
        assert!(!SqlServer.list(&columns[..1], 1000).marks_large);
    }

    #[test]
    fn a_mark_names_column_and_size() {
        let mark = |mark| marked(&ColumnData::I64(mark));
        assert_eq!(
            mark(Some(419_430_400 * 65_536 + 3)),
            Some((2, Some(419_430_400)))
        );
        assert_eq!(mark(None), None);
    }
}
