//! Compares one table on two sides. Knows databases and nothing of the
//! transport, of runs or of other tables. Only `schema` compares many tables at once.

pub(crate) mod database;
pub(crate) mod disk;
pub(crate) mod error;
pub(crate) mod fetch;
#[cfg(test)]
mod fuzz;
pub(crate) mod locate;
pub(crate) mod plan;
pub(crate) mod preflight;
pub(crate) mod recheck;
mod reconcile;
pub(crate) mod repair;
pub(crate) mod rows;
mod running;
mod schema;
pub(crate) mod sides;
pub(crate) mod step;
pub(crate) mod survey;
pub(crate) mod task;
pub(crate) mod temporary;
pub(crate) mod tolerate;
mod types_page;
pub(crate) mod values;

pub use database::apply::{CommitError, WritableTarget};
pub use database::catalog::list_tables;
pub use database::filter::{FilterError, validate};
pub use database::guarded::{ColumnNames, GuardedForm, NotGuarded};
pub use database::kinds::script_dialect;
pub use database::script::{ScriptDialect, ScriptLines, StatementRules};
pub use preflight::{
    Effect, Measured, Preflight, PreflightFinding, Rate, SideFacts, TableCheck, TableFacts,
    TextSuggestion, check_endpoint, rule_of,
};
pub use reconcile::ReconcileEngine;
pub use running::RunningStatements;
pub use schema::{SchemaRule, compare_schemas, rules as schema_rules, schema_rules_page};
pub use task::{Engine, FindingBatch, Progress, ScanTotals, Stop, TaskContext};
pub use temporary::SpillDirectory;
pub use types_page::{TypePair, type_pairs, types_page};
pub use values::canonical::RowEncoder;
pub use values::column::CatalogTable;
pub use values::value::key_texts;
