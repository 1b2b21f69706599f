//! What a receiver keeps of each kind of message, and its limits: a broken or hostile sender must
//! not make names, lists and numbers grow without end.
//!
//! The size of a whole message is limited by the transport. These limits concern what outlives
//! the message.

use crate::endpoint_state::{CheckedEndpoints, EndpointCheck};
use crate::envelope::{Kind, Message, Role};
use crate::identity::DatabaseIdentity;
use crate::ids::WorkerId;
use crate::message::{
    Control, Event, EventBody, Heartbeat, StatementPart, Task, UnavailableEndpoint,
};
use crate::outcome::{Failure, Outcome};

/// Bytes of the longest name of a worker, a host or an endpoint.
pub const LONGEST_NAME: usize = 255;

/// Bytes of the longest text about a database, such as its version.
const LONGEST_DATABASE_TEXT: usize = 1_024;

/// Bytes of the longest message of a failure. Workers cut longer ones before they send them.
pub const LONGEST_FAILURE: usize = 16 * 1024;

/// Bytes of the JSON of the largest repair statement.
pub const LARGEST_STATEMENT: u64 = 1 << 30;

/// The most databases that an event or a task names: one for each side, with a margin.
const MOST_DATABASES: usize = 4;

/// The most workers that a task asks to return it.
const MOST_AVOIDED: usize = 10_000;

/// The most sessions of an attempt in which a statement may still run.
const MOST_SESSIONS: usize = 64;

/// The most endpoints that a heartbeat lists.
const MOST_ENDPOINTS: usize = 10_000;

/// The most tables that a worker compares at once.
const LARGEST_CAPACITY: u32 = u16::MAX as u32;

impl Message for Task {
    const KIND: Kind = Kind::Task;

    fn sender(&self) -> Role {
        Role::Coordinator
    }

    fn check_bounds(&self) -> Result<(), String> {
        for side in [&self.spec.source, &self.spec.target] {
            name("an endpoint", &side.endpoint)?;
        }
        number("number of workers", self.avoid.len(), MOST_AVOIDED)?;
        self.avoid.iter().try_for_each(worker_name)?;
        databases(&self.databases)
    }
}

impl Message for Control {
    const KIND: Kind = Kind::Control;

    fn sender(&self) -> Role {
        match self {
            // Commands announce as the coordinator of no run.
            Self::CancelRun { .. }
            | Self::CancelAttempt { .. }
            | Self::Announce
            | Self::CheckEndpoints { .. } => Role::Coordinator,
            Self::StopRun { .. } | Self::Drain { .. } => Role::Operator,
        }
    }

    fn check_bounds(&self) -> Result<(), String> {
        match self {
            Self::Drain { worker } => worker_name(worker),
            Self::CheckEndpoints { endpoints, .. } => {
                number("number of endpoints", endpoints.len(), MOST_DATABASES)?;
                endpoints
                    .iter()
                    .try_for_each(|endpoint| name("an endpoint", endpoint))
            }
            Self::CancelRun { .. }
            | Self::CancelAttempt { .. }
            | Self::Announce
            | Self::StopRun { .. } => Ok(()),
        }
    }
}

impl Message for Event {
    const KIND: Kind = Kind::Event;

    fn sender(&self) -> Role {
        Role::Worker
    }

    fn check_bounds(&self) -> Result<(), String> {
        worker_name(&self.worker)?;
        databases(&self.databases)?;
        match &self.body {
            EventBody::Finished {
                outcome,
                unconfirmed,
                ..
            } => {
                number("number of sessions", unconfirmed.len(), MOST_SESSIONS)?;
                for session in unconfirmed {
                    name("an endpoint", &session.endpoint)?;
                }
                match &**outcome {
                    Outcome::Failed(failure) | Outcome::Refused(failure) => check_failure(failure),
                    _ => Ok(()),
                }
            }
            EventBody::RepairPart { part, .. } => check_part(part),
            EventBody::Claimed | EventBody::Differences { .. } | EventBody::Repair { .. } => Ok(()),
        }
    }
}

