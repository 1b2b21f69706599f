//! What a table costs to read, and what of it the endpoint's user may read.

/// What the statistics and the privileges say of a table. Reading it reads no row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// Its rows, if the statistics have a number.
    pub(crate) rows: Option<u64>,
    /// Bytes of its rows as the database stores them, without indexes; `None` for views.
    pub(crate) bytes: Option<u64>,
    /// The columns that the endpoint's user may not read.
    pub(crate) unreadable: Vec<String>,
}
