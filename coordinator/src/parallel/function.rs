//! An engine that calls a function of the embedding program.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use shared::message::Task;
use shared::outcome::{Comparison, Failure};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;
use worker::engine::{Engine, FindingBatch, Stop, TaskContext};

use super::findings::{Findings, failure_of};
use super::stats::{Counted, WORKERS};
use super::table::TableJob;

type Function = dyn Fn(TableJob, CancellationToken) -> BoxFuture<'static, Result<Findings, Failure>>
    + Send
    + Sync;

/// A function that compares one table, with its types erased.
#[derive(Clone)]
pub(super) struct ReconcileFunction(Arc<Function>);

impl ReconcileFunction {
    pub(super) fn new<F, Fut, T, E>(function: F) -> Self
    where
        F: Fn(TableJob, CancellationToken) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Findings>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Arc::new(move |job, cancel| {
            function(job, cancel)
                .map(|result| match result {
                    Ok(findings) => findings.into().consistent(),
                    Err(error) => Err(failure_of(error.into())),
                })
                .boxed()
        }))
    }
}

impl fmt::Debug for ReconcileFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReconcileFunction")
    }
}

/// Calls the function on the runtime of the embedding program.
#[derive(Debug)]
pub(super) struct FunctionEngine {
    function: ReconcileFunction,
    runtime: Handle,
    cancel_grace: Duration,
    /// One permit for each function that may run. The worker abandons a function
    /// that does not stop; that function keeps its permit.
    slots: Arc<Semaphore>,
}

impl FunctionEngine {
    pub(super) fn new(
        function: ReconcileFunction,
        runtime: Handle,
        concurrency: u16,
        cancel_grace: Duration,
    ) -> Self {
        Self {
            function,
            runtime,
            cancel_grace,
            slots: Arc::new(Semaphore::new(concurrency.into())),
        }
    }
}

#[async_trait]
impl Engine for FunctionEngine {
    async fn reconcile(&self, task: &Task, context: &TaskContext) -> Result<Comparison, Stop> {
        let cancel = &context.cancel;
        let Some(slot) = cancel
            .run_until_cancelled(Arc::clone(&self.slots).acquire_owned())
            .await
        else {
            return Err(Stop::Cancelled);
        };
        let (ReconcileFunction(function), job, token) = (
            self.function.clone(),
            TableJob::of(task),
            cancel.child_token(),
        );
        let work = async move {
            let _counted = (slot, Counted::new(&WORKERS));
            // The call is inside the task, because it may panic before it returns a future.
            function(job, token).await
        };
        // When this future is dropped, so is the function's.
        let mut running = AbortOnDropHandle::new(
            self.runtime
                .spawn(work.instrument(tracing::Span::current())),
        );
        let ended = tokio::select! {
            biased;
            ended = &mut running => ended,
            () = cancel.cancelled() => {
                match tokio::time::timeout(self.cancel_grace, &mut running).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        running.abort();
                        running.await
                    }
                }
            }
        };
        let findings = match ended {
            Ok(findings) => findings?,
            // The worker reports it like every other panic.
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => return Err(Stop::Cancelled),
            },
        };
        if !findings.differences.is_empty()
            && context
                .findings
                .send(FindingBatch::Rows(findings.differences))
                .await
                .is_err()
        {
            return Err(Stop::Cancelled);
        }
        Ok(findings.comparison)
    }
}
