//! Columns as the catalogs describe them, in terms that both databases share.

/// What a column holds, whichever database it is in.
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
    /// Character types. With `padded`, trailing blanks mean nothing.
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
    /// A type that there is no rule for.
    Other,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    /// Its name, as the database keeps it.
    pub name: String,
    /// What it holds.
    pub kind: ColumnType,
    /// Its type as the database declares it: `decimal(15, 2)`.
    pub declared: String,
    /// Whether it may hold NULL.
    pub nullable: bool,
    /// The type that it is converted to in the database before it is read,
    /// where the wire form of its own is of no use.
    pub read_as: Option<String>,
    /// Which texts it can hold.
    pub repertoire: Repertoire,
}

/// Which texts a column can hold beyond what its type says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Repertoire {
    /// SQL Server's number of the characters of a `varchar`.
    pub code_page: Option<i32>,
    /// The labels of an enum; of other types none.
    pub labels: Vec<String>,
}

impl Column {
    /// How many digits of a second a timestamp of PostgreSQL keeps, with a zone
    /// or without; of other columns nothing.
    #[must_use]
    pub(crate) fn postgres_digits(&self) -> Option<u8> {
        // SQL Server's are `datetime2` and the like.
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
    /// The schema, as the database keeps it.
    pub schema: String,
    /// The name, as the database keeps it.
    pub name: String,
    /// The columns in their order.
    pub columns: Vec<Column>,
    /// Names of the columns of each key: the primary key first, then unique
    /// indexes over columns that are not null.
    pub keys: Vec<Vec<String>>,
    /// About how many rows there are, if the database has an idea.
    pub estimated_rows: Option<u64>,
    /// What rows must meet to take part, in the database's SQL; absent: all do.
    pub condition: Option<String>,
}

/// Which side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SideOf {
    /// The truth.
    Source,
    /// The copy.
    Target,
}

/// A table or view in a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogTable {
    /// The schema, as the database keeps it.
    pub schema: String,
    /// The name, as the database keeps it.
    pub name: String,
    /// About how many rows there are, if the database has an idea.
    pub estimated_rows: Option<u64>,
}
