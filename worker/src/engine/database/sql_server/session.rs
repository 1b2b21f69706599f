//! A session with SQL Server.

use std::fmt::Write as _;

use shared::endpoint::{Endpoint, TlsMode};
use tiberius::{AuthMethod, Client, Config, EncryptionLevel};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use crate::engine::database::session::label::{Access, Isolation, Label};
use crate::engine::error::DatabaseError;

/// Bytes of a TDS packet that are asked for; the server may answer with less.
const PACKET_SIZE: u32 = 16 * 1024;

/// Bytes that SQL Server keeps as a session's context.
const LONGEST_CONTEXT: usize = 128;

/// A connection.
pub(crate) struct SqlServerSession {
    client: Client<Compat<TcpStream>>,
    /// What the database allows.
    best: Isolation,
    /// What is set: the isolation level, and how long a lock is waited for.
    set: Option<(Isolation, u128)>,
    spid: i16,
}

impl std::fmt::Debug for SqlServerSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlServerSession")
            .field("set", &self.set)
            .finish_non_exhaustive()
    }
}

impl SqlServerSession {
    pub(crate) async fn connect(
        endpoint: &Endpoint,
        access: Access,
    ) -> Result<Self, DatabaseError> {
        let client = match login(endpoint, &endpoint.host, endpoint.port, access).await {
            // A gateway names the server that holds the database.
            Err(DatabaseError::SqlServer(tiberius::error::Error::Routing { host, port })) => {
                login(endpoint, &host, port, access).await?
            }
            other => other?,
        };
        let mut session = Self {
            client,
            best: Isolation::ReadCommitted,
            set: None,
            spid: 0,
        };
        let state = session
            .client
            .simple_query("SELECT snapshot_isolation_state, @@SPID FROM sys.databases WHERE database_id = DB_ID()")
            .await?
            .into_row()
            .await?;
        session.spid = state
            .as_ref()
            .and_then(|row| row.get(1))
            .unwrap_or_default();
        let state = state.and_then(|row| row.get::<u8, _>(0));
        if state == Some(1) {
            session.best = Isolation::Snapshot;
        }
        Ok(session)
    }

    pub(crate) async fn begin(&mut self, label: &Label) -> Result<Isolation, DatabaseError> {
        let isolation = if label.read_uncommitted {
            Isolation::ReadUncommitted
        } else {
            self.best
        };
        // The application's name is fixed at the login; this can change with the table.
        let context = hexadecimal(&label.application, LONGEST_CONTEXT);
        let set = (isolation, label.lock_timeout_ms());
        if self.set == Some(set) {
            self.batch(&format!("SET CONTEXT_INFO {context}; BEGIN TRANSACTION"))
                .await?;
        } else {
            // Both stay with the session, and the session is used again.
            self.set = None;
            self.batch(&format!(
                "SET CONTEXT_INFO {context}; SET LOCK_TIMEOUT {}; SET TRANSACTION ISOLATION LEVEL {}; BEGIN TRANSACTION",
                set.1,
                isolation.level()
            ))
            .await?;
            self.set = Some(set);
        }
        Ok(isolation)
    }

    pub(crate) async fn end(&mut self) -> Result<(), DatabaseError> {
        self.batch("COMMIT TRANSACTION").await
    }

    pub(crate) fn spid(&self) -> i16 {
        self.spid
    }

    pub(crate) async fn interrupt(mut self) {
        if let Err(error) = self.client.cancel_query().await {
            tracing::debug!(%error, "an attention was not answered");
        }
    }

    pub(crate) fn client(&mut self) -> &mut Client<Compat<TcpStream>> {
        &mut self.client
    }

    async fn batch(&mut self, statement: &str) -> Result<(), DatabaseError> {
        self.client
            .simple_query(statement)
            .await?
            .into_results()
            .await?;
        Ok(())
    }
}

async fn login(
    endpoint: &Endpoint,
    host: &str,
    port: u16,
    access: Access,
) -> Result<Client<Compat<TcpStream>>, DatabaseError> {
    let mut config = Config::new();
    config.host(host);
    config.port(port);
    config.database(&endpoint.database);
    config.authentication(AuthMethod::sql_server(
        &endpoint.user,
        endpoint.password.reveal(),
    ));
    config.application_name("reconcile");
    // Only a reader may be sent to a copy of the database.
    config.readonly(access == Access::Read);
    config.packet_size(PACKET_SIZE);
    // Statements run as long as the table may take; the worker watches that.
    config.command_timeout(None);
    config.encryption(match endpoint.tls.mode {
        TlsMode::Off => EncryptionLevel::NotSupported,
        TlsMode::Prefer => EncryptionLevel::On,
        TlsMode::Require => EncryptionLevel::Required,
    });
    if endpoint.tls.trust_server_certificate {
        config.trust_cert();
    } else if let Some(file) = &endpoint.tls.ca_file {
        config.trust_cert_ca(file.display());
    }
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(DatabaseError::Network)?;
    stream.set_nodelay(true).map_err(DatabaseError::Network)?;
    // Boxed: the handshake is a large future.
    Ok(Box::pin(Client::connect(config, stream.compat_write())).await?)
}

/// The first `longest` bytes of `text` as an SQL binary.
fn hexadecimal(text: &str, longest: usize) -> String {
    let bytes = text.bytes().take(longest);
    bytes.fold("0x".to_owned(), |mut hexadecimal, byte| {
        // Writing to memory cannot fail.
        write!(hexadecimal, "{byte:02x}").ok();
        hexadecimal
    })
}

/// `name` as an SQL identifier.
#[must_use]
pub(crate) fn identifier(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}
