//! The connection beneath PostgreSQL's driver: TLS or none, and rows in parts.
//!
//! The driver hands out a message when it has all of it, and keeps up to six of them.
//! PostgreSQL sends each row of a COPY in one message, so large rows would take six times
//! their size. In the protocol, the data of a COPY may be divided into messages anywhere
//! (PostgreSQL's documentation, "COPY Operations"). This connection therefore gives the
//! driver a long message of a COPY as several short ones.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::future::BoxFuture;
use shared::endpoint::TlsMode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The message type of COPY data.
const COPY_DATA: u8 = b'd';

/// Bytes of a message's type and length.
const HEADER: usize = 5;

/// Bytes of data in the messages into which a longer one is divided.
pub(crate) const PART: usize = 256 * 1024;

/// Bytes that are read at once of a message that is divided.
const READ: usize = 64 * 1024;

/// The request for TLS: its length, and a number in the place of the protocol's version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

type Encrypted = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// Connects with TLS or without it, as the endpoint asks.
///
/// The driver hands over only connections that it takes for TLS ones. It must be told that
/// TLS is required and begins without a request: this connector makes the request.
#[derive(Clone)]
pub(crate) struct Connector {
    mode: TlsMode,
    tls: MakeRustlsConnect,
}

impl Connector {
    pub(crate) fn new(mode: TlsMode, tls: MakeRustlsConnect) -> Self {
        Self { mode, tls }
    }
}

/// Why TLS was not negotiated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NegotiationError {
    /// The connection was lost before.
    #[error("error communicating with the server")]
    Lost(#[from] io::Error),
    /// The endpoint requires TLS.
    #[error("the server does not offer TLS")]
    NotOffered,
}

type Cause = Box<dyn Error + Send + Sync>;

impl MakeTlsConnect<Socket> for Connector {
    type Stream = Divided<Link>;
    type TlsConnect = HostConnector;
    type Error = Cause;

    fn make_tls_connect(&mut self, domain: &str) -> Result<HostConnector, Cause> {
        let tls = MakeTlsConnect::<Socket>::make_tls_connect(&mut self.tls, domain);
        Ok(HostConnector {
            mode: self.mode,
            tls: tls?,
        })
    }
}

/// Connects to one host.
pub(crate) struct HostConnector {
    mode: TlsMode,
    tls: <MakeRustlsConnect as MakeTlsConnect<Socket>>::TlsConnect,
}

impl TlsConnect<Socket> for HostConnector {
    type Stream = Divided<Link>;
    type Error = Cause;
    type Future = BoxFuture<'static, Result<Divided<Link>, Cause>>;

    fn connect(self, mut socket: Socket) -> Self::Future {
        Box::pin(async move {
            let accepted = match self.mode {
                TlsMode::Off => false,
                TlsMode::Prefer | TlsMode::Require | TlsMode::Strict => request_tls(&mut socket)
                    .await
                    .map_err(NegotiationError::Lost)?,
            };
            let link = if accepted {
                Link::Encrypted(Box::new(self.tls.connect(socket).await?))
            } else if matches!(self.mode, TlsMode::Require | TlsMode::Strict) {
                return Err(NegotiationError::NotOffered.into());
            } else {
                Link::Plain(socket)
            };
            Ok(Divided::new(link))
        })
    }
}

/// Asks the server for TLS. Returns whether it agrees.
async fn request_tls(socket: &mut Socket) -> io::Result<bool> {
    socket.write_all(&SSL_REQUEST).await?;
    Ok(socket.read_u8().await? == b'S')
}

/// A connection with or without TLS.
pub(crate) enum Link {
    Plain(Socket),
    Encrypted(Box<Encrypted>),
}

impl TlsStream for Divided<Link> {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.inner {
            Link::Plain(_) => ChannelBinding::none(),
            Link::Encrypted(stream) => stream.channel_binding(),
        }
    }
}

