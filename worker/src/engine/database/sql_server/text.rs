//! Values that SQL Server converts to text before they are read.

use crate::engine::values::column::{Column, ColumnType};

/// The expression that converts a value to text without the losses of a plain
/// `CAST`. UTF-16 is read as bytes: the driver stops at an unpaired surrogate.
pub(crate) fn as_text(column: &Column, name: &str) -> String {
    let declared = column.declared.as_str();
    let base = declared.split('(').next().unwrap_or(declared);
    match (&column.kind, base) {
        (_, "hierarchyid") => format!("{name}.ToString()"),
        // EWKT as PostGIS writes it: without the reference system, different
        // places would have the same text.
        (_, "geography" | "geometry") => format!(
            "CASE {name}.STSrid WHEN 0 THEN N'' ELSE N'SRID=' + CAST({name}.STSrid AS nvarchar(10)) + N';' END + REPLACE(REPLACE({name}.ToString(), N' (', N'('), N', ', N',')"
        ),
        (_, "sql_variant") => variant_as_text(name),
        (ColumnType::Text { .. }, "nchar" | "nvarchar") => {
            format!("CAST({name} AS varbinary(max))")
        }
        (ColumnType::Text { .. }, "ntext") => {
            format!("CAST(CAST({name} AS nvarchar(max)) AS varbinary(max))")
        }
        // 17 digits, which read back as the same float.
        (ColumnType::Float32 | ColumnType::Float64, _) => {
            format!("CONVERT(nvarchar(60), {name}, 3)")
        }
        // Four digits after the point.
        (ColumnType::Money, _) => format!("CONVERT(nvarchar(60), {name}, 2)"),
        // ISO 8601.
        (kind, _) if kind.is_time() => format!("CONVERT(nvarchar(60), {name}, 126)"),
        // Hexadecimal after 0x.
        (ColumnType::Bytes, _) => {
            format!("CONVERT(nvarchar(max), CAST({name} AS varbinary(max)), 1)")
        }
        _ => format!("CAST({name} AS nvarchar(max))"),
    }
}

/// A `sql_variant` as text, by the type of each value: its own `CAST` would
/// write six digits of a float, minutes of a `datetime`, two digits of money.
fn variant_as_text(name: &str) -> String {
    let mut cases = String::new();
    for (base, style) in [
        ("float", 3),
        ("real", 3),
        ("money", 2),
        ("smallmoney", 2),
        ("date", 126),
        ("time", 126),
        ("datetime", 126),
        ("smalldatetime", 126),
        ("datetime2", 126),
        ("datetimeoffset", 126),
    ] {
        cases.push_str(&format!(
            " WHEN N'{base}' THEN CONVERT(nvarchar(60), CAST({name} AS {base}), {style})"
        ));
    }
    for base in ["binary", "varbinary"] {
        cases.push_str(&format!(
            " WHEN N'{base}' THEN CONVERT(nvarchar(max), CAST({name} AS varbinary(8000)), 1)"
        ));
    }
    // A text longer than an nvarchar(4000) is given by its collation and its
    // bytes, since each value has a code page of its own.
    format!(
        "CASE WHEN CAST(SQL_VARIANT_PROPERTY({name}, 'BaseType') AS nvarchar(128)) IN (N'char', N'varchar') AND DATALENGTH({name}) > 4000 \
         THEN CAST(SQL_VARIANT_PROPERTY({name}, 'Collation') AS nvarchar(128)) + N':' + CONVERT(nvarchar(max), CAST({name} AS varbinary(8000)), 1) \
         ELSE CASE CAST(SQL_VARIANT_PROPERTY({name}, 'BaseType') AS nvarchar(128)){cases} ELSE CAST({name} AS nvarchar(4000)) END END"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(declared: &str) -> String {
        let column = Column::new("v", ColumnType::Other, declared);
        as_text(&column, "[v]")
    }

    #[test]
    fn a_variant_becomes_text_by_the_type_of_its_value() {
        let sql = text_of("sql_variant");
        for part in [
            "WHEN N'float' THEN CONVERT(nvarchar(60), CAST([v] AS float), 3)",
            "WHEN N'real' THEN CONVERT(nvarchar(60), CAST([v] AS real), 3)",
            "WHEN N'smallmoney' THEN CONVERT(nvarchar(60), CAST([v] AS smallmoney), 2)",
            "WHEN N'datetime' THEN CONVERT(nvarchar(60), CAST([v] AS datetime), 126)",
            "WHEN N'datetimeoffset' THEN CONVERT(nvarchar(60), CAST([v] AS datetimeoffset), 126)",
            "WHEN N'binary' THEN CONVERT(nvarchar(max), CAST([v] AS varbinary(8000)), 1)",
            "DATALENGTH([v]) > 4000 THEN CAST(SQL_VARIANT_PROPERTY([v], 'Collation') AS nvarchar(128))",
            "ELSE CAST([v] AS nvarchar(4000)) END END",
        ] {
            assert!(sql.contains(part), "{part} is not in {sql}");
        }
        assert_eq!(
            sql.matches("CASE ").count(),
            sql.matches(" END").count(),
            "{sql}"
        );
    }

    #[test]
    fn a_place_names_its_system_of_coordinates() {
        for declared in ["geography", "geometry"] {
            assert_eq!(
                text_of(declared),
                "CASE [v].STSrid WHEN 0 THEN N'' ELSE N'SRID=' + CAST([v].STSrid AS nvarchar(10)) + N';' END \
                 + REPLACE(REPLACE([v].ToString(), N' (', N'('), N', ', N',')"
            );
        }
        assert_eq!(text_of("hierarchyid"), "[v].ToString()");
    }
}
