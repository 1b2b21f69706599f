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

    /// The scheme of the URLs that this program writes.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::SqlServer => "mssql",
            Self::Postgres => "postgres",
        }
    }

    /// The prefix of the environment variables that configure an endpoint, and
    /// the variable of its database.
    #[must_use]
    pub fn variables(self) -> (&'static str, &'static str) {
        match self {
            Self::SqlServer => ("SQLSERVER", "SQLSERVER_DATABASE"),
            Self::Postgres => ("POSTGRES", "POSTGRES_DB"),
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