macro_rules! on_link {
    ($link:expr, $stream:ident => $call:expr) => {
        match $link.get_mut() {
            Link::Plain(socket) => {
                let $stream = Pin::new(socket);
                $call
            }
            Link::Encrypted(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on_link!(self, stream => stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        on_link!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_link!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_link!(self, stream => stream.poll_shutdown(cx))
    }
}

/// A connection whose long messages of COPY data are divided.
#[derive(Debug)]
pub(crate) struct Divided<S> {
    inner: S,
    /// The beginning of a header of which the rest has not been read.
    header: [u8; HEADER],
    header_read: usize,
    /// A header, or the beginning of one, that has not been handed out, up to `ready_end`.
    ready: [u8; HEADER],
    ready_start: usize,
    ready_end: usize,
    /// Bytes of the current message that follow.
    in_message: usize,
    /// Bytes of COPY data that follow in further messages.
    beyond: usize,
}

impl<S> Divided<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            header: [0; HEADER],
            header_read: 0,
            ready: [0; HEADER],
            ready_start: 0,
            ready_end: 0,
            in_message: 0,
            beyond: 0,
        }
    }

    /// Whether the current message is a part of a longer one.
    fn is_divided(&self) -> bool {
        self.beyond > 0
    }

    /// Takes note of a header. It is changed if the message is divided; the first part then
    /// has at least `available` bytes, if the message has so many.
    fn start_message(&mut self, header: &mut [u8; HEADER], available: usize) {
        let [kind, length @ ..] = *header;
        // The length counts itself. The driver reports a header that is malformed.
        let content = (u32::from_be_bytes(length) as usize).saturating_sub(4);
        let first = if kind == COPY_DATA {
            content.min(available.max(PART))
        } else {
            content
        };
        self.in_message = first;
        self.beyond = content - first;
        if self.beyond > 0 {
            *header = header_of(first);
        }
    }

    /// Takes note of bytes that were read. Those at the end that are the beginning of a
    /// header are kept back. Returns how many bytes are to be handed out.
    fn walk(&mut self, bytes: &mut [u8]) -> usize {
        let mut at = 0;
        loop {
            let content = self.in_message.min(bytes.len() - at);
            self.in_message -= content;
            at += content;
            if at == bytes.len() || self.is_divided() {
                return at;
            }
            let available = bytes.len() - at;
            let Some(header) = bytes[at..].first_chunk_mut::<HEADER>() else {
                self.header[..available].copy_from_slice(&bytes[at..]);
                self.header_read = available;
                return at;
            };
            let mut changed = *header;
            self.start_message(&mut changed, available - HEADER);
            *header = changed;
            at += HEADER;
        }
    }

    /// Hands out as much of what is ready as fits. Returns whether something was.
    fn hand_out(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let ready = &self.ready[self.ready_start..self.ready_end];
        let count = ready.len().min(buffer.remaining());
        buffer.put_slice(&ready[..count]);
        self.ready_start += count;
        count > 0
    }

    fn make_ready(&mut self, header: &[u8]) {
        self.ready[..header.len()].copy_from_slice(header);
        (self.ready_start, self.ready_end) = (0, header.len());
    }
}

/// The header of a message with `content` bytes of COPY data.
fn header_of(content: usize) -> [u8; HEADER] {
    // No longer than the message that it is a part of, whose length has 32 bits.
    let length = u32::try_from(content + 4).unwrap_or(u32::MAX);
    let [a, b, c, d] = length.to_be_bytes();
    [COPY_DATA, a, b, c, d]
}

