//! What a catalog says about tables beyond their columns: keys, indexes, constraints, defaults,
//! sequences, triggers, collations and partitions, in terms that all databases share.

use std::collections::BTreeMap;

use crate::engine::values::column::Table;

/// A table by schema and name, as the catalog has them.
pub(crate) type QualifiedName = (String, String);

/// The schemas of several tables of one database.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DatabaseSchema {
    pub tables: Vec<TableSchema>,
    /// How texts are compared in columns that use the database's default collation, if that
    /// is known.
    pub comparison: Option<TextComparison>,
}

/// One table with what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableSchema {
    pub table: Table,
    /// Whether the endpoint's user sees the constraints, triggers and defaults of the table.
    pub are_definitions_visible: bool,
    /// By the name of the column, as the catalog has it.
    pub details: BTreeMap<String, ColumnDetails>,
    /// The primary key and unique constraints among them.
    pub indexes: Vec<Index>,
    pub foreign_keys: Vec<ForeignKey>,
    pub checks: Vec<Check>,
    pub triggers: Vec<Trigger>,
    /// The columns by which the table is partitioned; `None`: it is not. Expressions have no
    /// column.
    pub partitioned_by: Option<Vec<String>>,
}

impl TableSchema {
    pub(crate) fn new(table: Table) -> Self {
        Self {
            table,
            are_definitions_visible: true,
            details: BTreeMap::new(),
            indexes: Vec::new(),
            foreign_keys: Vec::new(),
            checks: Vec::new(),
            triggers: Vec::new(),
            partitioned_by: None,
        }
    }

    /// The details of a column; those of an ordinary column if the catalog lists none.
    pub(crate) fn details(&self, column: &str) -> &ColumnDetails {
        static ORDINARY: ColumnDetails = ColumnDetails {
            default: None,
            generated: None,
            comparison: None,
            numbering: None,
        };
        self.details.get(column).unwrap_or(&ORDINARY)
    }

    pub(crate) fn details_mut(&mut self, column: &str) -> &mut ColumnDetails {
        self.details.entry(column.to_owned()).or_default()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ColumnDetails {
    /// The expression of the default, in the database's SQL; without that of a sequence.
    pub default: Option<String>,
    /// The expression of a computed or generated column, in the database's SQL.
    pub generated: Option<String>,
    /// How texts of the column are compared; `None` for other types, and if it is not known.
    pub comparison: Option<TextComparison>,
    /// How the database numbers the column, if it does.
    pub numbering: Option<Numbering>,
}

/// Which differences of texts a collation respects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TextComparison {
    pub respects_case: bool,
    pub respects_accents: bool,
}

impl TextComparison {
    pub(crate) const EXACT: Self = Self {
        respects_case: true,
        respects_accents: true,
    };

    pub(crate) fn describe(self) -> &'static str {
        match (self.respects_case, self.respects_accents) {
            (true, true) => "respects case and accents",
            (true, false) => "respects case and ignores accents",
            (false, true) => "ignores case and respects accents",
            (false, false) => "ignores case and accents",
        }
    }
}

/// An identity property or a sequence that gives a column its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbering {
    /// Schema and name of the sequence; `None`: the column itself has the next value.
    pub sequence: Option<(String, String)>,
    /// The step, which is not 0.
    pub increment: i128,
    /// The first and the last value that the sequence may give, if the catalog says so.
    pub range: Option<(i128, i128)>,
    /// Whether it begins again after its last value.
    pub cycles: bool,
}

impl Numbering {
    /// Whether `value` comes after `other`.
    pub(crate) fn is_beyond(&self, value: i128, other: i128) -> bool {
        if self.increment > 0 {
            value > other
        } else {
            value < other
        }
    }
}

/// A column that the database numbers, with all that statements need to read and set its next
/// value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NumberedColumn {
    /// The number of the table.
    pub object: i64,
    pub schema: String,
    pub table: String,
    pub column: String,
    /// What is written behind the table's name where its rows are read.
    pub hint: &'static str,
    pub numbering: Numbering,
}

/// Where the numbers of a column are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NumberState {
    /// The next value that the database will give, unless that cannot be known.
    pub next: Option<i128>,
    /// The value in the rows that is furthest in the direction of the numbering; `None`:
    /// there is none.
    pub furthest: Option<i128>,
    /// The statement after which the next value is the one behind `furthest`.
    pub restart: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    pub name: String,
    /// Without columns that are only included.
    pub parts: Vec<KeyPart>,
    pub is_primary: bool,
    pub is_unique: bool,
    /// Whether the database uses and maintains it.
    pub is_enabled: bool,
    /// The condition of a partial or filtered index, in the database's SQL.
    pub filter: Option<String>,
    /// `btree` for an index in the order of its columns; otherwise the database's name of its
    /// kind.
    pub method: String,
    /// Whether a unique index refuses a second NULL.
    pub nulls_are_equal: bool,
}

/// One column or expression of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyPart {
    pub term: KeyTerm,
    pub is_descending: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyTerm {
    Column(String),
    /// In the database's SQL.
    Expression(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForeignKey {
    pub name: String,
    /// Each with the column that it references.
    pub columns: Vec<(String, String)>,
    /// The schema of the referenced table.
    pub schema: String,
    /// The referenced table.
    pub table: String,
    pub on_delete: Action,
    pub on_update: Action,
    pub state: ConstraintState,
}

/// What a foreign key does with its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Refuses the change, at once or at the end of the transaction.
    Refuse,
    Cascade,
    SetNull,
    SetDefault,
}

impl Action {
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Refuse => "NO ACTION",
            Self::Cascade => "CASCADE",
            Self::SetNull => "SET NULL",
            Self::SetDefault => "SET DEFAULT",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub name: String,
    /// The condition, in the database's SQL.
    pub condition: String,
    pub state: ConstraintState,
}

/// Which rows a constraint holds for. The order is that of strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ConstraintState {
    /// For none: it is disabled.
    Disabled,
    /// For rows that are written; older rows were not checked.
    NotValidated,
    /// For all rows.
    Valid,
}

impl ConstraintState {
    pub(crate) fn of(is_enabled: bool, is_validated: bool) -> Self {
        match (is_enabled, is_validated) {
            (false, _) => Self::Disabled,
            (true, false) => Self::NotValidated,
            (true, true) => Self::Valid,
        }
    }

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::NotValidated => "not validated for existing rows",
            Self::Valid => "valid",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trigger {
    pub name: String,
    pub is_enabled: bool,
}
