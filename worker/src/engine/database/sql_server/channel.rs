//! The bytes between the driver and SQL Server: TCP, with TLS where the endpoint wants it.
//!
//! The driver's own TLS trusts the system's authorities whatever else it is given, and it has no
//! logins of a Windows domain. Therefore the channel negotiates encryption itself, before the driver
//! starts: the PRELOGIN messages and the TLS handshake within or before them (MS-TDS 2.2.6.5 and
//! 3.2.5.1), and a login that needs several messages (`integrated.rs`). It drops what the driver
//! sends for these, and answers with what the server has answered; of PRELOGIN changed to "no
//! encryption".

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls_pki_types::ServerName;
use shared::endpoint::{Endpoint, LoginMethod, TlsMode};
use shared::failure::FailureKind;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::engine::database::session::tls;
use crate::engine::database::sql_server::handshake::Handshake;
use crate::engine::database::sql_server::packet::{END_OF_MESSAGE, HEADER, PACKET, read_answer};
use crate::engine::database::sql_server::prelogin::{
    ENCRYPT_NOT_SUPPORTED, ENCRYPT_ON, ENCRYPT_REQUIRED, encryption_of, prelogin,
};
use crate::engine::error::DatabaseError;

const NO_TLS: &str = "install a certificate at the server; without encryption password and rows can be read on the network: write encrypt=false (tls = \"off\") only where you trust it";
const TLS_REQUIRED: &str = "write encrypt=true (tls = \"require\")";

/// The protocol that a client of TDS 8.0 names in its TLS handshake.
const STRICT_PROTOCOL: &[u8] = b"tds/8.0";

/// A stream on which the driver logs in without encryption of its own.
#[derive(Debug)]
pub(crate) struct Channel {
    bytes: Bytes,
    answered: Answered,
}

#[derive(Debug)]
pub(super) enum Bytes {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<Handshake>>),
}

/// The driver's messages that the channel has sent in its place.
#[derive(Debug, Default)]
struct Answered {
    /// The answers to the driver's next messages.
    answers: VecDeque<Vec<u8>>,
    /// The header of the driver's packet, as far as it was written.
    header: Vec<u8>,
    /// Bytes of the packet that follow what was written.
    missing: usize,
    /// What the driver has not read of the answers to what it has written.
    unread: Vec<u8>,
}

impl Channel {
    /// Negotiates encryption on a new connection with `host`.
    pub(crate) async fn open(
        stream: TcpStream,
        endpoint: &Endpoint,
        host: &str,
    ) -> Result<Self, DatabaseError> {
        let mode = endpoint.tls.mode;
        let has_token = endpoint.login.method == LoginMethod::Token;
        let (mut bytes, wanted) = match mode {
            TlsMode::Off => (Bytes::Plain(stream), ENCRYPT_NOT_SUPPORTED),
            TlsMode::Prefer | TlsMode::Require => (Bytes::Plain(stream), ENCRYPT_ON),
            TlsMode::Strict => {
                let stream = Handshake::without_packets(stream);
                let encrypted = encrypt(stream, endpoint, host).await?;
                (Bytes::Encrypted(encrypted), ENCRYPT_NOT_SUPPORTED)
            }
        };
        bytes.send(&prelogin(wanted, has_token)).await?;
        let mut answer = read_answer(&mut bytes).await?.packets;
        if answer.len() > PACKET {
            let reason = "its PRELOGIN answer is longer than a packet".to_owned();
            return Err(DatabaseError::Malformed(reason));
        }
        let Some(encryption) = encryption_of(&answer) else {
            let reason = "its PRELOGIN answer has no ENCRYPTION option".to_owned();
            return Err(DatabaseError::Malformed(reason));
        };
        let offered = std::mem::replace(&mut answer[encryption], ENCRYPT_NOT_SUPPORTED);
        let is_offered = matches!(offered, ENCRYPT_ON | ENCRYPT_REQUIRED);
        let bytes = match (bytes, mode, is_offered) {
            (Bytes::Plain(stream), TlsMode::Prefer | TlsMode::Require, true) => {
                let mut encrypted = encrypt(Handshake::new(stream), endpoint, host).await?;
                encrypted.get_mut().0.end();
                Bytes::Encrypted(encrypted)
            }
            (_, TlsMode::Require, false) => {
                return Err(tls_error("the server does not offer encryption", NO_TLS));
            }
            (_, TlsMode::Off, true) => {
                return Err(tls_error("the server requires encryption", TLS_REQUIRED));
            }
            (bytes, _, _) => bytes,
        };
        let mut channel = Self {
            bytes,
            answered: Answered::default(),
        };
        channel.answered.answers.push_back(answer);
        Ok(channel)
    }

