//! `reconcile-worker`: takes tables from the broker and compares them until a signal
//! or `reconcile drain` ends it.

mod serving;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use shared::config::{Config, ConfigError, LogOptions, MetricsAddr, WorkerLimits, parse_duration};
use shared::endpoint::Secret;
use shared::ids::WorkerId;
use shared::logging::{Verbosity, print_status, print_usage_error, report_error};
use shared::process::forbid_core_dumps;
use shared::signals::Signals;
use shared::signing::SigningKeyError;
use shared::telemetry::metrics::server::ServeError;
use shared::telemetry::trace::{Identity, TraceError, TraceFlags};
use shared::telemetry::{Setup, set_up};
use shared::transport::rabbit::{RabbitOptions, RabbitTransport};
use shared::transport::{Transport, TransportError};
use worker::engine::{Engine, ReconcileEngine, SpillDirectory};
use worker::service::{self, WorkerOptions};

use serving::MetricsAddress;

/// Exit code: a second signal ended the worker before all tables were handed back.
const INTERRUPTED: u8 = 130;

/// Exit code: wrong usage or configuration, or no connection to the broker.
const UNUSABLE: u8 = 2;

/// Exit code: the checked worker is not alive.
const UNHEALTHY: u8 = 1;

/// Why the worker cannot start, or ended.
#[derive(Debug, thiserror::Error)]
enum WorkerError {
    #[error("temporary files cannot be created: {0}; name another directory with --spill-dir")]
    SpillDirectory(std::io::Error),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("[broker] signing_key_file: {0}")]
    SigningKey(#[from] SigningKeyError),
    #[error(
        "no broker: give --broker URL, RECONCILE_BROKER, or `url` under [broker] in the configuration"
    )]
    NoBroker,
    #[error(
        "no endpoints: tasks name them, so give --config FILE with an [endpoints.NAME] for each"
    )]
    NoEndpoints,
    #[error(
        "[limits] endpoints names `{0}`, which is not configured; add [endpoints.{0}], or take the name out"
    )]
    UnknownEndpoint(String),
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    #[error(transparent)]
    Traces(#[from] TraceError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("the worker ended by itself; the log says why")]
    Stopped,
}

/// Takes tables from the broker's work queue and compares them, several at the same
/// time. At SIGTERM or SIGINT it takes no more tables, finishes running comparisons or
/// hands them back, and ends; a second signal, at least 2 s later, ends it at once.
#[derive(Debug, Parser)]
#[command(name = "reconcile-worker", version)]
struct Flags {
    #[command(subcommand)]
    command: Option<Command>,
    /// amqp://user:password@host:5672/vhost, or amqps:// for TLS [default: `url` under `[broker]` of the configuration]
    #[arg(
        long,
        env = "RECONCILE_BROKER",
        hide_env_values = true,
        value_name = "URL"
    )]
    broker: Option<Secret>,
    /// Configuration with the endpoints that tasks name [default: reconcile.toml, if it exists]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Tables that are compared at the same time
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// Name of this worker in reports [default: host, process id and a random part]
    #[arg(long, value_parser = shared::bounds::parse_worker_name)]
    name: Option<String>,
    /// Prefix of the names of queues and exchanges [default: `prefix` under `[broker]`, or `reconcile`]
    #[arg(long)]
    prefix: Option<String>,
    /// How long running comparisons may continue after a signal before their tables are handed back
    #[arg(long, default_value_t = 25, value_name = "SECONDS")]
    drain_grace: u64,
    /// Directory of temporary files, which is not in memory unless it is named here [default: $TMPDIR or /tmp, or /var/tmp if that is in memory]
    #[arg(long, value_name = "DIR", env = "RECONCILE_SPILL_DIR")]
    spill_dir: Option<PathBuf>,
    /// Interval of heartbeats; after three missing ones the coordinator gives the worker's tables to others
    #[arg(long, default_value = "5s", value_name = "DURATION", value_parser = parse_duration)]
    heartbeat_period: Duration,
    /// Address at which metrics and health are served, or `off`; a port alone is on 127.0.0.1 [default: `metrics_addr` under `[telemetry]`, or 127.0.0.1:9464 if that is free]
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "RECONCILE_METRICS_ADDR",
        global = true
    )]
    metrics_addr: Option<MetricsAddr>,
    #[command(flatten)]
    limits: WorkerLimits,
    #[command(flatten)]
    log: LogOptions,
    #[command(flatten)]
    traces: TraceFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check whether the worker of this machine is alive; exit code 0: yes, 1: no
    Healthcheck,
}

