//! The stream beneath TLS: carries the handshake in packets of the type PRELOGIN, and what follows
//! without packets (MS-TDS 2.2.6.5).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::engine::database::sql_server::packet::{HEADER, message_type, packets};

/// Carries a TLS handshake in packets of the type PRELOGIN. After the handshake TLS runs directly
/// on TCP.
#[derive(Debug)]
pub(super) struct Handshake {
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
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            is_over: false,
            message: Vec::new(),
            sending: Vec::new(),
            header: Vec::new(),
            unread: 0,
        }
    }

    /// A handshake without packets, as TDS 8.0 has it.
    pub(super) fn without_packets(stream: TcpStream) -> Self {
        Self {
            is_over: true,
            ..Self::new(stream)
        }
    }

    /// What follows has no packets.
    pub(super) fn end(&mut self) {
        self.is_over = true;
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
        let is_expected = matches!(
            self.header[0],
            message_type::PRELOGIN | message_type::RESPONSE
        );
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
            self.sending
                .extend(packets(message_type::PRELOGIN, &message));
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