impl Message for Heartbeat {
    const KIND: Kind = Kind::Heartbeat;

    fn sender(&self) -> Role {
        Role::Worker
    }

    fn check_bounds(&self) -> Result<(), String> {
        worker_name(&self.worker)?;
        name("a host", &self.host)?;
        name("a version", &self.version)?;
        number("capacity", self.capacity, LARGEST_CAPACITY)?;
        let most = LARGEST_CAPACITY as usize;
        number("number of owned tables", self.owned.len(), most)?;
        let endpoints = self.endpoints.as_deref().unwrap_or_default();
        number("number of endpoints", endpoints.len(), MOST_ENDPOINTS)?;
        let unavailable = &self.unavailable;
        number("number of endpoints", unavailable.len(), MOST_ENDPOINTS)?;
        for UnavailableEndpoint { reason, .. } in unavailable {
            let length = "length in bytes of the reason why an endpoint is not available";
            number(length, reason.len(), LONGEST_FAILURE)?;
        }
        if let Some(checked) = &self.checked {
            check_checked(checked)?;
        }
        let unavailable = unavailable.iter().map(|it| &it.endpoint);
        endpoints
            .iter()
            .chain(unavailable)
            .try_for_each(|endpoint| name("an endpoint", endpoint))
    }
}

/// Parses the name of a worker that a user chose.
///
/// # Errors
///
/// When coordinators would refuse a worker of this name.
pub fn parse_worker_name(text: &str) -> Result<String, String> {
    name("a worker", text).map(|()| text.to_owned())
}

/// Shortens the message of a failure to what a coordinator accepts.
#[must_use]
pub fn shortened_failure(mut failure: Failure) -> Failure {
    if let Some(short) = shortened(&failure.message, LONGEST_FAILURE) {
        failure.message = short;
    }
    failure
}

/// The beginning of `text` in at most `longest` bytes, with a mark at its end; `None` if all of it
/// is not longer.
#[must_use]
pub fn shortened(text: &str, longest: usize) -> Option<String> {
    const MARK: &str = "…";
    if text.len() <= longest {
        return None;
    }
    let mut end = longest.saturating_sub(MARK.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Some(format!("{}{MARK}", &text[..end]))
}

fn worker_name(worker: &WorkerId) -> Result<(), String> {
    name("a worker", worker.as_str())
}

/// A name is printed and logged: it has no control characters, and is not empty.
fn name(of: &str, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("the name of {of} is empty"));
    }
    if text.chars().any(char::is_control) {
        return Err(format!("the name of {of} has control characters"));
    }
    number(
        &format!("length in bytes of the name of {of}"),
        text.len(),
        LONGEST_NAME,
    )
}

fn databases(databases: &[DatabaseIdentity]) -> Result<(), String> {
    number("number of databases", databases.len(), MOST_DATABASES)?;
    for database in databases {
        name("an endpoint", &database.endpoint)?;
        let DatabaseIdentity {
            endpoint: _,
            kind: _,
            version,
            host,
            port: _,
            database,
            user,
            id,
        } = database;
        for text in [version, host, database, user, id] {
            let length = "length in bytes of a text about a database";
            number(length, text.len(), LONGEST_DATABASE_TEXT)?;
        }
    }
    Ok(())
}

fn check_checked(checked: &CheckedEndpoints) -> Result<(), String> {
    let count = checked.endpoints.len();
    number("number of checked endpoints", count, MOST_DATABASES)?;
    for checked in &checked.endpoints {
        name("an endpoint", &checked.endpoint)?;
        match &checked.check {
            EndpointCheck::Failed(failure) => check_failure(failure)?,
            EndpointCheck::Reached(state) => {
                databases(std::slice::from_ref(&state.database))?;
                for text in [Some(&state.isolation), state.oldest_supported.as_ref()] {
                    let length = text.map_or(0, String::len);
                    number(
                        "length in bytes of a text about a database",
                        length,
                        LONGEST_NAME,
                    )?;
                }
            }
        }
    }
    Ok(())
}

