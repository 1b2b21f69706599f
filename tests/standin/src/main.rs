//! `sqlserver-standin`: the stand-in as a process.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use standin::{Options, Server, TlsMode};
use tokio::signal::unix::{SignalKind, signal};

/// Stands in for SQL Server over a PostgreSQL database.
#[derive(Debug, Parser)]
#[command(name = "sqlserver-standin", version)]
struct Flags {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The PostgreSQL database that holds the tables
    #[arg(long)]
    postgres: String,
    /// The login
    #[arg(long, default_value = "sa")]
    user: String,
    /// Its password
    #[arg(long, conflicts_with = "password_file")]
    password: Option<String>,
    /// A file with the password
    #[arg(long)]
    password_file: Option<PathBuf>,
    /// What the database is called
    #[arg(long, default_value = "standin")]
    database: String,
    /// Whether connections are encrypted
    #[arg(long, value_enum, default_value = "off")]
    tls: Tls,
    /// Where ca.pem is written, the certificate to trust
    #[arg(long)]
    cert_dir: Option<PathBuf>,
    /// Do not allow SNAPSHOT isolation
    #[arg(long)]
    no_snapshot: bool,
    /// End when standard input ends
    #[arg(long)]
    exit_with_stdin: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Tls {
    Off,
    On,
    Required,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let runtime =
        tokio::runtime::Runtime::new().expect("the operating system gives threads and a reactor");
    match runtime.block_on(run(Flags::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody reads it: the exit code says it too.
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
        (None, None) => anyhow::bail!("no password: give --password-file or --password"),
    };
    let server = Server::start(Options {
        listen: flags.listen,
        postgres: flags.postgres,
        user: flags.user,
        password,
        database: flags.database,
        tls: match flags.tls {
            Tls::Off => TlsMode::Off,
            Tls::On => TlsMode::On,
            Tls::Required => TlsMode::Required,
        },
        certificates: flags.cert_dir,
        snapshot: !flags.no_snapshot,
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

/// Standard input is read on a thread of its own, which ends with the process.
async fn end_of_input() {
    let (ended, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        while std::io::stdin()
            .read(&mut buffer)
            .is_ok_and(|count| count > 0)
        {}
        ended.send(()).ok();
    });
    told.await.ok();
}
