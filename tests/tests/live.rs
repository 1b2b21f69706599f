//! Tables that change while they are compared: a writer keeps changing the
//! source, a replicator copies each change to the target 300 ms later. What is
//! in flight is no difference; a planted difference is one.
//!
//! `LIVE_SECONDS=n` sets the duration.

#![expect(clippy::unwrap_used, reason = "in a test a missing value is a failure")]

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fastrand::Rng;
use harness::services::shared_postgres;
use shared::endpoint::Endpoint;
use shared::message::{ColumnSelection, Side, TableSpec};
use shared::options::{Recheck, TableOptions};
use shared::outcome::{Depth, Difference, DifferenceKind};
use tests::cases::{compare, engine};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use worker::engine::ReconcileEngine;

/// The replication lag of the target.
const LAG: Duration = Duration::from_millis(300);

/// Time between two changes of the source.
const PACE: Duration = Duration::from_millis(3);

/// Rows of each table at first.
const ROWS: i64 = 5000;

/// Rows that the writer leaves alone: so many of either kind are broken.
const BROKEN: i64 = 3;

/// Rows that change continuously; their keys follow those of the planted differences.
const HOT: i64 = 10;

/// A table, by how its rows are identified.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// By a number.
    Accounts,
    /// By two columns, of which one is too long to be carried whole.
    Lines,
    /// Not at all.
    Journal,
}

const TABLES: [Kind; 3] = [Kind::Accounts, Kind::Lines, Kind::Journal];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Lines => "lines",
            Self::Journal => "journal",
        }
    }

    fn create(self) -> String {
        let columns = match self {
            Self::Accounts => "id bigint PRIMARY KEY",
            Self::Lines => "document varchar(60), line bigint, PRIMARY KEY (document, line)",
            Self::Journal => "id bigint",
        };
        let name = self.name();
        format!("CREATE TABLE {name} ({columns}, amount numeric(12, 2), note text, at timestamptz)")
    }

    /// The key columns of row `id`, an SQL expression.
    fn key(self, id: &str) -> String {
        match self {
            Self::Accounts | Self::Journal => id.to_owned(),
            Self::Lines => format!("'a document of the archive number ' || {id} / 3, {id} % 3"),
        }
    }

    fn is(self, id: i64) -> String {
        match self {
            Self::Accounts | Self::Journal => format!("id = {id}"),
            Self::Lines => format!("(document, line) = ({})", self.key(&id.to_string())),
        }
    }

    /// Which row a difference is about, and on which side it was seen.
    fn row_of(self, difference: &Difference) -> (DifferenceKind, i64) {
        let id = match self {
            Self::Accounts => difference.key["id"].as_i64().unwrap(),
            Self::Lines => {
                let document = difference.key["document"].as_str().unwrap();
                let number: i64 = document.rsplit(' ').next().unwrap().parse().unwrap();
                number * 3 + difference.key["line"].as_i64().unwrap()
            }
            Self::Journal => {
                let id = difference.columns.iter().find(|column| column.name == "id");
                let id = id.unwrap();
                id.source.as_i64().or(id.target.as_i64()).unwrap()
            }
        };
        (difference.kind, id)
    }

    /// The planted differences: the first rows are missing, the next are modified, and
    /// the target has rows that the source never had.
    fn broken(self) -> Vec<(DifferenceKind, i64)> {
        let different: &[DifferenceKind] = match self {
            Self::Journal => &[DifferenceKind::Missing, DifferenceKind::Extra],
            _ => &[DifferenceKind::Modified],
        };
        let mut all: Vec<(DifferenceKind, i64)> = Vec::new();
        for at in 1..=BROKEN {
            all.push((DifferenceKind::Missing, at));
            all.extend(different.iter().map(|kind| (*kind, BROKEN + at)));
            all.push((DifferenceKind::Extra, -at));
        }
        all.sort_unstable();
        all
    }

    fn break_target(self) -> String {
        let name = self.name();
        (1..=BROKEN)
            .map(|at| {
                format!(
                    "DELETE FROM {name} WHERE {}; UPDATE {name} SET amount = amount + 1 WHERE {}; {};",
                    self.is(at),
                    self.is(BROKEN + at),
                    Change::Insert.sql(self, -at, 0)
                )
            })
            .collect()
    }
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Insert,
    Update,
    Delete,
}

impl Change {
    /// All values of a row come from its number and how often it was changed.
    fn sql(self, kind: Kind, id: i64, version: i64) -> String {
        let name = kind.name();
        let values = values(&id.to_string(), &version.to_string());
        match self {
            Self::Insert => {
                format!(
                    "INSERT INTO {name} SELECT {}, {values}",
                    kind.key(&id.to_string())
                )
            }
            Self::Update => format!(
                "UPDATE {name} SET (amount, note, at) = ROW({values}) WHERE {}",
                kind.is(id)
            ),
            Self::Delete => format!("DELETE FROM {name} WHERE {}", kind.is(id)),
        }
    }
}

fn values(id: &str, version: &str) -> String {
    format!(
        "{id} * 0.01 + {version} % 10, 'version {version} of ' || {id}, timestamptz '2024-01-01 00:00:00+00' + {version} * interval '1 ms'"
    )
}

/// The rows of one table, as the writer knows them.
#[derive(Debug)]
struct Rows {
    kind: Kind,
    /// Those that may be changed and deleted.
    cold: Vec<i64>,
    next: i64,
}

