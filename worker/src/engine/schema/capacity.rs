//! Whether a column's type can hold all values of another column's type.

use crate::engine::values::column::{Column, ColumnType};

/// The digits of a second that PostgreSQL keeps. A seventh digit is lost in every migration, and
/// the comparison of the rows reports it.
const SHARED_DIGITS: u8 = 6;

/// SQL Server's code page number of UTF-8.
const UTF_8: i32 = 65001;

/// What the target's type cannot hold of the source's type; `None` if it can hold everything, or
/// if the types are too different to say.
pub(super) fn lost(source: &Column, target: &Column) -> Option<String> {
    match (&source.kind, &target.kind) {
        (ColumnType::Int, ColumnType::Bool) => Some("numbers other than 0 and 1".to_owned()),
        (ColumnType::Decimal | ColumnType::Money, ColumnType::Float32 | ColumnType::Float64)
        | (ColumnType::Float64, ColumnType::Float32) => Some("all digits of a number".to_owned()),
        (ColumnType::Int, ColumnType::Float32 | ColumnType::Float64) => {
            let digits = if target.kind == ColumnType::Float32 {
                7
            } else {
                15
            };
            let whole = digits_of(source)?.whole;
            (whole > digits).then(|| format!("all digits of a number with more than {digits}"))
        }
        (ColumnType::Float32 | ColumnType::Float64, ColumnType::Int) => {
            Some("fractions, and numbers of more digits".to_owned())
        }
        (
            ColumnType::Int | ColumnType::Decimal | ColumnType::Money,
            ColumnType::Int | ColumnType::Decimal | ColumnType::Money,
        ) => lost_digits(source, target),
        (ColumnType::Text { .. }, ColumnType::Text { .. }) => lost_text(source, target),
        (ColumnType::Bytes, ColumnType::Bytes) => {
            let (from, to) = (length(stored(source)), length(stored(target))?);
            from.is_none_or(|from| from > to)
                .then(|| format!("values of more than {to} bytes"))
        }
        (from, to) => lost_time(from, to),
    }
}

/// The type that stores the values: of a domain, the one that it is made of.
fn stored(column: &Column) -> &str {
    match &column.read_as {
        Some(base) if column.kind != ColumnType::Money => base,
        _ => &column.declared,
    }
}

/// The arguments of a type: `numeric(10,2)` has 10 and 2.
fn arguments(declared: &str) -> Vec<&str> {
    let inner = declared
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'));
    inner.map_or(Vec::new(), |(inner, _)| {
        inner.split(',').map(str::trim).collect()
    })
}

fn base(declared: &str) -> &str {
    declared.split('(').next().unwrap_or_default().trim()
}

/// The length of a type that has one; `None`: it has no limit that matters.
fn length(declared: &str) -> Option<u32> {
    match (arguments(declared).as_slice(), base(declared)) {
        ([length], _) => length.parse().ok(),
        // PostgreSQL's `character` without a length.
        ([], "character" | "char" | "nchar" | "binary") => Some(1),
        // Of bytes, SQL Server's row version.
        ([], "timestamp") => Some(8),
        _ => None,
    }
}

/// Decimal digits before and after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Digits {
    whole: u32,
    fraction: u32,
}

/// `None`: without a limit.
fn digits_of(column: &Column) -> Option<Digits> {
    let declared = stored(column);
    let digits = |whole, fraction| Some(Digits { whole, fraction });
    match base(declared) {
        "tinyint" => digits(3, 0),
        "smallint" => digits(5, 0),
        "int" | "integer" => digits(10, 0),
        "bigint" => digits(19, 0),
        "smallmoney" => digits(6, 4),
        // PostgreSQL's, which is read as another type.
        "money" if column.read_as.is_some() => digits(17, 2),
        "money" => digits(15, 4),
        _ => {
            let arguments: Result<Vec<u32>, _> = arguments(declared)
                .iter()
                .map(|digits| digits.parse())
                .collect();
            match arguments.ok()?.as_slice() {
                [precision] => digits(*precision, 0),
                [precision, scale] => digits(precision.saturating_sub(*scale), *scale),
                _ => None,
            }
        }
    }
}

/// The range of whole numbers of a type.
fn range(column: &Column) -> Option<(i64, i64)> {
    Some(match base(stored(column)) {
        "tinyint" => (0, 255),
        "smallint" => (i16::MIN.into(), i16::MAX.into()),
        "int" | "integer" => (i32::MIN.into(), i32::MAX.into()),
        "bigint" => (i64::MIN, i64::MAX),
        _ => return None,
    })
}

fn lost_digits(source: &Column, target: &Column) -> Option<String> {
    if let (Some(from), Some(to)) = (range(source), range(target)) {
        let is_lost = from.0 < to.0 || from.1 > to.1;
        return is_lost.then(|| format!("numbers outside of {} to {}", to.0, to.1));
    }
    let to = digits_of(target)?;
    let Some(from) = digits_of(source) else {
        return Some(format!(
            "numbers with more than {} digits before the point or more than {} behind it",
            to.whole, to.fraction
        ));
    };
    // The range of an integer type ends within its last digit.
    let whole = match range(target) {
        Some(_) => to.whole.saturating_sub(1),
        None => to.whole,
    };
    if from.fraction > to.fraction {
        return Some(format!("more than {} digits behind the point", to.fraction));
    }
    (from.whole > whole).then(|| format!("numbers with more than {whole} digits before the point"))
}

fn lost_text(source: &Column, target: &Column) -> Option<String> {
    if !target.repertoire.labels.is_empty() || target.repertoire.enum_type.is_some() {
        return None;
    }
    if let Some(code_page) = target.repertoire.code_page
        && code_page != UTF_8
        && source.repertoire.code_page != Some(code_page)
    {
        return Some(format!("characters outside of code page {code_page}"));
    }
    let (from, to) = (length(stored(source)), length(stored(target))?);
    from.is_none_or(|from| from > to)
        .then(|| format!("texts of more than {to} characters"))
}

