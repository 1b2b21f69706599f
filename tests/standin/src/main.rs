//! `sqlserver-standin`: the stand-in as a process.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use standin::{LoginOptions, Options, Server, StatementLog, TlsMode};
use tokio::signal::unix::{SignalKind, signal};

/// Stands in for SQL Server over a PostgreSQL database.
#[derive(Debug, Parser)]
#[command(name = "sqlserver-standin", version)]
struct Flags {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// URL of the PostgreSQL database that stores the tables
    #[arg(long)]
    postgres: String,
    /// The user that clients log in as
    #[arg(long, default_value = "sa")]
    user: String,
    /// The password of that user
    #[arg(long, conflicts_with = "password_file")]
    password: Option<String>,
    /// A file with the password
    #[arg(long)]
    password_file: Option<PathBuf>,
    /// The name of the database that clients see
    #[arg(long, default_value = "standin")]
    database: String,
    /// Whether connections are encrypted
    #[arg(long, value_enum, default_value = "off")]
    tls: TlsMode,
    /// The directory that ca.pem, the certificate to trust, is written to
    #[arg(long)]
    cert_dir: Option<PathBuf>,
    /// Do not allow SNAPSHOT isolation
    #[arg(long)]
    no_snapshot: bool,
    /// A directory in which the statements that reconcile sends are recorded
    #[arg(long, env = "STANDIN_STATEMENTS")]
    statements: Option<PathBuf>,
    #[command(flatten)]
    login: LoginOptions,
    /// Exit when standard input is closed
    #[arg(long)]
    exit_with_stdin: bool,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Runtime::new()
        .expect("the operating system provides threads and an event queue");
    match runtime.block_on(run(Flags::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // If standard error is closed, the exit code still reports the failure.
            writeln!(std::io::stderr(), "error: {error:#}").ok();
            ExitCode::from(2)
        }
    }
}

async fn run(flags: Flags) -> anyhow::Result<()> {
    let password = match (flags.password, flags.password_file) {
        (Some(password), _) => password,
        (None, Some(file)) => {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        (None, None) => anyhow::bail!("no password: use --password-file or --password"),
    };
    let statements = match flags.statements {
        None => None,
        Some(directory) => {
            let log = StatementLog::create(&directory)
                .with_context(|| format!("cannot record statements in {}", directory.display()))?;
            Some(Arc::new(log))
        }
    };
    let server = Server::start(Options {
        listen: flags.listen,
        postgres: flags.postgres,
        user: flags.user,
        password,
        database: flags.database,
        tls: flags.tls,
        certificate_directory: flags.cert_dir,
        allow_snapshot: !flags.no_snapshot,
        login: flags.login,
        mangling: None,
        statements,
    })
    .await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {}", server.address())?;
    stdout.flush()?;

    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = end_of_input(), if flags.exit_with_stdin => {}
    }
    server.shutdown().await;
    Ok(())
}

/// Waits until standard input is closed. A thread reads it, because a blocked read cannot be
/// cancelled; the thread ends with the process.
async fn end_of_input() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        while std::io::stdin()
            .read(&mut buffer)
            .is_ok_and(|count| count > 0)
        {}
        sender.send(()).ok();
    });
    receiver.await.ok();
}
