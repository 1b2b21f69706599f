//! The kinds of databases.

use std::fmt;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The kind of a database, which decides the protocol and the SQL dialect.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseKind {
    /// Microsoft SQL Server.
    #[value(name = "sqlserver", alias = "mssql")]
    SqlServer,
    /// PostgreSQL.
    #[value(alias = "postgresql")]
    Postgres,
}

impl DatabaseKind {
    /// The kind that the scheme of a URL or the `engine` of a configuration names.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        <Self as ValueEnum>::from_str(name, false).ok()
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SqlServer => "sqlserver",
            Self::Postgres => "postgres",
        }
    }

    /// Whether TLS may begin before any other byte: TDS 8.0.
    pub(crate) fn has_strict_tls(self) -> bool {
        self == Self::SqlServer
    }

    /// The scheme of the URLs that this program writes.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::SqlServer => "mssql",
            Self::Postgres => "postgres",
        }
    }

    /// The prefixes of the environment variables that describe an endpoint.
    #[must_use]
    pub fn variable_prefixes(self) -> &'static [&'static str] {
        match self {
            Self::SqlServer => &["SQLSERVER", "MSSQL"],
            Self::Postgres => &["POSTGRES"],
        }
    }

    /// The ends of the variable that names the database; the first one that is set decides.
    #[must_use]
    pub fn database_variables(self) -> [&'static str; 2] {
        match self {
            Self::SqlServer => ["DATABASE", "DB"],
            Self::Postgres => ["DB", "DATABASE"],
        }
    }

    /// The user that servers create themselves, if a variable may hold its password alone.
    #[must_use]
    pub fn administrator(self) -> Option<&'static str> {
        match self {
            Self::SqlServer => Some("sa"),
            Self::Postgres => None,
        }
    }

    /// Whether libpq's variables, services and password file complete its connections.
    #[must_use]
    pub fn uses_libpq(self) -> bool {
        match self {
            Self::SqlServer => false,
            Self::Postgres => true,
        }
    }

    /// The TCP port of an endpoint whose URL has none.
    #[must_use]
    pub(super) fn default_port(self) -> u16 {
        match self {
            Self::SqlServer => 1433,
            Self::Postgres => 5432,
        }
    }

    /// The default schema of an endpoint whose URL has none.
    #[must_use]
    pub fn default_schema(self) -> &'static str {
        match self {
            Self::SqlServer => "dbo",
            Self::Postgres => "public",
        }
    }
}

impl fmt::Display for DatabaseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SqlServer => "SQL Server",
            Self::Postgres => "PostgreSQL",
        })
    }
}