fn check_failure(failure: &Failure) -> Result<(), String> {
    let kind = failure.kind.as_str().len();
    number(
        "length in bytes of the kind of a failure",
        kind,
        LONGEST_NAME,
    )?;
    let message = failure.message.len();
    number(
        "length in bytes of the message of a failure",
        message,
        LONGEST_FAILURE,
    )
}

fn check_part(part: &StatementPart) -> Result<(), String> {
    let statement = "length in bytes of a repair statement";
    number(statement, part.total, LARGEST_STATEMENT)?;
    let end = part.offset.saturating_add(part.text.len() as u64);
    number("end of a part of a repair statement", end, part.total)
}

fn number<N: PartialOrd + std::fmt::Display>(what: &str, found: N, most: N) -> Result<(), String> {
    if found > most {
        return Err(format!("the {what} is {found}, and the limit is {most}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::endpoint_state::CheckedEndpoint;
    use crate::failure::FailureKind;

    fn heartbeat() -> Heartbeat {
        Heartbeat {
            worker: WorkerId::named("host-1"),
            host: "host".to_owned(),
            pid: 1,
            version: "1".to_owned(),
            capacity: 4,
            draining: false,
            period_ms: 5_000,
            owned: Vec::new(),
            endpoints: Some(vec!["erp".to_owned()]),
            unavailable: Vec::new(),
            checked: None,
        }
    }

    #[test]
    fn a_usual_heartbeat_is_within_the_limits() {
        assert_eq!(heartbeat().check_bounds(), Ok(()));
    }

    #[test]
    fn names_and_numbers_beyond_the_limits_are_refused() {
        let long = "x".repeat(LONGEST_NAME + 1);
        for (wrong, expected) in [
            (
                Heartbeat {
                    worker: WorkerId::named(long.clone()),
                    ..heartbeat()
                },
                "the name of a worker",
            ),
            (
                Heartbeat {
                    host: "a\u{1b}[2J".to_owned(),
                    ..heartbeat()
                },
                "control characters",
            ),
            (
                Heartbeat {
                    version: String::new(),
                    ..heartbeat()
                },
                "is empty",
            ),
            (
                Heartbeat {
                    capacity: u32::MAX,
                    ..heartbeat()
                },
                "capacity",
            ),
            (
                Heartbeat {
                    endpoints: Some(vec!["e".to_owned(); 10_001]),
                    ..heartbeat()
                },
                "number of endpoints",
            ),
            (
                Heartbeat {
                    endpoints: Some(vec![long]),
                    ..heartbeat()
                },
                "the name of an endpoint",
            ),
            (
                Heartbeat {
                    checked: Some(CheckedEndpoints {
                        request: 1,
                        endpoints: vec![
                            CheckedEndpoint {
                                endpoint: "erp".to_owned(),
                                check: EndpointCheck::Failed(Failure::new(
                                    FailureKind::ConnectionError,
                                    "x".repeat(LONGEST_FAILURE + 1),
                                )),
                            };
                            1
                        ],
                    }),
                    ..heartbeat()
                },
                "the message of a failure",
            ),
        ] {
            let refused = wrong.check_bounds().unwrap_err();
            assert!(refused.contains(expected), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn a_shortened_text_is_a_beginning_of_the_text(text in "\\PC{0,40}", longest in 3_usize..60) {
            match shortened(&text, longest) {
                None => prop_assert!(text.len() <= longest),
                Some(short) => {
                    prop_assert!(text.len() > longest && short.len() <= longest);
                    prop_assert!(text.starts_with(short.strip_suffix('…').unwrap()));
                }
            }
        }
    }
}