/// Of dates and times.
fn lost_time(from: &ColumnType, to: &ColumnType) -> Option<String> {
    let digits = |kind: &ColumnType| match kind {
        ColumnType::Time(digits) | ColumnType::Timestamp(digits) | ColumnType::Instant(digits) => {
            Some(*digits)
        }
        // It counts thirds of 10 milliseconds, which three digits tell apart.
        ColumnType::DateTime => Some(3),
        _ => None,
    };
    match (from, to) {
        (
            ColumnType::DateTime | ColumnType::Timestamp(_) | ColumnType::Instant(_),
            ColumnType::Date,
        ) => return Some("a time of day".to_owned()),
        (ColumnType::Timestamp(kept), ColumnType::DateTime) if *kept > 0 => {
            return Some("times before 1753, and the exact digits of a second".to_owned());
        }
        _ => {}
    }
    let (from, to) = (digits(from)?.min(SHARED_DIGITS), digits(to)?);
    (from > to).then(|| format!("more than {to} digits of a second"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::database::{postgres, sql_server};

    fn of_sql_server(declared: &str) -> Column {
        let (base, digits) = (base(declared), arguments(declared));
        let scale = digits.last().and_then(|digits| digits.parse().ok());
        let kind = sql_server::catalog::column_type(base, scale.unwrap_or(7));
        let mut column = Column::new("c", kind, declared);
        if column.kind.is_text() && !base.starts_with('n') {
            column.repertoire.code_page = Some(1252);
        }
        column
    }

    fn of_postgres(declared: &str) -> Column {
        let name = match base(declared) {
            "integer" => "int4",
            "bigint" => "int8",
            "smallint" => "int2",
            "boolean" => "bool",
            "double precision" => "float8",
            "real" => "float4",
            "character varying" => "varchar",
            "character" => "bpchar",
            other => other,
        };
        let digits = arguments(declared);
        let modifier = digits.last().and_then(|digits| digits.parse().ok());
        let kind = postgres::catalog::column_type(name, modifier.unwrap_or(-1));
        Column::new("c", kind, declared)
    }

    #[test]
    fn types_that_migrations_choose_lose_nothing() {
        for (from, to) in [
            ("bit", "boolean"),
            ("tinyint", "smallint"),
            ("int", "integer"),
            ("bigint", "bigint"),
            ("bigint", "numeric(19,0)"),
            ("decimal(10, 2)", "numeric(10,2)"),
            ("decimal(38, 10)", "numeric"),
            ("money", "numeric(19,4)"),
            ("smallmoney", "numeric(10,4)"),
            ("float", "double precision"),
            ("real", "real"),
            ("nvarchar(50)", "character varying(50)"),
            ("nvarchar(max)", "text"),
            ("varchar(20)", "text"),
            ("nchar(5)", "character(5)"),
            ("nchar(5)", "character varying(5)"),
            ("ntext", "text"),
            ("datetime", "timestamp"),
            ("datetime", "timestamp(3)"),
            ("datetime2(7)", "timestamp"),
            ("datetime2(3)", "timestamp(3)"),
            ("smalldatetime", "timestamp(0)"),
            ("datetimeoffset(7)", "timestamptz"),
            ("date", "date"),
            ("time(7)", "time"),
            ("uniqueidentifier", "uuid"),
            ("varbinary(max)", "bytea"),
            ("image", "bytea"),
            ("timestamp", "bytea"),
        ] {
            assert_eq!(
                lost(&of_sql_server(from), &of_postgres(to)),
                None,
                "{from} {to}"
            );
        }
        for (from, to) in [
            ("text", "nvarchar(max)"),
            ("character varying(50)", "nvarchar(50)"),
            ("timestamp", "datetime2(7)"),
            ("numeric(19,4)", "money"),
            ("boolean", "bit"),
            ("bytea", "varbinary(max)"),
        ] {
            assert_eq!(
                lost(&of_postgres(from), &of_sql_server(to)),
                None,
                "{from} {to}"
            );
        }
    }

    #[test]
    fn a_type_that_holds_less_is_found() {
        for (from, to) in [
            ("bigint", "integer"),
            ("int", "smallint"),
            ("bigint", "numeric(18,0)"),
            ("decimal(10, 2)", "numeric(9,2)"),
            ("decimal(10, 4)", "numeric(10,2)"),
            ("decimal(18, 0)", "bigint"),
            ("decimal(20, 0)", "bigint"),
            ("money", "numeric(19,2)"),
            ("money", "double precision"),
            ("float", "real"),
            ("nvarchar(50)", "character varying(40)"),
            ("nvarchar(max)", "character varying(4000)"),
            ("datetime", "timestamp(0)"),
            ("datetime", "date"),
            ("datetime2(7)", "timestamp(3)"),
            ("time(7)", "time(0)"),
        ] {
            let found = lost(&of_sql_server(from), &of_postgres(to));
            // 18 digits are always within a bigint.
            let is_expected = from != "decimal(18, 0)";
            assert_eq!(found.is_some(), is_expected, "{from} {to}");
        }
        for (from, to) in [
            ("smallint", "tinyint"),
            ("text", "nvarchar(100)"),
            ("text", "varchar(max)"),
            ("timestamp", "datetime2(3)"),
            ("timestamp", "datetime"),
            ("bytea", "varbinary(8000)"),
            ("numeric", "decimal(38, 10)"),
            ("integer", "bit"),
        ] {
            assert!(
                lost(&of_postgres(from), &of_sql_server(to)).is_some(),
                "{from} {to}"
            );
        }
    }
}
