//! One run, from its list of tables to its report.

mod actor;
mod receipt;
#[cfg(test)]
mod tests;
mod trace;

use std::sync::Arc;

use actix::{Actor as _, Addr};
use chrono::{DateTime, Utc};
use shared::ids::{RunId, WorkerId};
use shared::transport::{Transport, TransportError};
use tokio::sync::oneshot;

use crate::report::RunReport;
use crate::run_state::{Effect, Input, Limits, PlannedTable, Restored, RunPlan, RunState};

use actor::{Feed, RunActor};
use trace::RunTrace;

pub use receipt::Receipt;

/// What is run.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// The run; unique for all times.
    pub run: RunId,
    /// Its tables, in the order in which they are reported.
    pub tables: Vec<PlannedTable>,
    /// Its limits.
    pub limits: Limits,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// What is known of it, when it began under another coordinator.
    pub restored: Option<Restored>,
}

impl RunRequest {
    /// A new run over `tables`.
    #[must_use]
    pub fn new(tables: Vec<PlannedTable>, limits: Limits) -> Self {
        Self {
            run: RunId::generate(),
            tables,
            limits,
            started_at: Utc::now(),
            restored: None,
        }
    }
}

/// Sees everything that happens in a run: for progress, metrics and the store
/// of outcomes.
pub trait RunObserver: Send + Unpin + 'static {
    /// After every input, before the effects are carried out and before the
    /// event that caused them is acknowledged: what is stored here is safe
    /// before anybody acts on it. Runs on the actor's thread, so keep it short.
    fn applied(&mut self, state: &RunState, effects: &[Effect]);

    /// Called after [`applied`](Self::applied): what the acknowledgement of the
    /// event, cancellations and the dispatch of further attempts wait for.
    fn receipt(&mut self) -> Option<Receipt> {
        None
    }
}

/// Two observers, one after the other. The second one gives the receipts.
impl<A: RunObserver, B: RunObserver> RunObserver for (A, B) {
    fn applied(&mut self, state: &RunState, effects: &[Effect]) {
        self.0.applied(state, effects);
        self.1.applied(state, effects);
    }

    fn receipt(&mut self) -> Option<Receipt> {
        self.1.receipt()
    }
}

/// One observer or none.
impl<O: RunObserver> RunObserver for Option<O> {
    fn applied(&mut self, state: &RunState, effects: &[Effect]) {
        if let Some(observer) = self {
            observer.applied(state, effects);
        }
    }

    fn receipt(&mut self) -> Option<Receipt> {
        self.as_mut().and_then(RunObserver::receipt)
    }
}

/// Sees nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl RunObserver for Unobserved {
    fn applied(&mut self, _: &RunState, _: &[Effect]) {}
}

/// Starts a run. Must be called inside an actix system.
///
/// # Errors
///
/// When the transport cannot be listened to.
pub async fn start(
    request: RunRequest,
    transport: Arc<dyn Transport>,
    observer: Box<dyn RunObserver>,
) -> Result<RunHandle, TransportError> {
    let RunRequest {
        run,
        tables,
        limits,
        started_at,
        restored,
    } = request;
    // Listening first: no answer to what is published later can be missed.
    let events = transport.consume_events(run).await?;
    let heartbeats = transport.consume_heartbeats().await?;
    let name = WorkerId::named(format!("coordinator-{run}"));
    let controls = transport.consume_control(&name).await?;
    let plan = RunPlan {
        run,
        tables,
        limits,
        task_queue: transport.task_queue(),
        seed: fastrand::u64(..),
    };
    let (done, report) = oneshot::channel();
    let trace = RunTrace::begin(run, plan.tables.len());
    let trace_id = trace.id().map(str::to_owned);
    let state = match restored {
        None => RunState::new(plan),
        Some(restored) => RunState::restore(plan, restored),
    };
    let actor = RunActor::new(state, started_at, transport, observer, trace, done);
    let address = RunActor::create(|context| {
        actor.listen(events, heartbeats, controls, context);
        actor
    });
    Ok(RunHandle {
        run,
        trace_id,
        address,
        report,
    })
}

/// A run that goes on.
#[derive(Debug)]
pub struct RunHandle {
    run: RunId,
    trace_id: Option<String>,
    address: Addr<RunActor>,
    report: oneshot::Receiver<RunReport>,
}

/// Why a run has no report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the coordinator of run {0} stopped without a report; this is a defect, the log says more")]
pub struct RunLost(pub RunId);

impl RunHandle {
    /// Which run it is.
    #[must_use]
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The number of its trace, when traces are sent.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.trace_id.as_deref()
    }

    /// Something that cancels the run, from anywhere.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller(self.address.clone())
    }

    /// Waits until every table has ended and nothing of the run is left at the transport.
    ///
    /// # Errors
    ///
    /// When the coordinator itself broke.
    pub async fn report(self) -> Result<RunReport, RunLost> {
        self.report.await.map_err(|_| RunLost(self.run))
    }
}

/// Cancels a run.
#[derive(Debug, Clone)]
pub struct Canceller(Addr<RunActor>);

impl Canceller {
    /// Ends the run: what runs is stopped, and the report says so. Again, or
    /// after the end, it has no effect.
    pub fn cancel(&self) {
        self.0.do_send(Feed(Input::Cancel));
    }
}
