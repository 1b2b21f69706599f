//! Every statement that is rendered has the form that scripts accept.

use proptest::prelude::*;
use shared::endpoint::DatabaseKind;
use shared::outcome::RepairAction;

use super::statement::{Change, ColumnValue, TargetColumn, TargetTable, UniqueColumns};
use crate::engine::database::constraints::{Dependent, Guarding};
use crate::engine::database::guarded::GuardedForm;
use crate::engine::database::kinds::database;
use crate::engine::values::column::{Column, ColumnType};
use crate::engine::values::moment::Moment;
use crate::engine::values::value::Value;

/// Columns of all kinds, as catalogs of either database declare them.
fn columns(kind: DatabaseKind) -> Vec<Column> {
    let declared = match kind {
        DatabaseKind::Postgres => [
            "integer",
            "character varying(9)",
            "numeric(9,2)",
            "double precision",
            "bytea",
            "timestamp(6) with time zone",
            "uuid",
            "jsonb",
            "other.\"Odd type\"[]",
        ],
        DatabaseKind::SqlServer => [
            "int",
            "nvarchar(9)",
            "decimal(9, 2)",
            "float",
            "varbinary(max)",
            "datetimeoffset(7)",
            "uniqueidentifier",
            "xml",
            "sql_variant",
        ],
    };
    let kinds = [
        ColumnType::Int,
        ColumnType::Text { padded: false },
        ColumnType::Decimal,
        ColumnType::Float64,
        ColumnType::Bytes,
        ColumnType::Instant(6),
        ColumnType::Uuid,
        ColumnType::Json,
        ColumnType::Other,
    ];
    kinds
        .into_iter()
        .zip(declared)
        .enumerate()
        .map(|(at, (of, declared))| Column::new(&format!("c\"]'{at}"), of, declared))
        .collect()
}

fn table(kind: DatabaseKind, has_key: bool, unique: bool) -> TargetTable {
    let plain = |column| TargetColumn {
        column,
        generated: false,
        fixed: false,
    };
    let reference = |schema: &str, table: &str| Dependent {
        schema: schema.to_owned(),
        table: table.to_owned(),
        columns: vec![("up".to_owned(), "c\"]'0".to_owned())],
        acts_on_delete: true,
        acts_on_update: true,
        is_readable: true,
    };
    let references = [reference("o", "child"), reference("s", "t\"]")];
    TargetTable {
        dialect: database(kind),
        name: database(kind).qualified("s", "t\"]"),
        columns: columns(kind).into_iter().map(plain).collect(),
        key: if has_key { vec![0, 1] } else { Vec::new() },
        unique,
        has_identity: true,
        dependents: Guarding {
            on_delete: references.to_vec(),
            on_update: references.to_vec(),
        },
        unique_constraints: vec![UniqueColumns {
            columns: vec![2, 5],
            nulls_are_equal: true,
        }],
    }
}

fn row(text: &str, number: i64, float: f64, bytes: &[u8]) -> Vec<ColumnValue> {
    let values = [
        Value::Int(number),
        Value::Text(text.to_owned()),
        Value::Decimal(format!("{number}.25")),
        Value::Float64(float),
        Value::Bytes(bytes.to_vec()),
        Value::Instant(Moment {
            units: number % 1_000_000_000_000,
            digits: 6,
        }),
        Value::Uuid([7; 16]),
        Value::Json(format!("[{number}]")),
        Value::Text(text.to_owned()),
    ];
    values.into_iter().enumerate().collect()
}

proptest! {
    #[test]
    fn rendered_statements_are_guarded(
        text in "[a'\"\\\\$(;\\r\\n\\t/*-]{0,12}|\\PC{0,12}",
        number in any::<i64>(),
        float in any::<f64>().prop_filter("NaN has no form in SQL Server", |float| float.is_finite()),
        bytes in proptest::collection::vec(any::<u8>(), 0..6),
        (has_key, unique) in (any::<bool>(), any::<bool>()),
    ) {
        for kind in [DatabaseKind::Postgres, DatabaseKind::SqlServer] {
            let table = table(kind, has_key, unique && has_key);
            let form = GuardedForm::new(kind, "s", "t\"]");
            let row = row(&text, number, float, &bytes);
            let changes: Vec<Change> = row[2..]
                .iter()
                .map(|(at, old)| Change { at: *at, old: old.clone(), new: Value::Null })
                .collect();
            let inserted = table.insert(&row, 3).unwrap();
            let mut statements = vec![
                (RepairAction::Insert, inserted.sql),
                (RepairAction::Delete, inserted.undo),
            ];
            // Rows without a key are not updated.
            if has_key {
                let updated = table.update(&row, &changes).unwrap();
                let both = [updated.sql, updated.undo];
                statements.extend(both.map(|sql| (RepairAction::Update, sql)));
            }
            for (action, sql) in statements {
                prop_assert_eq!(form.check(action, &sql), Ok(()), "{}", sql);
            }
        }
    }
}
