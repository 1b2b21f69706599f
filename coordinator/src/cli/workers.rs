//! `reconcile workers` and `reconcile drain`: list the workers of a broker, and drain one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value as Json, json};
use shared::config::Config;
use shared::ids::{RunId, WorkerId};
use shared::logging::print_status;
use shared::message::{Control, Heartbeat, OwnedWork, WorkId, WorkPhase};
use shared::transport::rabbit::{RabbitOptions, RabbitTransport};
use shared::transport::{Messages, Transport};
use tokio::time::Instant;

use super::connections::required_broker;
use super::exit::{self, CommandError};
use super::flags::{BrokerFlags, DrainFlags, ListFormat, WorkersFlags};
use super::lists::{columns, pretty_json, print, seconds};
use super::pace_text::short;
use super::state_dir::state_dir;
use crate::pace::percent_of;
use crate::store::RunStore;

/// How long heartbeats are collected after a request. Workers answer at once.
const ANSWERS: Duration = Duration::from_secs(1);

/// How long the broker may take to carry out an operation of a command that a user waits for.
pub(super) const BROKER_PATIENCE: Duration = Duration::from_secs(5);

/// The most workers that are listed.
const MOST_WORKERS: usize = 10_000;

/// How long a worker may take to confirm that it is draining.
const NOTICE: Duration = Duration::from_secs(10);

struct Seen {
    heartbeat: Heartbeat,
    received: Instant,
}

/// A connection that receives the heartbeats of all workers.
struct Fleet {
    transport: Arc<RabbitTransport>,
    heartbeats: Messages<Heartbeat>,
}

impl Fleet {
    async fn connect(flags: &BrokerFlags, config: &Config) -> Result<Self, CommandError> {
        let options = RabbitOptions {
            patience: Some(BROKER_PATIENCE),
            ..required_broker(flags, config, "reconcile")?
        };
        let transport = RabbitTransport::connect(options).await?;
        let heartbeats = transport.consume_heartbeats().await?;
        Ok(Self {
            transport,
            heartbeats,
        })
    }

    async fn heartbeat(&mut self, until: Instant) -> Option<Heartbeat> {
        let next = tokio::time::timeout_at(until, self.heartbeats.next());
        next.await.ok().flatten()
    }

    /// Requests a heartbeat of every worker and collects them.
    async fn collect(&mut self) -> Result<BTreeMap<WorkerId, Seen>, CommandError> {
        self.transport.publish_control(&Control::Announce).await?;
        let mut seen = BTreeMap::new();
        let until = Instant::now() + ANSWERS;
        while let Some(heartbeat) = self.heartbeat(until).await {
            let received = Instant::now();
            if seen.len() >= MOST_WORKERS && !seen.contains_key(&heartbeat.worker) {
                continue;
            }
            seen.insert(
                heartbeat.worker.clone(),
                Seen {
                    heartbeat,
                    received,
                },
            );
        }
        Ok(seen)
    }
}

pub(super) async fn list(flags: &WorkersFlags, config: &Config) -> Result<u8, CommandError> {
    let mut fleet = Fleet::connect(&flags.broker, config).await?;
    let seen = fleet.collect().await?;
    let mut names = Names::new(config);
    let text = match flags.format {
        ListFormat::Json => {
            let workers = seen.values().map(|seen| seen.to_json(&mut names));
            pretty_json(&workers.collect())
        }
        ListFormat::Console if seen.is_empty() => format!(
            "no worker answers on {}; start reconcile-worker\n",
            fleet.transport.task_queue()
        ),
        ListFormat::Console => {
            let rows: Vec<_> = seen.values().map(|seen| seen.to_row(&mut names)).collect();
            let headings = [
                "worker",
                "host",
                " pid",
                "version",
                " capacity",
                " busy",
                "state",
                " heard",
                "endpoints",
                "tables",
            ];
            columns(headings, &rows)
        }
    };
    fleet.transport.close().await;
    print(&text)
}

