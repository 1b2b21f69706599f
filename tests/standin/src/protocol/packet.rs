//! TDS packets (MS-TDS 2.2.3): messages are split into packets and reassembled from them.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of a packet header: type, status, length, session, packet number, window.
pub(crate) const HEADER: usize = 8;
/// Bytes of a packet before the login has negotiated a size, header included.
pub(crate) const DEFAULT_SIZE: usize = 4096;
/// The longest message in bytes that a client may send. A longer one ends the connection.
const MESSAGE_LIMIT: usize = 256 << 20;
/// The number of unsent bytes from which on complete packets are sent.
const FLUSH_AT: usize = 128 << 10;

const END_OF_MESSAGE: u8 = 0x01;
const IGNORE: u8 = 0x02;

/// Types of messages that a client sends.
pub(crate) mod message_type {
    pub(crate) const SQL_BATCH: u8 = 0x01;
    pub(crate) const RPC: u8 = 0x03;
    pub(crate) const RESPONSE: u8 = 0x04;
    pub(crate) const ATTENTION: u8 = 0x06;
    pub(crate) const TRANSACTION: u8 = 0x0E;
    pub(crate) const LOGIN7: u8 = 0x10;
    pub(crate) const SSPI: u8 = 0x11;
    pub(crate) const PRELOGIN: u8 = 0x12;
}

/// One whole message of a client.
#[derive(Debug)]
pub(crate) struct Message {
    /// One of [`message_type`].
    pub(crate) message_type: u8,
    pub(crate) body: Vec<u8>,
}

/// Reads messages from the client's half of a connection.
#[derive(Debug)]
pub(crate) struct MessageReader<R> {
    socket: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> MessageReader<R> {
    pub(crate) fn new(socket: R) -> Self {
        Self {
            socket,
            buffer: BytesMut::with_capacity(64 << 10),
        }
    }

    /// The socket, for the switch to TLS. Buffered bytes are lost.
    pub(crate) fn into_inner(self) -> R {
        self.socket
    }

    /// Reads until `wanted` bytes are buffered; false when the client closed the connection.
    async fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        while self.buffer.len() < wanted {
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(false)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
        Ok(true)
    }

    /// The next message, or `None` when the client has closed the connection between messages.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Message>> {
        let mut body = Vec::new();
        loop {
            if !self.fill(HEADER).await? {
                return if body.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
            let (message_type, status) = (self.buffer[0], self.buffer[1]);
            let length = usize::from(u16::from_be_bytes([self.buffer[2], self.buffer[3]]));
            if length < HEADER || body.len() + length > MESSAGE_LIMIT {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("the length of a TDS packet, {length} bytes, is out of range"),
                ));
            }
            self.fill(length).await?;
            if self.buffer.len() < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            body.extend_from_slice(&self.buffer[HEADER..length]);
            self.buffer.advance(length);
            if status & IGNORE != 0 {
                body.clear();
            } else if status & END_OF_MESSAGE != 0 {
                return Ok(Some(Message { message_type, body }));
            }
        }
    }
}

/// Writes one response at a time, split into packets of the negotiated size.
///
/// Only complete packets are sent, so that a response may be ended early at any time without
/// breaking the protocol.
#[derive(Debug)]
pub(crate) struct MessageWriter<W> {
    socket: W,
    buffer: Vec<u8>,
    /// The start of the current packet in `buffer`.
    packet: usize,
    size: usize,
    number: u8,
    session: u16,
}

impl<W: AsyncWrite + Unpin> MessageWriter<W> {
    pub(crate) fn new(socket: W) -> Self {
        let mut writer = Self {
            socket,
            buffer: Vec::with_capacity(FLUSH_AT + (64 << 10)),
            packet: 0,
            size: DEFAULT_SIZE,
            number: 1,
            session: 0,
        };
        writer.open_packet();
        writer
    }

    /// Sets the bytes of a packet, header included, from the next response on.
    pub(crate) fn set_packet_size(&mut self, size: usize) {
        self.size = size;
    }

    /// Sets the session number of the packet headers.
    pub(crate) fn set_session(&mut self, session: u16) {
        self.session = session;
    }

    pub(crate) fn into_inner(self) -> W {
        self.socket
    }

    fn open_packet(&mut self) {
        self.packet = self.buffer.len();
        self.buffer.extend_from_slice(&[0; HEADER]);
    }

    fn close_packet(&mut self, status: u8) {
        let length = u16::try_from(self.buffer.len() - self.packet)
            .expect("a packet is at most 32767 bytes");
        let header = &mut self.buffer[self.packet..self.packet + HEADER];
        header[0] = message_type::RESPONSE;
        header[1] = status;
        header[2..4].copy_from_slice(&length.to_be_bytes());
        header[4..6].copy_from_slice(&self.session.to_be_bytes());
        header[6] = self.number;
        self.number = self.number.wrapping_add(1);
    }

    /// Appends tokens to the response; sends nothing.
    pub(crate) fn push(&mut self, mut tokens: &[u8]) {
        loop {
            let free = self.size - (self.buffer.len() - self.packet);
            if tokens.len() <= free {
                self.buffer.extend_from_slice(tokens);
                return;
            }
            let (now, later) = tokens.split_at(free);
            self.buffer.extend_from_slice(now);
            self.close_packet(0);
            self.open_packet();
            tokens = later;
        }
    }

    /// Whether the buffer should be sent.
    pub(crate) fn is_full(&self) -> bool {
        self.packet >= FLUSH_AT
    }

    /// Sends the complete packets, and waits until the client has read enough.
    pub(crate) async fn send_complete(&mut self) -> io::Result<()> {
        if self.packet > 0 {
            self.socket.write_all(&self.buffer[..self.packet]).await?;
            self.buffer.drain(..self.packet);
            self.packet = 0;
        }
        Ok(())
    }

    /// Ends the response and sends the rest of it.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        self.close_packet(END_OF_MESSAGE);
        self.socket.write_all(&self.buffer).await?;
        self.socket.flush().await?;
        self.buffer.clear();
        self.number = 1;
        self.open_packet();
        Ok(())
    }

    /// Closes the sending half of the connection.
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        self.socket.shutdown().await
    }
}
