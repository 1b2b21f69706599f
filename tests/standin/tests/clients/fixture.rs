//! A stand-in in the test's process, over a database of its own.

use std::time::{Duration, Instant};

use harness::services::{Database, shared_postgres};
use standin::{LoginOptions, Options, Server, TlsMode};
use tiberius::{AuthMethod, Client, Config, EncryptionLevel, Row};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

pub(crate) const USER: &str = "sa";
pub(crate) const PASSWORD: &str = "pässword with blanks";
pub(crate) const DATABASE: &str = "shop";

/// A connection of tiberius.
pub(crate) type Tiberius = Client<Compat<TcpStream>>;

/// A running stand-in. Its database is dropped with it.
pub(crate) struct Fixture {
    // Fields are dropped in this order: the server must disconnect before the database is dropped.
    pub(crate) server: Server,
    pub(crate) certificates: tempfile::TempDir,
    pub(crate) database: Database,
}

impl Fixture {
    pub(crate) async fn start(tls: TlsMode) -> Self {
        Self::start_with(tls, LoginOptions::default()).await
    }

    pub(crate) async fn start_with(tls: TlsMode, login: LoginOptions) -> Self {
        let database = shared_postgres()
            .create_database("standin_clients")
            .unwrap_or_else(|error| panic!("{error}"));
        let certificates = tempfile::tempdir().unwrap();
        let server = Server::start(Options {
            listen: "127.0.0.1:0".parse().unwrap(),
            postgres: database.url(),
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
            database: DATABASE.to_owned(),
            tls,
            certificate_directory: Some(certificates.path().to_owned()),
            statements: None,
            allow_snapshot: true,
            login,
            mangling: None,
        })
        .await
        .unwrap();
        Self {
            server,
            certificates,
            database,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.server.address().port()
    }

    /// Settings of tiberius that log in, without TLS.
    pub(crate) fn config(&self) -> Config {
        config(self.port(), PASSWORD)
    }

    pub(crate) async fn connect(&self) -> Tiberius {
        connect(self.config()).await.unwrap()
    }

    /// The statements that PostgreSQL runs for the stand-in, or those of its open transactions.
    pub(crate) async fn active_in_postgres(&self) -> Vec<String> {
        let client = self.database.connect().await.unwrap();
        let rows = client
            .query(
                "SELECT query FROM pg_stat_activity WHERE datname = current_database()
                 AND state <> 'idle' AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
                &[],
            )
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Waits until PostgreSQL runs no statement and has no open transaction.
    pub(crate) async fn wait_until_idle(&self, bound: Duration) {
        let end = Instant::now() + bound;
        loop {
            let active = self.active_in_postgres().await;
            if active.is_empty() {
                return;
            }
            assert!(
                Instant::now() < end,
                "still active after {bound:?}: {active:?}"
            );
            tokio::task::yield_now().await;
        }
    }
}

pub(crate) fn config(port: u16, password: &str) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1");
    config.port(port);
    config.database(DATABASE);
    config.authentication(AuthMethod::sql_server(USER, password));
    config.encryption(EncryptionLevel::NotSupported);
    config
}

pub(crate) async fn connect(config: Config) -> tiberius::Result<Tiberius> {
    let socket = TcpStream::connect(config.get_addr()).await.unwrap();
    // Boxed, because the future of the handshake is large.
    Box::pin(Client::connect(config, socket.compat_write())).await
}

/// Runs a batch and returns the rows of its first result.
pub(crate) async fn rows(client: &mut Tiberius, batch: &str) -> tiberius::Result<Vec<Row>> {
    client.simple_query(batch).await?.into_first_result().await
}

/// Runs a batch that must not fail.
pub(crate) async fn run(client: &mut Tiberius, batch: &str) {
    if let Err(error) = all(client, batch).await {
        panic!("{error}: {}", batch.chars().take(300).collect::<String>());
    }
}

async fn all(client: &mut Tiberius, batch: &str) -> tiberius::Result<()> {
    client
        .simple_query(batch)
        .await?
        .into_results()
        .await
        .map(drop)
}

/// The integer that a query returns.
pub(crate) async fn number(client: &mut Tiberius, query: &str) -> i32 {
    let rows = rows(client, query).await.unwrap();
    rows[0].get(0).unwrap()
}

/// The number of the error that a batch ends with.
pub(crate) async fn error_of(client: &mut Tiberius, batch: &str) -> Option<u32> {
    all(client, batch)
        .await
        .err()
        .and_then(|error| error.code())
}
