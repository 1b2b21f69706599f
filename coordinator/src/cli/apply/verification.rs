//! Compares the rows of applied repairs again.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::endpoint::Endpoint;
use shared::ids::{Attempt, RunId, TableId};
use shared::message::{Scope, Task};
use shared::options::TableOptions;
use shared::outcome::{Depth, Failure, FailureKind};
use shared::signals::Signals;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use worker::engine::{Progress, ReconcileEngine, Stop, TaskContext};

use super::outcome::{AppliedTable, Verified};
use crate::cli::exit::CommandError;
use crate::repair::{Script, ScriptSet};

/// Compares the rows of all scripts and notes the results in `tables`. A signal ends it.
pub(super) async fn verify_all(
    set: &ScriptSet,
    tables: &mut [AppliedTable],
    (source, target): (Endpoint, Endpoint),
    signals: &mut Signals,
) -> Result<(), CommandError> {
    // The specifications have the names that the endpoints had in the run.
    let mut endpoints = BTreeMap::new();
    for script in &set.scripts {
        let spec = &script.header.spec;
        endpoints.insert(spec.source.endpoint.clone(), source.clone());
        endpoints.insert(spec.target.endpoint.clone(), target.clone());
    }
    let mut engine = ReconcileEngine::new(endpoints, 1);
    for script in &set.scripts {
        // A replica may not have what was written.
        engine = engine.reading_primary(&script.header.spec.target.endpoint);
    }
    for (id, (script, table)) in (0..).map(TableId).zip(set.scripts.iter().zip(tables)) {
        let mut keys: Vec<Vec<u8>> = table
            .keys
            .iter()
            .filter_map(|key| hex::decode(key).ok())
            .collect();
        keys.sort_unstable();
        keys.dedup();
        let cancel = CancellationToken::new();
        let verified = verify(&engine, task(script, id), &keys, cancel.clone());
        tokio::pin!(verified);
        let verified = tokio::select! {
            verified = &mut verified => verified,
            () = signals.next() => {
                cancel.cancel();
                // Ends when the statements have been stopped in the databases.
                verified.await
            }
        };
        table.verified = Some(verified?);
    }
    Ok(())
}

/// The comparison of the rows of one script, without a list of differences.
fn task(script: &Script, table: TableId) -> Task {
    let mut spec = script.header.spec.clone();
    spec.depth = Depth::Rows;
    spec.max_differences = 0;
    spec.options = TableOptions {
        repair: false,
        repair_keyless: false,
        redaction: None,
        hash_key: None,
        ..spec.options
    };
    Task {
        run: RunId::generate(),
        table,
        attempt: Attempt::FIRST,
        scope: Scope::WholeTable,
        spec,
        databases: Vec::new(),
    }
}

async fn verify(
    engine: &ReconcileEngine,
    task: Task,
    keys: &[Vec<u8>],
    cancel: CancellationToken,
) -> Result<Verified, CommandError> {
    let (findings, mut unused) = mpsc::channel(1);
    let context = TaskContext {
        cancel,
        progress: Arc::new(Progress::default()),
        findings,
    };
    let drained = async { while unused.recv().await.is_some() {} };
    let verified = async {
        let verified = engine.verify(&task, keys, &context).await;
        drop(context);
        verified
    };
    let (verified, ()) = tokio::join!(verified, drained);
    let (counts, all) = verified.map_err(|stop| {
        CommandError::NotVerified(match stop {
            Stop::Failed(failure) => failure,
            Stop::Cancelled => Failure::new(
                FailureKind::CancelledError,
                "the comparison was interrupted",
            ),
        })
    })?;
    Ok(Verified {
        rows: (!all).then_some(keys.len()),
        missing: counts.missing,
        extra: counts.extra,
        modified: counts.modified,
    })
}
