//! The bytes between the driver and SQL Server: TCP, with TLS where the endpoint wants it.
//!
//! The driver's own TLS trusts the system's authorities whatever else it is given. Therefore the
//! channel negotiates encryption itself, before the driver starts: the PRELOGIN messages and the
//! TLS handshake within them (MS-TDS 2.2.6.5 and 3.2.5.1). It drops the driver's PRELOGIN, and
//! answers it with that of the server, changed to "no encryption".

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls_pki_types::ServerName;
use shared::endpoint::{Endpoint, TlsMode};
use shared::failure::FailureKind;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::engine::database::session::tls;
use crate::engine::error::DatabaseError;

/// Bytes of the header of a packet: type, status, length of the whole packet (big-endian, two
/// bytes), process, number, window.
const HEADER: usize = 8;

/// The size of a packet before the login, in bytes (MS-TDS 2.2.6.4).
const PACKET: usize = 4096;

const TYPE_RESPONSE: u8 = 0x04;
const TYPE_PRELOGIN: u8 = 0x12;
const END_OF_MESSAGE: u8 = 0x01;

/// Options of PRELOGIN.
const VERSION: u8 = 0x00;
const ENCRYPTION: u8 = 0x01;
const INSTANCE: u8 = 0x02;
const THREAD: u8 = 0x03;
const MARS: u8 = 0x04;
const TERMINATOR: u8 = 0xFF;

/// Values of the option `ENCRYPTION`.
const ENCRYPT_ON: u8 = 0x01;
const ENCRYPT_NOT_SUPPORTED: u8 = 0x02;
const ENCRYPT_REQUIRED: u8 = 0x03;

const NO_TLS: &str = "install a certificate at the server; without encryption password and rows can be read on the network: write encrypt=false (tls = \"off\") only where you trust it";
const TLS_REQUIRED: &str = "write encrypt=true (tls = \"require\")";

/// A stream on which the driver logs in without encryption of its own.
#[derive(Debug)]
pub(crate) struct Channel {
    bytes: Bytes,
    prelogin: Prelogin,
}

#[derive(Debug)]
enum Bytes {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<Handshake>>),
}

/// The driver's part of PRELOGIN.
#[derive(Debug, Default)]
struct Prelogin {
    /// The header of the driver's message, as far as it was written.
    header: Vec<u8>,
    /// Bytes of the message that follow what was written.
    missing: usize,
    /// What the driver has not read of the answer.
    answer: Vec<u8>,
}

impl Channel {
    /// Negotiates encryption on a new connection with `host`.
    pub(crate) async fn open(
        mut stream: TcpStream,
        endpoint: &Endpoint,
        host: &str,
    ) -> Result<Self, DatabaseError> {
        let wanted = match endpoint.tls.mode {
            TlsMode::Off => ENCRYPT_NOT_SUPPORTED,
            TlsMode::Prefer | TlsMode::Require => ENCRYPT_ON,
        };
        let written = stream.write_all(&prelogin(wanted)).await;
        written.map_err(DatabaseError::Network)?;
        let mut answer = read_answer(&mut stream).await?;
        let Some(encryption) = encryption_of(&answer) else {
            let reason = "its PRELOGIN answer has no ENCRYPTION option".to_owned();
            return Err(DatabaseError::Malformed(reason));
        };
        let offered = std::mem::replace(&mut answer[encryption], ENCRYPT_NOT_SUPPORTED);
        let is_offered = matches!(offered, ENCRYPT_ON | ENCRYPT_REQUIRED);
        let bytes = match (endpoint.tls.mode, is_offered) {
            (TlsMode::Off | TlsMode::Prefer, false) => Bytes::Plain(stream),
            (TlsMode::Prefer | TlsMode::Require, true) => {
                Bytes::Encrypted(Box::new(encrypt(stream, endpoint, host).await?))
            }
            (TlsMode::Require, false) => {
                return Err(tls_error("the server does not offer encryption", NO_TLS));
            }
            (TlsMode::Off, true) => {
                return Err(tls_error("the server requires encryption", TLS_REQUIRED));
            }
        };
        Ok(Self {
            bytes,
            prelogin: Prelogin {
                answer,
                ..Prelogin::default()
            },
        })
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
    stream: TcpStream,
    endpoint: &Endpoint,
    host: &str,
) -> Result<TlsStream<Handshake>, DatabaseError> {
    let config = tls::client_config(&endpoint.tls)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| {
        DatabaseError::Certificates(format!("`{host}` is not the name or address of a host"))
    })?;
    // Boxed: the handshake is a large future.
    let handshake =
        Box::pin(TlsConnector::from(Arc::new(config)).connect(name, Handshake::new(stream)));
    let mut encrypted = handshake
        .await
        .map_err(|error| match tls::refusal(&error) {
            Some(reason) => DatabaseError::Certificates(reason),
            None => DatabaseError::Network(error),
        })?;
    encrypted.get_mut().0.is_over = true;
    Ok(encrypted)
}

