//! Decides whether a received message is acted upon.
//!
//! Every process decodes a message and checks its limits. A process with a signing key also checks
//! that a process with the same key made the message, not long ago, and, of messages that only
//! concern the moment, that it has not received it before.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::envelope::{DecodeError, IssueTime, Kind, Message, decode};
use crate::signing::SigningKey;

/// Bytes of the largest message that is decoded, and the largest value of `max_message_size`: the
/// default limit of RabbitMQ 4.
pub const LARGEST_MESSAGE: usize = 16 << 20;

/// The default of `signing_max_age`: as long as the queue of a run is kept without a consumer, so
/// that events that wait for `reconcile resume` are still accepted.
pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// How old a signed control message or heartbeat may be. They are delivered at once or not at all.
const LIVE_MAX_AGE: Duration = Duration::from_secs(300);

/// How far the clocks of two hosts may differ.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// The most signed control messages and heartbeats that are remembered: those of a thousand workers
/// in [`LIVE_MAX_AGE`], twice. One takes about 60 bytes.
const REMEMBERED: usize = 120_000;

/// Why a message is not acted upon.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("it has {0} bytes, and the largest message has {LARGEST_MESSAGE}")]
    TooLarge(usize),
    #[error("it is not signed, and this process has a signing key")]
    NotSigned,
    #[error("its signature is wrong: it was signed with another key, or changed")]
    WrongSignature,
    #[error(transparent)]
    Undecodable(#[from] DecodeError),
    #[error(
        "it is {} old, and a {kind} is accepted for {}; signing_max_age under [broker] is the limit of tasks and events, and a difference between the clocks of the hosts counts too",
        humantime::format_duration(*age), humantime::format_duration(*most)
    )]
    TooOld {
        kind: Kind,
        age: Duration,
        most: Duration,
    },
    #[error(
        "it was made {} in the future by the clock of this host: synchronise the clocks of the hosts",
        humantime::format_duration(*.0)
    )]
    FromTheFuture(Duration),
    #[error("it was received before")]
    Repeated,
}

/// The checks of one process.
#[derive(Debug)]
pub struct Verifier {
    key: Option<SigningKey>,
    /// How old tasks and events may be.
    max_age: Duration,
    /// Signatures of the control messages and heartbeats that are not too old, with their times.
    received: Mutex<BTreeSet<(IssueTime, [u8; 32])>>,
}

impl Verifier {
    /// Verifies with `key`; without a key, only decodes and checks the limits.
    #[must_use]
    pub fn new(key: Option<SigningKey>, max_age: Duration) -> Self {
        Self {
            key,
            max_age,
            received: Mutex::default(),
        }
    }

    /// The signature of an encoded message, if this process has a key.
    #[must_use]
    pub fn sign(&self, kind: Kind, encoded: &[u8]) -> Option<String> {
        Some(self.key.as_ref()?.sign(kind, encoded))
    }

    /// Decodes a message if it may be acted upon at the time `now`.
    ///
    /// # Errors
    ///
    /// The reason why not.
    pub fn accept<T: Message>(
        &self,
        encoded: &[u8],
        signature: Option<&str>,
        now: IssueTime,
    ) -> Result<T, Refusal> {
        if encoded.len() > LARGEST_MESSAGE {
            return Err(Refusal::TooLarge(encoded.len()));
        }
        let Some(key) = &self.key else {
            return Ok(decode(encoded)?.0);
        };
        // The signature comes first: bytes of a stranger are not parsed.
        let tag = key
            .verify(T::KIND, encoded, signature.ok_or(Refusal::NotSigned)?)
            .ok_or(Refusal::WrongSignature)?;
        let (message, issued) = decode(encoded)?;
        self.check_age(T::KIND, issued, now)?;
        if T::KIND.is_live() && !self.remember(issued, tag, now) {
            return Err(Refusal::Repeated);
        }
        Ok(message)
    }

    fn check_age(&self, kind: Kind, issued: IssueTime, now: IssueTime) -> Result<(), Refusal> {
        let ahead = issued.since(now);
        if ahead > CLOCK_TOLERANCE {
            return Err(Refusal::FromTheFuture(ahead));
        }
        let most = if kind.is_live() {
            LIVE_MAX_AGE
        } else {
            self.max_age.saturating_add(CLOCK_TOLERANCE)
        };
        let age = now.since(issued);
        if age > most {
            return Err(Refusal::TooOld { kind, age, most });
        }
        Ok(())
    }

