//! The stream below TLS: the records of the handshake are sent in PRELOGIN packets, later records
//! without packets.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::packet::{HEADER, message_type};

/// The most bytes of a handshake record that go into one packet.
const PAYLOAD: usize = 4096 - HEADER;

/// A socket that puts its data into PRELOGIN packets until the handshake is over.
#[derive(Debug)]
pub(crate) struct HandshakeStream<S> {
    socket: S,
    over: Arc<AtomicBool>,
    /// The part of a packet's header that has been read.
    header: Vec<u8>,
    /// Bytes of the current packet that are still to be read.
    remaining: usize,
    /// Packets for the socket.
    outgoing: Vec<u8>,
    /// The number of bytes of `outgoing` that have been written.
    written: usize,
    /// Data that is not in packets yet.
    pending: Vec<u8>,
}

impl<S> HandshakeStream<S> {
    /// The stream, and the flag that the owner sets at the end of the handshake.
    pub(crate) fn new(socket: S) -> (Self, Arc<AtomicBool>) {
        let over = Arc::new(AtomicBool::new(false));
        let stream = Self {
            socket,
            over: Arc::clone(&over),
            header: Vec::with_capacity(HEADER),
            remaining: 0,
            outgoing: Vec::new(),
            written: 0,
            pending: Vec::new(),
        };
        (stream, over)
    }

    /// The socket, for the plain messages that follow an encrypted login.
    pub(crate) fn into_inner(self) -> S {
        self.socket
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

impl<S: AsyncWrite + Unpin> HandshakeStream<S> {
    /// Writes the packets that are ready.
    fn poll_packets(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        for chunk in self.pending.chunks(PAYLOAD) {
            let length =
                u16::try_from(chunk.len() + HEADER).expect("a packet is at most 4096 bytes");
            self.outgoing
                .extend_from_slice(&[message_type::PRELOGIN, 1]);
            self.outgoing.extend_from_slice(&length.to_be_bytes());
            self.outgoing.extend_from_slice(&[0, 0, 0, 0]);
            self.outgoing.extend_from_slice(chunk);
        }
        self.pending.clear();
        while self.written < self.outgoing.len() {
            let sent = ready!(
                Pin::new(&mut self.socket).poll_write(context, &self.outgoing[self.written..])
            )?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += sent;
        }
        self.outgoing.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HandshakeStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.is_over() && this.remaining == 0 && this.header.is_empty() {
            return Pin::new(&mut this.socket).poll_read(context, buffer);
        }
        while this.remaining == 0 {
            let mut byte = [0; 1];
            let mut one = ReadBuf::new(&mut byte);
            ready!(Pin::new(&mut this.socket).poll_read(context, &mut one))?;
            if one.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.header.push(byte[0]);
            if this.header.len() == HEADER {
                let length = usize::from(u16::from_be_bytes([this.header[2], this.header[3]]));
                if this.header[0] != message_type::PRELOGIN || length < HEADER {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the client sent another packet than PRELOGIN during the TLS handshake",
                    )));
                }
                this.header.clear();
                this.remaining = length - HEADER;
            }
        }
        let wanted = this.remaining.min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(wanted));
        ready!(Pin::new(&mut this.socket).poll_read(context, &mut part))?;
        let count = part.filled().len();
        buffer.advance(count);
        this.remaining -= count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HandshakeStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.is_over() && this.pending.is_empty() && this.outgoing.is_empty() {
            return Pin::new(&mut this.socket).poll_write(context, data);
        }
        this.pending.extend_from_slice(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_packets(context))?;
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_packets(context))?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
