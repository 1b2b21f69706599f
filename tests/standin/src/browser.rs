//! SQL Server Browser: tells the TCP port of the instance (MC-SQLR).

use std::io;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

/// The UDP port of SQL Server Browser.
const PORT: u16 = 1434;

/// The first byte of a request for one instance, and of the answer.
const REQUEST: u8 = 0x04;
const ANSWER: u8 = 0x05;

#[derive(Debug)]
pub(crate) struct Browser {
    socket: UdpSocket,
    instance: String,
    port: u16,
}

impl Browser {
    /// Tells the port of the server that listens on `server`, at the same IP address.
    pub(crate) async fn bind(server: SocketAddr, instance: String) -> io::Result<Self> {
        Ok(Self {
            socket: UdpSocket::bind((server.ip(), PORT)).await?,
            instance,
            port: server.port(),
        })
    }

    /// Answers requests until it is dropped. Requests for other instances have no answer.
    pub(crate) async fn answer(self) {
        let mut request = [0; 64];
        loop {
            let answered = match self.socket.recv_from(&mut request).await {
                Ok((length, client)) if self.is_meant(&request[..length]) => {
                    self.socket.send_to(&self.text(), client).await.map(drop)
                }
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = answered {
                tracing::warn!("a request for the port failed: {error}");
            }
        }
    }

    fn is_meant(&self, request: &[u8]) -> bool {
        matches!(request, [REQUEST, name @ .., 0]
            if name.eq_ignore_ascii_case(self.instance.as_bytes()))
    }

    fn text(&self) -> Vec<u8> {
        let (instance, port) = (&self.instance, self.port);
        let text = format!(
            "ServerName;STANDIN;InstanceName;{instance};IsClustered;No;Version;15.0.2000.5;tcp;{port};;"
        );
        let length = u16::try_from(text.len()).unwrap_or(0).to_le_bytes();
        [&[ANSWER], &length[..], text.as_bytes()].concat()
    }
}
