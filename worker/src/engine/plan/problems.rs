//! All reasons at once why two tables cannot be compared.

use shared::failure::{Failure, FailureKind};
use shared::message::TableSpec;
use shared::options::ColumnRule;

use crate::engine::plan::key::choose_key;
use crate::engine::plan::names::Rules;
use crate::engine::plan::pairs::pair_columns;
use crate::engine::plan::{planned_column, refuse_masks};
use crate::engine::values::column::Table;
use crate::engine::values::pair::Pair;
use crate::engine::values::pairing::pairing;

/// A reason, and the source's column that it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) column: Option<String>,
    pub(crate) failure: Failure,
    /// The column's type in the source, if `as_text = true` would solve the problem.
    pub(crate) solved_as_text: Option<String>,
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self {
            column: None,
            failure,
            solved_as_text: None,
        }
    }
}

/// The problems of the key and of each pair of columns. [`plan`](crate::engine::plan::plan)
/// reports the first one only, and may find others that concern the table as a whole.
pub(crate) fn problems(spec: &TableSpec, tables: &Pair<Table>) -> Vec<Problem> {
    let rules = match Rules::resolve(spec, tables) {
        Ok(rules) => rules,
        Err(failure) => return vec![failure.into()],
    };
    let paired = match pair_columns(spec, tables, &rules) {
        Ok(paired) => paired,
        Err(failure) => return vec![failure.into()],
    };
    let key = choose_key(spec, tables, &paired).err().map(Problem::from);
    let as_text = ColumnRule {
        as_text: true,
        ..ColumnRule::default()
    };
    let of_columns = paired.pairs.iter().filter_map(|pair| {
        let column = Some(pair.columns.source.name.clone());
        let planned = refuse_masks(&pair.columns)
            .and_then(|()| planned_column(pair.columns.clone(), &rules).map(drop));
        let failure = planned.err()?;
        let is_solved = failure.kind == FailureKind::IncomparableColumn
            && pairing(&pair.columns.source, &pair.columns.target, &as_text).is_ok();
        Some(Problem {
            column,
            failure,
            solved_as_text: is_solved.then(|| pair.columns.source.declared.clone()),
        })
    });
    key.into_iter().chain(of_columns).collect()
}
