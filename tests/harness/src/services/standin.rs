//! The SQL Server stand-in of this workspace as a service.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::error::ServiceError;
use super::guardian::Guardian;
use super::start::{
    free_port, private_directory, random_word, start_with_retry, wait_until_ready, write_private,
};
use crate::executable::binary;

/// How long a start may take.
const START: Duration = Duration::from_secs(30);

/// The login of a stand-in.
const USER: &str = "sa";

/// The TLS mode of a stand-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandinTls {
    /// It refuses TLS.
    Off,
    /// TLS if the client requests it.
    On,
    /// It refuses connections without TLS.
    Required,
}

/// A running stand-in over a PostgreSQL database.
#[derive(Debug)]
pub struct Standin {
    guardian: Guardian,
    directory: PathBuf,
    port: u16,
    database: String,
    password: String,
    tls: StandinTls,
}

impl Standin {
    /// Starts a stand-in that keeps its tables in the database at `postgres_url`
    /// and presents it as `database`.
    ///
    /// # Errors
    ///
    /// When it has not been built or does not start.
    pub fn start(
        postgres_url: &str,
        database: &str,
        tls: StandinTls,
    ) -> Result<Self, ServiceError> {
        let program = binary("sqlserver-standin")?;
        start_with_retry(|| {
            let directory = private_directory("standin");
            let (port, password) = (free_port(), random_word(20));
            let mut command = Command::new(&program);
            command.arg("--listen").arg(format!("127.0.0.1:{port}"));
            command.args([
                "--postgres",
                postgres_url,
                "--user",
                USER,
                "--database",
                database,
            ]);
            command
                .arg("--password-file")
                .arg(directory.join("password"));
            command.arg("--cert-dir").arg(directory.join("tls"));
            command.args([
                "--tls",
                match tls {
                    StandinTls::Off => "off",
                    StandinTls::On => "on",
                    StandinTls::Required => "required",
                },
            ]);
            let guardian =
                Guardian::new(Some(&directory), &directory.join("log"), "TERM", &command)?;
            write_private(&directory.join("password"), password.as_bytes())?;
            std::fs::create_dir(directory.join("tls")).map_err(ServiceError::system(format!(
                "write to {}",
                directory.display()
            )))?;
            let standin = Self {
                guardian,
                directory,
                port,
                database: database.to_owned(),
                password,
                tls,
            };
            standin.restart()?;
            Ok(standin)
        })
    }

    /// An endpoint URL. With TLS it names the file of the authority to trust.
    #[must_use]
    pub fn url(&self) -> String {
        let tls = match self.tls {
            StandinTls::Off => "encrypt=false".to_owned(),
            StandinTls::On | StandinTls::Required => {
                format!("encrypt=true&ca_file={}", self.ca_file().display())
            }
        };
        format!(
            "mssql://{USER}:{}@127.0.0.1:{}/{}?{tls}",
            self.password, self.port, self.database
        )
    }

    /// The certificate of the authority that signed the server's.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.directory.join("tls/ca.pem")
    }

    /// The file that holds the password.
    #[must_use]
    pub fn password_file(&self) -> PathBuf {
        self.directory.join("password")
    }

    /// The TCP port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id; 0 while it is stopped.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guardian.pid()
    }

    /// Kills it at once, as a crash would.
    ///
    /// # Errors
    ///
    /// When its guardian has ended.
    pub fn kill(&self) -> Result<(), ServiceError> {
        self.guardian.kill()
    }

    /// Starts it again after [`Self::kill`].
    ///
    /// # Errors
    ///
    /// When it does not become ready.
    pub fn restart(&self) -> Result<(), ServiceError> {
        // The line that says "listening" must be the new one.
        std::fs::write(self.guardian.log(), "")
            .map_err(ServiceError::system("empty the stand-in's log"))?;
        self.guardian.start()?;
        // A connection would count as a failed client; the log line is enough.
        let listens = || {
            std::fs::read_to_string(self.guardian.log())
                .is_ok_and(|log| log.contains("listening on"))
        };
        wait_until_ready("the SQL Server stand-in", &self.guardian, START, listens)
    }
}
