//! Decoding any bytes returns a message or an error, and a changed message is never taken for one
//! of another version.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::fmt::Debug;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select};
use shared::endpoint::DatabaseKind;
use shared::endpoint_state::{CheckedEndpoint, CheckedEndpoints, EndpointCheck, EndpointState};
use shared::envelope::{DecodeError, Message, decode, encode, encode_at};
use shared::identity::DatabaseIdentity;
use shared::ids::{Attempt, RunId, TableId, WorkerId};
use shared::message::{
    ColumnSelection, Control, Event, EventBody, Heartbeat, OwnedWork, Scope, Side, StatementPart,
    TableSpec, Task, UnavailableEndpoint, WorkId,
};
use shared::outcome::{
    Checksums, ColumnDifference, Comparison, Depth, Difference, DifferenceKind, Failure,
    FailureKind, FailureOrigin, OpenSession, Outcome, RowCounts,
};

/// One change of some bytes.
#[derive(Debug, Clone)]
enum Mutation {
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index, usize),
    /// Copies a piece to another position: duplicate keys, unmatched brackets.
    Copy(Index, Index, usize),
    Splice(Index, &'static str),
    Truncate(Index),
}

/// Valid and invalid pieces of the JSON of a message.
const PIECES: [&str; 22] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "18446744073709551616",
    "0.5",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "\"version\":2,",
    "\"version\":2",
    "\"body\":",
    "[[[[[[[[[[[[[[[[",
    "\"claimed\"",
];

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, bits)| Mutation::Flip(at, bits)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        (at(), 1..20_usize).prop_map(|(at, length)| Mutation::Remove(at, length)),
        (at(), at(), 1..40_usize).prop_map(|(from, to, length)| Mutation::Copy(from, to, length)),
        (at(), select(&PIECES[..])).prop_map(|(at, piece)| Mutation::Splice(at, piece)),
        at().prop_map(Mutation::Truncate),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let length = bytes.len();
    if length == 0 {
        return;
    }
    match mutation {
        Mutation::Flip(at, bits) => bytes[at.index(length)] ^= bits,
        Mutation::Insert(at, byte) => bytes.insert(at.index(length), *byte),
        Mutation::Remove(at, count) => {
            let at = at.index(length);
            drop(bytes.drain(at..(at + count).min(length)));
        }
        Mutation::Copy(from, to, count) => {
            let from = from.index(length);
            let piece = bytes[from..(from + count).min(length)].to_vec();
            let to = to.index(length);
            drop(bytes.splice(to..to, piece));
        }
        Mutation::Splice(at, piece) => {
            let at = at.index(length);
            drop(bytes.splice(at..at, piece.bytes()));
        }
        Mutation::Truncate(at) => bytes.truncate(at.index(length)),
    }
}

