//! Wrong answers on purpose: one result of the server has other values, rows or columns than the
//! statement asks for. Clients must not believe it.

use std::sync::{Mutex, MutexGuard};

use crate::sql::translator::TranslatedQuery;
use crate::sql::typed::TypedSql;
use crate::types::sql_type::{Family, SqlType};

/// How a result is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// Texts are numbers, and everything else is text.
    Types,
    /// Numbers have another size.
    Sizes,
    /// Every value is NULL.
    Nulls,
    /// There are no rows.
    NoRows,
    /// Every row comes twice.
    TwiceTheRows,
    /// The last column is absent, unless it is the only one.
    FewerColumns,
    /// Another result follows.
    ExtraResult,
}

impl Wrong {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Types,
        Self::Sizes,
        Self::Nulls,
        Self::NoRows,
        Self::TwiceTheRows,
        Self::FewerColumns,
        Self::ExtraResult,
    ];
}

/// Which result of a server is wrong.
#[derive(Debug, Default)]
pub struct Mangling(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Results since the last order.
    results: usize,
    order: Option<(usize, Wrong)>,
    /// The statement of the wrong result.
    statement: Option<String>,
}

impl Mangling {
    /// Makes the result with this number, from 0, wrong. Counts from now on.
    pub fn order(&self, result: usize, wrong: Wrong) {
        *self.state() = State {
            order: Some((result, wrong)),
            ..State::default()
        };
    }

    /// PostgreSQL's statement of the result that was made wrong since the last order.
    #[must_use]
    pub fn mangled(&self) -> Option<String> {
        self.state().statement.clone()
    }

    /// How the next result is wrong.
    pub(crate) fn next(&self, statement: &str) -> Option<Wrong> {
        let mut state = self.state();
        let number = state.results;
        state.results += 1;
        let (_, wrong) = state.order.filter(|(ordered, _)| *ordered == number)?;
        state.statement = Some(statement.to_owned());
        Some(wrong)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic while the lock is held")
    }
}

/// The query whose result is wrong.
pub(crate) fn mangled(query: TranslatedQuery, wrong: Wrong) -> TranslatedQuery {
    let TranslatedQuery {
        sql,
        mut columns,
        mut names,
    } = query;
    let places: Vec<String> = (0..columns.len()).map(|at| format!("c{at}")).collect();
    let from = format!("FROM ({sql}) AS mangled ({})", places.join(", "));
    let sql = match wrong {
        Wrong::Types | Wrong::Sizes | Wrong::Nulls => {
            for column in &mut columns {
                *column = replaced(column, wrong);
            }
            let values: Vec<&str> = columns.iter().map(|column| column.sql.as_str()).collect();
            format!("SELECT {} {from}", values.join(", "))
        }
        Wrong::NoRows => format!("SELECT * {from} WHERE false"),
        Wrong::TwiceTheRows => format!(
            "SELECT {} {from} CROSS JOIN generate_series(1, 2) AS twice",
            places.join(", ")
        ),
        Wrong::FewerColumns => {
            let kept = places.len().saturating_sub(1).max(1);
            columns.truncate(kept);
            names.truncate(kept);
            format!("SELECT {} {from}", places[..kept].join(", "))
        }
        Wrong::ExtraResult => sql,
    };
    TranslatedQuery {
        sql,
        columns,
        names,
    }
}

/// What a column becomes.
fn replaced(column: &TypedSql, wrong: Wrong) -> TypedSql {
    let sql_type = column.sql_type.unwrap_or(SqlType::Int);
    match (wrong, sql_type.family()) {
        (Wrong::Nulls, Family::Character) => {
            TypedSql::new("CAST(NULL AS text)", SqlType::NVarChar(Some(20)))
        }
        (Wrong::Types, Family::Character) => TypedSql::new("CAST(7 AS integer)", SqlType::Int),
        (Wrong::Types, _) => TypedSql::new("CAST('seven' AS text)", SqlType::NVarChar(Some(20))),
        (Wrong::Sizes, Family::Integer) if sql_type == SqlType::BigInt => {
            TypedSql::new("CAST(7 AS smallint)", SqlType::SmallInt)
        }
        (Wrong::Sizes, Family::Character) => {
            TypedSql::new("CAST('seven' AS text)", SqlType::NVarChar(Some(20)))
        }
        (Wrong::Sizes, _) => TypedSql::new("CAST(7 AS bigint)", SqlType::BigInt),
        _ => TypedSql::new("CAST(NULL AS integer)", SqlType::Int),
    }
}
