//! Serves metrics over HTTP for Prometheus, and health for orchestrators such as Kubernetes.
//!
//! A connection serves one request and has limits of time, and the number of connections is
//! limited, so that no client can use up the descriptors and the memory of the process.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::Metrics;
use crate::failure::with_causes;

/// The content type of Prometheus's text format 0.0.4.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Connections that are served at the same time. More are closed at once.
const MOST_CONNECTIONS: usize = 64;

/// How long a client may take to send the head of its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may last, from its begin to the last byte of the response.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause after an error of `accept`, for example when all descriptors are in use.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

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
        // `Server` aborts this task when it is dropped, and with it those of its connections.
        let task = tokio::spawn(accept(listener, router));
        Server { address, task }
    }
}

async fn accept(listener: TcpListener, router: Router) {
    let free = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("a connection for metrics was not accepted: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&free).try_acquire_owned() else {
            tracing::debug!(
                "{MOST_CONNECTIONS} connections for metrics are open; one more is closed"
            );
            continue;
        };
        let router = router.clone();
        connections.spawn(async move {
            let _permit = permit;
            serve_connection(stream, router).await;
        });
    }
}

async fn serve_connection(stream: TcpStream, router: Router) {
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        // An idle connection would count.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(CONNECTION_TIMEOUT, serving).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a request for metrics failed: {error}"),
        Err(_) => tracing::debug!("a request for metrics took too long"),
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
    use std::time::Instant;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

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

    async fn started() -> Server {
        let bound = Bound::at((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        bound.serve(Arc::new(Metrics::new("1")), Arc::new(|| Ok(())))
    }

    /// What the server sends until it closes the connection, within a bound.
    async fn answer(mut stream: TcpStream) -> String {
        let mut text = Vec::new();
        let read = stream.read_to_end(&mut text);
        match tokio::time::timeout(2 * HEADER_TIMEOUT, read).await {
            Err(_) => panic!("the server keeps the connection open"),
            // A connection that was closed with unread bytes ends in a reset.
            Ok(_) => String::from_utf8(text).unwrap(),
        }
    }

    #[tokio::test]
    async fn slow_and_idle_clients_are_disconnected() {
        let server = started().await;
        let mut idle = Vec::new();
        for begin in ["", "GET /metrics HTTP/1.1\r\nHost: a\r\n"] {
            let mut stream = TcpStream::connect(server.address()).await.unwrap();
            stream.write_all(begin.as_bytes()).await.unwrap();
            idle.push(tokio::spawn(answer(stream)));
        }
        let mut served = TcpStream::connect(server.address()).await.unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
        served.write_all(request).await.unwrap();
        let text = answer(served).await;
        assert!(
            text.starts_with("HTTP/1.1 200") && text.contains("alive"),
            "{text}"
        );
        for idle in idle {
            let text = idle.await.unwrap();
            assert!(!text.contains("200"), "{text}");
        }
    }

    #[tokio::test]
    async fn the_number_of_connections_is_limited() {
        let server = started().await;
        let mut held = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            held.push(TcpStream::connect(server.address()).await.unwrap());
        }
        let late = TcpStream::connect(server.address()).await.unwrap();
        let start = Instant::now();
        assert_eq!(answer(late).await, "");
        assert!(start.elapsed() < HEADER_TIMEOUT, "it is closed at once");
        drop(held);
        let alive = async {
            while probe(server.address()).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(HEADER_TIMEOUT, alive)
            .await
            .expect("connections that ended make room for others");
    }
}