impl<S: AsyncRead + Unpin> AsyncRead for Divided<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if buffer.remaining() == 0 || this.hand_out(buffer) {
                return Poll::Ready(Ok(()));
            }
            if this.header_read > 0 {
                let mut rest = ReadBuf::new(&mut this.header[this.header_read..]);
                ready!(Pin::new(&mut this.inner).poll_read(cx, &mut rest))?;
                let count = rest.filled().len();
                this.header_read += count;
                let mut header = this.header;
                if count == 0 {
                    // The connection ends within a header.
                    this.make_ready(&header[..this.header_read]);
                    this.header_read = 0;
                } else if this.header_read == HEADER {
                    this.header_read = 0;
                    this.start_message(&mut header, 0);
                    this.make_ready(&header);
                }
                continue;
            }
            if this.in_message == 0 && this.beyond > 0 {
                this.in_message = this.beyond.min(PART);
                this.beyond -= this.in_message;
                this.make_ready(&header_of(this.in_message));
                continue;
            }
            if this.is_divided() {
                // No further than the end of the part.
                let most = this.in_message.min(READ).min(buffer.remaining());
                let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
                ready!(Pin::new(&mut this.inner).poll_read(cx, &mut part))?;
                let count = part.filled().len();
                buffer.advance(count);
                this.in_message -= count;
                return Poll::Ready(Ok(()));
            }
            let before = buffer.filled().len();
            ready!(Pin::new(&mut this.inner).poll_read(cx, buffer))?;
            let read = buffer.filled().len() - before;
            let handed_out = this.walk(&mut buffer.filled_mut()[before..]);
            buffer.set_filled(before + handed_out);
            if handed_out > 0 || read == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Divided<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Gives bytes in reads of these sizes, again and again.
    struct Chunks {
        bytes: Vec<u8>,
        sizes: Vec<usize>,
        at: usize,
        reads: usize,
    }

    impl AsyncRead for Chunks {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let size = self.sizes[self.reads % self.sizes.len()];
            let end = self.bytes.len().min(self.at + size.min(buffer.remaining()));
            buffer.put_slice(&self.bytes[self.at..end]);
            self.at = end;
            self.reads += 1;
            Poll::Ready(Ok(()))
        }
    }

    fn message(kind: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&u32::try_from(content.len() + 4).unwrap().to_be_bytes());
        bytes.extend_from_slice(content);
        bytes
    }

    /// The messages of a stream: type and content.
    fn messages(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut found = Vec::new();
        while let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() {
            let [kind, length @ ..] = *header;
            let (content, rest) = rest.split_at(u32::from_be_bytes(length) as usize - 4);
            found.push((kind, content.to_vec()));
            bytes = rest;
        }
        assert!(bytes.is_empty());
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Data is divided, everything else is as it was, however it is read.
        #[test]
        fn the_data_of_a_copy_stays_the_same(
            sizes in proptest::collection::vec(1_usize..70_000, 1..6),
            buffers in proptest::collection::vec(1_usize..100_000, 1..4),
            sent in proptest::collection::vec(
                (prop_oneof![Just(COPY_DATA), Just(b'D'), Just(b'Z')],
                 prop_oneof![0_usize..10, Just(PART), 0_usize..3 * PART + 5]),
                1..8,
            ),
        ) {
            let mut bytes = Vec::new();
            for (at, (kind, length)) in sent.iter().enumerate() {
                let content: Vec<u8> = {
                    let byte = |place: usize| u8::try_from((place * 7 + at) % 251).unwrap();
                    (0..*length).map(byte).collect()
                };
                bytes.extend(message(*kind, &content));
            }
            let before = messages(&bytes);
            let inner = Chunks { bytes, sizes, at: 0, reads: 0 };
            let mut divided = Divided::new(inner);
            let mut after = Vec::new();
            let mut cx = Context::from_waker(std::task::Waker::noop());
            for buffer in buffers.iter().cycle() {
                let mut space = vec![0; *buffer];
                let mut space = ReadBuf::new(&mut space);
                let Poll::Ready(read) = Pin::new(&mut divided).poll_read(&mut cx, &mut space) else {
                    unreachable!("it is always ready")
                };
                read.unwrap();
                if space.filled().is_empty() {
                    break;
                }
                after.extend_from_slice(space.filled());
            }
            let after = messages(&after);
            for (_, content) in after.iter().filter(|(kind, _)| *kind == COPY_DATA) {
                prop_assert!(content.len() <= PART, "{}", content.len());
            }
            let mut after = after.into_iter();
            for (kind, content) in before {
                let (same, mut parts) = after.next().unwrap();
                prop_assert_eq!(same, kind);
                while parts.len() < content.len() {
                    parts.extend(after.next().unwrap().1);
                }
                prop_assert!(parts == content);
            }
            prop_assert!(after.next().is_none());
        }
    }
}