    /// The stream on which the channel itself logs in, before the driver starts.
    pub(super) fn bytes(&mut self) -> &mut Bytes {
        &mut self.bytes
    }

    /// The packets with which the server has answered the channel's own login.
    pub(super) fn set_login_answer(&mut self, packets: Vec<u8>) {
        self.answered.answers.push_back(packets);
    }
}

impl Bytes {
    pub(super) async fn send(&mut self, packets: &[u8]) -> Result<(), DatabaseError> {
        let network = DatabaseError::Network;
        self.write_all(packets).await.map_err(network)?;
        self.flush().await.map_err(network)
    }
}

fn tls_error(message: &str, advice: &'static str) -> DatabaseError {
    DatabaseError::driver(
        (FailureKind::TlsError, advice),
        message.to_owned(),
        None,
        false,
    )
}

async fn encrypt(
    stream: Handshake,
    endpoint: &Endpoint,
    host: &str,
) -> Result<Box<TlsStream<Handshake>>, DatabaseError> {
    let mut config = tls::client_config(&endpoint.tls)?;
    if endpoint.tls.mode == TlsMode::Strict {
        config.alpn_protocols = vec![STRICT_PROTOCOL.to_vec()];
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|_| {
        DatabaseError::Certificates(format!("`{host}` is not the name or address of a host"))
    })?;
    // Boxed: the handshake is a large future.
    let handshake = Box::pin(TlsConnector::from(Arc::new(config)).connect(name, stream));
    let encrypted = handshake
        .await
        .map_err(|error| match tls::refusal(&error) {
            Some(reason) => DatabaseError::Certificates(reason),
            None => DatabaseError::Network(error),
        })?;
    Ok(Box::new(encrypted))
}

impl Answered {
    /// Drops what `written` has of a message that is answered already. Returns the number of
    /// dropped bytes.
    fn drop_from(&mut self, written: &[u8]) -> usize {
        if self.answers.is_empty() {
            return 0;
        }
        let of_header = written.len().min(HEADER - self.header.len());
        if of_header > 0 {
            self.header.extend_from_slice(&written[..of_header]);
            if let [_, _, high, low, _, _, _, _] = self.header[..] {
                let length = usize::from(u16::from_be_bytes([high, low]));
                self.missing = length.saturating_sub(HEADER);
            }
        }
        let of_packet = self.missing.min(written.len() - of_header);
        self.missing -= of_packet;
        if self.header.len() == HEADER && self.missing == 0 {
            if self.header[1] & END_OF_MESSAGE != 0 {
                self.unread
                    .extend(self.answers.pop_front().unwrap_or_default());
            }
            self.header.clear();
        }
        of_header + of_packet
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let unread = &mut self.answered.unread;
        if !unread.is_empty() {
            let length = unread.len().min(buffer.remaining());
            buffer.put_slice(&unread[..length]);
            unread.drain(..length);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.bytes).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let dropped = self.answered.drop_from(bytes);
        if dropped > 0 {
            return Poll::Ready(Ok(dropped));
        }
        Pin::new(&mut self.bytes).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.bytes).poll_shutdown(cx)
    }
}

impl AsyncRead for Bytes {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Bytes {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::database::sql_server::packet::{message_type, packets};

    proptest! {
        #[test]
        fn only_messages_that_are_answered_are_dropped(
            sizes in proptest::collection::vec(1_usize..300, 1..20),
            has_login in any::<bool>(),
        ) {
            let login = packets(message_type::LOGIN7, &[7; 5000]);
            let sent = [&prelogin(ENCRYPT_NOT_SUPPORTED, false)[..], &login, b"batch"].concat();
            let mut answered = Answered::default();
            answered.answers.push_back(b"prelogin".to_vec());
            if has_login {
                answered.answers.push_back(b"login".to_vec());
            }
            let mut at = 0;
            let mut kept = Vec::new();
            let mut sizes = sizes.into_iter().cycle();
            while at < sent.len() {
                let end = sent.len().min(at + sizes.next().unwrap_or(1));
                let dropped = answered.drop_from(&sent[at..end]);
                if dropped == 0 {
                    kept.extend_from_slice(&sent[at..end]);
                    at = end;
                }
                at += dropped;
            }
            let (rest, answers) = if has_login {
                (b"batch".to_vec(), &b"preloginlogin"[..])
            } else {
                ([&login[..], b"batch"].concat(), &b"prelogin"[..])
            };
            prop_assert_eq!(kept, rest);
            prop_assert_eq!(&answered.unread[..], answers);
        }
    }
}
