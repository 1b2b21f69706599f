//! Serves metrics over HTTP for Prometheus, and health for orchestrators such as Kubernetes.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::Metrics;
use crate::failure::with_causes;

/// The content type of Prometheus's text format 0.0.4.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How long a process may take to answer a [`probe`].
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether the process is ready for work. The error is the reason why it is not.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Why metrics cannot be served.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot serve metrics at {address}: {source}; give another address with --metrics-addr, or `off`"
)]
pub struct ServeError {
    /// The address.
    pub address: SocketAddr,
    /// The error of the operating system.
    pub source: std::io::Error,
}

/// A socket that listens and is not served yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Listens at `address`; with port 0 at a free port.
    ///
    /// # Errors
    ///
    /// When the address is in use, not of this machine, or not permitted.
    pub async fn at(address: SocketAddr) -> Result<Self, ServeError> {
        let bind = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bind.await.map_err(|source| ServeError { address, source })
    }

    /// Like [`at`](Self::at). Without `is_required` an error is only a warning, and the result `None`.
    ///
    /// # Errors
    ///
    /// As [`at`](Self::at), if `is_required`.
    pub async fn if_possible(
        address: SocketAddr,
        is_required: bool,
    ) -> Result<Option<Self>, ServeError> {
        match Self::at(address).await {
            Err(error) if !is_required => {
                tracing::warn!("{error}; the program continues without metrics over HTTP");
                Ok(None)
            }
            bound => bound.map(Some),
        }
    }

    /// Serves until the returned value is dropped. Must be called inside a tokio runtime.
    #[must_use = "dropping the server ends it"]
    pub fn serve(self, metrics: Arc<Metrics>, readiness: Readiness) -> Server {
        let Self { listener, address } = self;
        let router = router(metrics, readiness);
        // `Server` aborts this task when it is dropped.
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!("metrics are no longer served at {address}: {error}");
            }
        });
        Server { address, task }
    }
}

/// Serves metrics and health until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// The address, with the actual port if port 0 was requested.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}/metrics", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn router(metrics: Arc<Metrics>, readiness: Readiness) -> Router {
    Router::new()
        .route("/", get(async || "/metrics\n/healthz\n/readyz\n"))
        .route(
            "/metrics",
            get(async move || ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.scrape())),
        )
        .route("/healthz", get(async || "alive\n"))
        .route(
            "/readyz",
            get(async move || match readiness() {
                Ok(()) => "ready\n".into_response(),
                Err(reason) => {
                    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
                }
            }),
        )
}

/// Requests the health of the process that serves at `address`.
///
/// # Errors
///
/// The reason, when it does not answer within 3 s or answers with an error.
pub async fn probe(address: SocketAddr) -> Result<(), String> {
    let url = format!("http://{address}/healthz");
    let ask = async {
        let client = reqwest::Client::builder()
            .timeout(PROBE_TIMEOUT)
            .no_proxy()
            .build()?;
        client.get(&url).send().await?.error_for_status()
    };
    ask.await.map(drop).map_err(|error| with_causes(&error))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn metrics_liveness_and_readiness_are_served() {
        // As `main` does; a second call has no effect.
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let draining = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&draining);
        let bound = Bound::at((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let server = bound.serve(
            Arc::new(Metrics::new("1")),
            Arc::new(move || match seen.load(Ordering::SeqCst) {
                false => Ok(()),
                true => Err("draining".to_owned()),
            }),
        );
        let address = server.address();
        let get = async |path: &str| {
            let response = reqwest::get(format!("http://{address}{path}"))
                .await
                .unwrap();
            let kind = response.headers()["content-type"]
                .to_str()
                .unwrap()
                .to_owned();
            (
                response.status().as_u16(),
                kind,
                response.text().await.unwrap(),
            )
        };
        let (status, kind, text) = get("/metrics").await;
        assert_eq!((status, kind.as_str()), (200, CONTENT_TYPE));
        assert!(text.contains("reconcile_build_info"), "{text}");
        assert_eq!(get("/healthz").await.0, 200);
        assert_eq!(get("/readyz").await.0, 200);
        probe(address).await.unwrap();
        draining.store(true, Ordering::SeqCst);
        let (status, _, text) = get("/readyz").await;
        assert_eq!((status, text.as_str()), (503, "draining\n"));
        assert_eq!(get("/healthz").await.0, 200, "draining is not dying");

        let taken = Bound::at(address).await.unwrap_err().to_string();
        assert!(
            taken.contains(&address.to_string()) && taken.contains("--metrics-addr"),
            "{taken}"
        );
        drop(server);
        let again = async {
            // The port is free as soon as the server's task has ended.
            loop {
                if Bound::at(address).await.is_ok() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), again)
            .await
            .expect("the address is free again");
    }
}
