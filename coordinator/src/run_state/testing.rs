//! Tables, outcomes and limits for tests.

use std::num::NonZeroU32;
use std::time::Duration;

use shared::endpoint::DatabaseKind;
use shared::identity::DatabaseIdentity;
use shared::ids::TableName;
use shared::message::{ColumnSelection, Side, TableSpec};
use shared::outcome::{
    Checksums, Comparison, Depth, Failure, FailureKind, FailureOrigin, Outcome, RowCounts,
};

use super::{Limits, Window};

pub(crate) fn spec(name: &str) -> TableSpec {
    let side = |endpoint: &str| Side {
        endpoint: endpoint.to_owned(),
        table: TableName {
            schema: None,
            name: name.to_owned(),
        },
    };
    TableSpec {
        source: side("source"),
        target: side("target"),
        depth: Depth::Rows,
        key: None,
        columns: ColumnSelection::default(),
        max_differences: 100,
        chunk_size: 100,
        timeout: Duration::from_secs(600),
        options: shared::options::TableOptions::default(),
    }
}

pub(crate) fn compared(differing: u64) -> Outcome {
    let checksum = |of: u64| format!("{of:032x}");
    Outcome::Compared(Comparison {
        source_count: 10,
        target_count: 10,
        checksums: Some(Checksums {
            source: checksum(0),
            target: checksum(differing),
            checksum_key: Some("0f1e2d3c".to_owned()),
        }),
        rows: Some(RowCounts {
            missing: 0,
            extra: 0,
            modified: differing,
            settled: 0,
            truncated: false,
        }),
        key: vec!["id".to_owned()],
        notes: Vec::new(),
        causes: Vec::new(),
        reads: None,
        repair: None,
        coverage: None,
    })
}

pub(crate) fn failed(retryable: bool, counts_against_budget: bool) -> Outcome {
    let kind = if retryable {
        FailureKind::ConnectionError
    } else {
        FailureKind::TableNotFound
    };
    Outcome::Failed(Failure {
        message: format!("{kind} happened"),
        kind,
        retryable,
        counts_against_budget,
        origin: FailureOrigin::Table,
    })
}

pub(crate) fn limits(window: u32) -> Limits {
    Limits {
        window: Window::Fixed(NonZeroU32::new(window).unwrap()),
        ..Limits::default()
    }
}

/// The databases `source` and `target`, the latter with the identifier `id`.
pub(crate) fn databases(id: &str) -> Vec<DatabaseIdentity> {
    let database = |endpoint: &str, id: &str| DatabaseIdentity {
        endpoint: endpoint.to_owned(),
        kind: DatabaseKind::Postgres,
        version: "15.8".to_owned(),
        host: "h".to_owned(),
        port: 5432,
        database: "d".to_owned(),
        user: "u".to_owned(),
        id: id.to_owned(),
    };
    vec![database("source", "s"), database("target", id)]
}
