//! The actor of a run: passes messages of the transport to the state machine and
//! carries out its effects. It makes no decision.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{
    Actor, ActorContext as _, Addr, AsyncContext as _, Context, Handler, Message, SpawnHandle,
    StreamHandler,
};
use chrono::{DateTime, Utc};
use shared::ids::Attempt;
use shared::message::{Control, Event, Task};
use shared::transport::{Delivery, Ownership, TraceContext, Transport, TransportError};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

use super::end::RunEnd;
use super::observer::RunObserver;
use super::receipt::Receipt;
use super::trace::RunTrace;
use crate::report::RunReport;
use crate::run_state::{Effect, Input, RunState, Time, millis};

/// How long the end of a run waits for messages in transit to the broker.
const FLUSH: Duration = Duration::from_secs(5);

const CONTROL_RETRY: Duration = Duration::from_millis(500);

#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Apply(pub(super) Input);

pub(super) struct RunActor {
    /// Absent once the report has been built from it.
    state: Option<RunState>,
    started: Instant,
    started_at: DateTime<Utc>,
    /// From the start of the run to the start of this actor.
    before: Duration,
    transport: Arc<dyn Transport>,
    observer: Box<dyn RunObserver>,
    /// Absent once the report has been built.
    trace: Option<RunTrace>,
    timer: Option<(Time, SpawnHandle)>,
    /// Deliveries whose events were applied; absent at the end.
    applied: Option<mpsc::UnboundedSender<(Delivery<()>, Option<Receipt>)>>,
    /// Control messages in order; absent at the end.
    controls: Option<mpsc::UnboundedSender<(Control, Option<Receipt>)>>,
    /// Every task that this actor has spawned. They end when the senders above
    /// are dropped and all publishes are confirmed, or when `abandoned` is
    /// triggered.
    tasks: TaskTracker,
    abandoned: CancellationToken,
    end: Option<oneshot::Sender<RunEnd>>,
}

impl RunActor {
    pub(super) fn new(
        state: RunState,
        started_at: DateTime<Utc>,
        transport: Arc<dyn Transport>,
        observer: Box<dyn RunObserver>,
        trace: RunTrace,
        end: oneshot::Sender<RunEnd>,
    ) -> Self {
        Self {
            state: Some(state),
            started: Instant::now(),
            started_at,
            before: (Utc::now() - started_at).to_std().unwrap_or_default(),
            transport,
            observer,
            trace: Some(trace),
            timer: None,
            applied: None,
            controls: None,
            tasks: TaskTracker::new(),
            abandoned: CancellationToken::new(),
            end: Some(end),
        }
    }

    fn span(&self) -> Span {
        self.trace
            .as_ref()
            .map_or_else(Span::none, |trace| trace.span().clone())
    }

    fn now(&self) -> Time {
        Time(millis(self.started.elapsed()))
    }

    /// Applies an input. Returns the receipt that its acknowledgement waits for.
    fn apply(&mut self, input: Input, context: &mut Context<Self>) -> Option<Receipt> {
        let now = self.now();
        let state = self.state.as_mut()?;
        let effects = state.apply(input, now);
        self.observer.applied(state, &effects);
        let receipt = self.observer.receipt();
        for effect in effects {
            self.carry_out(effect, receipt.as_ref(), context);
        }
        self.set_timer(context);
        receipt
    }

    fn carry_out(
        &mut self,
        effect: Effect,
        receipt: Option<&Receipt>,
        context: &mut Context<Self>,
    ) {
        match effect {
            Effect::Publish(task) => {
                // The store assumes a first attempt from the start.
                let receipt = receipt.filter(|_| task.attempt > Attempt::FIRST);
                self.publish(*task, receipt.cloned(), context.address());
            }
            Effect::Control(control) => {
                if let Some(controls) = &self.controls {
                    // It is closed only with the transport, and then no worker listens.
                    controls.send((control, receipt.cloned())).ok();
                }
            }
            Effect::Complete | Effect::Paused => self.complete(context),
            Effect::TableEnded(_)
            | Effect::KeepRepair { .. }
            | Effect::KeepRepairPart { .. }
            | Effect::KeepRows { .. }
            | Effect::StatementsStopped { .. }
            | Effect::DatabasesKnown
            | Effect::Notice(_) => {}
        }
    }

    /// Publishes without waiting for other publishes, so that the broker can
    /// confirm a whole window together.
    fn publish(&self, task: Task, receipt: Option<Receipt>, address: Addr<Self>) {
        let transport = self.transport.clone();
        let abandoned = self.abandoned.clone();
        let trace = self.trace.as_ref();
        let trace = trace.map_or_else(TraceContext::default, |trace| trace.of_task(&task));
        self.tasks.spawn(async move {
            if let Some(receipt) = receipt {
                receipt.wait().await;
            }
            let work = task.work();
            let published = tokio::select! {
                published = transport.publish_task(&task, &trace) => published,
                () = abandoned.cancelled() => return,
            };
            address.do_send(Apply(match published {
                Ok(()) => Input::Published(work),
                Err(error) => Input::PublishFailed {
                    work,
                    reason: error.to_string(),
                    retryable: !matches!(error, TransportError::TooLarge(_)),
                },
            }));
        });
    }

