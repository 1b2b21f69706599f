//! Private databases on a shared PostgreSQL server.

use std::sync::{Mutex, PoisonError};

use tokio_postgres::NoTls;

use super::error::ServiceError;
use super::postgres::Postgres;
use super::start::random_word;

/// A server that this process started, or one named in the environment.
#[derive(Debug)]
pub struct SharedPostgres {
    admin_url: String,
}

/// The server that all tests of this process share: the one named in
/// `RECONCILE_TEST_POSTGRES`, else one started now, at the first call.
///
/// # Panics
///
/// When it cannot be started: no test can go on then.
pub fn shared_postgres() -> SharedPostgres {
    static OWN: Mutex<Option<Postgres>> = Mutex::new(None);
    if let Ok(admin_url) = std::env::var("RECONCILE_TEST_POSTGRES") {
        return SharedPostgres { admin_url };
    }
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    let server =
        own.get_or_insert_with(|| Postgres::start().unwrap_or_else(|error| panic!("{error}")));
    SharedPostgres {
        admin_url: server.url(),
    }
}

impl SharedPostgres {
    /// A URL for the superuser and the database `postgres`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.admin_url
    }

    /// A new, empty database, dropped when the returned value is. `purpose` is part of its name.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub fn create_database(&self, purpose: &str) -> Result<Database, ServiceError> {
        create(&self.admin_url, format!("{purpose}_{}", random_word(8)))
    }
}

impl Postgres {
    /// A new, empty database of exactly this name, dropped when the returned value is.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub fn create_database(&self, name: &str) -> Result<Database, ServiceError> {
        create(&self.url(), name.to_owned())
    }
}

/// A database that is dropped together with this value.
#[derive(Debug)]
pub struct Database {
    admin_url: String,
    name: String,
    kept: bool,
}

impl Database {
    /// Its name on the server.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A URL for the superuser.
    #[must_use]
    pub fn url(&self) -> String {
        let end = self.admin_url.rfind('/').unwrap_or(self.admin_url.len());
        format!("{}/{}", &self.admin_url[..end], self.name)
    }

    /// Leaves the database in place when this value is dropped.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Runs statements, separated by semicolons.
    ///
    /// # Errors
    ///
    /// When one of them fails.
    pub fn execute(&self, statements: &str) -> Result<(), ServiceError> {
        execute(&self.url(), statements)
    }

    /// A session, whose connection is driven on the current Tokio runtime.
    ///
    /// # Errors
    ///
    /// When the server refuses.
    pub async fn connect(&self) -> Result<tokio_postgres::Client, ServiceError> {
        connect(&self.url()).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !self.kept {
            // A server that has ended has no database to drop.
            drop(execute(
                &self.admin_url,
                &format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name),
            ));
        }
    }
}

fn create(admin_url: &str, name: String) -> Result<Database, ServiceError> {
    execute(
        admin_url,
        &format!("CREATE DATABASE \"{name}\" TEMPLATE template0"),
    )?;
    Ok(Database {
        admin_url: admin_url.to_owned(),
        name,
        kept: false,
    })
}

/// A session, whose connection is driven on the current Tokio runtime.
///
/// # Errors
///
/// When the server refuses.
pub async fn connect(url: &str) -> Result<tokio_postgres::Client, ServiceError> {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .map_err(|source| ServiceError::Database {
            action: "connect to PostgreSQL".to_owned(),
            source,
        })?;
    // The task ends with the client; the next call of the client returns its error.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// Runs statements on a separate thread, because the caller may or may not be in a Tokio runtime.
fn execute(url: &str, statements: &str) -> Result<(), ServiceError> {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ServiceError::system("start a Tokio runtime"))?;
        runtime.block_on(async {
            let client = connect(url).await?;
            client
                .batch_execute(statements)
                .await
                .map_err(|source| ServiceError::Database {
                    action: format!("run `{}`", statements.chars().take(200).collect::<String>()),
                    source,
                })
        })
    };
    std::thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
