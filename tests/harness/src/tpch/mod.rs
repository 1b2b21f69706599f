//! The tables of the TPC-H benchmark: loads them into both sides with planted
//! differences, and checks a report against these.

pub mod check;
pub mod generate;
mod insert;
pub mod load;
pub mod plan;
pub mod plant;
pub mod side;
pub mod sql_server;

/// A column, with its natural type on each side.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// The name, the same on both sides.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Keys.
    BigInt,
    /// Small numbers.
    Int,
    /// Money and quantities, with two decimals.
    Decimal,
    /// Text of a fixed length.
    Char(u32),
    /// Text up to a length.
    Varchar(u32),
    /// A day.
    Date,
    /// A time of a day with microseconds.
    Timestamp,
}

impl Kind {
    /// The type in SQL Server.
    #[must_use]
    pub fn sql_server(self) -> String {
        match self {
            Self::Timestamp => "datetime2(6)".to_owned(),
            other => other.postgres(),
        }
    }

    /// The type in PostgreSQL.
    #[must_use]
    pub fn postgres(self) -> String {
        match self {
            Self::BigInt => "bigint".to_owned(),
            Self::Int => "int".to_owned(),
            Self::Decimal => "decimal(15,2)".to_owned(),
            Self::Char(length) => format!("char({length})"),
            Self::Varchar(length) => format!("varchar({length})"),
            Self::Date => "date".to_owned(),
            Self::Timestamp => "timestamp(6)".to_owned(),
        }
    }
}

/// A table.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// The name, the same on both sides.
    pub name: &'static str,
    /// Which rows fill it.
    pub rows: Rows,
    /// The columns.
    pub columns: &'static [Column],
    /// Positions of the primary key's columns; empty for a table without one.
    pub key: &'static [usize],
    /// Which differences are planted.
    pub differences: Differences,
}

/// Which of the generator's row streams fills a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the names of the benchmark's tables")]
pub enum Rows {
    Region,
    Nation,
    Supplier,
    Part,
    PartSupp,
    Customer,
    /// With a time of the last update, which TPC-H does not have.
    Orders,
    LineItem,
}

/// Which differences are planted in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Differences {
    /// None.
    None,
    /// This share of the wanted number, in percent: five parts modified, three
    /// missing, three extra.
    Rows(u32),
    /// One row, in the fifth decimal of its timestamp.
    FifthDecimal,
    /// A few, in a table without a key.
    Multiset,
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind }
}

const SUPPLIER: &[Column] = &[
    column("s_suppkey", Kind::BigInt),
    column("s_name", Kind::Char(25)),
    column("s_address", Kind::Varchar(40)),
    column("s_nationkey", Kind::BigInt),
    column("s_phone", Kind::Char(15)),
    column("s_acctbal", Kind::Decimal),
    column("s_comment", Kind::Varchar(101)),
];

