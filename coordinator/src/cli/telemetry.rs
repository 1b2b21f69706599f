//! The metrics of a run: over HTTP while it is running, and in a file or at a
//! Pushgateway at its end. No error here changes the result of a run: it is
//! logged once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::atomic_file::{self, Access};
use shared::config::{MetricsAddr, MetricsOptions};
use shared::endpoint::Secret;
use shared::logging::print_status;
use shared::telemetry::metrics::Metrics;
use shared::telemetry::metrics::push::{PushError, PushGateway, PushInstance};
use shared::telemetry::metrics::server::{Bound, Readiness, ServeError, Server};
use shared::transport::Transport;
use worker::service::WorkerHandle;

use crate::metrics::{RunEnd, RunMetrics};

/// How long the end of a run waits for a Pushgateway.
pub(super) const PUSH_LIMIT: Duration = Duration::from_secs(3);

/// The same after a second signal.
pub(super) const HASTY_PUSH_LIMIT: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Default)]
pub(super) struct TelemetrySettings {
    /// The address, and whether the run fails when it is taken. An address from the
    /// configuration is shared with the workers of the machine, one of which may have taken it.
    serve: Option<(SocketAddr, bool)>,
    file: Option<PathBuf>,
    push: Option<(PushGateway, PushInstance)>,
}

impl TelemetrySettings {
    /// The flags, and where they are absent the configuration.
    pub(super) fn resolve(
        flags: MetricsOptions,
        config: &MetricsOptions,
    ) -> Result<Self, PushError> {
        let is_required = flags.metrics_addr.is_some();
        let options = flags.or(config.clone());
        let serve = match options.metrics_addr {
            None | Some(MetricsAddr::Off) => None,
            Some(MetricsAddr::At(address)) => Some((address, is_required)),
        };
        let gateway = options.push_gateway.as_ref().map(Secret::reveal);
        let gateway = gateway.map(PushGateway::new).transpose()?;
        let instance = options.push_instance.unwrap_or_else(PushInstance::host);
        Ok(Self {
            serve,
            file: options.metrics_file,
            push: gateway.map(|gateway| (gateway, instance)),
        })
    }

    fn is_off(&self) -> bool {
        self.serve.is_none() && self.file.is_none() && self.push.is_none()
    }
}

/// The metrics of a run and where they go; absent when they go nowhere.
#[derive(Debug)]
pub(super) struct RunTelemetry(Option<Destinations>);

#[derive(Debug)]
struct Destinations {
    metrics: Arc<Metrics>,
    /// Taken by the run when it starts.
    run: Option<RunMetrics>,
    end: RunEnd,
    transport: Arc<OnceLock<Arc<dyn Transport>>>,
    file: Option<PathBuf>,
    push: Option<(PushGateway, PushInstance)>,
    _server: Option<Server>,
}

impl RunTelemetry {
    pub(super) fn off() -> Self {
        Self(None)
    }

    /// Starts serving, before the run starts.
    pub(super) async fn start(
        settings: TelemetrySettings,
        started_at: DateTime<Utc>,
    ) -> Result<Self, ServeError> {
        if settings.is_off() {
            return Ok(Self::off());
        }
        let bound = match settings.serve {
            None => None,
            Some((address, is_required)) => Bound::if_possible(address, is_required).await?,
        };
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
        let run = RunMetrics::register(&metrics, started_at);
        let transport = Arc::<OnceLock<_>>::default();
        let server = bound.map(|bound| bound.serve(Arc::clone(&metrics), readiness(&transport)));
        if let Some(server) = &server {
            print_status(format!("metrics at {server}"));
        }
        Ok(Self(Some(Destinations {
            metrics,
            end: run.end(),
            run: Some(run),
            transport,
            file: settings.file,
            push: settings.push,
            _server: server,
        })))
    }

