//! Columns and tables as the catalogs describe them, in terms that both databases share.

use std::collections::BTreeSet;

/// The type of a column, whichever database it is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ColumnType {
    /// `bit`, `boolean`.
    Bool,
    /// `tinyint` to `bigint`.
    Int,
    /// `decimal`, `numeric`.
    Decimal,
    /// `money`, `smallmoney`.
    Money,
    /// `real`.
    Float32,
    /// `float`, `double precision`.
    Float64,
    /// Character types. With `padded`, trailing blanks are padding.
    Text {
        /// `char(n)` and `nchar(n)`.
        padded: bool,
    },
    /// `varbinary`, `bytea` and the like.
    Bytes,
    /// `date`.
    Date,
    /// `time` with this many digits of a second.
    Time(u8),
    /// `datetime2` and `timestamp` with this many digits of a second, and `smalldatetime` with none.
    Timestamp(u8),
    /// `datetime`, which counts thirds of ten milliseconds.
    DateTime,
    /// `datetimeoffset` and `timestamptz` with this many digits of a second.
    Instant(u8),
    /// `uniqueidentifier`, `uuid`.
    Uuid,
    /// `json`, `jsonb`.
    Json,
    /// `xml`.
    Xml,
    /// A type without a canonical form.
    Other,
}

impl ColumnType {
    pub(crate) fn is_time(&self) -> bool {
        matches!(
            self,
            Self::Date | Self::Time(_) | Self::Timestamp(_) | Self::DateTime | Self::Instant(_)
        )
    }

    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text { .. })
    }

    /// Whether trailing blanks of its values are padding.
    pub(crate) fn is_padded(&self) -> bool {
        matches!(self, Self::Text { padded: true })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name, as the database stores it.
    pub name: String,
    pub kind: ColumnType,
    /// Its type as the database declares it: `decimal(15, 2)`.
    pub declared: String,
    pub nullable: bool,
    /// Whether the database computes it from other columns.
    pub computed: bool,
    /// Whether the endpoint's user reads masks in place of its values.
    pub masked: bool,
    /// Whether an insert may leave it out: it has a default, is an identity or is computed.
    pub has_default: bool,
    /// The type to which the database converts it before it is read, if the
    /// binary form of its own type cannot be used.
    pub read_as: Option<String>,
    pub repertoire: Repertoire,
}

/// The texts that a column can store, beyond what its type says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Repertoire {
    /// SQL Server's number of the code page of a `varchar`.
    pub code_page: Option<i32>,
    /// The labels of an enum; empty for other types.
    pub labels: Vec<String>,
    /// The enum itself, as PostgreSQL writes its name, also where the column's type
    /// is a domain over it.
    pub enum_type: Option<String>,
    /// Whether the database's `=` ignores blanks at the end of the column's texts.
    pub ignores_trailing_blanks: bool,
}

impl Column {
    /// A column that may hold NULL and every value of its type, read as it is.
    pub(crate) fn new(name: &str, kind: ColumnType, declared: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            declared: declared.to_owned(),
            nullable: true,
            computed: false,
            masked: false,
            has_default: false,
            read_as: None,
            repertoire: Repertoire::default(),
        }
    }

    /// The largest number of characters of a short PostgreSQL `varchar(n)`: a text
    /// with any number of blanks at its end has few forms in it. `None` for other
    /// columns.
    pub(crate) fn short_varying_length(&self) -> Option<usize> {
        const LONGEST: usize = 64;
        let stored = self.read_as.as_ref().unwrap_or(&self.declared);
        let length = stored.strip_prefix("character varying(")?;
        let length = length.strip_suffix(')')?.parse().ok()?;
        (length <= LONGEST).then_some(length)
    }

    /// The digits of a second of PostgreSQL's timestamps, with or without a zone;
    /// `None` for other columns.
    pub(crate) fn postgres_digits(&self) -> Option<u8> {
        // SQL Server's types are `datetime2` and the like.
        let kept = self.read_as.as_ref().unwrap_or(&self.declared);
        match self.kind {
            ColumnType::Timestamp(digits) | ColumnType::Instant(digits)
                if kept.starts_with("timestamp") =>
            {
                Some(digits)
            }
            _ => None,
        }
    }
}

/// A table with its columns and the keys that identify its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// The number that the database gives a table for as long as it exists.
    pub object: i64,
    /// The schema, as the database stores it.
    pub schema: String,
    /// The name, as the database stores it.
    pub name: String,
    pub columns: Vec<Column>,
    /// Names of the columns of each key: the primary key first, then unique
    /// indexes over columns that are not null.
    pub keys: Vec<Vec<String>>,
    /// The database's estimate of the number of rows, if it has one.
    pub estimated_rows: Option<u64>,
    /// The condition for rows that are compared, in the database's SQL; `None`: all rows.
    pub condition: Option<String>,
    /// What is written behind the table's name where its rows are read.
    pub hint: &'static str,
    pub visibility: Visibility,
}

/// What the endpoint's user may not see of a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Visibility {
    pub is_view: bool,
    /// A policy that may hide rows from the user; behind a view, one of any table.
    pub row_policy: Option<String>,
    /// Behind a view, a masked column of any table.
    pub masked_behind: Option<String>,
    /// Whether there may be policies that the user cannot see.
    pub policies_are_hidden: bool,
}

