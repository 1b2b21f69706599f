//! The two sides of a running comparison as one value.

use std::sync::Arc;
use std::time::Instant;

use futures::future::BoxFuture;
use shared::endpoint::DatabaseKind;
use shared::message::TableSpec;
use shared::outcome::Reads;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::engine::database::filter::condition;
use crate::engine::database::scan::Query;
use crate::engine::database::session::pool::SessionLease;
use crate::engine::database::side::OpenSide;
use crate::engine::database::statement;
use crate::engine::task::{Stop, TaskContext};
use crate::engine::values::canonical::RowSink;
use crate::engine::values::column::{SideOf, Table};
use crate::engine::values::pair::Pair;

/// The input of work that needs none.
const NONE: Pair<()> = Pair {
    source: (),
    target: (),
};

#[derive(Debug)]
pub(crate) struct Sides {
    sides: Pair<OpenSide>,
    /// Stops both sides. The task's own token is left as it is.
    stop: CancellationToken,
}

impl Sides {
    /// The sides over two sessions in transactions. With `redacted`, failures do
    /// not repeat the databases' messages.
    pub(crate) fn new(leases: Pair<SessionLease>, context: &TaskContext, redacted: bool) -> Self {
        let stop = context.cancel.child_token();
        let side = |lease, side| {
            let progress = Arc::clone(&context.progress);
            let running = Arc::clone(&context.running);
            OpenSide::new(lease, (side, redacted), stop.clone(), (progress, running))
        };
        Self {
            sides: Pair {
                source: side(leases.source, SideOf::Source),
                target: side(leases.target, SideOf::Target),
            },
            stop,
        }
    }