    fn set_timer(&mut self, context: &mut Context<Self>) {
        let Some(at) = self.state.as_ref().and_then(RunState::next_wakeup) else {
            return;
        };
        if let Some((set, handle)) = self.timer {
            if set <= at {
                return;
            }
            context.cancel_future(handle);
        }
        let handle = context.run_later(at.since(self.now()), |actor, context| {
            actor.timer = None;
            actor.apply(Input::Tick, context);
        });
        self.timer = Some((at, handle));
    }

    /// Builds the report, unless the run was paused, and sends the end of the run when the
    /// transport has no message of the run left.
    fn complete(&mut self, context: &mut Context<Self>) {
        let (Some(state), Some(sender)) = (self.state.take(), self.end.take()) else {
            return;
        };
        let run = state.run();
        let span = self.span();
        let trace = self.trace.take();
        let end = match state.paused() {
            Some(paused) => {
                if let Some(trace) = trace {
                    trace.end_paused(&paused);
                }
                RunEnd::Paused(paused)
            }
            None => {
                let duration = self.before + self.started.elapsed();
                let mut report = RunReport::new(state, self.started_at, duration);
                if let Some(trace) = trace {
                    report.trace_id = trace.id().map(str::to_owned);
                    trace.end(&report);
                }
                RunEnd::Ended(Box::new(report))
            }
        };
        self.applied = None;
        self.controls = None;
        self.tasks.close();
        let (tasks, abandoned, transport) = (
            self.tasks.clone(),
            self.abandoned.clone(),
            self.transport.clone(),
        );
        // The task ends: both waits have limits.
        let send_end = async move {
            if tokio::time::timeout(FLUSH, tasks.wait()).await.is_err() {
                tracing::warn!(
                    "the broker did not confirm all messages at the end of the run in time"
                );
            }
            abandoned.cancel();
            match tokio::time::timeout(FLUSH, transport.forget_run(run)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the run's event queue could not be removed")
                }
                Err(_) => {
                    tracing::warn!("the run's event queue could not be removed in time")
                }
            }
            // If the receiver was dropped, the end is not needed.
            sender.send(end).ok();
        };
        tokio::spawn(send_end.instrument(span));
        context.stop();
    }
}

impl Actor for RunActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let (applied, deliveries) = mpsc::unbounded_channel();
        let (controls, messages) = mpsc::unbounded_channel();
        self.applied = Some(applied);
        self.controls = Some(controls);
        self.tasks
            .spawn(acknowledge(deliveries).instrument(self.span()));
        let controls = send_controls(
            messages,
            self.transport.clone(),
            context.address(),
            self.abandoned.clone(),
        );
        self.tasks.spawn(controls.instrument(self.span()));
        self.apply(Input::Begin, context);
    }
}

impl Handler<Apply> for RunActor {
    type Result = ();

    fn handle(&mut self, Apply(input): Apply, context: &mut Self::Context) {
        self.apply(input, context);
    }
}

impl StreamHandler<Delivery<Event>> for RunActor {
    fn handle(&mut self, delivery: Delivery<Event>, context: &mut Self::Context) {
        let (event, delivery) = delivery.into_parts();
        if let Some(trace) = &mut self.trace {
            trace.record_span(&event, &delivery.trace);
        }
        let receipt = self.apply(Input::Event(event), context);
        if let Some(applied) = &self.applied {
            // It is closed only with the transport.
            applied.send((delivery, receipt)).ok();
        }
    }

    fn finished(&mut self, context: &mut Self::Context) {
        self.apply(
            Input::Disconnected {
                reason: "its event stream ended".to_owned(),
            },
            context,
        );
    }
}

/// Heartbeats and control messages.
impl StreamHandler<Input> for RunActor {
    fn handle(&mut self, input: Input, context: &mut Self::Context) {
        self.apply(input, context);
    }

    /// The end of the event stream is handled; the default would stop the actor.
    fn finished(&mut self, _: &mut Self::Context) {}
}

/// Acknowledges events in the order in which they were applied, each when it is
/// durable. Ends with its channel.
async fn acknowledge(mut deliveries: mpsc::UnboundedReceiver<(Delivery<()>, Option<Receipt>)>) {
    while let Some((delivery, receipt)) = deliveries.recv().await {
        if let Some(receipt) = receipt {
            receipt.wait().await;
        }
        if delivery.ack().await == Ownership::Lost {
            tracing::debug!("an event will be delivered again, and ignored then");
        }
    }
}

/// Sends control messages in order, and repeats each until the broker confirms
/// it. Ends with its channel, with the transport, or when the run is abandoned.
async fn send_controls(
    mut messages: mpsc::UnboundedReceiver<(Control, Option<Receipt>)>,
    transport: Arc<dyn Transport>,
    coordinator: Addr<RunActor>,
    abandoned: CancellationToken,
) {
    while let Some((control, receipt)) = messages.recv().await {
        if let Some(receipt) = receipt {
            receipt.wait().await;
        }
        loop {
            let sent = tokio::select! {
                sent = transport.publish_control(&control) => sent,
                () = abandoned.cancelled() => return,
            };
            match sent {
                Ok(()) => break,
                Err(TransportError::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "a message to the workers failed and is sent again")
                }
            }
            tokio::select! {
                () = tokio::time::sleep(CONTROL_RETRY) => {}
                () = abandoned.cancelled() => return,
            }
        }
        if control == Control::Announce {
            coordinator.do_send(Apply(Input::Announced));
        }
    }
}
