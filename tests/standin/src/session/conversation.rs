//! Who speaks when: one request at a time, and an attention at any time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_postgres::{CancelToken, NoTls};
use tokio_util::sync::CancellationToken;

use super::work::Session;
use crate::packet::{Message, MessageReader, kind};

/// A cancel request may come before its statement; it is repeated until the statement ends.
const REPEAT_CANCEL: Duration = Duration::from_millis(50);

/// Answers requests until the client leaves or the server stops.
pub(super) async fn converse<R, W>(
    mut session: Session<W>,
    reader: MessageReader<R>,
    stop: &CancellationToken,
) -> io::Result<()>
where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send,
{
    let (to_us, mut incoming) = mpsc::channel(1);
    // Ends with the client's half of the connection, or when we no longer listen.
    let listener = tokio::spawn(listen(reader, to_us));
    let outcome = answer_all(&mut session, &mut incoming, stop).await;
    listener.abort();
    // The client must not wait for what never comes.
    let goodbye = session.goodbye().await;
    outcome.and(goodbye)
}

async fn listen<R: AsyncRead + Unpin>(
    mut reader: MessageReader<R>,
    to_us: mpsc::Sender<io::Result<Message>>,
) {
    loop {
        let message = match reader.next().await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let failed = message.is_err();
        if to_us.send(message).await.is_err() || failed {
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
        if message.kind == kind::ATTENTION {
            // It came after the answer to what it meant to stop.
            session.acknowledge_attention().await?;
            continue;
        }
        if !answer(session, message, incoming, stop).await? {
            return Ok(());
        }
    }
}

/// Answers one request; whether the conversation goes on.
async fn answer<W: AsyncWrite + Unpin + Send>(
    session: &mut Session<W>,
    message: Message,
    incoming: &mut mpsc::Receiver<io::Result<Message>>,
    stop: &CancellationToken,
) -> io::Result<bool> {
    let cancel = session.cancel_token();
    let interrupted = Arc::new(AtomicBool::new(false));
    let mut ends = Ends::Goes;
    {
        let mut work = std::pin::pin!(session.answer(message, Arc::clone(&interrupted)));
        loop {
            tokio::select! {
                done = &mut work => {
                    done?;
                    break;
                }
                () = stop.cancelled(), if ends != Ends::Leaves => ends = Ends::Leaves,
                message = incoming.recv(), if ends == Ends::Goes => match message {
                    Some(Ok(message)) if message.kind == kind::ATTENTION => ends = Ends::Attention,
                    // The client left, or does not keep to the protocol.
                    _ => ends = Ends::Leaves,
                },
                () = tokio::time::sleep(REPEAT_CANCEL), if interrupted.load(Ordering::Acquire) => {
                    request_cancel(&cancel).await;
                }
            }
            if ends != Ends::Goes && !interrupted.swap(true, Ordering::AcqRel) {
                request_cancel(&cancel).await;
            }
        }
    }
    match ends {
        Ends::Goes => Ok(true),
        Ends::Leaves => Ok(false),
        Ends::Attention => {
            session.acknowledge_attention().await?;
            Ok(true)
        }
    }
}

/// How a request in work ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// By itself.
    Goes,
    /// By an attention.
    Attention,
    /// With the connection.
    Leaves,
}

async fn request_cancel(cancel: &CancelToken) {
    if let Err(error) = cancel.cancel_query(NoTls).await {
        tracing::debug!("a cancel request was not delivered: {error}");
    }
}