impl Rows {
    fn new(kind: Kind) -> Self {
        let cold = (2 * BROKEN + HOT + 1..=ROWS).collect();
        Self {
            kind,
            cold,
            next: ROWS + 1,
        }
    }

    fn change(&mut self, version: i64, rng: &mut Rng) -> String {
        let (change, id) = match rng.u8(..10) {
            0..4 => (Change::Update, 2 * BROKEN + rng.i64(1..=HOT)),
            4..7 => (Change::Update, self.cold[rng.usize(..self.cold.len())]),
            7 => {
                let at = rng.usize(..self.cold.len());
                (Change::Delete, self.cold.swap_remove(at))
            }
            _ => {
                self.cold.push(self.next);
                self.next += 1;
                (Change::Insert, self.next - 1)
            }
        };
        change.sql(self.kind, id, version)
    }
}

/// Changes the source and, later, the target, until `stop`; ends when the
/// target has caught up. One loop does both, so that a busy machine slows both
/// and the lag stays what it is. Gives the number of changes.
async fn write_and_replicate(source: Client, target: Client, stop: CancellationToken) -> u64 {
    let mut rng = Rng::new();
    let mut tables = TABLES.map(Rows::new);
    let mut under_way: VecDeque<(Instant, String)> = VecDeque::new();
    let mut pace = tokio::time::interval(PACE);
    let mut changes = 0;
    loop {
        pace.tick().await;
        if !stop.is_cancelled() {
            changes += 1;
            let table = &mut tables[rng.usize(..TABLES.len())];
            let sql = table.change(i64::try_from(changes).unwrap(), &mut rng);
            assert_eq!(source.execute(&sql, &[]).await.unwrap(), 1, "{sql}");
            under_way.push_back((Instant::now() + LAG, sql));
        } else if under_way.is_empty() {
            return changes;
        }
        while let Some((due, sql)) = under_way.front()
            && *due <= Instant::now()
        {
            assert_eq!(target.execute(sql, &[]).await.unwrap(), 1, "{sql}");
            under_way.pop_front();
        }
    }
}

/// Compares a table; gives what differs and how much had settled.
async fn look(
    engine: &ReconcileEngine,
    kind: Kind,
    times: u32,
) -> (Vec<(DifferenceKind, i64)>, u64) {
    let side = |endpoint: &str| Side {
        endpoint: endpoint.to_owned(),
        table: kind.name().parse().unwrap(),
    };
    let spec = TableSpec {
        source: side("source"),
        target: side("target"),
        depth: Depth::Rows,
        key: None,
        columns: ColumnSelection::default(),
        max_differences: 1000,
        chunk_size: 100,
        timeout: Duration::from_secs(60),
        options: TableOptions {
            recheck: Recheck {
                times,
                delay_ms: 500,
            },
            ..TableOptions::default()
        },
    };
    let (comparison, differences) = compare(engine, spec).await.unwrap();
    let rows = comparison.rows.unwrap();
    assert_eq!(rows.total(), differences.len() as u64, "{rows:?}");
    let mut found: Vec<_> = differences.iter().map(|one| kind.row_of(one)).collect();
    found.sort_unstable();
    (found, rows.settled)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_no_difference_and_what_is_broken_is_found() {
    let seconds = std::env::var("LIVE_SECONDS").map_or(10, |value| value.parse().unwrap());
    let server = shared_postgres();
    let databases =
        ["live_source", "live_target"].map(|name| server.create_database(name).unwrap());
    for database in &databases {
        for kind in TABLES {
            let fill = format!(
                "{}; INSERT INTO {} SELECT {}, {} FROM generate_series(1, {ROWS}) AS i",
                kind.create(),
                kind.name(),
                kind.key("i"),
                values("i", "0")
            );
            database.execute(&fill).unwrap();
        }
    }
    for kind in TABLES {
        databases[1].execute(&kind.break_target()).unwrap();
    }
    let [source, target] = &databases;
    let stop = CancellationToken::new();
    let writing = tokio::spawn(write_and_replicate(
        source.connect().await.unwrap(),
        target.connect().await.unwrap(),
        stop.clone(),
    ));
    let endpoint = |url: &str| Endpoint::from_url("live", url).unwrap();
    let engine = engine(&endpoint(&source.url()), &endpoint(&target.url()), 3);
    let begin = Instant::now();
    let (mut looks, mut settled) = (0_u32, [0; 3]);
    while begin.elapsed() < Duration::from_secs(seconds) {
        let found = futures::future::join_all(TABLES.map(|kind| look(&engine, kind, 3))).await;
        looks += 1;
        for (at, (found, this_time)) in found.into_iter().enumerate() {
            settled[at] += this_time;
            assert_eq!(
                found,
                TABLES[at].broken(),
                "{}, look {looks}",
                TABLES[at].name()
            );
        }
        assert!(!writing.is_finished(), "the writer ended by itself");
    }
    stop.cancel();
    let changes = writing.await.unwrap();
    println!("{looks} looks at each table, {changes} changes, settled {settled:?}");
    assert!(
        settled.iter().all(|settled| *settled > 0),
        "nothing was ever under way in one of the tables: {settled:?}"
    );
    for kind in TABLES {
        let (found, settled) = look(&engine, kind, 0).await;
        assert_eq!(found, kind.broken(), "{}, at rest", kind.name());
        assert_eq!(settled, 0);
    }
}
