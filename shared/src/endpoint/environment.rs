//! What libpq, PostgreSQL's own client library, takes from its environment: variables such as
//! `PGHOST`, services, and the place of the password file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::connection::Connection;
use super::kind::DatabaseKind;
use super::service_file;
use crate::secret::Secret;

/// The variables that are read, and the options that they set.
pub(crate) const LIBPQ_VARIABLES: [(&str, &str); 10] = [
    ("PGHOST", "host"),
    ("PGPORT", "port"),
    ("PGDATABASE", "dbname"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
];

/// The directory of Debian's system-wide service file.
const SYSTEM_DIRECTORY: &str = "/etc/postgresql-common";

/// The environment of libpq. The default is an empty one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LibpqEnvironment {
    /// Variables, the options that they set, and their values.
    options: Vec<(&'static str, &'static str, Secret)>,
    service: Option<String>,
    /// Files with services; the first one that has a service decides.
    service_files: Vec<PathBuf>,
    pass_file: Option<PathBuf>,
}

impl LibpqEnvironment {
    /// The environment that these variables describe.
    #[must_use]
    pub fn from_variables(variables: &BTreeMap<String, String>) -> Self {
        let variable = |name: &str| variables.get(name).filter(|value| !value.is_empty());
        let in_home = |file: &str| variable("HOME").map(|home| Path::new(home).join(file));
        let options = LIBPQ_VARIABLES
            .into_iter()
            .filter_map(|(name, option)| Some((name, option, Secret::new(variable(name)?))));
        let own_services = variable("PGSERVICEFILE")
            .map(PathBuf::from)
            .or_else(|| in_home(".pg_service.conf"));
        let directory = variable("PGSYSCONFDIR").map_or(SYSTEM_DIRECTORY, String::as_str);
        let services = Path::new(directory).join("pg_service.conf");
        Self {
            options: options.collect(),
            service: variable("PGSERVICE").cloned(),
            service_files: own_services.into_iter().chain([services]).collect(),
            pass_file: variable("PGPASSFILE")
                .map(PathBuf::from)
                .or_else(|| in_home(".pgpass")),
        }
    }

    /// Whether the variables name a server.
    #[must_use]
    pub fn names_server(&self) -> bool {
        self.service.is_some() || self.options.iter().any(|(name, ..)| *name == "PGHOST")
    }

    pub(super) fn service(&self) -> Option<String> {
        self.service.clone()
    }

    pub(super) fn pass_file(&self) -> Option<PathBuf> {
        self.pass_file.clone()
    }

    /// What the variables say of every connection.
    ///
    /// # Errors
    ///
    /// The message names the variable.
    pub(super) fn connection(&self) -> Result<Connection, String> {
        let mut connection = Connection::new(DatabaseKind::Postgres);
        for (variable, option, value) in &self.options {
            let pair = ((*option).to_owned(), value.clone());
            connection
                .set_all(vec![pair], "")
                .map_err(|reason| format!("{variable}: {reason}"))?;
        }
        Ok(connection)
    }

    /// What a service says of its connections.
    ///
    /// # Errors
    ///
    /// When no file has the service, or the service has an option that is not supported.
    pub(super) fn connection_of_service(&self, service: &str) -> Result<Connection, String> {
        for file in &self.service_files {
            let Some(pairs) = service_file::find(file, service)? else {
                continue;
            };
            let mut connection = Connection::new(DatabaseKind::Postgres);
            connection
                .set_all(pairs, "")
                .map_err(|reason| format!("service `{service}` in {}: {reason}", file.display()))?;
            if connection.service.is_some() {
                return Err(format!(
                    "service `{service}` in {} names another service; write its options instead",
                    file.display()
                ));
            }
            return Ok(connection);
        }
        let files: Vec<String> = self
            .service_files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        Err(format!(
            "there is no service `{service}` in {}; add it, or name the file with PGSERVICEFILE",
            files.join(" or ")
        ))
    }
}
