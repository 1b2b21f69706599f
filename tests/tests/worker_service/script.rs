//! An engine whose steps a test scripts.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use shared::message::Task;
use shared::outcome::Comparison;
use tokio::sync::{Semaphore, watch};
use worker::engine::{Engine, Stop, TaskContext};

use super::BOUND;

/// One table that the engine was given.
pub(crate) struct Step {
    pub(crate) task: Task,
    pub(crate) context: TaskContext,
    gate: Arc<Semaphore>,
}

impl Step {
    /// Waits until the test opens the gate for one more.
    pub(crate) async fn gate(&self) {
        self.gate.acquire().await.unwrap().forget();
    }

    /// Runs until it is asked to stop, and then some.
    pub(crate) async fn until_cancelled(&self) -> Result<Comparison, Stop> {
        self.context.cancel.cancelled().await;
        tokio::time::sleep(STOPPING).await;
        Err(Stop::Cancelled)
    }
}

/// How long the engine takes to stop.
pub(crate) const STOPPING: Duration = Duration::from_millis(40);

type Played = Pin<Box<dyn Future<Output = Result<Comparison, Stop>> + Send>>;

/// Does what its script says, and counts.
pub(crate) struct ScriptedEngine {
    script: Box<dyn Fn(Step) -> Played + Send + Sync>,
    gate: Arc<Semaphore>,
    begun: Mutex<Vec<u32>>,
    running: watch::Sender<usize>,
    most: Mutex<usize>,
}

impl fmt::Debug for ScriptedEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedEngine").finish_non_exhaustive()
    }
}

impl ScriptedEngine {
    pub(crate) fn new<F>(script: impl Fn(Step) -> F + Send + Sync + 'static) -> Arc<Self>
    where
        F: Future<Output = Result<Comparison, Stop>> + Send + 'static,
    {
        Arc::new(Self {
            script: Box::new(move |step| Box::pin(script(step))),
            gate: Arc::new(Semaphore::new(0)),
            begun: Mutex::default(),
            running: watch::Sender::new(0),
            most: Mutex::default(),
        })
    }

    /// Lets so many pass the gate.
    pub(crate) fn open(&self, passes: usize) {
        self.gate.add_permits(passes);
    }

    /// Waits until so many tables run.
    pub(crate) async fn running(&self, count: usize) {
        let mut running = self.running.subscribe();
        let enough = running.wait_for(|running| *running >= count);
        let reached = tokio::time::timeout(BOUND, enough).await.map(drop);
        assert!(
            reached.is_ok(),
            "{} tables run, {count} should",
            *self.running.borrow()
        );
    }

    /// The largest number of tables that ran at the same time.
    pub(crate) fn most(&self) -> usize {
        *self.most.lock().unwrap()
    }

    /// How many tables were begun.
    pub(crate) fn begun(&self) -> usize {
        self.begun.lock().unwrap().len()
    }

    /// Which tables were begun.
    pub(crate) fn seen(&self) -> BTreeSet<u32> {
        self.begun.lock().unwrap().iter().copied().collect()
    }
}

/// Counts one table as running while it lives.
struct Counted<'a>(&'a ScriptedEngine);

impl<'a> Counted<'a> {
    fn begin(engine: &'a ScriptedEngine, table: u32) -> Self {
        engine.begun.lock().unwrap().push(table);
        engine.running.send_modify(|running| *running += 1);
        let running = *engine.running.borrow();
        let mut most = engine.most.lock().unwrap();
        *most = running.max(*most);
        Self(engine)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
    }
}

#[async_trait]
impl Engine for ScriptedEngine {
    async fn reconcile(&self, task: &Task, context: &TaskContext) -> Result<Comparison, Stop> {
        let _counted = Counted::begin(self, task.table.0);
        let step = Step {
            task: task.clone(),
            context: context.clone(),
            gate: Arc::clone(&self.gate),
        };
        (self.script)(step).await
    }
}

/// Two equal tables.
pub(crate) fn equal() -> Comparison {
    Comparison {
        source_count: 7,
        target_count: 7,
        checksums: None,
        rows: None,
        key: Vec::new(),
        notes: Vec::new(),
        causes: Vec::new(),
        reads: None,
        repair: None,
        coverage: None,
    }
}

/// Runs a test where actors live, on a runtime with several threads.
pub(crate) fn in_system<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    };
    actix_rt::System::with_tokio_rt(runtime).block_on(test());
}
