//! Columns of the source that are missing in the target.

use shared::coverage::MissingColumn;

use super::visible::{name, names, printable};

/// `column Currency char(3) is missing in the target (nearest: currency_code)`
pub(super) fn missing(column: &MissingColumn) -> String {
    let (column_name, nearest) = match &column.nearest {
        Some(nearest) => {
            let (column, nearest) = names(&column.name, nearest);
            (column, format!(" (nearest: {nearest})"))
        }
        None => (name(&column.name), String::new()),
    };
    let declared = printable(&column.declared);
    format!("column {column_name} {declared} is missing in the target{nearest}")
}
