//! `reconcile workers` and `reconcile drain`: who is there, and sending one home.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value as Json, json};
use shared::config::Config;
use shared::ids::{RunId, WorkerId};
use shared::message::{Control, Heartbeat, WorkId};
use shared::transport::rabbit::RabbitTransport;
use shared::transport::{Messages, Transport};
use tokio::time::Instant;

use super::exit::{self, CommandError};
use super::flags::{BrokerFlags, DrainFlags, ListFormat, WorkersFlags};
use super::kept::{pretty, whole_seconds};
use super::place::directory;
use super::settings;
use super::usage::UsageError;
use super::{columns, say};
use crate::report::write_stdout;
use crate::store::RunStore;

/// How long the answers to a question are gathered. Workers answer at once.
const ANSWERS: Duration = Duration::from_secs(1);

/// How long a worker may take to say that it drains.
const NOTICE: Duration = Duration::from_secs(10);

/// A worker as it was last heard of.
struct Seen {
    heartbeat: Heartbeat,
    heard: Instant,
}

/// A connection on which workers are heard.
struct Fleet {
    transport: Arc<RabbitTransport>,
    heartbeats: Messages<Heartbeat>,
}

impl Fleet {
    async fn connect(flags: &BrokerFlags, config: &Config) -> Result<Self, CommandError> {
        let options = settings::broker(flags, config.broker.as_ref(), "reconcile")?
            .ok_or(UsageError::NoBroker)?;
        let transport = RabbitTransport::connect(options).await?;
        let heartbeats = transport.consume_heartbeats().await?;
        Ok(Self {
            transport,
            heartbeats,
        })
    }

    /// Asks everybody, and gathers the answers.
    async fn gather(&mut self) -> Result<BTreeMap<WorkerId, Seen>, CommandError> {
        self.transport.publish_control(&Control::Announce).await?;
        let mut seen = BTreeMap::new();
        let until = Instant::now() + ANSWERS;
        while let Ok(Some(heartbeat)) = tokio::time::timeout_at(until, self.heartbeats.next()).await
        {
            let heard = Instant::now();
            seen.insert(heartbeat.worker.clone(), Seen { heartbeat, heard });
        }
        Ok(seen)
    }
}

/// `reconcile workers`
pub(super) async fn workers(
    flags: &WorkersFlags,
    state_dir: Option<PathBuf>,
    config: &Config,
) -> Result<u8, CommandError> {
    let mut fleet = Fleet::connect(&flags.broker, config).await?;
    let seen = fleet.gather().await?;
    let mut names = Names::new(state_dir, config);
    let text = match flags.format {
        ListFormat::Json => {
            let workers = seen.values().map(|seen| seen.json(&mut names));
            pretty(&workers.collect())
        }
        ListFormat::Console if seen.is_empty() => format!(
            "no worker answers on {}; start reconcile-worker\n",
            fleet.transport.task_queue()
        ),
        ListFormat::Console => {
            let rows: Vec<_> = seen.values().map(|seen| seen.row(&mut names)).collect();
            let headings = [
                "worker",
                "host",
                " pid",
                "version",
                " capacity",
                " busy",
                "state",
                " heard",
                "tables",
            ];
            columns::render(headings, &rows)
        }
    };
    fleet.transport.close().await;
    write_stdout(&text)?;
    Ok(exit::EQUAL)
}

impl Seen {
    fn row(&self, names: &mut Names) -> [String; 9] {
        let Heartbeat {
            worker,
            host,
            pid,
            version,
            capacity,
            draining,
            owned,
            ..
        } = &self.heartbeat;
        let tables: Vec<String> = owned.iter().map(|owned| names.of(owned.work)).collect();
        [
            worker.to_string(),
            host.clone(),
            pid.to_string(),
            version.clone(),
            capacity.to_string(),
            owned.len().to_string(),
            if *draining { "draining" } else { "working" }.to_owned(),
            format!("{} ago", whole_seconds(self.heard.elapsed())),
            tables.join(", "),
        ]
    }