/// A packet with the client's PRELOGIN message.
fn prelogin(encryption: u8) -> Vec<u8> {
    let options: [(u8, &[u8]); 5] = [
        // Servers record the version of the client and do not depend on it.
        (VERSION, &[0; 6]),
        (ENCRYPTION, &[encryption]),
        (INSTANCE, &[0]),
        (THREAD, &[0; 4]),
        (MARS, &[0]),
    ];
    let mut table = Vec::new();
    let mut values = Vec::new();
    let table_length = options.len() * 5 + 1;
    for (option, value) in options {
        table.push(option);
        table.extend(short(table_length + values.len()));
        table.extend(short(value.len()));
        values.extend_from_slice(value);
    }
    table.push(TERMINATOR);
    table.extend(values);
    packets(&table)
}

/// The position of the value of the option `ENCRYPTION` in a packet with a PRELOGIN message.
fn encryption_of(packet: &[u8]) -> Option<usize> {
    let mut table = packet.get(HEADER..)?;
    while let [option, rest @ ..] = table {
        if *option == TERMINATOR {
            return None;
        }
        let [high, low, _, _, rest @ ..] = rest else {
            return None;
        };
        if *option == ENCRYPTION {
            let at = HEADER + usize::from(u16::from_be_bytes([*high, *low]));
            return (at < packet.len()).then_some(at);
        }
        table = rest;
    }
    None
}

/// `message` as packets of the type PRELOGIN.
fn packets(message: &[u8]) -> Vec<u8> {
    let mut packets = Vec::with_capacity(message.len() + HEADER);
    let mut chunks = message.chunks(PACKET - HEADER).peekable();
    while let Some(chunk) = chunks.next() {
        let status = if chunks.peek().is_none() {
            END_OF_MESSAGE
        } else {
            0
        };
        packets.extend([TYPE_PRELOGIN, status]);
        packets.extend(short(HEADER + chunk.len()));
        packets.extend([0; 4]);
        packets.extend_from_slice(chunk);
    }
    packets
}

fn short(number: usize) -> [u8; 2] {
    // Lengths and positions are within one packet.
    u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes()
}

async fn read_answer(stream: &mut TcpStream) -> Result<Vec<u8>, DatabaseError> {
    let mut packet = vec![0; HEADER];
    let network = DatabaseError::Network;
    stream.read_exact(&mut packet).await.map_err(network)?;
    let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let is_complete = packet[1] & END_OF_MESSAGE != 0;
    if packet[0] != TYPE_RESPONSE || !is_complete || !(HEADER..=PACKET).contains(&length) {
        let reason = "it did not answer PRELOGIN: is it a SQL Server?".to_owned();
        return Err(DatabaseError::Malformed(reason));
    }
    packet.resize(length, 0);
    let read = stream.read_exact(&mut packet[HEADER..]).await;
    read.map_err(network)?;
    Ok(packet)
}

impl Prelogin {
    /// Drops what `written` has of the driver's message. Returns the number of dropped bytes.
    fn drop_from(&mut self, written: &[u8]) -> usize {
        let of_header = written.len().min(HEADER - self.header.len());
        if of_header > 0 {
            self.header.extend_from_slice(&written[..of_header]);
            if let [_, _, high, low, _, _, _, _] = self.header[..] {
                let length = usize::from(u16::from_be_bytes([high, low]));
                self.missing = length.saturating_sub(HEADER);
            }
        }
        let of_message = self.missing.min(written.len() - of_header);
        self.missing -= of_message;
        of_header + of_message
    }
}