/// All eight tables of TPC-H, and one without a key.
pub const TABLES: &[Table] = &[
    Table {
        name: "region",
        rows: Rows::Region,
        columns: &[
            column("r_regionkey", Kind::BigInt),
            column("r_name", Kind::Char(25)),
            column("r_comment", Kind::Varchar(152)),
        ],
        key: &[0],
        differences: Differences::None,
    },
    Table {
        name: "nation",
        rows: Rows::Nation,
        columns: &[
            column("n_nationkey", Kind::BigInt),
            column("n_name", Kind::Char(25)),
            column("n_regionkey", Kind::BigInt),
            column("n_comment", Kind::Varchar(152)),
        ],
        key: &[0],
        differences: Differences::None,
    },
    Table {
        name: "supplier",
        rows: Rows::Supplier,
        columns: SUPPLIER,
        key: &[0],
        differences: Differences::None,
    },
    Table {
        name: "supplier_log",
        rows: Rows::Supplier,
        columns: SUPPLIER,
        key: &[],
        differences: Differences::Multiset,
    },
    Table {
        name: "part",
        rows: Rows::Part,
        columns: &[
            column("p_partkey", Kind::BigInt),
            column("p_name", Kind::Varchar(55)),
            column("p_mfgr", Kind::Char(25)),
            column("p_brand", Kind::Char(10)),
            column("p_type", Kind::Varchar(25)),
            column("p_size", Kind::Int),
            column("p_container", Kind::Char(10)),
            column("p_retailprice", Kind::Decimal),
            column("p_comment", Kind::Varchar(23)),
        ],
        key: &[0],
        differences: Differences::Rows(5),
    },
    Table {
        name: "partsupp",
        rows: Rows::PartSupp,
        columns: &[
            column("ps_partkey", Kind::BigInt),
            column("ps_suppkey", Kind::BigInt),
            column("ps_availqty", Kind::Int),
            column("ps_supplycost", Kind::Decimal),
            column("ps_comment", Kind::Varchar(199)),
        ],
        key: &[0, 1],
        differences: Differences::None,
    },
    Table {
        name: "customer",
        rows: Rows::Customer,
        columns: &[
            column("c_custkey", Kind::BigInt),
            column("c_name", Kind::Varchar(25)),
            column("c_address", Kind::Varchar(40)),
            column("c_nationkey", Kind::BigInt),
            column("c_phone", Kind::Char(15)),
            column("c_acctbal", Kind::Decimal),
            column("c_mktsegment", Kind::Char(10)),
            column("c_comment", Kind::Varchar(117)),
        ],
        key: &[0],
        differences: Differences::Rows(5),
    },
    Table {
        name: "orders",
        rows: Rows::Orders,
        columns: &[
            column("o_orderkey", Kind::BigInt),
            column("o_custkey", Kind::BigInt),
            column("o_orderstatus", Kind::Char(1)),
            column("o_totalprice", Kind::Decimal),
            column("o_orderdate", Kind::Date),
            column("o_orderpriority", Kind::Char(15)),
            column("o_clerk", Kind::Char(15)),
            column("o_shippriority", Kind::Int),
            column("o_comment", Kind::Varchar(79)),
            column("o_updated", Kind::Timestamp),
        ],
        key: &[0],
        differences: Differences::FifthDecimal,
    },
    Table {
        name: "lineitem",
        rows: Rows::LineItem,
        columns: &[
            column("l_orderkey", Kind::BigInt),
            column("l_partkey", Kind::BigInt),
            column("l_suppkey", Kind::BigInt),
            column("l_linenumber", Kind::Int),
            column("l_quantity", Kind::Decimal),
            column("l_extendedprice", Kind::Decimal),
            column("l_discount", Kind::Decimal),
            column("l_tax", Kind::Decimal),
            column("l_returnflag", Kind::Char(1)),
            column("l_linestatus", Kind::Char(1)),
            column("l_shipdate", Kind::Date),
            column("l_commitdate", Kind::Date),
            column("l_receiptdate", Kind::Date),
            column("l_shipinstruct", Kind::Char(25)),
            column("l_shipmode", Kind::Char(10)),
            column("l_comment", Kind::Varchar(44)),
        ],
        key: &[0, 3],
        differences: Differences::Rows(100),
    },
];

impl Table {
    /// The table of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TABLES.iter().find(|table| table.name == name).copied()
    }

    /// How many rows of each kind are planted when `wanted` is the number for
    /// the largest table: modified, missing, extra. At most a third of a table
    /// of `rows` rows is touched.
    #[must_use]
    pub fn planted(&self, wanted: u32, rows: u64) -> (usize, usize, usize) {
        if wanted == 0 {
            return (0, 0, 0);
        }
        match self.differences {
            Differences::None => (0, 0, 0),
            Differences::FifthDecimal => (1, 0, 0),
            Differences::Multiset => (1, 2, 2),
            Differences::Rows(percent) => {
                let total = u64::from(wanted) * u64::from(percent) / 100;
                let total = usize::try_from(total.min(rows / 3)).unwrap_or(usize::MAX);
                let share = total * 3 / 11;
                (total - 2 * share, share, share)
            }
        }
    }
}