    /// Runs `work` on both sides at the same time, on one task a side, so that two
    /// cores are used. When one side fails or panics, the other one's statement
    /// is stopped.
    ///
    /// # Errors
    ///
    /// The first failure, which wins over the cancellation that it causes, or
    /// `Stop::Cancelled`.
    ///
    /// # Panics
    ///
    /// When `work` does. The worker isolates the panic of a comparison.
    pub(crate) async fn on_both<I, T, W>(
        &mut self,
        inputs: Pair<I>,
        work: W,
    ) -> Result<Pair<T>, Stop>
    where
        I: Send + 'static,
        T: Send + 'static,
        W: for<'a> Fn(&'a mut OpenSide, I) -> BoxFuture<'a, Result<T, Stop>>
            + Clone
            + Send
            + 'static,
    {
        let Pair { source, target } = inputs;
        let source = self.spawn(SideOf::Source, source, work.clone());
        let target = self.spawn(SideOf::Target, target, work);
        let (source, target) = tokio::join!(finish(source), finish(target));
        let source = self.attach(SideOf::Source, source);
        let target = self.attach(SideOf::Target, target);
        match (source, target) {
            (Ok(source), Ok(target)) => Ok(Pair { source, target }),
            (Err(Stop::Failed(failure)), _) | (_, Err(Stop::Failed(failure))) => {
                Err(Stop::Failed(failure))
            }
            _ => Err(Stop::Cancelled),
        }
    }

    fn spawn<I, T, W>(
        &mut self,
        side: SideOf,
        input: I,
        work: W,
    ) -> JoinHandle<(OpenSide, Result<T, Stop>)>
    where
        I: Send + 'static,
        T: Send + 'static,
        W: for<'a> Fn(&'a mut OpenSide, I) -> BoxFuture<'a, Result<T, Stop>> + Send + 'static,
    {
        let mut side = self.sides[side].detach();
        let stop_both = self.stop.clone();
        let guarded = async move {
            // The guard also stops the other side when this one panics.
            let stop_other = stop_both.drop_guard();
            let result = work(&mut side, input).await;
            if result.is_ok() {
                stop_other.disarm();
            }
            (side, result)
        };
        tokio::spawn(guarded.in_current_span())
    }

    fn attach<T>(
        &mut self,
        side: SideOf,
        finished: Option<(OpenSide, Result<T, Stop>)>,
    ) -> Result<T, Stop> {
        let (open, result) = finished.ok_or(Stop::Cancelled)?;
        self.sides[side] = open;
        result
    }

    /// Reads both tables' columns and keys, and resolves which rows take part.
    pub(crate) async fn describe(&mut self, spec: &TableSpec) -> Result<Pair<Table>, Stop> {
        let names = Pair {
            source: spec.source.table.clone(),
            target: spec.target.table.clone(),
        };
        let naming = spec.options.naming;
        let mut tables = self
            .on_both(names, move |side, name| {
                Box::pin(async move { side.describe(&name, naming).await })
            })
            .await?;
        let (kinds, options) = (self.kinds(), &spec.options);
        let condition = |side, filter: &Option<String>, mark| {
            condition(kinds[side], &tables[side], filter.as_deref(), mark)
        };
        let source = condition(SideOf::Source, &options.filters.source, None)?;
        let soft_delete = options.soft_delete.as_ref();
        let target = condition(SideOf::Target, &options.filters.target, soft_delete)?;
        tables.source.condition = source;
        tables.target.condition = target;
        Ok(tables)
    }

    pub(crate) async fn count(&mut self, tables: &Pair<Table>) -> Result<Pair<u64>, Stop> {
        let kinds = self.kinds();
        let statements = Pair::of(|side| statement::count(kinds[side], &tables[side]));
        self.on_both(statements, |side, statement| {
            Box::pin(async move { side.count(&statement).await })
        })
        .await
    }

    /// Reads the rows of both queries, each into its sink.
    pub(crate) async fn scan<S: RowSink + 'static>(
        &mut self,
        queries: Pair<Query>,
        sinks: Pair<S>,
    ) -> Result<Pair<S>, Stop> {
        self.on_both(queries.zip(sinks), |side, (query, mut sink)| {
            Box::pin(async move {
                side.scan(&query, &mut sink).await?;
                Ok(sink)
            })
        })
        .await
    }

    /// Ends both transactions, waits until `due`, and begins new ones.
    pub(crate) async fn pause_until(&mut self, due: Instant) -> Result<(), Stop> {
        self.on_both(NONE, |side, ()| Box::pin(side.pause()))
            .await?;
        tokio::select! {
            () = tokio::time::sleep_until(due.into()) => {}
            () = self.stop.cancelled() => return Err(Stop::Cancelled),
        }
        self.on_both(NONE, |side, ()| Box::pin(side.resume()))
            .await?;
        Ok(())
    }

    /// One of the sides, for work that the other one has no part in.
    pub(crate) fn side(&mut self, side: SideOf) -> &mut OpenSide {
        &mut self.sides[side]
    }

    pub(crate) fn kinds(&self) -> Pair<DatabaseKind> {
        self.sides.as_ref().map(OpenSide::kind)
    }

    /// Triggered when the comparison is cancelled or one of its sides has failed.
    pub(crate) fn stop_token(&self) -> &CancellationToken {
        &self.stop
    }

    /// How and when both were read so far.
    pub(crate) fn reads(&self) -> Box<Reads> {
        let Pair { source, target } = self.sides.as_ref().map(OpenSide::read);
        Box::new(Reads { source, target })
    }

    /// Ends both transactions and gives the sessions back to their pools.
    ///
    /// # Errors
    ///
    /// When a table was replaced or altered while it was read; what was read must not be used then.
    pub(crate) async fn close(mut self) -> Result<(), Stop> {
        self.on_both(NONE, |side, ()| Box::pin(side.check()))
            .await?;
        tokio::join!(self.sides.source.close(), self.sides.target.close());
        Ok(())
    }
}

/// What a side's task returned; `None` when the runtime shut down before.
async fn finish<T>(side: JoinHandle<T>) -> Option<T> {
    match side.await {
        Ok(result) => Some(result),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => None,
        },
    }
}