fn main() -> ExitCode {
    forbid_core_dumps();
    let flags = match Flags::try_parse() {
        Ok(flags) => flags,
        Err(error) => {
            print_usage_error(&error);
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(UNUSABLE));
        }
    };
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
            report_error(error);
            UNUSABLE
        }
    };
    ExitCode::from(code)
}

async fn healthcheck(flags: &Flags) -> Result<u8, WorkerError> {
    let config = shared::config::load(flags.config.as_deref())?;
    match MetricsAddress::resolve(flags.metrics_addr, &config.telemetry.metrics)
        .check()
        .await
    {
        Ok(()) => Ok(0),
        Err(error) => {
            print_status(error);
            Ok(UNHEALTHY)
        }
    }
}

/// Runs the worker, and sends the last traces however it ends.
async fn run(flags: Flags) -> Result<u8, WorkerError> {
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
        log: flags.log.clone(),
        traces: Some((&flags.traces, identity)),
    };
    let tracing = set_up(setup, &config.telemetry)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    let code = Box::pin(work(flags, config, id)).await;
    if let Some(tracing) = tracing {
        tracing.shutdown().await;
    }
    code
}

async fn work(flags: Flags, config: Config, id: WorkerId) -> Result<u8, WorkerError> {
    let mut signals = Signals::listen().map_err(WorkerError::Signals)?;
    let Flags {
        concurrency,
        drain_grace,
        heartbeat_period,
        ..
    } = flags;
    let limits = flags.limits.clone().or(config.limits.clone());
    let (broker, engine, metrics) = resolve(flags, config, &id)?;
    // If the requested metrics address is taken, the worker does not start.
    let metrics = metrics.bind().await?;
    let transport: Arc<dyn Transport> = RabbitTransport::connect(broker).await?;
    let options = WorkerOptions {
        drain_grace: Duration::from_secs(drain_grace),
        heartbeat_period,
        limits,
        ..WorkerOptions::new(id.clone(), concurrency)
    };
    let worker = service::start(options, transport.clone(), engine).await?;
    let metrics = metrics.map(|bound| serving::serve(bound, &transport, &worker));
    print_status(format_args!(
        "worker {id} ready: {concurrency} tables at once from {}",
        transport.task_queue()
    ));
    if let Some(metrics) = &metrics {
        print_status(format_args!("metrics at {metrics}"));
    }

    let by_signal = tokio::select! {
        () = worker.stopped() => return Err(WorkerError::Stopped),
        () = signals.next() => true,
        () = worker.drain_asked() => false,
    };
    print_status(format_args!(
        "draining: running comparisons may finish within {drain_grace} s, other tables are handed back; a second signal, 2 s later or more, ends the worker at once"
    ));
    tokio::select! {
        () = async { worker.drain().await; transport.close().await } => {
            print_status(format_args!("worker {id} drained"));
            Ok(0)
        }
        () = async {
            if !by_signal {
                // The first signal after `reconcile drain` requests the same: orchestrators send it.
                signals.next().await;
            }
            signals.next().await;
        } => Ok(INTERRUPTED),
    }
}

/// Resolves broker, engine and metrics: flags and their variables override the configuration.
fn resolve(
    flags: Flags,
    config: Config,
    id: &WorkerId,
) -> Result<(RabbitOptions, Arc<dyn Engine>, MetricsAddress), WorkerError> {
    let broker = config.broker.unwrap_or_default();
    let signing_key = broker.signing_key()?;
    let max_message_size = broker.message_limit();
    let url = flags.broker.or(broker.url).ok_or(WorkerError::NoBroker)?;
    if config.endpoints.is_empty() {
        return Err(WorkerError::NoEndpoints);
    }
    let served = flags.limits.or(config.limits).endpoints.unwrap_or_default();
    let mut unknown = served
        .into_iter()
        .filter(|name| !config.endpoints.contains_key(name));
    if let Some(name) = unknown.next() {
        return Err(WorkerError::UnknownEndpoint(name));
    }
    let metrics = MetricsAddress::resolve(flags.metrics_addr, &config.telemetry.metrics);
    let broker = RabbitOptions {
        url,
        signing_key,
        signing_max_age: broker.signing_max_age,
        max_message_size,
        patience: None,
        prefix: flags.prefix.unwrap_or(broker.prefix),
        ca_file: broker.ca_file,
        connection_name: format!("reconcile-worker {id}"),
    };
    let spill_directory = SpillDirectory::new(flags.spill_dir);
    spill_directory
        .check()
        .map_err(WorkerError::SpillDirectory)?;
    let engine = ReconcileEngine::new(config.endpoints, flags.concurrency.into())
        .spilling_to(spill_directory);
    Ok((broker, Arc::new(engine), metrics))
}
