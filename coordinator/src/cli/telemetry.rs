//! How a run is seen from outside: its metrics over HTTP while it goes on, and
//! in a file or at a Pushgateway when it has ended. Nothing of it changes a
//! run's answer: what does not work is said once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use shared::atomic_file::{self, Access};
use shared::config::{MetricsAddr, TelemetryConfig};
use shared::endpoint::Secret;
use shared::telemetry::metrics::Metrics;
use shared::telemetry::metrics::push::{PushError, PushGateway, PushInstance};
use shared::telemetry::metrics::server::{Bound, Readiness, ServeError, Server};
use shared::transport::Transport;
use worker::service::WorkerHandle;

use super::say;
use crate::metrics::{RunEnd, RunMetrics};

/// How long the end of a run waits for a Pushgateway.
pub(super) const PUSH_LIMIT: Duration = Duration::from_secs(3);

/// The same for somebody who does not want to wait.
pub(super) const HASTY_PUSH_LIMIT: Duration = Duration::from_millis(500);

/// How a run is seen from outside.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct TelemetryFlags {
    /// Serve metrics and health here while the run goes on, or `off` [default: off]
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "RECONCILE_METRICS_ADDR",
        help_heading = "Telemetry"
    )]
    pub(super) metrics_addr: Option<MetricsAddr>,
    /// Write the metrics to this file when the run has ended, for node-exporter's textfile collector
    #[arg(long, value_name = "FILE", help_heading = "Telemetry")]
    pub(super) metrics_file: Option<PathBuf>,
    /// Give the metrics to this Prometheus Pushgateway when the run has ended
    #[arg(long, value_name = "URL", help_heading = "Telemetry")]
    pub(super) push_gateway: Option<String>,
    /// The instance that they are of there, in place of the last run's of the same name [default: the host's name]
    #[arg(long, value_name = "NAME", help_heading = "Telemetry")]
    pub(super) push_instance: Option<PushInstance>,
}

/// Where metrics go.
#[derive(Debug, Clone, Default)]
pub(super) struct TelemetrySettings {
    serve: Option<Serve>,
    file: Option<PathBuf>,
    push: Option<Push>,
}

/// Where metrics are pushed, and under which name.
#[derive(Debug, Clone)]
struct Push {
    gateway: PushGateway,
    instance: PushInstance,
}

#[derive(Debug, Clone, Copy)]
struct Serve {
    address: SocketAddr,
    /// Whether the run is not to begin without. A configuration is shared with
    /// the workers of the machine, one of which may have taken its address.
    insist: bool,
}

impl TelemetrySettings {
    /// Flags over configuration.
    pub(super) fn resolve(
        flags: TelemetryFlags,
        config: &TelemetryConfig,
    ) -> Result<Self, PushError> {
        let insist = flags.metrics_addr.is_some();
        let serve = match flags.metrics_addr.or(config.metrics_addr) {
            None | Some(MetricsAddr::Off) => None,
            Some(MetricsAddr::At(address)) => Some(Serve { address, insist }),
        };
        let of_config = config.push_gateway.as_ref().map(Secret::reveal);
        let push = flags
            .push_gateway
            .as_deref()
            .or(of_config)
            .map(PushGateway::new)
            .transpose()?
            .map(|gateway| Push {
                gateway,
                instance: flags
                    .push_instance
                    .or_else(|| config.push_instance.clone())
                    .unwrap_or_else(PushInstance::host),
            });
        Ok(Self {
            serve,
            file: flags.metrics_file.or_else(|| config.metrics_file.clone()),
            push,
        })
    }

    fn is_off(&self) -> bool {
        self.serve.is_none() && self.file.is_none() && self.push.is_none()
    }
}

/// The metrics of a run on their way out.
#[derive(Debug)]
pub(super) struct RunTelemetry(Option<On>);

#[derive(Debug)]
struct On {
    metrics: Arc<Metrics>,
    /// Until the run has it.
    run: Option<RunMetrics>,
    end: RunEnd,
    transport: Arc<OnceLock<Arc<dyn Transport>>>,
    file: Option<PathBuf>,
    push: Option<Push>,
    _server: Option<Server>,
}

impl RunTelemetry {
    /// Nobody looks.
    pub(super) fn off() -> Self {
        Self(None)
    }

    /// Begins to serve, before the run does.
    pub(super) async fn start(
        settings: TelemetrySettings,
        started_at: DateTime<Utc>,
    ) -> Result<Self, ServeError> {
        if settings.is_off() {
            return Ok(Self::off());
        }
        let bound = match settings.serve {
            None => None,
            Some(Serve { address, insist }) => match Bound::at(address).await {
                Ok(bound) => Some(bound),
                Err(error) if insist => return Err(error),
                Err(error) => {
                    tracing::warn!("{error}; going on without");
                    None
                }
            },
        };
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
        let run = RunMetrics::register(&metrics, started_at);
        let transport = Arc::<OnceLock<_>>::default();
        let server = bound.map(|bound| bound.serve(Arc::clone(&metrics), readiness(&transport)));
        if let Some(server) = &server {
            say(format!("metrics at {server}"));
        }
        Ok(Self(Some(On {
            metrics,
            end: run.end(),
            run: Some(run),
            transport,
            file: settings.file,
            push: settings.push,
            _server: server,
        })))
    }

