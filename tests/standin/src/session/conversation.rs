//! The order of messages: one request at a time, and an attention at any time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_postgres::{CancelToken, NoTls};
use tokio_util::sync::CancellationToken;

use super::state::Session;
use crate::protocol::packet::{Message, MessageReader, message_type};

/// A cancel request may reach PostgreSQL before its statement, so it is repeated at this interval
/// until the statement ends.
const REPEAT_CANCEL: Duration = Duration::from_millis(50);

/// Answers requests until the client disconnects or the server stops.
pub(super) async fn converse<R, W>(
    mut session: Session<W>,
    reader: MessageReader<R>,
    stop: &CancellationToken,
) -> io::Result<()>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send,
{
    let (sender, mut incoming) = mpsc::channel(1);
    // Ends with the client's half of the connection, or when the receiver is dropped.
    let listener = tokio::spawn(listen(reader, sender));
    let outcome = answer_all(&mut session, &mut incoming, stop).await;
    listener.abort();
    let closed = session.close().await;
    outcome.and(closed)
}

async fn listen<R: AsyncRead + Unpin>(
    mut reader: MessageReader<R>,
    sender: mpsc::Sender<io::Result<Message>>,
) {
    loop {
        let message = match reader.next().await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let failed = message.is_err();
        if sender.send(message).await.is_err() || failed {
            return;
        }
    }
}

async fn answer_all<W: AsyncWrite + Unpin + Send>(
    session: &mut Session<W>,
    incoming: &mut mpsc::Receiver<io::Result<Message>>,
    stop: &CancellationToken,
) -> io::Result<()> {
    loop {
        let message = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            message = incoming.recv() => match message {
                Some(message) => message?,
                None => return Ok(()),
            },
        };
        if message.message_type == message_type::ATTENTION {
            // The request that it was to stop has already been answered.
            session.acknowledge_attention().await?;
            continue;
        }
        if !answer(session, message, incoming, stop).await? {
            return Ok(());
        }
    }
}

/// Answers one request; returns whether the session continues.
async fn answer<W: AsyncWrite + Unpin + Send>(
    session: &mut Session<W>,
    message: Message,
    incoming: &mut mpsc::Receiver<io::Result<Message>>,
    stop: &CancellationToken,
) -> io::Result<bool> {
    let cancel = session.cancel_token();
    let interrupted = Arc::new(AtomicBool::new(false));
    let mut end = RequestEnd::Completed;
    {
        let mut work = std::pin::pin!(session.answer(message, Arc::clone(&interrupted)));
        loop {
            tokio::select! {
                done = &mut work => {
                    done?;
                    break;
                }
                () = stop.cancelled(), if end != RequestEnd::Disconnect => end = RequestEnd::Disconnect,
                message = incoming.recv(), if end == RequestEnd::Completed => match message {
                    Some(Ok(message)) if message.message_type == message_type::ATTENTION => {
                        end = RequestEnd::Attention;
                    }
                    // The client disconnected or violated the protocol.
                    _ => end = RequestEnd::Disconnect,
                },
                () = tokio::time::sleep(REPEAT_CANCEL), if interrupted.load(Ordering::Acquire) => {
                    request_cancel(&cancel).await;
                }
            }
            if end != RequestEnd::Completed && !interrupted.swap(true, Ordering::AcqRel) {
                request_cancel(&cancel).await;
            }
        }
    }
    match end {
        RequestEnd::Completed => Ok(true),
        RequestEnd::Disconnect => Ok(false),
        RequestEnd::Attention => {
            session.acknowledge_attention().await?;
            Ok(true)
        }
    }
}

/// How a running request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestEnd {
    /// Without an interruption.
    Completed,
    /// By an attention.
    Attention,
    /// With the connection.
    Disconnect,
}

async fn request_cancel(cancel: &CancelToken) {
    if let Err(error) = cancel.cancel_query(NoTls).await {
        tracing::debug!("a cancel request was not delivered: {error}");
    }
}
