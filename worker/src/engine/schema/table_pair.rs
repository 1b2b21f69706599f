//! Two tables that belong together, and the columns of both that do.

use shared::coverage::{ColumnSide, Uncompared};
use shared::failure::Failure;
use shared::message::TableSpec;
use shared::naming::shared_forms;

use crate::engine::database::dialect::Dialect;
use crate::engine::database::schema::TableSchema;
use crate::engine::plan::names::Rules;
use crate::engine::plan::pairs::{PairedColumns, pair_columns};
use crate::engine::schema::expression::Expressions;
use crate::engine::values::column::{Column, ColumnType, SideOf};
use crate::engine::values::pair::Pair;

/// A table of the source and its partner in the target.
#[derive(Debug)]
pub(super) struct TablePair<'a> {
    pub(super) spec: &'a TableSpec,
    pub(super) schemas: Pair<TableSchema>,
    pub(super) dialects: Pair<&'a dyn Dialect>,
    pub(super) columns: PairedColumns,
}

impl<'a> TablePair<'a> {
    /// Pairs the columns as a comparison of the rows does.
    ///
    /// # Errors
    ///
    /// As [`pair_columns`], and when a rule names a column that no side has.
    pub(super) fn new(
        spec: &'a TableSpec,
        schemas: Pair<TableSchema>,
        dialects: Pair<&'a dyn Dialect>,
    ) -> Result<Self, Failure> {
        let tables = schemas.as_ref().map(|schema| schema.table.clone());
        let columns = {
            let rules = Rules::resolve(spec, &tables)?;
            pair_columns(spec, &tables, &rules)?
        };
        Ok(Self {
            spec,
            schemas,
            dialects,
            columns,
        })
    }

    /// Whether both are tables, and the constraints of both are visible.
    pub(super) fn has_constraints(&self) -> bool {
        let schemas = [&self.schemas.source, &self.schemas.target];
        schemas
            .iter()
            .all(|schema| schema.are_definitions_visible && !schema.table.visibility.is_view)
    }

    pub(super) fn has_view(&self) -> bool {
        let schemas = [&self.schemas.source, &self.schemas.target];
        schemas.iter().any(|schema| schema.table.visibility.is_view)
    }

    /// The name under which rules know a column of one side: that of the source's column if it
    /// has a partner, otherwise the side and its own name. Expressions may spell a column in
    /// another case than the catalog.
    pub(super) fn common_name(&self, side: SideOf, name: &str) -> String {
        let pairs = &self.columns.pairs;
        let exact = pairs.iter().find(|pair| pair.columns[side].name == name);
        let found = exact.or_else(|| {
            let mut pairs = pairs.iter();
            pairs.find(|pair| pair.columns[side].name.to_lowercase() == name.to_lowercase())
        });
        match (found, side) {
            (Some(pair), _) => pair.columns.source.name.clone(),
            (None, SideOf::Source) => format!("source.{name}"),
            (None, SideOf::Target) => format!("target.{name}"),
        }
    }

    /// The source's column under its common name.
    pub(super) fn source_column(&self, common: &str) -> Option<&Column> {
        let mut pairs = self.columns.pairs.iter();
        let pair = pairs.find(|pair| pair.columns.source.name == common);
        pair.map(|pair| &pair.columns.source)
    }

    /// Whether one of these columns of one side has no partner: the user leaves it out, or it
    /// is missing on the other side, which is a finding of its own.
    pub(super) fn has_unpaired<'n>(
        &self,
        side: SideOf,
        mut names: impl Iterator<Item = &'n str>,
    ) -> bool {
        let is_paired = |name: &str| {
            let mut pairs = self.columns.pairs.iter();
            pairs.any(|pair| pair.columns[side].name == name)
        };
        names.any(|name| !is_paired(name))
    }

    /// Whether the side opposite of `side` ignores case in the column with this common name.
    pub(super) fn ignores_case_opposite(&self, side: SideOf, common: &str) -> bool {
        let mut pairs = self.columns.pairs.iter();
        let pair = pairs.find(|pair| pair.columns.source.name == common);
        let comparison = pair.and_then(|pair| match side {
            SideOf::Source => {
                self.schemas
                    .target
                    .details(&pair.columns.target.name)
                    .comparison
            }
            SideOf::Target => self.schemas.source.details(common).comparison,
        });
        comparison.is_some_and(|comparison| !comparison.respects_case)
    }

    /// Whether the user leaves this column of the target out.
    pub(super) fn is_left_out_of_target(&self, name: &str) -> bool {
        let mut uncompared = self.columns.uncompared.iter();
        uncompared.any(|column| {
            let is_left_out = matches!(
                column.reason,
                Uncompared::LeftOut | Uncompared::SoftDeleteMark
            );
            is_left_out && column.side == ColumnSide::Target && column.name == name
        })
    }

    /// The reader of the expressions of one side.
    pub(super) fn expressions(&self, side: SideOf) -> Expressions<'_> {
        Expressions {
            dialect: self.dialects[side],
            column: Box::new(move |name| self.common_name(side, name)),
            is_integer: Box::new(|common| {
                let column = self.source_column(common);
                column.is_some_and(|column| column.kind == ColumnType::Int)
            }),
        }
    }
}

/// Whether a table may be the partner of another by its name alone.
pub(super) fn are_similar(left: &str, right: &str) -> bool {
    let forms = shared_forms(right);
    shared_forms(left).iter().any(|form| forms.contains(form))
}