    /// The run is connected, and has a worker in this process or none.
    pub(super) fn connected(&self, transport: &Arc<dyn Transport>, worker: Option<&WorkerHandle>) {
        if let Self(Some(on)) = self
            && on.transport.set(Arc::clone(transport)).is_ok()
        {
            on.metrics.watch_transport(transport);
            if let Some(worker) = worker {
                worker.metrics().register(&on.metrics);
            }
        }
    }

    /// What watches the run, the first time.
    pub(super) fn observer(&mut self) -> Option<RunMetrics> {
        self.0.as_mut().and_then(|on| on.run.take())
    }

    /// Leaves what was measured where it was asked for, whatever way the run
    /// ended; waits for a Pushgateway no longer than `limit`.
    pub(super) async fn finish(&self, limit: Duration) {
        let Self(Some(on)) = self else { return };
        on.end.or_incomplete();
        if let Some(path) = &on.file
            && let Err(error) =
                atomic_file::replace(path, on.metrics.of_the_work().as_bytes(), Access::Everyone)
        {
            tracing::warn!(
                "the metrics could not be written to {}: {error}",
                path.display()
            );
        }
        if let Some(Push { gateway, instance }) = &on.push
            && let Err(error) = gateway
                .push(instance, on.metrics.of_the_work(), limit)
                .await
        {
            tracing::warn!("{error}");
        }
    }
}

fn readiness(transport: &Arc<OnceLock<Arc<dyn Transport>>>) -> Readiness {
    let transport = Arc::clone(transport);
    Arc::new(move || match transport.get() {
        None => Err("the run is not connected yet".to_owned()),
        Some(transport) if !transport.health().connected => {
            Err(format!("not connected to {}", transport.task_queue()))
        }
        Some(_) => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_not_watched_unless_somebody_asks() {
        let settings =
            TelemetrySettings::resolve(TelemetryFlags::default(), &TelemetryConfig::default());
        assert!(settings.unwrap().is_off());
        let config = TelemetryConfig {
            metrics_addr: Some("127.0.0.1:1".parse().unwrap()),
            metrics_file: Some("a.prom".into()),
            push_gateway: Some(Secret::new("http://push:9091".to_owned())),
            ..TelemetryConfig::default()
        };
        let flags = TelemetryFlags {
            metrics_addr: Some(MetricsAddr::Off),
            ..TelemetryFlags::default()
        };
        let settings = TelemetrySettings::resolve(flags, &config).unwrap();
        assert!(settings.serve.is_none(), "the flag wins: {settings:?}");
        assert_eq!(settings.file, config.metrics_file);
        let push = settings.push.unwrap();
        assert_eq!(push.instance, PushInstance::host());
    }

    #[test]
    fn the_instance_of_the_command_line_wins() {
        let config = TelemetryConfig {
            push_gateway: Some(Secret::new("http://push:9091".to_owned())),
            push_instance: Some("nightly".parse().unwrap()),
            ..TelemetryConfig::default()
        };
        let instance = |flags| {
            let settings = TelemetrySettings::resolve(flags, &config).unwrap();
            settings.push.unwrap().instance.to_string()
        };
        assert_eq!(instance(TelemetryFlags::default()), "nightly");
        let flags = TelemetryFlags {
            push_instance: Some("weekly".parse().unwrap()),
            ..TelemetryFlags::default()
        };
        assert_eq!(instance(flags), "weekly");
    }

    #[test]
    fn only_an_address_of_the_command_line_must_be_free() {
        let config = TelemetryConfig {
            metrics_addr: Some("127.0.0.1:1".parse().unwrap()),
            ..TelemetryConfig::default()
        };
        let insists = |flags| {
            let settings = TelemetrySettings::resolve(flags, &config).unwrap();
            settings.serve.map(|serve| serve.insist)
        };
        assert_eq!(insists(TelemetryFlags::default()), Some(false));
        let flags = TelemetryFlags {
            metrics_addr: Some("127.0.0.1:2".parse().unwrap()),
            ..TelemetryFlags::default()
        };
        assert_eq!(insists(flags), Some(true));
    }

    #[test]
    fn a_gateway_must_be_a_url() {
        let flags = TelemetryFlags {
            push_gateway: Some("push:9091".to_owned()),
            ..TelemetryFlags::default()
        };
        let error = TelemetrySettings::resolve(flags, &TelemetryConfig::default()).unwrap_err();
        assert!(error.to_string().contains("http://HOST:9091"), "{error}");
    }
}
