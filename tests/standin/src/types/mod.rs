//! The values of SQL Server: types, collations, text, dates and times.

pub(crate) mod collation;
pub(crate) mod sql_type;
pub(crate) mod temporal;
pub(crate) mod text;