impl Visibility {
    /// What the user must know who reads the table.
    pub(crate) fn notes(&self, table: &str) -> Vec<String> {
        let mut notes = Vec::new();
        if self.is_view
            && let Some(policy) = &self.row_policy
        {
            notes.push(format!("warning: {table} is a view; if it reads a table of the security policy {policy}, only rows that the policy lets the endpoint's user see were compared"));
        }
        if let Some(column) = &self.masked_behind {
            notes.push(format!("warning: {table} is a view; if it reads a masked column such as `{column}`, masks were compared and not values: grant UNMASK to the endpoint's user"));
        }
        if self.policies_are_hidden {
            notes.push(format!("the endpoint's user may not see whether a security policy hides rows of {table}: grant VIEW DEFINITION on the database to it"));
        }
        notes
    }
}

impl Table {
    /// What the catalog has said that cannot be: a column twice, in the table or in a key, or a
    /// key's column that the table lacks.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let mut names = BTreeSet::new();
        let mut columns = self.columns.iter().map(|column| &column.name);
        let twice = columns.find(|name| !names.insert(*name));
        let what = match twice {
            Some(name) => format!("column `{name}` twice"),
            None => {
                let in_key = self.keys.iter().find_map(|key| {
                    let mut once = BTreeSet::new();
                    key.iter()
                        .find(|name| !once.insert(name.as_str()) || !names.contains(name))
                });
                format!("`{}` in a key", in_key?)
            }
        };
        let (schema, name) = (&self.schema, &self.name);
        Some(format!("the catalog lists {what} of {schema}.{name}"))
    }

    /// Whether all that a comparison takes from this description also holds in a later
    /// one of the table with the same name.
    pub(crate) fn holds_in(&self, later: &Self) -> bool {
        self.has_columns_of(later) && self.keys.iter().all(|key| later.keys.contains(key))
    }

    /// Whether both are descriptions of one table that has the same columns in both.
    pub(crate) fn has_columns_of(&self, later: &Self) -> bool {
        self.object == later.object
            && self.columns == later.columns
            && self.hint == later.hint
            && self.visibility == later.visibility
    }
}

/// The columns of each key, given index by index. An index with a column that may
/// be NULL, or with an expression, is no key: it has a row without a name here.
pub(crate) fn keys(columns: &[(i64, Option<String>)]) -> Vec<Vec<String>> {
    columns
        .chunk_by(|(index, _), (next, _)| index == next)
        .filter_map(|columns| columns.iter().map(|(_, name)| name.clone()).collect())
        .collect()
}

/// One side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SideOf {
    Source,
    Target,
}

/// A table or view in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogTable {
    /// The schema, as the database stores it.
    pub schema: String,
    /// The name, as the database stores it.
    pub name: String,
    /// Whether it is a view.
    pub is_view: bool,
    /// Whether the database, a tool of its vendor or an extension has made it, and not a user.
    pub is_system: bool,
    /// The database's estimate of the number of rows, if it has one.
    pub estimated_rows: Option<u64>,
}

impl CatalogTable {
    /// A user's table without an estimate.
    #[must_use]
    pub fn new(schema: &str, name: &str) -> Self {
        Self {
            schema: schema.to_owned(),
            name: name.to_owned(),
            is_view: false,
            is_system: false,
            estimated_rows: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described() -> Table {
        Table {
            object: 7,
            schema: "s".to_owned(),
            name: "t".to_owned(),
            columns: vec![Column::new("id", ColumnType::Int, "integer")],
            keys: vec![vec!["id".to_owned()]],
            estimated_rows: Some(1),
            condition: None,
            hint: "",
            visibility: Visibility::default(),
        }
    }

    #[test]
    fn a_description_holds_while_the_table_its_columns_and_its_keys_are_the_same() {
        let table = described();
        let estimated = Table {
            estimated_rows: Some(2),
            condition: Some("id > 1".to_owned()),
            ..described()
        };
        assert!(table.holds_in(&estimated));
        let mut keyed = described();
        keyed.keys.push(vec!["other".to_owned()]);
        assert!(table.holds_in(&keyed));
        assert!(!keyed.holds_in(&table));
        let replaced = Table {
            object: 8,
            ..described()
        };
        assert!(!table.holds_in(&replaced));
        let mut altered = described();
        altered.columns[0].declared = "bigint".to_owned();
        assert!(!table.holds_in(&altered));
        altered = described();
        altered.columns[0].nullable = false;
        assert!(!table.holds_in(&altered));
    }

    #[test]
    fn a_catalog_that_lists_a_column_twice_is_not_believed() {
        let table = described();
        assert_eq!(table.contradiction(), None);
        let mut twice = described();
        twice.columns.push(twice.columns[0].clone());
        assert!(twice.contradiction().is_some());
        for key in [["id", "id"], ["id", "other"]] {
            let mut table = described();
            table.keys.push(key.map(str::to_owned).to_vec());
            assert!(table.contradiction().is_some(), "{key:?}");
        }
    }

    #[test]
    fn what_a_user_may_not_see_of_a_view_is_noted() {
        let view = Visibility {
            is_view: true,
            row_policy: Some("tenants".to_owned()),
            masked_behind: Some("email".to_owned()),
            policies_are_hidden: true,
        };
        let notes = view.notes("dbo.v");
        for (note, word) in notes.iter().zip(["tenants", "UNMASK", "VIEW DEFINITION"]) {
            assert!(note.contains("dbo.v") && note.contains(word), "{note}");
        }
        assert_eq!(notes.len(), 3);
        assert_eq!(Visibility::default().notes("dbo.t"), [""; 0]);
    }
}
