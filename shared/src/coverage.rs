//! What a comparison covered: which tables and columns were paired and how, and which columns were
//! not compared, and why.

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::naming::NameMatch;
use crate::options::ColumnRule;

/// What a source column without a partner in the target means.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum MissingColumns {
    /// The structure differs, so the table does.
    #[default]
    Difference,
    /// It is noted.
    Note,
}

/// What a comparison covered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// The source's table as its catalog spells it, `schema.name`.
    pub source_table: String,
    /// The target's table as its catalog spells it, `schema.name`.
    pub target_table: String,
    /// How the name of the target's table was found; `None` from workers that do not report it.
    pub table_pairing: Option<NameMatch>,
    /// The columns that belong together, the key first. At depth `Counts` they are paired, but no
    /// value of them is compared.
    pub columns: Vec<PairedColumn>,
    /// Where the key comes from; `None` without a key, and at depth `Counts`.
    pub key_origin: Option<KeyOrigin>,
    /// Columns of the source that have no partner in the target, and are neither left out by the
    /// user nor computed.
    pub missing_columns: Vec<MissingColumn>,
    /// What `missing_columns` mean.
    pub missing_columns_are: MissingColumns,
    /// Other columns that are not compared.
    pub uncompared: Vec<UncomparedColumn>,
    /// The condition of the source's rows that are compared, in SQL; `None`: all rows.
    pub source_condition: Option<String>,
    /// The condition of the target's rows that are compared, in SQL; `None`: all rows.
    pub target_condition: Option<String>,
}

/// A column of the source and the one of the target that it is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PairedColumn {
    /// Its name in the source.
    pub source: String,
    /// Its declared type in the source.
    pub source_type: String,
    /// Its name in the target.
    pub target: String,
    /// Its declared type in the target.
    pub target_type: String,
    /// Why they are paired.
    pub pairing: NameMatch,
    /// The rule under which values are compared, if the user set one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<ColumnRule>,
    /// What of the source's values the target's type cannot hold: "6 of 7 digits of a second".
    /// Equal then means: equal as far as the target can hold the values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub narrowed: Option<String>,
}

/// Where a table's key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyOrigin {
    /// The user names its columns.
    Given,
    /// The source declares it: a primary key, or a unique index over columns that are NOT NULL.
    Source,
    /// The target declares it, and the source declares none.
    Target,
}

/// A column of the source that has no partner in the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MissingColumn {
    /// Its name.
    pub name: String,
    /// Its declared type.
    #[serde(rename = "type")]
    pub declared: String,
    /// The column of the target with the most similar name, among those without a partner.
    pub nearest: Option<String>,
}

/// A column that is not compared, though no column of the source is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UncomparedColumn {
    /// Its name.
    pub name: String,
    /// Whether it is a column of the source or of the target.
    pub side: ColumnSide,
    /// Why it is not compared.
    pub reason: Uncompared,
}

/// The side of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnSide {
    /// The source.
    Source,
    /// The target.
    Target,
}

/// Why a column is not compared.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Uncompared {
    /// The user left it out.
    LeftOut,
    /// The source computes it, and the target has no such column.
    Computed,
    /// Only the target has it.
    TargetOnly,
    /// Only the target has it, it is NOT NULL, and it has no default: an insert of the source's
    /// columns fails.
    TargetOnlyRequired,
    /// It marks deleted rows of the target.
    SoftDeleteMark,
}

impl Coverage {
    /// Whether the structure of the tables differs.
    #[must_use]
    pub fn structure_differs(&self) -> bool {
        self.missing_columns_are == MissingColumns::Difference && !self.missing_columns.is_empty()
    }
}