    /// Remembers a message until it is too old; false if it was remembered before.
    fn remember(&self, issued: IssueTime, tag: [u8; 32], now: IssueTime) -> bool {
        // No panic can happen while the lock is held.
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(&(oldest, _)) = received.first()
            && (now.since(oldest) > LIVE_MAX_AGE || received.len() >= REMEMBERED)
        {
            received.pop_first();
        }
        received.insert((issued, tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::encode_at;
    use crate::ids::{Attempt, RunId, TableId, WorkerId};
    use crate::message::{Control, Event, EventBody, WorkId};

    const NOW: IssueTime = IssueTime(1_800_000_000_000);

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_secret(&[byte; 32]).unwrap()
    }

    fn verifier() -> Verifier {
        Verifier::new(Some(key(1)), Duration::from_secs(3600))
    }

    fn ago(seconds: u64) -> IssueTime {
        IssueTime(NOW.0 - seconds * 1000)
    }

    fn event() -> Event {
        Event {
            work: WorkId {
                run: RunId::generate(),
                table: TableId(0),
                attempt: Attempt::FIRST,
            },
            worker: WorkerId::named("w"),
            body: EventBody::Claimed,
            databases: Vec::new(),
        }
    }

    fn accepted<T: Message>(
        verifier: &Verifier,
        message: &T,
        issued: IssueTime,
    ) -> Result<T, Refusal> {
        let encoded = encode_at(message, issued);
        let signature = verifier.sign(T::KIND, &encoded);
        verifier.accept(&encoded, signature.as_deref(), NOW)
    }

    #[test]
    fn an_event_is_accepted_up_to_the_age_limit_and_any_number_of_times() {
        let (verifier, event) = (verifier(), event());
        for _ in 0..2 {
            assert_eq!(accepted(&verifier, &event, ago(3600)).unwrap(), event);
        }
        let refused = accepted(&verifier, &event, ago(3600 + 301)).unwrap_err();
        assert!(refused.to_string().contains("signing_max_age"), "{refused}");
    }

    #[test]
    fn a_control_message_is_accepted_once_and_for_five_minutes() {
        let verifier = verifier();
        let control = Control::StopRun {
            run: RunId::generate(),
        };
        accepted(&verifier, &control, ago(299)).unwrap();
        assert!(matches!(
            accepted(&verifier, &control, ago(299)),
            Err(Refusal::Repeated)
        ));
        accepted(&verifier, &control, ago(298)).unwrap();
        assert!(matches!(
            accepted(&verifier, &control, ago(301)),
            Err(Refusal::TooOld { .. })
        ));
    }

    #[test]
    fn a_clock_that_is_far_ahead_is_named() {
        let early = accepted(&verifier(), &event(), IssueTime(NOW.0 + 301_000)).unwrap_err();
        assert!(early.to_string().contains("clocks"), "{early}");
        accepted(&verifier(), &event(), IssueTime(NOW.0 + 299_000)).unwrap();
    }

    #[test]
    fn only_the_same_key_kind_and_bytes_are_accepted() {
        let (ours, event) = (verifier(), event());
        let encoded = encode_at(&event, NOW);
        let accept = |signature: Option<&str>| ours.accept::<Event>(&encoded, signature, NOW);
        assert!(matches!(accept(None), Err(Refusal::NotSigned)));
        let other = Verifier::new(Some(key(2)), Duration::MAX);
        for signature in [
            other.sign(Kind::Event, &encoded),
            ours.sign(Kind::Task, &encoded),
            ours.sign(Kind::Event, &encode_at(&event, ago(1))),
            Some("not hexadecimal".to_owned()),
        ] {
            let refused = accept(signature.as_deref());
            assert!(
                matches!(refused, Err(Refusal::WrongSignature)),
                "{refused:?}"
            );
        }
        let unsigned = Verifier::new(None, Duration::ZERO);
        assert_eq!(
            unsigned.accept::<Event>(&encoded, None, NOW).unwrap(),
            event
        );
    }

    #[test]
    fn a_message_of_another_role_is_refused() {
        let ours = verifier();
        let text = String::from_utf8(encode_at(&event(), NOW)).unwrap();
        let forged = text.replacen("\"worker\"", "\"coordinator\"", 1);
        let signature = ours.sign(Kind::Event, forged.as_bytes());
        let refused = ours
            .accept::<Event>(forged.as_bytes(), signature.as_deref(), NOW)
            .unwrap_err();
        assert!(
            refused.to_string().contains("comes from a coordinator"),
            "{refused}"
        );
    }

    #[test]
    fn the_memory_of_messages_is_bounded() {
        let verifier = verifier();
        for number in 0..REMEMBERED + 10 {
            let mut tag = [0; 32];
            tag[..8].copy_from_slice(&number.to_le_bytes());
            assert!(verifier.remember(NOW, tag, NOW));
        }
        assert_eq!(verifier.received.lock().unwrap().len(), REMEMBERED);
    }
}
