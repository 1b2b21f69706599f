//! A minimal Pushgateway, which stores the requests that it receives.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};

/// A received request.
#[derive(Debug, Clone)]
pub(crate) struct Pushed {
    /// "PUT /metrics/…"
    pub(crate) request: String,
    pub(crate) content_type: String,
    pub(crate) body: String,
}

/// Keeps everything, and answers with one and the same status.
#[derive(Debug)]
pub(crate) struct Gateway {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Pushed>>>,
    // Ends the server.
    _runtime: Runtime,
}

impl Gateway {
    pub(crate) fn start(status: u16) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::<Mutex<Vec<Pushed>>>::default();
        let kept = Arc::clone(&received);
        let status = StatusCode::from_u16(status).unwrap();
        let router = Router::new().fallback(
            async move |method: Method, uri: Uri, headers: HeaderMap, body: String| {
                kept.lock().unwrap().push(Pushed {
                    request: format!("{method} {uri}"),
                    content_type: headers["content-type"].to_str().unwrap().to_owned(),
                    body,
                });
                (status, "no")
            },
        );
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            received,
            _runtime: runtime,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn received(&self) -> Vec<Pushed> {
        self.received.lock().unwrap().clone()
    }
}
