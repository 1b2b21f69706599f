//! The SQL Server stand-in of this workspace as a service.

use std::net::Ipv4Addr;
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
    /// It refuses connections that do not begin with TLS, as those of TDS 8.0 do.
    Strict,
}

/// How a stand-in is started beside the usual.
#[derive(Debug, Clone)]
pub struct StandinOptions {
    /// The address that it listens on.
    pub address: Ipv4Addr,
    /// The Windows domain of its user, who may then log in with NTLM.
    pub domain: Option<String>,
    /// The access tokens that it accepts.
    pub tokens: Vec<String>,
    /// The name of the instance whose port it tells on UDP port 1434.
    pub instance: Option<String>,
    /// The server `HOST:PORT` that it sends clients to.
    pub route_to: Option<String>,
}

impl Default for StandinOptions {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST,
            domain: None,
            tokens: Vec::new(),
            instance: None,
            route_to: None,
        }
    }
}

/// A running stand-in over a PostgreSQL database.
#[derive(Debug)]
pub struct Standin {
    guardian: Guardian,
    directory: PathBuf,
    address: Ipv4Addr,
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
        Self::start_with(postgres_url, database, tls, &StandinOptions::default())
    }

    /// [`Self::start`] with more options.
    ///
    /// # Errors
    ///
    /// When it has not been built or does not start.
    pub fn start_with(
        postgres_url: &str,
        database: &str,
        tls: StandinTls,
        options: &StandinOptions,
    ) -> Result<Self, ServiceError> {
        let program = binary("sqlserver-standin")?;
        start_with_retry(|| {
            let directory = private_directory("standin");
            let (port, password) = (free_port(), random_word(20));
            let mut command = Command::new(&program);
            let address = options.address;
            command.arg("--listen").arg(format!("{address}:{port}"));
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
                    StandinTls::Strict => "strict",
                },
            ]);
            for (flag, value) in [
                ("--domain", &options.domain),
                ("--instance", &options.instance),
                ("--route-to", &options.route_to),
            ] {
                command.args(value.iter().flat_map(|value| [flag, value]));
            }
            command
                .arg("--token-file")
                .arg(directory.join("tokens"))
                .arg("--login-log")
                .arg(directory.join("logins"));
            let guardian =
                Guardian::new(Some(&directory), &directory.join("log"), "TERM", &command)?;
            write_private(&directory.join("password"), password.as_bytes())?;
            let tokens = options.tokens.join("\n");
            write_private(&directory.join("tokens"), tokens.as_bytes())?;
            std::fs::create_dir(directory.join("tls")).map_err(ServiceError::system(format!(
                "write to {}",
                directory.display()
            )))?;
            let standin = Self {
                guardian,
                directory,
                address,
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
            StandinTls::Strict => {
                format!("encrypt=strict&ca_file={}", self.ca_file().display())
            }
        };
        format!(
            "mssql://{USER}:{}@{}:{}/{}?{tls}",
            self.password, self.address, self.port, self.database
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

    /// A line for each login since the first start: whether it was accepted, how and as whom the
    /// client logged in, and whether it may be routed to a read-only replica.
    #[must_use]
    pub fn logins(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.directory.join("logins")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
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
