//! The conditions by which repair statements find a row.

use crate::engine::database::dialect::RepairDialect;
use crate::engine::values::column::Column;
use crate::engine::values::value::{Unwritable, Value};

/// The condition that is true exactly for rows whose `column` has `value`.
pub(crate) fn exact_term(
    dialect: &dyn RepairDialect,
    column: &Column,
    value: &Value,
) -> Result<String, Unwritable> {
    let name = dialect.identifier(&column.name);
    if *value == Value::Null {
        return Ok(format!("{name} IS NULL"));
    }
    let literal = dialect.assigned(column, value)?;
    Ok(dialect.holds_exactly(&name, column, value, &literal))
}

/// A condition that an index can answer. It is true at least for the rows whose
/// `column` the database considers equal to `value`.
pub(crate) fn indexed_term(
    dialect: &dyn RepairDialect,
    column: &Column,
    value: &Value,
) -> Result<String, Unwritable> {
    if column.kind.is_text() && *value != Value::Null {
        let name = dialect.identifier(&column.name);
        let literal = dialect.assigned(column, value)?;
        if let Some(term) = dialect.indexed_text_term(&name, column, &literal) {
            return Ok(term);
        }
    }
    exact_term(dialect, column, value)
}

#[cfg(test)]
mod tests {
    use shared::endpoint::DatabaseKind;

    use super::*;
    use crate::engine::database::kinds::database;
    use crate::engine::values::column::ColumnType;

    fn assigned(kind: DatabaseKind, column: &Column, value: &Value) -> Result<String, Unwritable> {
        database(kind).assigned(column, value)
    }

    #[test]
    fn a_value_that_a_dialect_cannot_write_is_an_error() {
        let text = Column::new("t", ColumnType::Text { padded: false }, "text");
        assert!(assigned(DatabaseKind::Postgres, &text, &Value::Text("a\0".into())).is_err());
        let float = Column::new("f", ColumnType::Float64, "float");
        assert!(assigned(DatabaseKind::SqlServer, &float, &Value::Float64(f64::NAN)).is_err());
        let date = Column::new("d", ColumnType::Date, "date");
        assert!(assigned(DatabaseKind::SqlServer, &date, &Value::Date(-800_000)).is_err());
        assert!(assigned(DatabaseKind::SqlServer, &date, &Value::Date(i32::MAX)).is_err());
    }

    #[test]
    fn floats_have_words_where_they_have_no_digits() {
        let double = Column::new("f", ColumnType::Float64, "double precision");
        let literal = |number| {
            exact_term(
                database(DatabaseKind::Postgres),
                &double,
                &Value::Float64(number),
            )
            .unwrap()
        };
        assert_eq!(literal(f64::NAN), "\"f\" = 'NaN'::double precision");
        assert_eq!(
            literal(f64::NEG_INFINITY),
            "\"f\" = '-Infinity'::double precision"
        );
        assert_eq!(literal(0.1), "\"f\" = '1e-1'::double precision");
    }
}
