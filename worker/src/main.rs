//! `reconcile-worker`: takes tables from the broker and compares them until it
//! is told to stop.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use shared::config::{Config, parse_duration};
use shared::endpoint::Secret;
use shared::ids::WorkerId;
use shared::logging::{self, LogFormat, Verbosity, say};
use shared::telemetry::trace::{Destination, Identity, TraceFlags, Tracing};
use shared::transport::Transport as _;
use shared::transport::rabbit::{RabbitOptions, RabbitTransport};
use tokio::signal::unix::{Signal, SignalKind, signal};
use worker::engine::{Engine, ReconcileEngine};
use worker::service::{self, WorkerOptions};

/// Ended by a second signal, before everything was handed back.
const INTERRUPTED: u8 = 130;

/// Wrong usage or configuration, or no broker.
const UNUSABLE: u8 = 2;

/// Takes tables from the broker's work queue and compares them, as many at
/// once as it is allowed. SIGTERM or SIGINT: finish what runs, hand back the
/// rest, and end; a second one ends at once.
#[derive(Debug, Parser)]
#[command(name = "reconcile-worker", version)]
struct Flags {
    /// amqp://user:password@host:5672/vhost, or amqps:// for TLS [default: `url` under [broker] of the configuration]
    #[arg(
        long,
        env = "RECONCILE_BROKER",
        hide_env_values = true,
        value_name = "URL"
    )]
    broker: Option<String>,
    /// Configuration with the endpoints that tasks name [default: reconcile.toml, where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Tables at once
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// What reports call this worker [default: host, process id and a random part]
    #[arg(long)]
    name: Option<String>,
    /// Begins the name of every queue and exchange [default: `prefix` under [broker], or `reconcile`]
    #[arg(long)]
    prefix: Option<String>,
    /// How long running tables may go on after a signal, before they are handed back
    #[arg(long, default_value_t = 25, value_name = "SECONDS")]
    drain_grace: u64,
    /// How often the worker shows that it is alive; three missing signs cost it what it holds
    #[arg(long, default_value = "5s", value_name = "DURATION", value_parser = parse_duration)]
    heartbeat_period: Duration,
    /// Form of the log lines on standard error: human or json [default: human]
    #[arg(
        long,
        value_name = "FORMAT",
        env = "RECONCILE_LOG_FORMAT",
        hide_env = true
    )]
    log_format: Option<LogFormat>,
    #[command(flatten)]
    traces: TraceFlags,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing was installed before");
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("the operating system gives threads and a reactor")
    };
    let system = actix_rt::System::with_tokio_rt(runtime);
    let code = match system.block_on(run(flags)) {
        Ok(code) => code,
        Err(error) => {
            say(format_args!("error: {error:#}"));
            UNUSABLE
        }
    };
    ExitCode::from(code)
}

/// Works, and sends the last traces whatever came of it.
async fn run(flags: Flags) -> anyhow::Result<u8> {
    let id = flags
        .name
        .as_ref()
        .map_or_else(WorkerId::generate, WorkerId::named);
    let config = shared::config::load(flags.config.as_deref())?;
    let tracing = observe(&flags, &config, &id)?;
    let code = Box::pin(work(flags, config, id)).await;
    if let Some(tracing) = tracing {
        tracing.shutdown().await;
    }
    code
}

/// Sets up log lines and traces.
fn observe(flags: &Flags, config: &Config, id: &WorkerId) -> anyhow::Result<Option<Tracing>> {
    let destination = Destination::resolve(&flags.traces, &config.telemetry, |name| {
        std::env::var(name).ok()
    })?;
    let (tracing, layer) = match destination {
        None => (None, None),
        Some(destination) => {
            let identity = Identity {
                service: "reconcile-worker",
                instance: id.to_string(),
            };
            let (tracing, layer) = Tracing::start(&destination, &identity)?;
            (Some(tracing), Some(layer))
        }
    };
    let format = flags.log_format.or(config.telemetry.log_format);
    logging::init(Verbosity::Service, format.unwrap_or_default(), layer);
    Ok(tracing)
}

async fn work(flags: Flags, config: Config, id: WorkerId) -> anyhow::Result<u8> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let Flags {
        concurrency,
        drain_grace,
        heartbeat_period,
        ..
    } = flags;
    let (broker, engine) = resolve(flags, config, &id)?;
    let transport = RabbitTransport::connect(broker).await?;
    let options = WorkerOptions {
        drain_grace: Duration::from_secs(drain_grace),
        heartbeat_period,
        ..WorkerOptions::new(id.clone(), concurrency)
    };
    let worker = service::start(options, transport.clone(), engine).await?;
    say(format_args!(
        "worker {id} ready: {concurrency} tables at once from {}",
        transport.task_queue()
    ));

    tokio::select! {
        () = worker.stopped() => anyhow::bail!("the worker ended by itself; the log says why"),
        () = signals.next() => {}
        () = worker.drain_asked() => {}
    }
    say(format_args!(
        "draining: running tables may finish within {drain_grace} s, the rest is handed back; a second signal ends at once"
    ));
    tokio::select! {
        () = async { worker.drain().await; transport.close().await } => {
            say(format_args!("worker {id} drained"));
            Ok(0)
        }
        () = signals.next() => Ok(INTERRUPTED),
    }
}

/// Where the broker is and what compares tables: flags over environment over
/// configuration.
fn resolve(
    flags: Flags,
    config: Config,
    id: &WorkerId,
) -> anyhow::Result<(RabbitOptions, Arc<dyn Engine>)> {
    let broker = config.broker.unwrap_or_default();
    let signing_key = broker.signing_key()?;
    let url = flags.broker.map(Secret::new).or(broker.url).context(
        "no broker: give --broker URL, RECONCILE_BROKER, or `url` under [broker] in the configuration",
    )?;
    anyhow::ensure!(
        !config.endpoints.is_empty(),
        "no endpoints: tasks name them, so give --config FILE with an [endpoints.NAME] for each"
    );
    let options = RabbitOptions {
        url,
        signing_key,
        prefix: flags.prefix.unwrap_or(broker.prefix),
        ca_file: broker.ca_file,
        connection_name: format!("reconcile-worker {id}"),
    };
    let engine = ReconcileEngine::new(config.endpoints, flags.concurrency.into());
    Ok((options, Arc::new(engine)))
}

/// SIGTERM and SIGINT, which mean the same.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
