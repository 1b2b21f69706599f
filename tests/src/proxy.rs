//! A TCP proxy whose connections can be cut, stalled and forgotten: the network's faults,
//! between the product and one of its services.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use harness::services::ServiceError;

/// What happens to the bytes now.
#[derive(Debug, Clone, Copy, Default)]
struct Flow {
    /// How often connections were cut. One that was accepted under another number is over.
    cuts: u64,
    /// How often connections were forgotten. One that was accepted under another number is
    /// never closed, and its bytes are lost.
    forgotten: u64,
    /// No byte is forwarded in either direction, and no connection is closed.
    stalled: bool,
    /// A connection whose server sends more than so many bytes stalls all connections.
    stalls_after: Option<usize>,
}

/// Forwards connections to one port on loopback; it can cut or stall them.
/// Ends with this value.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    flow: watch::Sender<Flow>,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// Listens on a free port and forwards to `port`, which need not be there yet.
    ///
    /// # Errors
    ///
    /// When the operating system gives no port or no thread.
    pub fn to(port: u16) -> Result<Self, ServiceError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(ServiceError::system("start a Tokio runtime"))?;
        // Without tokio, as the caller may run in another runtime.
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(ServiceError::system("listen on loopback"))?;
        let own = listener
            .local_addr()
            .map_err(ServiceError::system("find the port of a listener"))?;
        let flow = watch::Sender::new(Flow::default());
        let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let forwarded = flow.clone();
        runtime.spawn(async move {
            if let Ok(listener) = TcpListener::from_std(listener) {
                accept(listener, upstream, forwarded).await;
            }
        });
        Ok(Self {
            port: own.port(),
            flow,
            runtime: Some(runtime),
        })
    }

    /// Where it listens, on loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `url` with this proxy's port in place of `port`.
    ///
    /// # Panics
    ///
    /// When `url` does not name loopback and a port.
    #[must_use]
    pub fn through(&self, url: &str) -> String {
        let mut url = url::Url::parse(url).expect("a service's URL is one");
        assert_eq!(
            url.host_str(),
            Some("127.0.0.1"),
            "services are on loopback"
        );
        url.set_port(Some(self.port)).expect("the URL has a host");
        url.into()
    }

    /// Ends all connections at once. New ones are forwarded.
    pub fn cut(&self) {
        self.flow.send_modify(|flow| flow.cuts += 1);
    }

    /// Loses all bytes of the open connections from now on, without closing anything, as a
    /// firewall does that has forgotten them. New connections are forwarded.
    pub fn forget(&self) {
        self.flow.send_modify(|flow| flow.forgotten += 1);
    }

    /// Stalls, as [`Self::stall`] does, when the server has sent so many bytes over a new
    /// connection.
    pub fn stall_after(&self, bytes: usize) {
        self.flow
            .send_modify(|flow| flow.stalls_after = Some(bytes));
    }

    /// Holds all bytes back, and new connections too, without closing anything.
    pub fn stall(&self) {
        self.flow.send_modify(|flow| flow.stalled = true);
    }

    /// Lets go of what [`Self::stall`] held back.
    pub fn resume(&self) {
        self.flow.send_modify(|flow| {
            flow.stalled = false;
            flow.stalls_after = None;
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Dropping it here could block, which is forbidden inside another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, flow: watch::Sender<Flow>) {
    loop {
        // Out of file descriptors: the next connection may find one.
        let Ok((client, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        tokio::spawn(forward(client, upstream, flow.clone()));
    }
}

/// Forwards one connection until either side ends it or it is cut.
async fn forward(client: TcpStream, upstream: SocketAddr, flow: watch::Sender<Flow>) {
    let Flow {
        cuts, forgotten, ..
    } = *flow.borrow();
    let mut until_cut = flow.subscribe();
    let whole = async {
        moving(&flow).await?;
        let server = TcpStream::connect(upstream).await.ok()?;
        // Nagle's algorithm would add to the measured times.
        client.set_nodelay(true).ok()?;
        server.set_nodelay(true).ok()?;
        let ((from_client, mut to_client), (mut from_server, to_server)) =
            (client.into_split(), server.into_split());
        tokio::select! {
            end = carry(from_client, to_server, &flow, forgotten) => end,
            end = async {
                let limit = flow.borrow().stalls_after;
                let first = match limit {
                    Some(limit) => limited(&mut from_server, &mut to_client, limit).await,
                    None => Some(()),
                };
                if limit.is_some() {
                    flow.send_modify(|flow| flow.stalled = true);
                }
                first?;
                carry(from_server, to_client, &flow, forgotten).await
            } => end,
        }
    };
    // Both sockets close with the end of this function.
    tokio::select! {
        _ = until_cut.wait_for(|flow| flow.cuts != cuts) => {}
        _ = whole => {}
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    flow: &watch::Sender<Flow>,
    forgotten: u64,
) -> Option<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        moving(flow).await?;
        let count = from
            .read(&mut buffer)
            .await
            .ok()
            .filter(|&count| count > 0)?;
        moving(flow).await?;
        if flow.borrow().forgotten != forgotten {
            std::future::pending::<()>().await;
        }
        to.write_all(&buffer[..count]).await.ok()?;
    }
}

/// Forwards so many bytes.
async fn limited(from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf, bytes: usize) -> Option<()> {
    let mut buffer = vec![0; bytes];
    let mut sent = 0;
    while sent < bytes {
        let count = from.read(&mut buffer[sent..]).await.ok()?;
        if count == 0 {
            return None;
        }
        to.write_all(&buffer[sent..sent + count]).await.ok()?;
        sent += count;
    }
    Some(())
}

/// Waits while the proxy is stalled. Its runtime ends with the proxy, so this never outlives it.
async fn moving(flow: &watch::Sender<Flow>) -> Option<()> {
    flow.subscribe()
        .wait_for(|flow| !flow.stalled)
        .await
        .ok()
        .map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    /// A server that sends back what it gets.
    fn echo() -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || {
                    let (mut from, mut to) = (stream.try_clone().unwrap(), stream);
                    drop(std::io::copy(&mut from, &mut to));
                });
            }
        });
        port
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    fn exchange(stream: &mut TcpStream, byte: u8) -> std::io::Result<u8> {
        stream.write_all(&[byte])?;
        let mut answer = [0];
        stream.read_exact(&mut answer)?;
        Ok(answer[0])
    }

    #[test]
    fn a_cut_ends_what_is_open_and_nothing_else() {
        let proxy = Proxy::to(echo()).unwrap();
        let mut before = connect(&proxy);
        assert_eq!(exchange(&mut before, 1).unwrap(), 1);
        proxy.cut();
        assert!(exchange(&mut before, 2).is_err());
        assert_eq!(exchange(&mut connect(&proxy), 3).unwrap(), 3);
    }

    #[test]
    fn a_forgotten_connection_stays_open_and_loses_what_is_sent() {
        let proxy = Proxy::to(echo()).unwrap();
        let mut before = connect(&proxy);
        assert_eq!(exchange(&mut before, 1).unwrap(), 1);
        proxy.forget();
        before
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let silent = exchange(&mut before, 2).unwrap_err();
        assert_eq!(silent.kind(), std::io::ErrorKind::WouldBlock, "{silent}");
        assert_eq!(exchange(&mut connect(&proxy), 3).unwrap(), 3);
    }

    #[test]
    fn a_stall_after_some_bytes_lets_those_pass() {
        let proxy = Proxy::to(echo()).unwrap();
        proxy.stall_after(2);
        let mut stream = connect(&proxy);
        assert_eq!(exchange(&mut stream, 1).unwrap(), 1);
        assert_eq!(exchange(&mut stream, 2).unwrap(), 2);
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let silent = exchange(&mut stream, 3).unwrap_err();
        assert_eq!(silent.kind(), std::io::ErrorKind::WouldBlock, "{silent}");
    }

    #[test]
    fn a_stall_holds_everything_back_and_loses_nothing() {
        let proxy = Proxy::to(echo()).unwrap();
        let mut stream = connect(&proxy);
        assert_eq!(exchange(&mut stream, 1).unwrap(), 1);
        proxy.stall();
        let mut other = connect(&proxy);
        for stream in [&mut stream, &mut other] {
            stream
                .set_read_timeout(Some(Duration::from_millis(200)))
                .unwrap();
            let silent = exchange(stream, 2).unwrap_err();
            assert_eq!(silent.kind(), std::io::ErrorKind::WouldBlock, "{silent}");
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
        }
        proxy.resume();
        for stream in [&mut stream, &mut other] {
            let mut answer = [0];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer[0], 2);
        }
    }
}
