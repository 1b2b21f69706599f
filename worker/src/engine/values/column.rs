//! Columns and tables as the catalogs describe them, in terms that both databases share.

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
}

impl Table {
    /// Whether all that a comparison takes from this description also holds in a later
    /// one of the table with the same name.
    pub(crate) fn holds_in(&self, later: &Self) -> bool {
        self.has_columns_of(later) && self.keys.iter().all(|key| later.keys.contains(key))
    }

    /// Whether both are descriptions of one table that has the same columns in both.
    pub(crate) fn has_columns_of(&self, later: &Self) -> bool {
        self.object == later.object && self.columns == later.columns
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
}
