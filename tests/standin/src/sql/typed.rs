//! Expressions of PostgreSQL with the types that SQL Server gives them.

use crate::catalog::Column;
use crate::postgres;
use crate::types::collation::Collation;
use crate::types::sql_type::SqlType;

/// A value that is known when the statement is translated.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Constant {
    /// The stored form of text.
    Text(String),
    Bytes(Vec<u8>),
    Null,
}

/// An expression of PostgreSQL with the type that SQL Server gives it.
#[derive(Debug, Clone)]
pub(crate) struct TypedSql {
    pub(crate) sql: String,
    /// `None` where PostgreSQL infers the type.
    pub(crate) sql_type: Option<SqlType>,
    pub(crate) nullable: bool,
    pub(crate) collation: Collation,
    pub(crate) constant: Option<Constant>,
    /// Whether PostgreSQL gives the expression exactly the type that `sql_type` is stored as.
    pub(crate) exact: bool,
    pub(crate) identity: bool,
    pub(crate) computed: bool,
}

impl TypedSql {
    pub(crate) fn new(sql: impl Into<String>, sql_type: SqlType) -> Self {
        Self {
            sql: sql.into(),
            sql_type: Some(sql_type),
            nullable: true,
            collation: Collation::default(),
            constant: None,
            exact: false,
            identity: false,
            computed: false,
        }
    }

    pub(crate) fn exact(mut self) -> Self {
        self.exact = true;
        self
    }

    pub(super) fn inexact(mut self) -> Self {
        self.exact = false;
        self
    }

    pub(crate) fn not_null(mut self) -> Self {
        self.nullable = false;
        self
    }

    pub(super) fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    pub(super) fn untyped(sql: impl Into<String>) -> Self {
        Self {
            sql_type: None,
            ..Self::new(sql, SqlType::Int)
        }
    }

    pub(crate) fn null() -> Self {
        Self {
            constant: Some(Constant::Null),
            ..Self::untyped("NULL")
        }
    }

    /// A constant of text in its stored form.
    pub(crate) fn text(stored: String, sql_type: SqlType) -> Self {
        Self {
            constant: Some(Constant::Text(stored.clone())),
            ..Self::new(postgres::literal(&stored), sql_type)
        }
        .not_null()
    }

    pub(crate) fn bytes(bytes: Vec<u8>) -> Self {
        let length = u16::try_from(bytes.len()).ok().filter(|n| *n <= 8000);
        Self {
            sql: postgres::bytes_literal(&bytes),
            constant: Some(Constant::Bytes(bytes)),
            ..Self::new("", SqlType::VarBinary(length.map(|n| n.max(1))))
        }
        .exact()
        .not_null()
    }

    pub(super) fn column(qualifier: &str, column: &Column) -> Self {
        Self {
            sql: postgres::qualified(qualifier, &column.name),
            sql_type: Some(column.sql_type),
            nullable: column.nullable,
            collation: column.collation.clone(),
            constant: None,
            exact: true,
            identity: column.identity,
            computed: column.computed,
        }
    }

    /// Another expression of the same type, whose value is not known.
    pub(super) fn with_sql(&self, sql: String) -> Self {
        Self {
            sql,
            constant: None,
            ..self.clone()
        }
    }

    /// The column that the expression becomes in a view or a derived table.
    pub(super) fn to_column(&self, name: &str) -> Column {
        Column {
            name: name.to_owned(),
            sql_type: self.sql_type.unwrap_or(SqlType::Int),
            collation: self.collation.clone(),
            nullable: self.nullable,
            identity: false,
            computed: false,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        self.constant == Some(Constant::Null)
    }

    pub(super) fn constant_text(&self) -> Option<&str> {
        match &self.constant {
            Some(Constant::Text(stored)) => Some(stored),
            _ => None,
        }
    }

    /// The expression cast to the type that it is stored as, for a select list.
    pub(super) fn stored(self) -> Self {
        match self.sql_type {
            Some(sql_type) if !self.exact => Self {
                sql: format!("CAST({} AS {})", self.sql, sql_type.postgres()),
                exact: true,
                ..self
            },
            None if self.is_null() => Self {
                sql: "CAST(NULL AS integer)".into(),
                sql_type: Some(SqlType::Int),
                exact: true,
                ..self
            },
            _ => self,
        }
    }
}
