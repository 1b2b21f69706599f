//! A private PostgreSQL server.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::error::ServiceError;
use super::guardian::Guardian;
use super::start::{
    free_port, is_root, private_directory, random_word, run, start_with_retry, wait_until_ready,
    write_private,
};

/// How long a start may take.
const START: Duration = Duration::from_secs(60);

/// The superuser of a private server.
const USER: &str = "reconcile";

/// Settings for speed, not for durability: the data does not outlive the test.
/// Autovacuum is off, so that it does not disturb a measurement; a test that
/// loads much data runs ANALYZE. WAL at its minimum, so that COPY into a new table skips it.
const SETTINGS: &str = "
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 16GB
checkpoint_timeout = 1h
max_connections = 300
shared_buffers = 256MB
maintenance_work_mem = 256MB
autovacuum = off
password_encryption = 'scram-sha-256'
log_min_messages = warning
lc_messages = 'C'
";

/// A running server with a superuser, reachable over TCP and a Unix socket.
#[derive(Debug)]
pub struct Postgres {
    guardian: Guardian,
    directory: PathBuf,
    port: u16,
    password: String,
}

impl Postgres {
    /// The server's log, with the logins that it has refused.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.guardian.log()
    }

    /// Creates a new cluster and starts it.
    ///
    /// # Errors
    ///
    /// When PostgreSQL is not installed or does not start.
    pub fn start() -> Result<Self, ServiceError> {
        start_with_retry(|| {
            let programs = programs()?;
            let directory = private_directory("postgres");
            let command = command(&programs, &directory);
            let guardian =
                Guardian::new(Some(&directory), &directory.join("log"), "QUIT", &command)?;
            let server = Self {
                guardian,
                directory,
                port: free_port(),
                password: random_word(20),
            };
            server.write_files()?;
            server.restart()?;
            Ok(server)
        })
    }

    fn write_files(&self) -> Result<(), ServiceError> {
        let directory = self.directory.display();
        let settings = format!(
            "{SETTINGS}listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{directory}'\n\
             hba_file = '{directory}/data/pg_hba.conf'\nident_file = '{directory}/data/pg_ident.conf'\n",
            self.port
        );
        write_private(&self.directory.join("password"), self.password.as_bytes())?;
        write_private(&self.directory.join("postgresql.conf"), settings.as_bytes())?;
        if is_root() {
            let (user, group) = server_account()?;
            for path in ["", "password", "postgresql.conf"] {
                let path = self.directory.join(path);
                chown(&path, Some(user), Some(group)).map_err(ServiceError::system(format!(
                    "give away {}",
                    path.display()
                )))?;
            }
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        // The server writes its state into the eighth line, where pg_ctl reads it too.
        let text =
            std::fs::read_to_string(self.directory.join("data/postmaster.pid")).unwrap_or_default();
        let mut lines = text.lines();
        let current = lines
            .next()
            .is_some_and(|line| line.trim() == self.pid().to_string());
        current && lines.nth(6).is_some_and(|state| state.trim() == "ready")
    }

    /// A URL for the superuser and the database `postgres`, over TCP.
    #[must_use]
    pub fn url(&self) -> String {
        self.database_url("postgres")
    }

    /// A URL for the superuser and a database, over TCP.
    #[must_use]
    pub fn database_url(&self, database: &str) -> String {
        format!(
            "postgres://{USER}:{}@127.0.0.1:{}/{database}",
            self.password, self.port
        )
    }

    /// The TCP port on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the Unix socket.
    #[must_use]
    pub fn socket_directory(&self) -> &Path {
        &self.directory
    }

    /// The server's process id; 0 while it is stopped.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.guardian.pid()
    }

    /// Kills the server and all its sessions at once, as a crash would.
    ///
    /// # Errors
    ///
    /// When its guardian has ended.
    pub fn kill(&self) -> Result<(), ServiceError> {
        self.guardian.kill()
    }

    /// Starts the server again after [`Self::kill`], and waits until it is ready.
    ///
    /// # Errors
    ///
    /// When it does not become ready.
    pub fn restart(&self) -> Result<(), ServiceError> {
        self.guardian.start()?;
        wait_until_ready("PostgreSQL", &self.guardian, START, || self.is_ready())
    }
}

/// The directory of `initdb` and `postgres`, of the newest version installed.
fn programs() -> Result<PathBuf, ServiceError> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let newest = versions
        .filter(|entry| entry.path().join("bin/initdb").exists())
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse::<u32>().ok()?,
                entry.path().join("bin"),
            ))
        })
        .max();
    if let Some((_, directory)) = newest {
        return Ok(directory);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find(|directory| directory.join("initdb").exists())
        .ok_or(ServiceError::NotInstalled {
            program: "initdb".to_owned(),
            package: "postgresql",
        })
}

/// Creates the cluster at the first start, then executes the server.
const SCRIPT: &str = r#"
    programs=$1 directory=$2
    if [ ! -e "$directory/data/PG_VERSION" ]; then
        "$programs/initdb" --no-sync --encoding=UTF8 --locale=C.UTF-8 --auth=scram-sha-256 \
            --username=reconcile --pwfile "$directory/password" --pgdata "$directory/data" || exit
    fi
    exec "$programs/postgres" -D "$directory/data" -c config_file="$directory/postgresql.conf"
"#;

/// PostgreSQL refuses to run as root: there it runs as `postgres`.
fn command(programs: &Path, directory: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=postgres",
            "--regid=postgres",
            "--init-groups",
            "--",
            "/bin/sh",
        ]);
        command
    } else {
        Command::new("/bin/sh")
    };
    command
        .args(["-c", SCRIPT, "postgres"])
        .arg(programs)
        .arg(directory);
    // A variable of the caller could name another server.
    for name in [
        "PGDATA",
        "PGHOST",
        "PGPORT",
        "PGUSER",
        "PGPASSWORD",
        "PGDATABASE",
        "PGOPTIONS",
        "PGSERVICE",
    ] {
        command.env_remove(name);
    }
    command
}

fn server_account() -> Result<(u32, u32), ServiceError> {
    let id = |flag: &str| -> Result<u32, ServiceError> {
        let printed = run(Command::new("id").args([flag, "postgres"]))?;
        Ok(printed.trim().parse().expect("id prints a number"))
    };
    Ok((id("-u")?, id("-g")?))
}
