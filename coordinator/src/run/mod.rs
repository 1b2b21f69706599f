//! One run: from its list of tables to its report.

mod actor;
mod end;
mod observer;
mod receipt;
#[cfg(test)]
mod tests;
mod trace;

use std::sync::Arc;

use actix::{Actor as _, Addr, AsyncContext as _};
use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use shared::ids::RunId;
use shared::message::Control;
use shared::transport::{Transport, TransportError};
use tokio::sync::oneshot;

use crate::report::RunReport;
use crate::run_state::{Input, Limits, PlannedTable, Restored, RunPlan, RunState, TableScope};

use actor::{Apply, RunActor};
use trace::RunTrace;

pub(crate) use end::RunEnd;
pub use observer::RunObserver;
pub use receipt::Receipt;

/// The request for a run.
#[derive(Debug, Clone)]
pub struct RunRequest {
    pub run: RunId,
    /// Its tables, in the order in which they are reported.
    pub tables: Vec<PlannedTable>,
    /// What is left out of them, and what only the target has.
    pub scope: TableScope,
    pub limits: Limits,
    pub started_at: DateTime<Utc>,
    /// Its state, if it began under another coordinator.
    pub restored: Option<Restored>,
}

impl RunRequest {
    /// A new run over `tables`.
    #[must_use]
    pub fn new(tables: Vec<PlannedTable>, limits: Limits) -> Self {
        Self {
            run: RunId::generate(),
            tables,
            scope: TableScope::default(),
            limits,
            started_at: Utc::now(),
            restored: None,
        }
    }
}

/// Starts a run. Must be called inside an actix system.
///
/// # Errors
///
/// When the coordinator cannot subscribe to the transport.
pub async fn start(
    request: RunRequest,
    transport: Arc<dyn Transport>,
    observer: Box<dyn RunObserver>,
) -> Result<RunHandle, TransportError> {
    let run = request.run;
    // The subscriptions come first, so that no answer to a later message is missed.
    let events = transport.consume_events(run).await?;
    let heartbeats = transport.consume_heartbeats().await?;
    let controls = transport.consume_control().await?;
    let plan = RunPlan {
        run,
        tables: request.tables,
        limits: request.limits,
        task_queue: transport.task_queue(),
        seed: fastrand::u64(..),
    };
    let (done, end) = oneshot::channel();
    let trace = RunTrace::begin(run, plan.tables.len());
    let trace_id = trace.id().map(str::to_owned);
    let state = match request.restored {
        None => RunState::new(plan),
        Some(restored) => RunState::restore(plan, restored),
    }
    .with_scope(request.scope);
    let address = RunActor::create(|context| {
        context.add_stream(events);
        context.add_stream(heartbeats.map(Input::Heartbeat));
        context.add_stream(controls.filter_map(move |control| {
            let stops = control == Control::StopRun { run };
            async move { stops.then_some(Input::Cancel) }
        }));
        RunActor::new(state, request.started_at, transport, observer, trace, done)
    });
    Ok(RunHandle {
        run,
        trace_id,
        address,
        end,
    })
}

/// A run that has been started.
#[derive(Debug)]
pub struct RunHandle {
    run: RunId,
    trace_id: Option<String>,
    address: Addr<RunActor>,
    end: oneshot::Receiver<RunEnd>,
}

/// Why a run has no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the coordinator of run {0} stopped without a report; this is a defect, and the log has the details"
)]
pub struct RunLost(pub RunId);

impl RunHandle {
    /// The identifier of its trace, when traces are sent.
    pub(crate) fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    /// A handle that cancels or pauses the run.
    pub(crate) fn control(&self) -> RunControl {
        RunControl(self.address.clone())
    }

    /// Waits until every table has ended or the run is paused, and the transport has no message
    /// of the run left.
    ///
    /// # Errors
    ///
    /// When the coordinator stopped without either, which is a defect.
    pub(crate) async fn end(self) -> Result<RunEnd, RunLost> {
        self.end.await.map_err(|_| RunLost(self.run))
    }

    /// Waits until every table has ended and the transport has no message of the
    /// run left.
    ///
    /// # Errors
    ///
    /// When the coordinator stopped without a report, which is a defect.
    pub async fn report(self) -> Result<RunReport, RunLost> {
        let run = self.run;
        match self.end().await? {
            RunEnd::Ended(report) => Ok(*report),
            // Only the command line pauses runs, and it calls `end`.
            RunEnd::Paused(_) => Err(RunLost(run)),
        }
    }
}

/// Cancels or pauses a run.
#[derive(Debug, Clone)]
pub(crate) struct RunControl(Addr<RunActor>);

impl RunControl {
    /// Cancels the run: running tables are stopped, and the report has
    /// `interrupted`. A second call, or one after the end, has no effect.
    pub(crate) fn cancel(&self) {
        self.0.do_send(Apply(Input::Cancel));
    }

    /// Pauses the run: running tables are stopped, and a later coordinator continues the run.
    /// A call after the end, or after the run was cancelled, has no effect.
    pub(crate) fn pause(&self) {
        self.0.do_send(Apply(Input::Pause));
    }
}
