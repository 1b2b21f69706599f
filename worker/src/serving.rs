//! The worker's metrics and health over HTTP: where they are served, and
//! `reconcile-worker healthcheck`, which asks for them.

use std::sync::Arc;

use shared::config::{MetricsAddr, MetricsOptions};
use shared::telemetry::metrics::Metrics;
use shared::telemetry::metrics::server::{self, Bound, ServeError, Server};
use shared::transport::Transport;
use worker::service::WorkerHandle;

/// Where metrics are served, and whether the user configured it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MetricsAddress {
    addr: MetricsAddr,
    is_configured: bool,
}

impl MetricsAddress {
    /// Flag or variable over configuration over the default.
    pub(crate) fn resolve(flag: Option<MetricsAddr>, config: &MetricsOptions) -> Self {
        let is_configured = flag.or(config.metrics_addr);
        Self {
            addr: is_configured.unwrap_or(MetricsAddr::WORKER),
            is_configured: is_configured.is_some(),
        }
    }

    /// Binds the address. If it is the default and taken, for example by another
    /// worker on the same host, this worker serves no metrics.
    pub(crate) async fn bind(self) -> Result<Option<Bound>, ServeError> {
        let MetricsAddr::At(address) = self.addr else {
            return Ok(None);
        };
        Bound::if_possible(address, self.is_configured).await
    }

    /// Asks the worker of this machine that serves here whether it is alive.
    ///
    /// # Errors
    ///
    /// The message says why it seems not to be alive.
    pub(crate) async fn check(self) -> Result<(), String> {
        let address = self.addr.for_client().ok_or(
            "metrics are off, and with them the worker's health; give --metrics-addr to both",
        )?;
        server::probe(address)
            .await
            .map_err(|reason| format!("the worker at {address} is not alive: {reason}"))
    }
}

/// Serves the metrics of `worker` at the address that was taken.
pub(crate) fn serve(bound: Bound, transport: &Arc<dyn Transport>, worker: &WorkerHandle) -> Server {
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    metrics.watch_transport(transport);
    worker.metrics().register(&metrics);
    let (transport, worker) = (Arc::clone(transport), Arc::clone(worker.metrics()));
    let readiness = move || {
        if worker.is_draining() {
            Err("draining: no more tables are taken".to_owned())
        } else if !transport.health().connected {
            Err(format!("not connected to {}", transport.task_queue()))
        } else {
            Ok(())
        }
    };
    bound.serve(metrics, Arc::new(readiness))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_starts_without_the_default_address() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let place = |is_configured| MetricsAddress {
            addr: MetricsAddr::At(taken.local_addr().unwrap()),
            is_configured,
        };
        assert!(place(false).bind().await.unwrap().is_none());
        let error = place(true).bind().await.unwrap_err();
        assert_eq!(error.address, taken.local_addr().unwrap());
        let off = MetricsAddress {
            addr: MetricsAddr::Off,
            is_configured: true,
        };
        assert!(off.bind().await.unwrap().is_none());
    }

    #[test]
    fn a_flag_wins_over_the_configuration_and_only_the_default_is_not_is_configured() {
        let none = MetricsOptions::default();
        let configured = MetricsOptions {
            metrics_addr: Some("127.0.0.1:1".parse().unwrap()),
            ..MetricsOptions::default()
        };
        let place = |flag: Option<MetricsAddr>, config| {
            let MetricsAddress {
                addr,
                is_configured,
            } = MetricsAddress::resolve(flag, config);
            (addr.to_string(), is_configured)
        };
        assert_eq!(place(None, &none), ("127.0.0.1:9464".to_owned(), false));
        assert_eq!(place(None, &configured), ("127.0.0.1:1".to_owned(), true));
        assert_eq!(
            place(Some(MetricsAddr::Off), &configured),
            ("off".to_owned(), true)
        );
    }
}