    /// Adds the metrics of the transport, and of the worker of this process if there is one.
    pub(super) fn connected(&self, transport: &Arc<dyn Transport>, worker: Option<&WorkerHandle>) {
        if let Self(Some(to)) = self
            && to.transport.set(Arc::clone(transport)).is_ok()
        {
            to.metrics.watch_transport(transport);
            if let Some(worker) = worker {
                worker.metrics().register(&to.metrics);
            }
        }
    }

    /// The observer of the run; absent after the first call.
    pub(super) fn observer(&mut self) -> Option<RunMetrics> {
        self.0.as_mut().and_then(|to| to.run.take())
    }

    /// Writes and pushes the metrics, however the run ended. Waits for a Pushgateway no
    /// longer than `limit`.
    pub(super) async fn finish(&self, limit: Duration) {
        let Self(Some(to)) = self else { return };
        to.end.or_incomplete();
        if let Some(path) = &to.file
            && let Err(error) =
                atomic_file::replace(path, to.metrics.of_the_work().as_bytes(), Access::Everyone)
        {
            tracing::warn!(
                "the metrics could not be written to {}: {error}",
                path.display()
            );
        }
        if let Some((gateway, instance)) = &to.push
            && let Err(error) = gateway
                .push(instance, to.metrics.of_the_work(), limit)
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
    fn metrics_go_nowhere_by_default() {
        let settings =
            TelemetrySettings::resolve(MetricsOptions::default(), &MetricsOptions::default());
        assert!(settings.unwrap().is_off());
        let config = MetricsOptions {
            metrics_addr: Some("127.0.0.1:1".parse().unwrap()),
            metrics_file: Some("a.prom".into()),
            push_gateway: Some(Secret::new("http://push:9091".to_owned())),
            ..MetricsOptions::default()
        };
        let flags = MetricsOptions {
            metrics_addr: Some(MetricsAddr::Off),
            ..MetricsOptions::default()
        };
        let settings = TelemetrySettings::resolve(flags, &config).unwrap();
        assert!(settings.serve.is_none(), "the flag wins: {settings:?}");
        assert_eq!(settings.file, config.metrics_file);
        let push = settings.push.unwrap();
        assert_eq!(push.1, PushInstance::host());
    }

    #[test]
    fn the_instance_of_the_command_line_wins() {
        let config = MetricsOptions {
            push_gateway: Some(Secret::new("http://push:9091".to_owned())),
            push_instance: Some("nightly".parse().unwrap()),
            ..MetricsOptions::default()
        };
        let instance = |flags| {
            let settings = TelemetrySettings::resolve(flags, &config).unwrap();
            settings.push.unwrap().1.to_string()
        };
        assert_eq!(instance(MetricsOptions::default()), "nightly");
        let flags = MetricsOptions {
            push_instance: Some("weekly".parse().unwrap()),
            ..MetricsOptions::default()
        };
        assert_eq!(instance(flags), "weekly");
    }

    #[test]
    fn only_an_address_of_the_command_line_is_required() {
        let config = MetricsOptions {
            metrics_addr: Some("127.0.0.1:1".parse().unwrap()),
            ..MetricsOptions::default()
        };
        let is_required = |flags| {
            let settings = TelemetrySettings::resolve(flags, &config).unwrap();
            settings.serve.map(|(_, is_required)| is_required)
        };
        assert_eq!(is_required(MetricsOptions::default()), Some(false));
        let flags = MetricsOptions {
            metrics_addr: Some("127.0.0.1:2".parse().unwrap()),
            ..MetricsOptions::default()
        };
        assert_eq!(is_required(flags), Some(true));
    }

    #[test]
    fn a_gateway_must_be_a_url() {
        let flags = MetricsOptions {
            push_gateway: Some(Secret::new("push:9091")),
            ..MetricsOptions::default()
        };
        let error = TelemetrySettings::resolve(flags, &MetricsOptions::default()).unwrap_err();
        assert!(error.to_string().contains("http://HOST:9091"), "{error}");
    }
}
