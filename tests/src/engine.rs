//! Runs the engine without a worker: one comparison between two databases.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::endpoint::Endpoint;
use shared::ids::{Attempt, RunId, TableId};
use shared::message::{ColumnSelection, Scope, Side, TableSpec, Task};
use shared::options::TableOptions;
use shared::outcome::{Comparison, Depth, Difference, RowCounts};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use worker::engine::{
    Engine, FindingBatch, Progress, ReconcileEngine, RunningStatements, Stop, TaskContext,
};

/// An engine between a source and a target, and how it compares.
#[derive(Debug)]
pub struct Bench {
    engine: ReconcileEngine,
    /// What is compared with what, and how.
    pub spec: TableSpec,
}

/// What a comparison found.
#[derive(Debug)]
pub struct Finding {
    /// Its result.
    pub comparison: Comparison,
    /// The rows that it listed, in their order.
    pub listed: Vec<Difference>,
    /// Rows that it read of the source and of the target, each as often as it was read.
    pub read: (u64, u64),
}

impl Bench {
    /// An engine that compares table `t` of both databases by row and lists 10 rows.
    ///
    /// # Panics
    ///
    /// When a URL is none.
    #[must_use]
    pub fn new(source: &str, target: &str) -> Self {
        let endpoint = |name: &str, url: &str| {
            let endpoint = Endpoint::from_url(name, url).unwrap_or_else(|error| panic!("{error}"));
            (name.to_owned(), endpoint)
        };
        let side = |name: &str| Side {
            endpoint: name.to_owned(),
            table: "t".parse().unwrap_or_else(|error| panic!("{error}")),
        };
        Self {
            engine: ReconcileEngine::new(
                BTreeMap::from([endpoint("source", source), endpoint("target", target)]),
                4,
            ),
            spec: TableSpec {
                source: side("source"),
                target: side("target"),
                depth: Depth::Rows,
                key: None,
                columns: ColumnSelection::default(),
                max_differences: 10,
                chunk_size: 1000,
                timeout: Duration::from_secs(120),
                // Many tests compare a table with itself.
                options: TableOptions {
                    allow_same: true,
                    ..TableOptions::default()
                },
            },
        }
    }

    /// Compares the tables of these names.
    ///
    /// # Panics
    ///
    /// When a name is none.
    #[must_use]
    pub fn tables(mut self, source: &str, target: &str) -> Self {
        let name = |text: &str| text.parse().unwrap_or_else(|error| panic!("{error}"));
        (self.spec.source.table, self.spec.target.table) = (name(source), name(target));
        self
    }

    /// Compares with other options.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut TableSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// Compares to the end.
    ///
    /// # Errors
    ///
    /// As the engine.
    pub async fn run(&self) -> Result<Finding, Stop> {
        self.run_until(&CancellationToken::new()).await
    }

    /// Compares only the rows with these encoded keys, if they can be looked up. Returns
    /// how many differ, and whether all rows were compared.
    ///
    /// # Errors
    ///
    /// As the engine.
    pub async fn verify(&self, keys: &[Vec<u8>]) -> Result<(RowCounts, bool), Stop> {
        let (sender, _receiver) = mpsc::channel(4);
        let context = TaskContext {
            cancel: CancellationToken::new(),
            progress: Arc::new(Progress::default()),
            running: Arc::default(),
            findings: sender,
        };
        self.engine.verify(&self.task(), keys, &context).await
    }

    fn task(&self) -> Task {
        Task {
            run: RunId::generate(),
            table: TableId(0),
            attempt: Attempt::FIRST,
            scope: Scope::WholeTable,
            spec: self.spec.clone(),
            databases: Vec::new(),
            avoid: Vec::new(),
        }
    }

    /// Compares to the end or until `cancel` is triggered.
    ///
    /// # Errors
    ///
    /// As the engine.
    pub async fn run_until(&self, cancel: &CancellationToken) -> Result<Finding, Stop> {
        self.run_listed(cancel, &Arc::default()).await
    }

    /// The same, with the sessions listed whose statements run.
    ///
    /// # Errors
    ///
    /// As the engine.
    pub async fn run_listed(
        &self,
        cancel: &CancellationToken,
        running: &Arc<RunningStatements>,
    ) -> Result<Finding, Stop> {
        let (sender, mut receiver) = mpsc::channel(4);
        let progress = Arc::new(Progress::default());
        let context = TaskContext {
            cancel: cancel.clone(),
            progress: Arc::clone(&progress),
            running: Arc::clone(running),
            findings: sender,
        };
        let task = self.task();
        let gather = async {
            let mut listed = Vec::new();
            while let Some(found) = receiver.recv().await {
                if let FindingBatch::Rows(rows) = found {
                    listed.extend(rows);
                }
            }
            listed
        };
        let compare = async {
            let result = self.engine.reconcile(&task, &context).await;
            drop(context);
            result
        };
        let (result, listed) = tokio::join!(compare, gather);
        Ok(Finding {
            comparison: result?,
            listed,
            read: progress.rows(),
        })
    }
}

impl Finding {
    /// Rows missing, extra and modified.
    #[must_use]
    pub fn counts(&self) -> (u64, u64, u64) {
        let rows = self.comparison.rows.as_ref();
        rows.map_or((0, 0, 0), |rows| (rows.missing, rows.extra, rows.modified))
    }

    /// Whether more rows differ than are listed.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.comparison
            .rows
            .as_ref()
            .is_some_and(|rows| rows.truncated)
    }

    /// The values of key column `name` of the rows listed.
    #[must_use]
    pub fn keys(&self, name: &str) -> Vec<serde_json::Value> {
        let of = |row: &Difference| row.key.get(name).cloned().unwrap_or_default();
        self.listed.iter().map(of).collect()
    }
}
