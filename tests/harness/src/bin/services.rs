//! Starts private services for a shell script and prints how to reach them.
//!
//! Prints `NAME=value` lines, the last being `SERVICES_READY=1`, and then keeps
//! the services until SIGTERM, SIGINT or, with `--exit-with-stdin`, the end of
//! standard input.

use std::io::Write;

use anyhow::Context;
use clap::Parser;
use harness::services::{Postgres, RabbitMq, Standin, StandinTls};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Starts a private PostgreSQL, RabbitMQ and SQL Server stand-in.
#[derive(Debug, Parser)]
struct Options {
    /// Do not start RabbitMQ.
    #[arg(long)]
    no_rabbitmq: bool,
    /// Also start the SQL Server stand-in, under this database name, over a
    /// PostgreSQL database of the same name with TLS required.
    #[arg(long, value_name = "DATABASE")]
    standin: Option<String>,
    /// Also create these PostgreSQL databases.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    databases: Vec<String>,
    /// Stop at the end of standard input.
    #[arg(long)]
    exit_with_stdin: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let end_of_input = end_of_input(options.exit_with_stdin);
    let services = tokio::task::spawn_blocking(move || start(&options));
    // A signal during the start ends this process; the guardians then stop the services.
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
            () = end_of_input => {}
        }
    };
    tokio::pin!(stop);
    let services = tokio::select! {
        services = services => services??,
        () = &mut stop => std::process::exit(0),
    };
    stop.await;
    tokio::task::spawn_blocking(move || drop(services)).await?;
    // A thread that reads standard input would block the shutdown of the runtime.
    std::process::exit(0);
}

/// Resolves when standard input ends, or never if it is not watched.
fn end_of_input(watched: bool) -> impl Future<Output = ()> {
    let (sender, receiver) = oneshot::channel::<()>();
    let sender = if watched {
        // Detached: only the end of the process interrupts its read.
        std::thread::spawn(move || {
            drop(std::io::copy(
                &mut std::io::stdin().lock(),
                &mut std::io::sink(),
            ));
            drop(sender);
        });
        None
    } else {
        Some(sender)
    };
    async move {
        drop(receiver.await);
        drop(sender);
    }
}

/// Fields are dropped in this order: the stand-in depends on PostgreSQL.
struct Services {
    _standin: Option<Standin>,
    _rabbitmq: Option<RabbitMq>,
    _postgres: Postgres,
}

fn start(options: &Options) -> anyhow::Result<Services> {
    // Both take seconds, mostly waiting.
    let (postgres, rabbitmq) = std::thread::scope(|scope| {
        let rabbitmq = (!options.no_rabbitmq).then(|| scope.spawn(RabbitMq::start));
        let postgres = Postgres::start();
        (
            postgres,
            rabbitmq.map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }),
        )
    });
    let (postgres, rabbitmq) = (postgres?, rabbitmq.transpose()?);
    for name in options.databases.iter().chain(&options.standin) {
        postgres
            .create_database(name)
            .with_context(|| format!("database {name}"))?
            .keep();
    }
    let standin = options.standin.as_ref();
    let standin = standin
        .map(|name| Standin::start(&postgres.database_url(name), name, StandinTls::Required))
        .transpose()?;

    let mut lines = vec![
        format!("RECONCILE_TEST_POSTGRES={}", postgres.url()),
        format!("POSTGRES_PORT={}", postgres.port()),
        format!("POSTGRES_PID={}", postgres.pid()),
        format!(
            "POSTGRES_SOCKET_DIR={}",
            postgres.socket_directory().display()
        ),
    ];
    for name in options.databases.iter().chain(&options.standin) {
        lines.push(format!(
            "POSTGRES_URL_{}={}",
            name.to_uppercase(),
            postgres.database_url(name)
        ));
    }
    if let Some(rabbitmq) = &rabbitmq {
        lines.push(format!("RECONCILE_TEST_AMQP={}", rabbitmq.amqp_url()));
        lines.push(format!(
            "RECONCILE_TEST_RABBITMQ_DIR={}",
            rabbitmq.node().directory().display()
        ));
        lines.push(format!("RABBITMQ_PID={}", rabbitmq.pid()));
    }
    if let Some(standin) = &standin {
        lines.push(format!("STANDIN_URL='{}'", standin.url()));
        lines.push(format!("STANDIN_PORT={}", standin.port()));
        lines.push(format!("STANDIN_CA_FILE={}", standin.ca_file().display()));
        lines.push(format!(
            "STANDIN_PASSWORD_FILE={}",
            standin.password_file().display()
        ));
    }
    lines.push("SERVICES_READY=1".to_owned());
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", lines.join("\n"))?;
    stdout.flush()?;
    Ok(Services {
        _standin: standin,
        _rabbitmq: rabbitmq,
        _postgres: postgres,
    })
}