impl AsyncRead for Channel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let answer = &mut self.prelogin.answer;
        if !answer.is_empty() {
            let length = answer.len().min(buffer.remaining());
            buffer.put_slice(&answer[..length]);
            answer.drain(..length);
            return Poll::Ready(Ok(()));
        }
        match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Bytes::Encrypted(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let dropped = self.prelogin.drop_from(bytes);
        if dropped > 0 {
            return Poll::Ready(Ok(dropped));
        }
        match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Bytes::Encrypted(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Bytes::Encrypted(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.bytes {
            Bytes::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Bytes::Encrypted(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Carries a TLS handshake in packets of the type PRELOGIN. After the handshake TLS runs directly
/// on TCP.
#[derive(Debug)]
struct Handshake {
    stream: TcpStream,
    is_over: bool,
    /// What TLS has written since the last flush.
    message: Vec<u8>,
    /// Packets that are not sent yet.
    sending: Vec<u8>,
    header: Vec<u8>,
    /// Bytes of the current packet that were not read yet.
    unread: usize,
}

impl Handshake {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            is_over: false,
            message: Vec::new(),
            sending: Vec::new(),
            header: Vec::new(),
            unread: 0,
        }
    }

    /// Reads the header of the next packet. `false`: the connection has ended.
    fn poll_header(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.header.len() < HEADER {
            let mut bytes = [0; HEADER];
            let mut buffer = ReadBuf::new(&mut bytes[self.header.len()..]);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(false));
            }
            self.header.extend_from_slice(buffer.filled());
        }
        let length = usize::from(u16::from_be_bytes([self.header[2], self.header[3]]));
        let is_expected = matches!(self.header[0], TYPE_PRELOGIN | TYPE_RESPONSE);
        self.header.clear();
        match length.checked_sub(HEADER) {
            Some(unread) if is_expected && unread > 0 => {
                self.unread = unread;
                Poll::Ready(Ok(true))
            }
            _ => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the server did not continue the TLS handshake",
            ))),
        }
    }
}

impl AsyncRead for Handshake {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        if self.unread == 0 && !ready!(self.poll_header(cx))? {
            return Poll::Ready(Ok(()));
        }
        let length = self.unread.min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(length));
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        self.unread -= read;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Handshake {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_over {
            return Pin::new(&mut self.stream).poll_write(cx, bytes);
        }
        self.message.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.message.is_empty() {
            let message = std::mem::take(&mut self.message);
            self.sending.extend(packets(&message));
        }
        let Self {
            stream, sending, ..
        } = &mut *self;
        while !sending.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, sending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            sending.drain(..written);
        }
        Pin::new(stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn encryption_is_found_in_a_prelogin_message() {
        let packet = prelogin(ENCRYPT_ON);
        assert_eq!(packet[..2], [TYPE_PRELOGIN, END_OF_MESSAGE]);
        assert_eq!(usize::from(packet[3]), packet.len());
        let at = encryption_of(&packet).unwrap();
        assert_eq!(packet[at], ENCRYPT_ON);
        assert_ne!(prelogin(ENCRYPT_NOT_SUPPORTED)[at], ENCRYPT_ON);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(
            answer in proptest::collection::vec(prop_oneof![0_u8..4, Just(TERMINATOR)], 0..40),
        ) {
            if let Some(at) = encryption_of(&answer) {
                prop_assert!(at < answer.len());
            }
        }

        #[test]
        fn only_the_drivers_prelogin_is_dropped(
            sizes in proptest::collection::vec(1_usize..30, 1..20),
        ) {
            let message = prelogin(ENCRYPT_NOT_SUPPORTED);
            let sent = [&message[..], b"LOGIN7"].concat();
            let mut prelogin = Prelogin::default();
            let mut at = 0;
            let mut kept = Vec::new();
            let mut sizes = sizes.into_iter().cycle();
            while at < sent.len() {
                let end = sent.len().min(at + sizes.next().unwrap_or(1));
                let dropped = prelogin.drop_from(&sent[at..end]);
                if dropped == 0 {
                    kept.extend_from_slice(&sent[at..end]);
                    at = end;
                }
                at += dropped;
            }
            prop_assert_eq!(kept, b"LOGIN7");
        }

        #[test]
        fn a_long_message_goes_in_packets(length in 1_usize..20_000) {
            let packets = packets(&vec![7; length]);
            let mut rest = &packets[..];
            let mut sum = 0;
            while !rest.is_empty() {
                let size = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
                prop_assert!((HEADER + 1..=PACKET).contains(&size));
                sum += size - HEADER;
                prop_assert_eq!(rest[1] == END_OF_MESSAGE, sum == length);
                rest = &rest[size..];
            }
            prop_assert_eq!(sum, length);
        }
    }
}