/// A decoded message can be encoded and decoded again.
fn survives<T: Message + PartialEq + Debug>(bytes: &[u8]) {
    match decode::<T>(bytes) {
        Ok((message, issued)) => {
            let encoded = encode_at(&message, issued);
            assert_eq!(decode::<T>(&encoded).unwrap(), (message, issued));
        }
        // The text is logged and becomes a header of the dead letter.
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Decodes the bytes as every type of message.
fn survives_every_type(bytes: &[u8]) {
    survives::<Task>(bytes);
    survives::<Event>(bytes);
    survives::<Control>(bytes);
    survives::<Heartbeat>(bytes);
}

fn work() -> WorkId {
    WorkId {
        run: RunId::generate(),
        table: TableId(3),
        attempt: Attempt::FIRST,
    }
}

fn task() -> Task {
    let side = |endpoint: &str| Side {
        endpoint: endpoint.to_owned(),
        table: "dbo.Käufe".parse().unwrap(),
    };
    let WorkId {
        run,
        table,
        attempt,
    } = work();
    Task {
        run,
        table,
        attempt,
        scope: Scope::WholeTable,
        spec: TableSpec {
            source: side("erp"),
            target: side("warehouse"),
            depth: Depth::Rows,
            key: Some(vec!["id".to_owned(), "a\"b".to_owned()]),
            columns: ColumnSelection {
                exclude: vec!["note".to_owned()],
                map: [("a".to_owned(), "b".to_owned())].into(),
                ..ColumnSelection::default()
            },
            max_differences: 1000,
            chunk_size: 500,
            timeout: Duration::from_secs(3600),
            options: shared::options::TableOptions {
                general_rules: vec![shared::options::GeneralRule {
                    columns: Some("*_at".parse().unwrap()),
                    declared: Some("datetime2".to_owned()),
                    rule: shared::options::ColumnRule::default(),
                }],
                ..shared::options::TableOptions::default()
            },
        },
        databases: vec![database()],
        avoid: vec![WorkerId::named("w")],
    }
}

fn database() -> DatabaseIdentity {
    DatabaseIdentity {
        endpoint: "erp".to_owned(),
        kind: DatabaseKind::SqlServer,
        version: "16.0.4105.2".to_owned(),
        host: "h".to_owned(),
        port: 1433,
        database: "erp".to_owned(),
        user: "reader".to_owned(),
        id: "server s".to_owned(),
    }
}

fn event(body: EventBody) -> Event {
    Event {
        work: work(),
        worker: WorkerId::named("w"),
        body,
        databases: vec![database()],
    }
}

fn finished(outcome: Outcome) -> Event {
    event(EventBody::Finished {
        outcome: Box::new(outcome),
        batches: 1,
        duration_ms: 7,
        unconfirmed: vec![OpenSession {
            endpoint: "erp".to_owned(),
            number: 51,
            name: "reconcile 1 dbo.t #00ff".to_owned(),
        }],
    })
}

fn difference() -> Difference {
    let value = serde_json::json!({"id": 1, "k": "ü"});
    Difference {
        kind: DifferenceKind::Modified,
        key: value.as_object().unwrap().clone(),
        columns: vec![ColumnDifference {
            name: "v".to_owned(),
            source: serde_json::json!("x\u{1}"),
            target: serde_json::Value::Null,
        }],
    }
}

fn comparison() -> Comparison {
    Comparison {
        source_count: u64::MAX,
        target_count: 0,
        checksums: Some(Checksums {
            source: "00ff".to_owned(),
            target: "ff00".to_owned(),
            checksum_key: Some("0f1e2d3c".to_owned()),
        }),
        rows: Some(RowCounts {
            missing: 1,
            extra: 2,
            modified: 3,
            settled: 4,
            truncated: true,
        }),
        key: vec!["id".to_owned()],
        notes: vec!["a note".to_owned()],
        causes: Vec::new(),
        reads: None,
        repair: None,
        coverage: None,
    }
}

fn checked() -> CheckedEndpoints {
    CheckedEndpoints {
        request: 7,
        endpoints: vec![CheckedEndpoint {
            endpoint: "erp".to_owned(),
            check: EndpointCheck::Reached(Box::new(EndpointState {
                database: database(),
                oldest_supported: None,
                isolation: "SNAPSHOT".to_owned(),
                is_consistent: true,
                is_encrypted: Some(true),
                is_replica: false,
                max_sessions: Some(100),
                open_sessions: Some(3),
                own_sessions: 4,
                clock_ahead_ms: -20,
                clock_error_ms: 1,
            })),
        }],
    }
}

/// One message of every shape.
fn messages() -> Vec<Vec<u8>> {
    let failure = Failure::new(FailureKind::QueryError, "no")
        .retryable()
        .uncounted();
    let mut all = vec![
        encode(&task()),
        encode(&Control::Announce),
        encode(&Control::CancelRun {
            run: RunId::generate(),
        }),
        encode(&Control::CancelAttempt { work: work() }),
        encode(&Heartbeat {
            worker: WorkerId::named("w"),
            host: "h".to_owned(),
            pid: 1,
            version: "0.1".to_owned(),
            capacity: 4,
            draining: false,
            period_ms: 5000,
            owned: vec![OwnedWork {
                work: work(),
                source_rows: 1,
                target_rows: 2,
                phase: None,
                expected_rows: None,
            }],
            endpoints: Some(vec!["erp".to_owned()]),
            unavailable: vec![UnavailableEndpoint {
                endpoint: "erp".to_owned(),
                reason: "refused".to_owned(),
            }],
            checked: Some(checked()),
        }),
        encode(&Control::CheckEndpoints {
            request: 7,
            endpoints: vec!["erp".to_owned()],
        }),
        encode(&event(EventBody::Claimed)),
        encode(&event(EventBody::Differences {
            batch: 0,
            rows: vec![difference(), difference()],
        })),
        encode(&event(EventBody::RepairPart {
            batch: 1,
            part: StatementPart {
                first: 1,
                offset: 0,
                total: 20,
                text: "{\"action\"".to_owned(),
            },
        })),
    ];
    let outcomes = [
        Outcome::Compared(comparison()),
        Outcome::Refused(
            failure
                .clone()
                .in_origin(FailureOrigin::Endpoint("erp".to_owned())),
        ),
        Outcome::Failed(failure.in_origin(FailureOrigin::Worker)),
        Outcome::Cancelled { quiet_after_ms: 1 },
        Outcome::TimedOut { quiet_after_ms: 2 },
        Outcome::HandedBack,
    ];
    all.extend(
        outcomes
            .into_iter()
            .map(|outcome| encode(&finished(outcome))),
    );
    all
}

#[test]
fn half_a_message_is_none() {
    for bytes in messages() {
        for length in 0..bytes.len() {
            let piece = &bytes[..length];
            assert!(decode::<Task>(piece).is_err(), "{length} of {bytes:?}");
            assert!(decode::<Event>(piece).is_err(), "{length} of {bytes:?}");
            assert!(decode::<Control>(piece).is_err(), "{length} of {bytes:?}");
            assert!(decode::<Heartbeat>(piece).is_err(), "{length} of {bytes:?}");
        }
    }
}

#[test]
fn brackets_without_end_are_an_error_and_no_crash() {
    for bracket in ["[", "{\"body\":", "{\"version\":2,\"body\":"] {
        let bytes = bracket.repeat(100_000).into_bytes();
        assert!(matches!(
            decode::<Event>(&bytes),
            Err(DecodeError::Malformed(_))
        ));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_message_is_a_message_or_an_error(
        which in any::<Index>(),
        mutations in proptest::collection::vec(mutation(), 1..8),
    ) {
        let messages = messages();
        let mut bytes = messages[which.index(messages.len())].clone();
        for mutation in &mutations {
            mutate(&mut bytes, mutation);
        }
        survives_every_type(&bytes);
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        survives_every_type(&bytes);
    }

    #[test]
    fn another_version_is_reported_with_any_body(version in 2..u32::MAX, body in "[a-z0-9]{0,20}") {
        let bytes = serde_json::to_vec(&serde_json::json!({"version": version, "body": {body: 1}})).unwrap();
        let refused = decode::<Task>(&bytes);
        let named = matches!(refused, Err(DecodeError::Version { found }) if found == version);
        prop_assert!(named, "{:?}", refused);
    }

    #[test]
    fn a_number_arrives_as_it_was_sent(bits in any::<u64>()) {
        let number = f64::from_bits(bits);
        let mut row = difference();
        row.columns[0].source = serde_json::json!(number);
        let sent = event(EventBody::Differences { batch: 0, rows: vec![row] });
        prop_assert_eq!(decode::<Event>(&encode(&sent)).unwrap().0, sent);
    }
}