    fn json(&self, names: &mut Names) -> Json {
        let owned: Vec<Json> = self
            .heartbeat
            .owned
            .iter()
            .map(|owned| {
                json!({
                    "run_id": owned.work.run.to_string(),
                    "table": names.of(owned.work),
                    "attempt": owned.work.attempt.0,
                    "source_rows": owned.source_rows,
                    "target_rows": owned.target_rows,
                })
            })
            .collect();
        json!({
            "worker": self.heartbeat.worker.as_str(),
            "host": self.heartbeat.host,
            "pid": self.heartbeat.pid,
            "version": self.heartbeat.version,
            "capacity": self.heartbeat.capacity,
            "draining": self.heartbeat.draining,
            "heartbeat_age_seconds": self.heard.elapsed().as_secs_f64(),
            "owned": owned,
        })
    }
}

/// The names of tables, as far as the store knows their runs.
struct Names {
    store: Option<RunStore>,
    runs: BTreeMap<RunId, Vec<String>>,
}

impl Names {
    fn new(state_dir: Option<PathBuf>, config: &Config) -> Self {
        let store = directory(state_dir, config).and_then(|directory| RunStore::find(&directory));
        Self {
            // Without it the tables have numbers.
            store: store.ok().flatten(),
            runs: BTreeMap::new(),
        }
    }

    fn of(&mut self, work: WorkId) -> String {
        let Self { store, runs } = self;
        let names = runs.entry(work.run).or_insert_with(|| {
            let names = store.as_ref().map(|store| store.table_names(work.run));
            names.and_then(Result::ok).unwrap_or_default()
        });
        let name = names.get(work.table.index()).cloned();
        name.unwrap_or_else(|| format!("table {} of run {}", work.table.0 + 1, work.run))
    }
}

/// `reconcile drain WORKER`
pub(super) async fn drain(flags: &DrainFlags, config: &Config) -> Result<u8, CommandError> {
    let mut fleet = Fleet::connect(&flags.broker, config).await?;
    let seen = fleet.gather().await?;
    let worker = find(&flags.worker, seen.keys()).map_err(CommandError::Fleet)?;
    let until = Instant::now() + NOTICE;
    while Instant::now() < until {
        let control = Control::Drain {
            worker: worker.clone(),
        };
        fleet.transport.publish_control(&control).await?;
        let answers = Instant::now() + ANSWERS;
        while let Ok(Some(heartbeat)) =
            tokio::time::timeout_at(answers, fleet.heartbeats.next()).await
        {
            if heartbeat.worker == worker && heartbeat.draining {
                fleet.transport.close().await;
                say(format!(
                    "worker {worker} drains; {} tables are finished or handed back before it ends",
                    heartbeat.owned.len()
                ));
                return Ok(exit::EQUAL);
            }
        }
    }
    Err(CommandError::Fleet(format!(
        "worker {worker} has not said within {} s that it drains",
        NOTICE.as_secs()
    )))
}

/// The worker that `name` stands for: its name, or the beginning of it.
fn find<'a>(name: &str, workers: impl Iterator<Item = &'a WorkerId>) -> Result<WorkerId, String> {
    let all: Vec<&WorkerId> = workers.collect();
    if let Some(exact) = all.iter().find(|worker| worker.as_str() == name) {
        return Ok((*exact).clone());
    }
    let known = |workers: &[&WorkerId]| {
        let names: Vec<&str> = workers.iter().map(|worker| worker.as_str()).collect();
        names.join(", ")
    };
    let begins: Vec<&WorkerId> = all
        .iter()
        .copied()
        .filter(|worker| !name.is_empty() && worker.as_str().starts_with(name))
        .collect();
    match begins.as_slice() {
        [one] => Ok((*one).clone()),
        [] if all.is_empty() => Err("no worker answers; none can be drained".to_owned()),
        [] => Err(format!(
            "no worker is called `{name}`; there are {}",
            known(&all)
        )),
        several => Err(format!(
            "`{name}` begins the names of several workers: {}",
            known(several)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_found_by_its_name_or_the_beginning_of_it() {
        let workers = ["a-1", "a-12", "b-3"].map(WorkerId::named);
        let find = |name: &str| super::find(name, workers.iter()).map(|worker| worker.to_string());
        assert_eq!(find("a-1"), Ok("a-1".to_owned()));
        assert_eq!(find("b"), Ok("b-3".to_owned()));
        assert!(find("a").unwrap_err().contains("a-1, a-12"));
        assert!(find("c").unwrap_err().contains("b-3"));
        assert!(find("").is_err());
    }
}
