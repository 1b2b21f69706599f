//! `reconcile-worker`: takes tables from the broker and compares them until it
//! is told to stop.

mod serving;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use shared::config::{Config, MetricsAddr, parse_duration};
use shared::endpoint::Secret;
use shared::ids::WorkerId;
use shared::logging::{LogFormat, Verbosity, complain, say};
use shared::telemetry::trace::{Identity, TraceFlags};
use shared::telemetry::{Setup, set_up};
use shared::transport::Transport;
use shared::transport::rabbit::{RabbitOptions, RabbitTransport};
use tokio::signal::unix::{Signal, SignalKind, signal};
use worker::engine::{Engine, ReconcileEngine};
use worker::service::{self, WorkerOptions};

use serving::Place;

/// Ended by a second signal, before everything was handed back.
const INTERRUPTED: u8 = 130;

/// Wrong usage or configuration, or no broker.
const UNUSABLE: u8 = 2;

/// The worker that was asked about is not alive.
const UNHEALTHY: u8 = 1;

/// Takes tables from the broker's work queue and compares them, as many at
/// once as it is allowed. SIGTERM or SIGINT: finish what runs, hand back the
/// rest, and end; a second one ends at once.
#[derive(Debug, Parser)]
#[command(name = "reconcile-worker", version)]
struct Flags {
    #[command(subcommand)]
    command: Option<Command>,
    /// amqp://user:password@host:5672/vhost, or amqps:// for TLS [default: `url` under [broker] of the configuration]
    #[arg(
        long,
        env = "RECONCILE_BROKER",
        hide_env_values = true,
        value_name = "URL"
    )]
    broker: Option<String>,
    /// Configuration with the endpoints that tasks name [default: reconcile.toml, where there is one]
    #[arg(long, value_name = "FILE", global = true)]
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
    /// Where metrics and health are served, or `off` [default: `metrics_addr` under [telemetry], or 0.0.0.0:9464 if that is free]
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "RECONCILE_METRICS_ADDR",
        global = true
    )]
    metrics_addr: Option<MetricsAddr>,
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

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask the worker of this machine whether it is alive; exit code 0 says yes, 1 no
    Healthcheck,
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
    let command = async {
        match flags.command {
            None => run(flags).await,
            Some(Command::Healthcheck) => healthcheck(&flags).await,
        }
    };
    let code = match system.block_on(command) {
        Ok(code) => code,
        Err(error) => {
            complain(format_args!("{error:#}"));
            UNUSABLE
        }
    };
    ExitCode::from(code)
}

async fn healthcheck(flags: &Flags) -> anyhow::Result<u8> {
    let config = shared::config::load(flags.config.as_deref())?;
    match Place::resolve(flags.metrics_addr, &config.telemetry)
        .check()
        .await
    {
        Ok(()) => Ok(0),
        Err(error) => {
            say(format_args!("{error}"));
            Ok(UNHEALTHY)
        }
    }
}

/// Works, and sends the last traces whatever came of it.
async fn run(flags: Flags) -> anyhow::Result<u8> {
    let id = flags
        .name
        .as_ref()
        .map_or_else(WorkerId::generate, WorkerId::named);
    let config = shared::config::load(flags.config.as_deref())?;
    let identity = Identity {
        service: "reconcile-worker",
        instance: id.to_string(),
    };
    let setup = Setup {
        verbosity: Verbosity::Service,
        log_format: flags.log_format,
        traces: Some((&flags.traces, identity)),
    };
    let tracing = set_up(setup, &config.telemetry)?;
    let code = Box::pin(work(flags, config, id)).await;
    if let Some(tracing) = tracing {
        tracing.shutdown().await;
    }
    code
}

async fn work(flags: Flags, config: Config, id: WorkerId) -> anyhow::Result<u8> {
    let mut signals = Signals::listen().context("cannot listen for signals")?;
    let Flags {
        concurrency,
        drain_grace,
        heartbeat_period,
        ..
    } = flags;
    let Resolved {
        broker,
        engine,
        metrics,
    } = resolve(flags, config, &id)?;
    // Before anything else is begun: a worker that cannot be watched as it was told to is none.
    let metrics = metrics.bind().await?;
    let transport: Arc<dyn Transport> = RabbitTransport::connect(broker).await?;
    let options = WorkerOptions {
        drain_grace: Duration::from_secs(drain_grace),
        heartbeat_period,
        ..WorkerOptions::new(id.clone(), concurrency)
    };
    let worker = service::start(options, transport.clone(), engine).await?;
    let metrics = metrics.map(|bound| serving::serve(bound, &transport, &worker));
    say(format_args!(
        "worker {id} ready: {concurrency} tables at once from {}",
        transport.task_queue()
    ));
    if let Some(metrics) = &metrics {
        say(format_args!("metrics at {metrics}"));
    }

    let by_signal = tokio::select! {
        () = worker.stopped() => anyhow::bail!("the worker ended by itself; the log says why"),
        () = signals.next() => true,
        () = worker.drain_asked() => false,
    };
    say(format_args!(
        "draining: running tables may finish within {drain_grace} s, the rest is handed back; a second signal ends at once"
    ));
    tokio::select! {
        () = async { worker.drain().await; transport.close().await } => {
            say(format_args!("worker {id} drained"));
            Ok(0)
        }
        () = async {
            if !by_signal {
                // It asks for what is under way already: an orchestrator stops what was drained.
                signals.next().await;
            }
            signals.next().await;
        } => Ok(INTERRUPTED),
    }
}

/// What a worker needs.
struct Resolved {
    broker: RabbitOptions,
    engine: Arc<dyn Engine>,
    metrics: Place,
}

/// Where the broker is and what compares tables: flags over environment over
/// configuration.
fn resolve(flags: Flags, config: Config, id: &WorkerId) -> anyhow::Result<Resolved> {
    let broker = config.broker.unwrap_or_default();
    let signing_key = broker.signing_key()?;
    let url = flags.broker.map(Secret::new).or(broker.url).context(
        "no broker: give --broker URL, RECONCILE_BROKER, or `url` under [broker] in the configuration",
    )?;
    anyhow::ensure!(
        !config.endpoints.is_empty(),
        "no endpoints: tasks name them, so give --config FILE with an [endpoints.NAME] for each"
    );
    let metrics = Place::resolve(flags.metrics_addr, &config.telemetry);
    let broker = RabbitOptions {
        url,
        signing_key,
        prefix: flags.prefix.unwrap_or(broker.prefix),
        ca_file: broker.ca_file,
        connection_name: format!("reconcile-worker {id}"),
    };
    let engine = ReconcileEngine::new(config.endpoints, flags.concurrency.into());
    Ok(Resolved {
        broker,
        engine: Arc::new(engine),
        metrics,
    })
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
