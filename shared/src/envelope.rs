//! The envelope of every message on the wire: JSON with an explicit protocol version, the role of
//! the sender and the time at which the message was made.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Version of all messages. The receiver moves a message of another version to the dead-letter
/// queue.
const PROTOCOL_VERSION: u32 = 3;

/// A kind of message. A signature is valid for one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A table to compare.
    Task,
    /// A request to coordinators or workers.
    Control,
    /// What happened in an attempt.
    Event,
    /// The state of a worker.
    Heartbeat,
}

impl Kind {
    /// The word in signatures and messages to users.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Control => "control message",
            Self::Event => "event",
            Self::Heartbeat => "heartbeat",
        }
    }

    /// Whether the message only concerns the moment: it is not stored, and an old one is worthless.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Control | Self::Heartbeat)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// As what a process sends a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The coordinator of a run.
    Coordinator,
    /// A worker.
    Worker,
    /// A user at the command line.
    Operator,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Coordinator => "coordinator",
            Self::Worker => "worker",
            Self::Operator => "operator",
        })
    }
}

/// The content of an envelope.
pub trait Message: Serialize + DeserializeOwned {
    /// Its kind.
    const KIND: Kind;

    /// As what a process sends it.
    fn sender(&self) -> Role;

    /// Checks the lengths and numbers that a receiver keeps.
    ///
    /// # Errors
    ///
    /// What is too long or too many.
    fn check_bounds(&self) -> Result<(), String>;
}

/// A time in milliseconds since 1970-01-01T00:00:00Z, by the clock of the sender's host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IssueTime(pub u64);

impl IssueTime {
    /// The time of this host's clock.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = since.unwrap_or_default().as_millis();
        Self(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    /// The time from `earlier` to this; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Why bytes could not be decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// They are not JSON, or not a message of the expected type.
    #[error("undecodable message: {0}")]
    Malformed(#[from] serde_json::Error),
    /// They are a message of another protocol version.
    #[error("the message has protocol version {found}, this program needs {PROTOCOL_VERSION}")]
    Version {
        /// The version in the message.
        found: u32,
    },
    /// Processes of another role send such messages.
    #[error("the message says that it comes from a {found}, and only a {expected} sends it")]
    Sender {
        /// The role in the message.
        found: Role,
        /// The role that sends it.
        expected: Role,
    },
    /// A part of it is longer or more than a receiver keeps.
    #[error("the message exceeds a limit: {0}")]
    Bounds(String),
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    version: u32,
    sender: Role,
    issued_at_ms: IssueTime,
    body: T,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u32,
}

/// Encodes a message that is made now.
///
/// # Panics
///
/// Never: every message type serialises without an error.
#[must_use]
pub fn encode<T: Message>(body: &T) -> Vec<u8> {
    encode_at(body, IssueTime::now())
}

/// Encodes a message that was made at `issued`.
///
/// # Panics
///
/// Never: every message type serialises without an error.
#[must_use]
pub fn encode_at<T: Message>(body: &T, issued: IssueTime) -> Vec<u8> {
    serde_json::to_vec(&Envelope {
        version: PROTOCOL_VERSION,
        sender: body.sender(),
        issued_at_ms: issued,
        body,
    })
    .expect("message types have string keys and no failing serializers")
}

/// Decodes the message in `bytes`, and the time at which it was made.
///
/// # Errors
///
/// When the protocol version is another one, which is checked first; when the bytes are not a
/// message of type `T`; when another role sends such messages; when a part of it is too long.
pub fn decode<T: Message>(bytes: &[u8]) -> Result<(T, IssueTime), DecodeError> {
    let VersionOnly { version } = serde_json::from_slice(bytes)?;
    if version != PROTOCOL_VERSION {
        return Err(DecodeError::Version { found: version });
    }
    let envelope: Envelope<T> = serde_json::from_slice(bytes)?;
    let expected = envelope.body.sender();
    if envelope.sender != expected {
        return Err(DecodeError::Sender {
            found: envelope.sender,
            expected,
        });
    }
    envelope.body.check_bounds().map_err(DecodeError::Bounds)?;
    Ok((envelope.body, envelope.issued_at_ms))
}