impl Seen {
    fn to_row(&self, names: &mut Names) -> [String; 10] {
        let heartbeat = &self.heartbeat;
        let tables: Vec<String> = heartbeat
            .owned
            .iter()
            .map(|owned| format!("{} ({})", names.of(owned.work), progress(owned)))
            .collect();
        [
            heartbeat.worker.to_string(),
            heartbeat.host.clone(),
            heartbeat.pid.to_string(),
            heartbeat.version.clone(),
            heartbeat.capacity.to_string(),
            heartbeat.owned.len().to_string(),
            if heartbeat.draining {
                "draining"
            } else {
                "working"
            }
            .to_owned(),
            format!("{} ago", seconds(self.received.elapsed())),
            endpoints(heartbeat),
            tables.join(", "),
        ]
    }

    fn to_json(&self, names: &mut Names) -> Json {
        let owned: Vec<Json> = self
            .heartbeat
            .owned
            .iter()
            .map(|owned| {
                json!({
                    "run_id": owned.work.run.to_string(),
                    "table": names.of(owned.work),
                    "attempt": owned.work.attempt.0,
                    "phase": owned.phase,
                    "source_rows": owned.source_rows,
                    "target_rows": owned.target_rows,
                    "expected_rows": owned.expected_rows,
                    "percent": percent(owned),
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
            "heartbeat_age_seconds": self.received.elapsed().as_secs_f64(),
            "endpoints": self.heartbeat.endpoints,
            "unavailable": self.heartbeat.unavailable,
            "owned": owned,
        })
    }
}

fn percent(owned: &OwnedWork) -> Option<u8> {
    let read = owned.source_rows.max(owned.target_rows);
    percent_of(read, owned.expected_rows, owned.phase)
}

/// "scanning 61%, 1.2M rows"
fn progress(owned: &OwnedWork) -> String {
    let phase = owned.phase.map_or("running", WorkPhase::as_str);
    let done = percent(owned).map(|percent| format!(" {percent}%"));
    format!(
        "{phase}{}, {} rows",
        done.unwrap_or_default(),
        short(owned.source_rows.max(owned.target_rows))
    )
}

/// The names of the endpoints, with the reasons of those that are not available.
fn endpoints(heartbeat: &Heartbeat) -> String {
    let Some(endpoints) = &heartbeat.endpoints else {
        return "not reported".to_owned();
    };
    let described = endpoints.iter().map(|name| {
        let mut unavailable = heartbeat.unavailable.iter();
        match unavailable.find(|unavailable| unavailable.endpoint == *name) {
            Some(unavailable) => format!("{name} (not available: {})", unavailable.reason),
            None => name.clone(),
        }
    });
    described.collect::<Vec<_>>().join(", ")
}

/// The names of tables, for runs that are stored here.
struct Names {
    store: Option<RunStore>,
    runs: BTreeMap<RunId, Vec<String>>,
}

impl Names {
    fn new(config: &Config) -> Self {
        let store = state_dir(config).and_then(|directory| RunStore::find(&directory));
        Self {
            // Without a store tables are printed by number.
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

pub(super) async fn drain(flags: &DrainFlags, config: &Config) -> Result<u8, CommandError> {
    let mut fleet = Fleet::connect(&flags.broker, config).await?;
    let seen = fleet.collect().await?;
    let worker = find(&flags.worker, seen.keys()).map_err(CommandError::Fleet)?;
    let until = Instant::now() + NOTICE;
    while Instant::now() < until {
        let control = Control::Drain {
            worker: worker.clone(),
        };
        fleet.transport.publish_control(&control).await?;
        let until_answers = Instant::now() + ANSWERS;
        while let Some(heartbeat) = fleet.heartbeat(until_answers).await {
            if heartbeat.worker == worker && heartbeat.draining {
                fleet.transport.close().await;
                print_status(format!(
                    "worker {worker} is draining; {} tables are finished or handed back before it ends",
                    heartbeat.owned.len()
                ));
                return Ok(exit::SUCCESS);
            }
        }
    }
    Err(CommandError::Fleet(format!(
        "worker {worker} has not confirmed within {} s that it is draining",
        NOTICE.as_secs()
    )))
}

/// The worker that `name` stands for: its name, or the beginning of it.
fn find<'a>(name: &str, workers: impl Iterator<Item = &'a WorkerId>) -> Result<WorkerId, String> {
    let all: Vec<&WorkerId> = workers.collect();
    if let Some(exact) = all.iter().find(|worker| worker.as_str() == name) {
        return Ok((*exact).clone());
    }
    let list = |workers: &[&WorkerId]| {
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
            list(&all)
        )),
        several => Err(format!(
            "`{name}` begins the names of several workers: {}",
            list(several)
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
